"""The kernels of the default controller against the stepped one: everything equal, clock by clock."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.dram.controller import Controller, controller, drain, finish, serve
from cgsim.dram.counters import CLOCK, COMMANDS_LOGGED, COUNTS
from cgsim.dram.legal_timings import standard_timings
from cgsim.dram.legality import check, describe
from cgsim.dram.mapping import decode_all, mapping
from cgsim.dram.settings import MAPPINGS, Config
from cgsim.dram.standards import STANDARDS
from cgsim.dram.stepped import SteppedController
from cgsim.dram.stepped_mapping import place_of, widths
from tests.conftest import VALIDATE
from tests.dram.memories import Case, Drain, Finish, Serve, cases

LOG = 1 << 14
ONE_BY_ONE = 1 << 30


def stepped_answers(memory: SteppedController, case: Case) -> list[int]:
    """The clock that each call returned; a last drain included."""
    answers = []
    for call in (*case.calls, Drain()):
        if isinstance(call, Serve):
            ready = memory.now + call.pause
            answers.append(memory.serve(call.first, call.step, call.count, call.write, call.tag, ready))
        else:
            answers.append(memory.finish(call.tag) if isinstance(call, Finish) else memory.drain())
    return answers


def answers(memory: Controller, case: Case, parts: int = 1, accepted: list[int] | None = None) -> list[int]:
    """The clock that each call returned, runs cut into `parts`; `accepted` collects that of every part."""
    now, returned = 0, []
    for call in (*case.calls, Drain()):
        if isinstance(call, Finish):
            clock = finish(memory, call.tag)
        elif isinstance(call, Drain):
            clock = drain(memory)
        else:
            cuts = np.unique(np.linspace(0, call.count, min(parts, call.count) + 1, dtype=np.int64)).tolist()
            ready = now + call.pause
            clock = serve(memory, call.first, call.step, 0, call.write, call.tag, ready)
            for begin, end in pairwise(cuts):
                first = call.first + begin * call.step
                clock = serve(memory, first, call.step, end - begin, call.write, call.tag, ready)
                if accepted is not None:
                    accepted.append(clock)
        returned.append(clock)
        now = max(now, clock)
    return returned


def in_order(log: np.ndarray) -> list[tuple[int, ...]]:
    """A log by clock and channel."""
    return [tuple(row) for row in log[np.lexsort((log[:, 2], log[:, 0]))].tolist()]


@given(cases())
@settings(max_examples=5000 if VALIDATE else 90, deadline=None)
def test_kernels_equal_the_stepped_controller(case: Case) -> None:
    with case.known():
        stepped = SteppedController(case.config)
        expected = stepped_answers(stepped, case)
        logged, whole = controller(case.config, LOG), controller(case.config)
        accepted: list[int] = []
        assert answers(logged, case, parts=ONE_BY_ONE, accepted=accepted) == expected
        assert accepted == stepped.accepted
        assert answers(whole, case) == expected
    assert in_order(logged.log[: logged.counts[COMMANDS_LOGGED]]) == stepped.log
    for kernel in (logged, whole):
        assert dict(zip(COUNTS, kernel.counts.tolist(), strict=True)) == dict(stepped.counts)
        assert kernel.latency.tolist() == stepped.latency


def broken(log: np.ndarray, config: Config, clock: int) -> list[str]:
    """The rules of JEDEC that a log breaks."""
    timings = standard_timings(config)
    if (
        config.refresh == "per_bank"
        and config.device.refi < timings.bank_groups * timings.banks * config.device.refipb
    ):
        timings = timings._replace(trefi=0)  # a drawn standard: its banks fall due in other intervals
    log = log[np.argsort(log[:, 0], kind="stable")]
    return [describe(violation, log) for violation in check(log, timings, clock).violations]


@given(cases())
@settings(max_examples=3000 if VALIDATE else 30, deadline=None)
def test_stepped_is_legal_and_adds_up(case: Case) -> None:
    with case.known():
        memory = SteppedController(case.config)
        stepped_answers(memory, case)
        counts, channels = memory.counts, len(memory.channels)
        log = np.array(memory.log, np.int64).reshape(-1, 9)
        assert broken(log, case.config, memory.now) == []
    lost = sum(count for name, count in counts.items() if name.startswith("lost_"))
    buses = channels * len(memory.channels[0].buses)
    assert counts["data_cycles"] + lost == counts["clock"] * buses
    ranks = channels * len(memory.channels[0].ranks)
    assert counts["active_cycles"] + counts["idle_cycles"] == counts["clock"] * ranks
    served = counts["read_commands"] + counts["write_commands"]
    merged = counts["forwarded_reads"] + counts["merged_writes"]
    assert served + merged == counts["reads"] + counts["writes"] == len(memory.accepted)
    assert served == counts["row_hits"] + counts["row_misses"] + counts["row_conflicts"]
    assert sum(memory.latency) == counts["reads"]
    assert counts["commands_logged"] == len(memory.log)


@given(cases(longer=50))
@settings(max_examples=3000 if VALIDATE else 50, deadline=None)
def test_long_runs(case: Case) -> None:
    """With and without shortcuts, in one run or cut in two: the same; and legal."""
    with case.known():
        plain = replace(case.config, jump=False)
        memories = [controller(plain, 1 << 19), controller(case.config), controller(case.config)]
        logged, jumped, cut = memories
        expected = answers(logged, case)
        assert answers(jumped, case) == expected
        assert answers(cut, case, parts=2) == expected
        for memory in memories[1:]:
            assert memory.counts.tolist() == logged.counts.tolist()
            assert memory.latency.tolist() == logged.latency.tolist()
        log = logged.log[: logged.counts[COMMANDS_LOGGED]]
        assert broken(log, case.config, int(logged.counts[CLOCK])) == []


@given(
    st.sampled_from(sorted(STANDARDS)),
    st.sampled_from(MAPPINGS[:4]) | st.sampled_from(MAPPINGS),
    st.sampled_from([1, 2, 8]),
    st.sampled_from([1, 2, 4]),
    st.lists(st.integers(0, 2**40), min_size=1, max_size=20),
)
@settings(max_examples=2000 if VALIDATE else 100, deadline=None)
def test_mappings(name: str, order: str, channels: int, ranks: int, addresses: list[int]) -> None:
    ranks = 1 if STANDARDS[name].pseudo > 1 else ranks
    config = Config(standard=name, channels=channels, ranks=ranks, mapping=order)
    bits = tuple(widths(config)[field] for field in ("ch", "ra", "bg", "ba", "ro", "co"))
    bursts = np.array(addresses, np.int64) // STANDARDS[name].request_bytes
    decoded = decode_all(mapping(order, bits), bursts).tolist()
    for address, fields in zip(addresses, decoded, strict=True):
        channel, place, row, column = place_of(config, address)
        assert fields == [channel, *place, row, column]
