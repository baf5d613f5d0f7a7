"""The event-driven kernel of `ramulator2` against its twin, on drawn settings and streams."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.dram import counters as n
from cgsim.dram import ramulator
from cgsim.dram.ramulator_config import Config
from cgsim.dram.ramulator_yaml import load
from tests.conftest import VALIDATE
from tests.dram.ramulator_twin import Twin
from tests.dram.request_streams import DATA

CODES = {name: code for code, name in enumerate((*n.COMMANDS[:1], "PREpb", "PREab", *n.COMMANDS[3:7]))}
CODES |= {"ACT1": n.ACT, "REFab": n.REF, "REFpb": n.REFB, "ACT2": 9, "CAS_RD": 10, "CAS_WR": 11}
BASES = [
    load(DATA / "configs" / f"r_{name}.yaml")
    for name in ("ddr4_2400U_match", "hbm2_8Gb_2000_preset", "lpddr5_6400_preset")
]


@st.composite
def configs(draw: st.DrawFn) -> Config:
    base = draw(st.sampled_from(BASES))
    refresh = draw(st.sampled_from(["AllBank", "NoRefresh"] + ["PerBank"] * (base.standard != "DDR4")))
    ranks = draw(st.sampled_from([2] if base.standard == "HBM2" else [1, 2]))
    shortest = 700 if base.standard == "LPDDR5" else 1100
    timing = dict(base.timing)
    timing["nREFI"] = draw(st.integers(shortest, 3000))
    if "nREFIpb" in timing:
        timing["nREFIpb"] = draw(st.integers(300, 1000))
    low = draw(st.floats(0.01, 1))
    return dataclasses.replace(
        base,
        channels=draw(st.sampled_from([1, 1, 1, 2])),
        ranks=ranks,
        timing=timing,
        read_queue=draw(st.sampled_from([1, 2, 3, 8, 32])),
        write_queue=draw(st.sampled_from([1, 2, 5, 8, 32])),
        low_watermark=low,
        high_watermark=draw(st.floats(low, 1)),
        scheduler=draw(st.sampled_from(["FRFCFS", "FRFCFS-RowHit"])),
        refresh=refresh,
        scatter_interval=draw(st.sampled_from([0, 0, 100])) if refresh == "AllBank" else 0,
        mapper=draw(st.sampled_from(["RoBaRaCoCh", "ChRaBaRoCo", "MOP4CLXOR", "PassThroughAddrMapper"])),
        interleave_bits=draw(st.sampled_from([0, 1, 6])),
        wck_always_on=draw(st.booleans()),
        inj=draw(st.integers(1, 4)),
        max_outstanding=draw(st.sampled_from([0, 0, 0, 1, 5, 40])),
    )


@st.composite
def runs(draw: st.DrawFn, config: Config) -> list[tuple[int, int, int, int, int, int]]:
    """Runs (first, step, count, write, tag, clocks to wait), many of them near each other."""
    unit = config.request_bytes
    bases = [draw(st.integers(0, 1 << 24)) * unit for _ in range(3)]
    found = []
    for _ in range(draw(st.integers(1, 8))):
        first = draw(st.sampled_from(bases)) + draw(st.integers(0, 80)) * unit
        step = draw(st.sampled_from([0, unit, unit, 2 * unit, 1 << 13, 1 << 16, 1 << 18]))
        wait = draw(st.sampled_from([0, 0, 0, 30, 500]))
        found.append(
            (first, step, draw(st.integers(1, 40)), draw(st.integers(0, 1)), draw(st.integers(-1, 3)), wait)
        )
    return found


def log_of(c: ramulator.Ramulator) -> np.ndarray:
    log = c.log[: c.counts[n.COMMANDS_LOGGED]]
    return log[np.lexsort((np.arange(len(log)), log[:, 2], log[:, 0]))]


def compare(c: ramulator.Ramulator, twin: Twin) -> None:
    rows = sorted(enumerate(twin.log), key=lambda entry: (entry[1][0], entry[1][2], entry[0]))
    expected = [[row[0], CODES[row[1]], *row[2:]] for _, row in rows]
    np.testing.assert_array_equal(log_of(c), np.array(expected).reshape(-1, 9))
    counted = twin.counts.values
    for name in (
        "row_hits",
        "row_misses",
        "row_conflicts",
        "forwarded_reads",
        "merged_writes",
        "reads",
        "writes",
    ):
        assert c.counts[n.COUNTS.index(name)] == counted.get(name, 0), name
    assert c.counts[n.LATENCY_SUM] == counted.get("latency_sum", 0)


@settings(max_examples=400 if VALIDATE else 15)
@given(st.data())
def test_equals_its_twin(data):
    config = data.draw(configs())
    c, twin = ramulator.controller(config, 100_000), Twin(config)
    clock = 0
    for first, step, count, write, tag, wait in data.draw(runs(config)):
        ready = clock + wait
        clock = ramulator.serve(c, first, step, count, write, tag, ready)
        for index in range(count):
            assert (twin_clock := twin.serve(first + index * step, write, tag, ready)) >= ready
        assert clock == twin_clock
    assert ramulator.drain(c) == twin.drain()
    compare(c, twin)


@settings(max_examples=100 if VALIDATE else 6)
@given(st.data())
def test_rows_at_their_cap(data):
    """ClosedCAP; Ramulator may wait forever where a row closes under a request that opened it."""
    config = dataclasses.replace(
        data.draw(configs()), row_policy="ClosedCAP", cap=data.draw(st.integers(1, 6))
    )
    c, twin = ramulator.controller(config, 100_000), Twin(config)
    clock = 0
    try:
        for first, step, count, write, tag, _ in data.draw(runs(config)):
            clock = ramulator.serve(c, first, step, count, write, tag, 0)
            for index in range(count):
                twin_clock = twin.serve(first + index * step, write, tag, 0)
            assert clock == twin_clock
        assert ramulator.drain(c) == twin.drain()
    except ValueError as error:
        assert "without end" in str(error) or "wait forever" in str(error)
        return
    compare(c, twin)


@settings(max_examples=100 if VALIDATE else 6)
@given(st.data())
def test_any_cut_is_the_same(data):
    """One run, or its pieces one after the other: equal to the last field of the state."""
    config = data.draw(configs())
    whole = ramulator.controller(config)
    cut = ramulator.renew(whole)
    for first, step, count, write, tag, _ in data.draw(runs(config)):
        clock = ramulator.serve(whole, first, step, count, write, tag, 0)
        done = 0
        while done < count:
            part = data.draw(st.integers(1, count - done))
            last = ramulator.serve(cut, first + done * step, step, part, write, tag, 0)
            done += part
        assert last == clock
    np.testing.assert_array_equal(whole.m, cut.m)
    for tag in range(4):
        assert ramulator.finish(whole, tag) == ramulator.finish(cut, tag)
    np.testing.assert_array_equal(whole.m, cut.m)


@settings(max_examples=60 if VALIDATE else 6)
@given(st.data())
def test_finish_waits_for_its_reads(data):
    config = data.draw(configs())
    c, twin = ramulator.controller(config), Twin(config)
    for tag, (first, step, count, write, _, _) in enumerate(data.draw(runs(config))):
        ramulator.serve(c, first, step, count, write, tag, 0)
        for index in range(count):
            twin.serve(first + index * step, write, tag)
    twin.drain()
    for tag in range(12):
        assert ramulator.finish(c, tag) == twin.returns.get(tag, 0)
    assert ramulator.finish(c, 0) == 0


def test_idle_time_goes_by():
    """Without requests the clock goes on, and refreshes are made."""
    config = BASES[0]
    c = ramulator.controller(config)
    assert ramulator.serve(c, 0, 0, 0, 0, -1, 100_000) == 100_000
    assert c.counts[n.REFRESHES] == 100_000 // config.timing["nREFI"]
    assert c.counts[n.CLOCK] == 100_000
