"""The stepped controller against clocks that one can work out by hand."""

from __future__ import annotations

import pytest

from cgsim.dram.counters import ACT, PRE, RD, RDA, REF, WR
from cgsim.dram.settings import Config
from cgsim.dram.standards import STANDARDS
from cgsim.dram.stepped import SteppedController

ROW = "rorababgcoch"
"""A mapping with a row of one bank after the other."""


@pytest.mark.parametrize("standard", sorted(STANDARDS))
def test_one_read(standard: str) -> None:
    t = STANDARDS[standard]
    memory = SteppedController(Config(standard))
    assert memory.serve(0, 0, 1, False, tag=3) == 0
    assert memory.finish(3) == t.act_shift + t.rcdr + t.cl + t.burst
    assert memory.finish(3) == 0
    assert [(line[0], line[1]) for line in memory.log] == [(0, ACT), (t.act_shift + t.rcdr, RD)]
    assert memory.latency[(t.act_shift + t.rcdr + t.cl + t.burst) // 4] == 1


def test_two_rows_of_a_bank() -> None:
    t = STANDARDS["DDR4-2400"]
    memory = SteppedController(Config("DDR4-2400", mapping=ROW))
    row_bytes = t.columns * t.request_bytes * t.groups * t.banks
    memory.serve(0, row_bytes, 2, False, tag=0)
    memory.finish(0)
    closed = max(t.ras, t.rcdr + t.rtp)
    opened = closed + t.rp
    assert [(line[0], line[1], line[6]) for line in memory.log] == [
        (0, ACT, 0),
        (t.rcdr, RD, 0),
        (closed, PRE, 0),
        (opened, ACT, 1),
        (opened + t.rcdr, RD, 1),
    ]
    assert memory.counts["row_conflicts"] == memory.counts["row_misses"] == 1
    assert memory.counts["lost_activate"] == opened - t.burst + t.rcdr


@pytest.mark.parametrize(("mapping", "clocks"), [("streaming", 4), (ROW, 6)])
def test_reads_one_after_the_other(mapping: str, clocks: int) -> None:
    """The data bus is full where bank groups take turns; within one group tCCD_L lies between reads."""
    t = STANDARDS["DDR4-2400"]
    memory = SteppedController(Config("DDR4-2400", mapping=mapping, refresh="none"))
    memory.serve(0, 64, 100, False, tag=0)
    assert memory.finish(0) == t.rcdr + 99 * clocks + t.cl + t.burst


def test_closed_page() -> None:
    memory = SteppedController(Config("DDR4-2400", mapping=ROW, page_policy="closed"))
    memory.serve(0, 64, 3, False)
    memory.drain()
    assert [line[1] for line in memory.log] == [ACT, RD, RD, RDA]


def test_refreshes_when_nobody_asks() -> None:
    t = STANDARDS["DDR4-2400"]
    memory = SteppedController(Config("DDR4-2400"))
    assert memory.serve(0, 0, 0, False, ready=2 * t.refi) == 2 * t.refi
    assert [(line[0], line[1]) for line in memory.log] == [(t.refi // 2, REF), (t.refi // 2 + t.refi, REF)]
    memory.drain()
    assert memory.counts["idle_cycles"] == memory.counts["lost_no_request"] == 2 * t.refi


def test_forwarded_and_merged() -> None:
    t = STANDARDS["DDR4-2400"]
    memory = SteppedController(Config("DDR4-2400"))
    memory.serve(64, 0, 2, True)
    memory.serve(64, 0, 1, False, tag=0)
    assert memory.accepted == [0, 1, 2]
    assert memory.finish(0) == 3
    assert memory.drain() == t.rcdw + t.cwl + t.burst
    assert memory.counts["merged_writes"] == memory.counts["forwarded_reads"] == 1
    assert [line[1] for line in memory.log] == [ACT, WR]


def test_a_full_queue_refuses() -> None:
    memory = SteppedController(Config("DDR4-2400", queue_depth=2, inj=4, mapping=ROW))
    assert memory.offer(0, False)
    assert memory.offer(64, False)
    assert not memory.offer(128, False)
    assert not memory.offer(192, True)  # nothing overtakes
    memory.tick()
    assert memory.offer(192, True)
