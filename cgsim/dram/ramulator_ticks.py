"""Parts of a tick of `policy: ramulator2`: maintenance that falls due, and commands of the queues."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import ACT, PRE, RD, REF, REFB, WR
from cgsim.dram.ramulator_issue import earliest, issue_column, issue_rank, issue_row
from cgsim.dram.ramulator_queues import dequeue, release
from cgsim.dram.ramulator_state import (
    ACTIVE,
    BANK,
    BANK_FIELDS,
    N_ACTIVE,
    N_MAINTENANCE,
    NEXT_REFRESH,
    NEXT_TARGET,
)

ROOM_FOR_READ, ROOM_FOR_WRITE, TAG_ISSUED, EMPTY, NOTHING = range(5)
"""What `advance` stops at, besides a clock."""


@njit(cache=True)
def reached(goal: int, tag: int, channel: int, m: np.ndarray) -> bool:
    """Whether what `advance` is to stop at is so."""
    if goal == NOTHING:
        return False
    if goal == ROOM_FOR_READ:
        return m[channel + s.N_READS] < m[s.QUEUE_R]
    if goal == ROOM_FOR_WRITE:
        return m[channel + s.N_WRITES] < m[s.QUEUE_W]
    if goal == TAG_ISSUED:
        return m[m[channel + s.UNISSUED] + tag] == 0
    waiting = m[channel + s.N_READS] + m[channel + s.N_WRITES] + m[channel + N_ACTIVE]
    return waiting == 0 and m[channel + s.STARTED] == 0


@njit(cache=True)
def due(now: int, channel: int, m: np.ndarray) -> int:
    """Queue the maintenance that falls due in this tick; return the clock of the next, as far as known."""
    if m[channel + NEXT_REFRESH] == now:
        _refresh(channel, m)
    event = m[channel + NEXT_REFRESH]
    if m[channel + s.N_CAPPED] > 0:
        first = m[channel + s.FIRST_BANK]
        for bank in range(first, first + m[s.BANKS] * BANK_FIELDS, BANK_FIELDS):
            if m[bank + s.ACCESSES] < m[s.CAP] or m[bank + s.INJECTED] != 0:
                continue
            clock = earliest(PRE, bank, m)
            if clock > now:
                event = min(event, clock)
            elif m[channel + N_MAINTENANCE] < m[s.PRIORITY_SIZE]:
                _maintain(PRE, bank, channel, m)
                m[bank + s.INJECTED] = 1
                m[channel + s.N_CAPPED] -= 1
            else:
                event = min(event, now + 1)
    return event


@njit(cache=True)
def _refresh(channel: int, m: np.ndarray) -> None:
    target, ranks = m[channel + NEXT_TARGET], m[channel + s.FIRST_RANK]
    if m[s.PER_BANK] != 0:
        _maintain(REFB, m[channel + s.FIRST_BANK] + target * BANK_FIELDS, channel, m)
        m[channel + NEXT_TARGET] = (target + 1) % m[s.BANKS]
        m[channel + NEXT_REFRESH] += m[s.REFRESH_INTERVAL]
    elif m[s.REFRESH_SPREAD] == 0:
        for rank in range(m[s.RANKS]):
            _maintain(REF, ranks + rank * s.RANK_FIELDS, channel, m)
        m[channel + NEXT_REFRESH] += m[s.REFRESH_INTERVAL]
    else:
        _maintain(REF, ranks + target * s.RANK_FIELDS, channel, m)
        m[channel + NEXT_REFRESH] += m[s.REFRESH_SPREAD]
        m[channel + NEXT_TARGET] = target + 1
        if target + 1 == m[s.RANKS]:
            m[channel + NEXT_TARGET] = 0
            m[channel + NEXT_REFRESH] += m[s.REFRESH_INTERVAL] - m[s.RANKS] * m[s.REFRESH_SPREAD]


@njit(cache=True)
def _maintain(command: int, target: int, channel: int, m: np.ndarray) -> None:
    if m[channel + N_MAINTENANCE] == m[s.PRIORITY_SIZE]:
        raise ValueError("refreshes wait without end or the priority buffer is too small for them")
    place = (m[channel + s.FIRST_MAINTENANCE] + m[channel + N_MAINTENANCE]) % m[s.PRIORITY_SIZE]
    m[m[channel + s.MAINTENANCE] + 2 * place] = command
    m[m[channel + s.MAINTENANCE] + 2 * place + 1] = target
    m[channel + N_MAINTENANCE] += 1


@njit(cache=True)
def issue_maintenance(command: int, now: int, channel: int, m: np.ndarray) -> None:
    """Issue the next command of the maintenance at the head of its queue."""
    at = m[channel + s.MAINTENANCE] + 2 * m[channel + s.FIRST_MAINTENANCE]
    final, target = m[at], m[at + 1]
    if final == REF:
        issue_rank(command, target, now, channel, m)
    else:
        issue_row(command, 0, target, now, channel, m)
    if command == final:
        m[channel + s.FIRST_MAINTENANCE] = (m[channel + s.FIRST_MAINTENANCE] + 1) % m[s.PRIORITY_SIZE]
        m[channel + N_MAINTENANCE] -= 1


@njit(cache=True)
def issue_queued(command: int, slot: int, upgrade: bool, now: int, channel: int, m: np.ndarray) -> None:
    """Issue a command of a request in its queue, which it leaves but for a precharge."""
    if command in (RD, WR):
        dequeue(slot, channel, m)
        issue_column(slot, upgrade, now, channel, m)
        release(slot, channel, m)
        return
    bank = m[slot + BANK]
    if command == ACT and m[s.STANDARD] == s.LPDDR5:
        dequeue(slot, channel, m)
        _start(slot, bank, now, channel, m)
    elif command == ACT and m[channel + N_ACTIVE] < m[s.BANKS]:
        dequeue(slot, channel, m)
        activate(slot, bank, channel, m)
    issue_row(command, slot, bank, now, channel, m)


@njit(cache=True)
def _start(slot: int, bank: int, now: int, channel: int, m: np.ndarray) -> None:
    """LPDDR5: the second activate command of a request is to follow within its window."""
    m[channel + s.STARTED] = slot
    m[bank + s.DEADLINE] = now + m[s.ACTIVATE_WINDOW]


@njit(cache=True)
def activate(slot: int, bank: int, channel: int, m: np.ndarray) -> None:
    """Put a request among those whose bank was opened for them."""
    m[m[channel + s.ACTIVES] + m[channel + N_ACTIVE]] = slot
    m[channel + N_ACTIVE] += 1
    m[bank + ACTIVE] += 1


@njit(cache=True)
def _remove(place: int, channel: int, m: np.ndarray) -> None:
    m[channel + N_ACTIVE] -= 1
    for at in range(place, m[channel + s.ACTIVES] + m[channel + N_ACTIVE]):
        m[at] = m[at + 1]


@njit(cache=True)
def issue_active(command: int, place: int, upgrade: bool, now: int, channel: int, m: np.ndarray) -> None:
    """Issue a command of a request whose bank was opened for it."""
    slot = m[place]
    bank = m[slot + BANK]
    if command in (RD, WR):
        issue_column(slot, upgrade, now, channel, m)
        _remove(place, channel, m)
        m[bank + ACTIVE] -= 1
        release(slot, channel, m)
        return
    issue_row(command, slot, bank, now, channel, m)
    if command == ACT and m[s.STANDARD] == s.LPDDR5:  # enters anew; its bank goes on counting it
        _remove(place, channel, m)
        _start(slot, bank, now, channel, m)
    elif command == ACT and m[channel + N_ACTIVE] < m[s.BANKS]:
        _remove(place, channel, m)
        activate(slot, bank, channel, m)
