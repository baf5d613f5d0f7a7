"""Why the data bus of the default controller carries nothing: clocks lost, by cause."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import controller_state as at
from cgsim.dram.controller_state import AT_COUNTS, NONE, READ, WRITE
from cgsim.dram.counters import (
    LOST_ACTIVATE,
    LOST_BANK_GROUP,
    LOST_NO_REQUEST,
    LOST_QUEUE,
    LOST_RANK,
    LOST_REFRESH,
    LOST_TURNAROUND,
)
from cgsim.dram.kernels import integer


@njit(cache=True)
def other_rank(m: np.ndarray, last: int, kind: int) -> int:
    """Clocks between column commands of two ranks on one data bus."""
    if last == kind:
        return m[at.BURST] + m[at.CS]
    if last == READ:
        return m[at.CL] + m[at.BURST] + m[at.CS] - m[at.CWL]
    return max(1, m[at.CWL] + m[at.BURST] + m[at.CS] - m[at.CL], m[at.WRRDCS])


@njit(cache=True)
def share_out(m: np.ndarray, bank: int, kind: int, clock: int, arrived: int) -> None:
    """Share out the clocks in which the bus waits for the column command of the bank at `clock`."""
    bus, rank, group = m[bank + at.BUS], m[bank + at.RANK], m[bank + at.GROUP]
    x = m[bus + at.END] - (m[at.CL] if kind == READ else m[at.CWL])
    x = _share(m, integer(LOST_NO_REQUEST), x, clock, arrived)
    x = _share(m, integer(LOST_REFRESH), x, clock, max(m[rank + at.REFRESH_END], m[bank + at.REFRESHED]))
    opened = m[bank + at.OPENED] + m[at.ACT_SHIFT] + (m[at.RCDR] if kind == READ else m[at.RCDW])
    x = _share(m, integer(LOST_ACTIVATE), x, clock, opened)
    last = m[bus + at.LAST_KIND]
    if last != NONE:
        same = m[bus + at.LAST_RANK] == rank
        if last != kind:
            if not same:
                delay = other_rank(m, last, kind)
            elif kind == WRITE:
                delay = m[at.RTW]
            else:
                delay = m[at.CWL] + m[at.BURST] + m[at.WTRS]
            x = _share(m, integer(LOST_TURNAROUND), x, clock, m[bus + at.LAST_CLOCK] + delay)
        elif not same:
            x = _share(m, integer(LOST_RANK), x, clock, m[bus + at.LAST_CLOCK] + m[at.BURST] + m[at.CS])
        x = _share(m, integer(LOST_BANK_GROUP), x, clock, m[group + kind])
    m[AT_COUNTS + LOST_QUEUE] += clock - x


@njit(cache=True)
def _share(m: np.ndarray, cause: int, x: int, clock: int, bound: int) -> int:
    """Give clocks [x, min(clock, bound)) to the cause; where the rest begins."""
    until = min(clock, bound)
    if until > x:
        m[AT_COUNTS + cause] += until - x
        return until
    return x
