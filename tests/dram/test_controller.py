"""The default controller: jumps are exact, commands legal, and it is no slower than the reference tools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cgsim.dram import controller_state, legal_timings, legality
from cgsim.dram.controller import Controller, controller, drain, finish, renew, serve
from cgsim.dram.counters import COUNTS, TAGS
from cgsim.dram.settings import MAPPINGS, Config, check, check_range
from cgsim.dram.standards import STANDARDS
from cgsim.errors import CgsimError

Run = tuple[int, int, int, bool, int]
"""First byte, step, requests, write, clocks to wait before."""
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
_LOST = [name for name in COUNTS if name.startswith("lost_")]


@st.composite
def configs(draw: st.DrawFn) -> Config:
    standard = draw(st.sampled_from(sorted(STANDARDS)))
    device = STANDARDS[standard]
    depth = draw(st.sampled_from([1, 2, 8, 32, 32]))
    refresh = ["all_bank", "all_bank", "none"] + ["per_bank"] * (device.refipb > 0)
    return Config(
        standard,
        channels=draw(st.sampled_from([1, 1, 1, 2, 4])),
        ranks=1 if device.pseudo > 1 else draw(st.sampled_from([1, 1, 2])),
        mapping=draw(st.one_of(st.just("streaming"), st.sampled_from(MAPPINGS[:60]))),
        page_policy=draw(st.sampled_from(["open", "open", "closed"])),
        queue_depth=depth,
        row_hit_cap=draw(st.sampled_from([1, 4, 64])),
        refresh=draw(st.sampled_from(refresh)),
        refresh_postponed=draw(st.integers(1, 8)),
        inj=draw(st.sampled_from([1, 1, 2, 4])),
        max_outstanding=draw(st.sampled_from([0, 0, 3, 64])),
    )


@st.composite
def runs(draw: st.DrawFn, most: int) -> list[Run]:
    found = []
    for _ in range(draw(st.integers(1, 6))):
        first = draw(st.integers(0, 1 << 18)) * 64
        step = draw(st.sampled_from([0, 32, 64, 64, 64, 128, 256, 4096, 8192, 131072]))
        count = draw(st.integers(1, most))
        found.append((first, step, count, draw(st.booleans()), draw(st.sampled_from([0, 0, 5, 400, 30000]))))
    return found


def serve_all(c: Controller, given_runs: list[Run]) -> list[int]:
    """Clocks of the last acceptances, of the returns of every other run, and of the end."""
    clocks, now = [], 0
    for index, (first, step, count, write, pause) in enumerate(given_runs):
        tag = index % TAGS
        now = serve(c, first, step, count, write, tag, now + pause)
        clocks.append(now)
        if index % 2:
            clocks.append(finish(c, tag))
    clocks.append(drain(c))
    return clocks


def equal(one: Controller, other: Controller) -> None:
    assert dict(zip(COUNTS, one.counts, strict=True)) == dict(zip(COUNTS, other.counts, strict=True))
    assert np.array_equal(one.latency, other.latency)


@FEW
@given(configs(), runs(3000))
def test_jumps_are_exact(config: Config, given_runs: list[Run]) -> None:
    plain, jumping = controller(replace(config, jump=False)), controller(config)
    assert serve_all(plain, given_runs) == serve_all(jumping, given_runs)
    equal(plain, jumping)


@FEW
@given(configs(), runs(300), st.integers(1, 50))
def test_runs_may_be_split(config: Config, given_runs: list[Run], piece: int) -> None:
    whole, split = controller(config), controller(config)
    for first, step, count, write, pause in given_runs:
        ready = int(whole.counts[COUNTS.index("clock")]) + pause
        end = serve(whole, first, step, count, write, 0, ready)
        for at in range(0, count, piece):
            last = serve(split, first + at * step, step, min(piece, count - at), write, 0, ready)
        assert last == end
    assert drain(whole) == drain(split)
    equal(whole, split)


@FEW
@given(configs(), runs(200))
def test_commands_are_legal(config: Config, given_runs: list[Run]) -> None:
    c = controller(config, 20000)
    end = serve_all(c, given_runs)[-1]
    logged = int(c.counts[COUNTS.index("commands_logged")])
    assert logged <= len(c.log)
    log = c.log[:logged]
    log = log[np.argsort(log[:, 0], kind="stable")]
    verdict = legality.check(log, legal_timings.standard_timings(config))
    assert not verdict.violations, legality.describe(verdict.violations[0], log)
    counts = dict(zip(COUNTS, c.counts.tolist(), strict=True))
    buses = config.channels * STANDARDS[config.standard].pseudo
    assert counts["data_cycles"] + sum(counts[name] for name in _LOST) == end * buses
    ranks = buses * config.ranks
    assert counts["active_cycles"] + counts["idle_cycles"] == end * ranks
    served = counts["read_commands"] + counts["write_commands"]
    assert served + counts["forwarded_reads"] + counts["merged_writes"] == counts["reads"] + counts["writes"]
    assert served == counts["row_hits"] + counts["row_misses"] + counts["row_conflicts"]
    assert c.latency.sum() == counts["reads"]


def per_request(config: Config, given_runs: list[Run]) -> float:
    c = controller(config)
    for first, step, count, write, _ in given_runs:
        serve(c, first, step, count, write, -1, 0)
    return drain(c) / sum(run[2] for run in given_runs)


def test_sequential_reads_lose_the_refreshes_only() -> None:
    assert per_request(Config("DDR4-2400"), [(0, 64, 200_000, False, 0)]) < 4.2
    assert per_request(Config("DDR4-2400", refresh="none"), [(0, 64, 200_000, False, 0)]) < 4.01


def test_strides_use_all_banks() -> None:
    for power in range(6, 21):
        assert per_request(Config("DDR4-2400"), [(0, 1 << power, 8192, False, 0)]) < 7.3, power


def test_three_streams_and_random_requests_beat_the_tools() -> None:
    """Reference: 4.78 and 7.04 clocks per request (Ramulator 2.1), 4.53 and 7.06 (DRAMsim3)."""
    quarter = 1 << 28
    tiles = [(k * quarter + 4096 * i, 64, 64, k == 2, 0) for i in range(256) for k in range(3)]
    assert per_request(Config("DDR4-2400"), tiles) < 4.5
    random = np.random.Generator(np.random.PCG64(777))
    single = [
        (int(a) * 64, 0, 1, bool(w < 1 / 3), 0)
        for a, w in zip(random.integers(0, 1 << 24, 8000), random.random(8000), strict=True)
    ]
    assert per_request(Config("DDR4-2400"), single) < 7.1


def test_long_runs_are_jumped_over() -> None:
    for name in STANDARDS:
        c = controller(Config(name, inj=4))
        size = STANDARDS[name].request_bytes
        serve(c, 0, size, 20_000, False, -1, 0)
        assert c.state[controller_state.JUMPED] > 6000, name


def test_a_renewed_controller_is_a_fresh_one() -> None:
    c = controller(Config("DDR4-2400", channels=2))
    given_runs: list[Run] = [(0, 64, 500, False, 0), (1 << 20, 64, 300, True, 0)]
    first = serve_all(c, given_runs)
    again = renew(c)
    assert serve_all(again, given_runs) == first
    equal(c, again)


def test_nothing_offered_costs_idle_clocks_only() -> None:
    c = controller(Config("DDR4-2400"))
    assert serve(c, 0, 64, 0, False, 0, 1_000_000) == 1_000_000
    assert finish(c, 0) == 0
    assert drain(c) == 1_000_000
    counts = dict(zip(COUNTS, c.counts.tolist(), strict=True))
    assert counts["idle_cycles"] == counts["lost_no_request"] == 1_000_000
    assert counts["refreshes"] == 107


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"standard": "DDR4-2401"}, "DDR4-2400"),
        ({"queue_depth": 0}, "queue_depth"),
        ({"mapping": "streamin"}, "streaming"),
        ({"refresh": "per_bank"}, "refresh"),
        ({"ranks": 3}, "ranks"),
        ({"write_low": 40}, "write_low"),
        ({"page_policy": "close"}, "closed"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(CgsimError, match=said):
        check(replace(Config("DDR4-2400"), **change))  # type: ignore[arg-type]


def test_capacity() -> None:
    config = Config("DDR4-2400", ranks=2)
    check_range(config, 16 << 30)
    with pytest.raises(CgsimError, match="DDR4-2400"):
        check_range(config, (16 << 30) + 1)
