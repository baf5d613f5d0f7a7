"""Ticks of one channel of the default controller, from command to command (docs/dram.md, Default policy)."""

from __future__ import annotations

from numba import njit

from cgsim.dram.controller_issue import (
    activate,
    candidate,
    column,
    precharge,
    precharge_all,
    refresh_bank,
    refresh_rank,
)
from cgsim.dram.controller_state import (
    ACTIVATE,
    ALL_BANK,
    BANK_REFRESH_NEXT,
    BUSY,
    COLUMN_BUS,
    DEBT,
    DEBTS,
    DUE,
    FORCED,
    KIND,
    MODE,
    NEVER,
    NEXT_DUE,
    NONE,
    OPEN,
    OPEN_BANKS,
    PRECHARGE,
    PRIORITY,
    QUEUED,
    RANK_WAITING,
    READ,
    REFRESH_NEXT,
    ROUND,
    ROW_BUS,
    TICK,
    TURN,
    WAITING,
    WRITE,
    Controller,
)

_PREA, _REF, _REFB, _REFRESH_PRE = range(4, 8)
"""Kinds of refresh commands, after the four of requests."""


@njit(cache=True)
def advance(c: Controller, channel: int, until: int, stop: bool) -> int:
    """Do the ticks of a channel before clock `until`; `stop`: only up to the next column command. The next tick."""
    here = c.channel[channel]
    clock = here[TICK]
    again, stopping = False, False  # a second command in this clock; a column command has been issued
    while clock < until:
        if clock >= here[NEXT_DUE]:
            _refreshes_due(c, channel, clock)
        if not again:
            _turn(c, channel)
        at, kind, ready = _next(c, channel, clock)
        if again:
            again = False
            if ready > clock:
                clock += 1
                if stopping:
                    break
                continue
        if ready >= until or ready >= here[NEXT_DUE]:
            clock = min(until, here[NEXT_DUE])
            continue
        clock = ready
        if kind <= WRITE:
            column(c, channel, at, clock)
            stopping = stop
            if c.settings.dual:
                again = True
                continue
        elif kind == ACTIVATE:
            activate(c, channel, at, clock)
        elif kind == PRECHARGE:
            precharge(c, channel, at, clock, False)
        elif kind == _REFRESH_PRE:
            precharge(c, channel, at, clock, True)
        elif kind == _PREA:
            precharge_all(c, channel, at, clock)
        elif kind == _REF:
            refresh_rank(c, channel, at, clock)
        else:
            refresh_bank(c, channel, at, clock)
        clock += 1
        if stopping:
            break
    here[TICK] = clock
    return clock


@njit(cache=True)
def _refreshes_due(c: Controller, channel: int, clock: int) -> None:
    here, s = c.channel[channel], c.settings
    here[NEXT_DUE] = NEVER
    for rank in range(channel * s.ranks, (channel + 1) * s.ranks):
        row = c.rank[rank]
        if row[DUE] <= clock:
            row[DEBT] += 1
            here[DEBTS] += 1
            row[DUE] += s.interval
            if row[DEBT] >= s.postponed:
                row[FORCED] = 1
        here[NEXT_DUE] = min(here[NEXT_DUE], row[DUE])


@njit(cache=True)
def _turn(c: Controller, channel: int) -> None:
    """Reads or writes?"""
    here, s = c.channel[channel], c.settings
    reads, writes = here[QUEUED], here[QUEUED + WRITE]
    if here[MODE] == READ:
        if writes == 0 or (reads > 0 and (writes < s.write_high or here[TURN] < s.depth)):
            return
    elif writes > 0 and (reads == 0 or (writes > s.write_low and here[TURN] < s.depth)):
        return
    here[MODE] = 1 - here[MODE]
    here[TURN] = 0
    for place in range(here[BUSY]):
        candidate(c, c.busy[channel, place], here[MODE])


@njit(cache=True)
def _next(c: Controller, channel: int, clock: int) -> tuple[int, int, int]:
    """The next command if nothing is offered: (bank, or rank of PREA and REF; kind; clock)."""
    here, s = c.channel[channel], c.settings
    at, kind, ready, priority = NONE, NONE, NEVER, NEVER
    blocked = NONE
    column_bus, row_bus = max(here[COLUMN_BUS], clock), max(here[ROW_BUS], clock)
    if here[DEBTS] > 0:
        for rank in range(channel * s.ranks, (channel + 1) * s.ranks):
            if c.rank[rank, DEBT] == 0:
                continue
            if s.refresh == ALL_BANK:
                if not c.rank[rank, FORCED] and c.rank[rank, RANK_WAITING] > 0:
                    continue
                one, what, when = _rank_refresh(c, rank)
            else:
                one, what, when, held = _bank_refresh(c, rank)
                if held:
                    blocked = one
            when = max(when, row_bus)
            if when < ready:  # ranks come in the order of their priority
                at, kind, ready, priority = one, what, when, 0
    for place in range(here[BUSY]):
        one = c.busy[channel, place]
        bank = c.bank[one]
        what = bank[KIND]
        if what == NONE or one == blocked:
            continue
        group = one // s.banks
        row = c.rank[group // s.groups]
        if row[FORCED] and s.refresh == ALL_BANK:
            continue
        when = max(bank[what], row[what], c.group[group, what], row_bus if what >= ACTIVATE else column_bus)
        if when < ready or (when == ready and bank[PRIORITY] < priority):
            at, kind, ready, priority = one, what, when, bank[PRIORITY]
    return at, kind, ready


@njit(cache=True)
def _rank_refresh(c: Controller, rank: int) -> tuple[int, int, int]:
    """PREA or REF of a rank: (rank, kind, ready)."""
    banks = c.settings.groups * c.settings.banks
    if c.rank[rank, OPEN_BANKS] == 0:
        return rank, _REF, c.rank[rank, REFRESH_NEXT]
    ready = c.rank[rank, PRECHARGE]
    for at in range(rank * banks, (rank + 1) * banks):
        if c.bank[at, OPEN] != NONE:
            ready = max(ready, c.bank[at, PRECHARGE])
    return rank, _PREA, ready


@njit(cache=True)
def _bank_refresh(c: Controller, rank: int) -> tuple[int, int, int, bool]:
    """PRE or REFB of a bank of the rank: (bank, kind, ready, the bank is held for it); (NONE, , NEVER, ) if none."""
    s, row = c.settings, c.rank[rank]
    banks = s.groups * s.banks
    target, held = NONE, False
    for at in range(banks):
        if (row[ROUND] >> at) & 1:
            continue
        bank = c.bank[rank * banks + at]
        if bank[WAITING] + bank[WAITING + WRITE] == 0:
            target, held = rank * banks + at, False
            break
        if target == NONE and row[FORCED]:
            target, held = rank * banks + at, True
    if target == NONE:
        return NONE, NONE, NEVER, False
    if c.bank[target, OPEN] != NONE:
        return target, _REFRESH_PRE, max(c.bank[target, PRECHARGE], row[PRECHARGE]), held
    ready = max(c.bank[target, ACTIVATE] + s.act_shift, row[BANK_REFRESH_NEXT])
    return target, _REFB, ready, held
