"""Ticks of one channel of the default controller, from command to command (docs/dram.md, Default policy)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import controller_state as at
from cgsim.dram.controller_issue import (
    activate,
    candidate,
    column,
    precharge,
    precharge_all,
    refresh_bank,
    refresh_rank,
)
from cgsim.dram.controller_state import ACTIVATE, ALL_BANK, NEVER, NONE, PRECHARGE, READ, WRITE
from cgsim.dram.kernels import integer

_U = np.uint64
"""An index that Numba need not check for being negative: worth a tenth of the controller's time in _next."""
_PREA, _REF, _REFB, _REFRESH_PRE = range(4, 8)
"""Kinds of refresh commands, after the four of requests."""


@njit(cache=True)
def advance(m: np.ndarray, channel: int, until: int) -> int:
    """Do the ticks of a channel before clock `until` (NEVER: up to a column command); the next tick."""
    clock = m[channel + at.TICK]
    place, kind = m[channel + at.NEXT_PLACE], m[channel + at.NEXT_KIND]
    ready, priority = m[channel + at.NEXT_READY], m[channel + at.NEXT_PRIORITY]
    again, stopping = False, False  # a second command in this clock; a column command has been issued
    while clock < until:
        if clock >= m[channel + at.NEXT_DUE]:
            refreshes_due(m, channel, clock)
            ready = NONE
        if not again and _turn(m, channel):
            ready = NONE
        if ready == NONE:
            place, kind, ready, priority = _next(m, channel, clock)
        if again:
            again = False
            if ready > clock:
                clock += 1
                if stopping:
                    break
                continue
        horizon = min(until, m[channel + at.NEXT_DUE])
        if ready >= horizon:
            clock = horizon
            continue
        clock, ready = ready, integer(NONE)
        if kind <= WRITE:
            column(m, channel, place, clock)
            stopping = until == NEVER
            if m[at.DUAL]:
                again = True
                continue
        elif kind == ACTIVATE:
            activate(m, channel, place, clock)
        elif kind in (PRECHARGE, _REFRESH_PRE):
            precharge(m, channel, place, clock, kind == _REFRESH_PRE)
        elif kind == _PREA:
            precharge_all(m, channel, place, clock)
        elif kind == _REF:
            refresh_rank(m, channel, place, clock)
        else:
            refresh_bank(m, channel, place, clock)
        clock += 1
        if stopping:
            break
    m[channel + at.TICK] = clock
    m[channel + at.NEXT_PLACE], m[channel + at.NEXT_KIND] = place, kind
    m[channel + at.NEXT_READY] = ready if m[channel + at.DEBTS] == 0 else NONE
    m[channel + at.NEXT_PRIORITY] = priority
    return clock


@njit(cache=True)
def refreshes_due(m: np.ndarray, channel: int, clock: int) -> None:
    """Count the refreshes of the channel that are due at `clock`."""
    m[channel + at.NEXT_DUE] = NEVER
    rank = m[channel + at.FIRST_RANK]
    for _ in range(m[at.RANKS]):
        if m[rank + at.DUE] <= clock:
            m[rank + at.DEBT] += 1
            m[channel + at.DEBTS] += 1
            m[rank + at.DUE] += m[at.INTERVAL]
            if m[rank + at.DEBT] >= m[at.POSTPONED]:
                m[rank + at.FORCED] = 1
        m[channel + at.NEXT_DUE] = min(m[channel + at.NEXT_DUE], m[rank + at.DUE])
        rank += at.RANK_WORDS


@njit(cache=True)
def _turn(m: np.ndarray, channel: int) -> bool:
    """Reads or writes? True if that changes."""
    reads, writes = m[channel + at.QUEUED], m[channel + at.QUEUED + WRITE]
    if m[channel + at.MODE] == READ:
        if writes == 0 or (reads > 0 and (writes < m[at.WRITE_HIGH] or m[channel + at.TURN] < m[at.DEPTH])):
            return False
    elif writes > 0 and (reads == 0 or (writes > m[at.WRITE_LOW] and m[channel + at.TURN] < m[at.DEPTH])):
        return False
    mode = 1 - m[channel + at.MODE]
    m[channel + at.MODE] = mode
    m[channel + at.TURN] = 0
    begin = m[channel + at.BUSY_LIST]
    for place in range(begin, begin + m[channel + at.BUSY]):
        candidate(m, m[place], mode)
    return True


@njit(cache=True)
def offered(m: np.ndarray, channel: int, bank: int) -> None:
    """A request has come for the bank: is it the bank that has the next command now?"""
    ready = m[channel + at.NEXT_READY]
    if ready == NONE:
        return
    what, priority = m[bank + at.KIND], m[bank + at.PRIORITY]
    if m[channel + at.NEXT_PLACE] == bank:
        if (
            what != m[channel + at.NEXT_KIND]
            or what == PRECHARGE
            or priority != m[channel + at.NEXT_PRIORITY]
        ):
            m[channel + at.NEXT_READY] = NONE
        return
    if what == NONE:
        return
    bus = m[channel + (at.ROW_BUS if what >= ACTIVATE else at.COLUMN_BUS)]
    when = max(_when(m, bank, what), bus, m[channel + at.TICK])
    if when < ready or (when == ready and priority < m[channel + at.NEXT_PRIORITY]):
        m[channel + at.NEXT_PLACE], m[channel + at.NEXT_KIND] = bank, what
        m[channel + at.NEXT_READY], m[channel + at.NEXT_PRIORITY] = when, priority


@njit(cache=True, inline="always")
def _when(m, bank, what):  # type: ignore[no-untyped-def]
    """The clock before which the bank's command is not allowed, whatever the buses do."""
    return max(
        m[_U(bank + what)],
        m[_U(m[_U(bank + at.RANK)] + what)],
        m[_U(m[_U(bank + at.GROUP)] + what)],
        m[_U(bank + at.EARLIEST)],
    )


@njit(cache=True)
def _next(m: np.ndarray, channel: int, clock: int) -> tuple[int, int, int, int]:
    """The next command if nothing is offered: (bank, or rank of PREA and REF; kind; clock; priority)."""
    target, kind, ready, priority = NONE, NONE, NEVER, NEVER
    column_bus, row_bus = max(m[channel + at.COLUMN_BUS], clock), max(m[channel + at.ROW_BUS], clock)
    whole, owed = m[at.REFRESH] == ALL_BANK, m[channel + at.DEBTS] > 0
    if owed:
        rank = m[channel + at.FIRST_RANK]
        for _ in range(m[at.RANKS]):
            m[rank + at.HELD] = NONE
            if m[rank + at.DEBT] > 0:
                one, what, when = _rank_refresh(m, rank) if whole else _bank_refresh(m, rank)
                when = max(when, row_bus)
                if when < ready:  # ranks come in the order of their priority
                    target, kind, ready, priority = one, what, when, 0
            rank += at.RANK_WORDS
    begin = m[channel + at.BUSY_LIST]
    for place in range(begin, begin + m[channel + at.BUSY]):
        bank = m[_U(place)]
        what = m[_U(bank + at.KIND)]
        if what == NONE:
            continue
        rank = m[_U(bank + at.RANK)]
        if owed and (m[rank + at.FORCED] if whole else m[rank + at.HELD] == bank):
            continue
        when = max(_when(m, bank, what), row_bus if what >= ACTIVATE else column_bus)
        if when < ready or (when == ready and m[_U(bank + at.PRIORITY)] < priority):
            target, kind, ready, priority = bank, what, when, m[_U(bank + at.PRIORITY)]
    return target, kind, ready, priority


@njit(cache=True)
def _rank_refresh(m: np.ndarray, rank: int) -> tuple[int, int, int]:
    """PREA or REF of a rank: (rank, kind, clock); NEVER as long as requests wait and it is not forced."""
    if not m[rank + at.FORCED] and m[rank + at.WAITING] > 0:
        return NONE, NONE, NEVER
    if m[rank + at.OPEN_BANKS] == 0:
        return rank, _REF, m[rank + at.REFRESH_NEXT]
    ready = m[rank + PRECHARGE]
    bank = m[rank + at.FIRST_BANK]
    for _ in range(m[at.GROUPS] * m[at.BANKS]):
        if m[bank + at.OPEN] != NONE:
            ready = max(ready, m[bank + PRECHARGE])
        bank += at.BANK_WORDS
    return rank, _PREA, ready


@njit(cache=True)
def _bank_refresh(m: np.ndarray, rank: int) -> tuple[int, int, int]:
    """PRE or REFB of a bank of the rank: (bank, kind, clock); HELD: the bank, if requests wait for it."""
    target, held = NONE, False
    bank = m[rank + at.FIRST_BANK]
    for place in range(m[at.GROUPS] * m[at.BANKS]):
        if not (m[rank + at.ROUND] >> place) & 1:
            if m[bank + at.PLACE] == NONE:
                target, held = bank, False
                break
            if target == NONE and m[rank + at.FORCED]:
                target, held = bank, True
        bank += at.BANK_WORDS
    if target == NONE:
        return NONE, NONE, NEVER
    if held:
        m[rank + at.HELD] = target
    if m[target + at.OPEN] != NONE:
        return target, _REFRESH_PRE, max(m[target + PRECHARGE], m[rank + PRECHARGE])
    ready = max(m[target + ACTIVATE] + m[at.ACT_SHIFT], m[rank + at.BANK_REFRESH_NEXT])
    return target, _REFB, ready
