"""Which request is next in `policy: ramulator2`: the earliest clock at which one may issue, and which one."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import ACT, PRE, PREA, RD, REF
from cgsim.dram.ramulator_issue import earliest, earliest_of_rank
from cgsim.dram.ramulator_state import (
    ACTIVE,
    ARRIVE,
    BANK,
    BANK_FIELDS,
    GROUP,
    HEAD_R,
    HIT_R,
    MISS_R,
    NEVER,
    OPEN,
    ORDER,
    RANK,
    ROW,
    WRITE,
)


@njit(cache=True)
def first_queued(
    kind: int, now: int, activate: bool, channel: int, m: np.ndarray
) -> tuple[int, int, int, int, int]:
    """Return (clock, slot) of the column command and (clock, slot, command) of the row command to come first.

    Of the queue of a kind; clocks are not before `now`. Among those that may issue at the same clock the
    oldest is first. `activate`: whether a bank may be opened.
    """
    column_at = row_at = NEVER
    column = row = 0
    command = ACT
    column_order = row_order = NEVER
    access, row_hit_first = RD + kind, m[s.ROW_HIT_FIRST]
    listed = m[channel + s.LISTED_R + kind]
    for place in range(listed, listed + m[channel + s.N_BANKS_R + kind]):
        bank = m[place]
        open_row = m[bank + OPEN]
        if open_row >= 0:
            hit = m[bank + HIT_R + kind]
            if hit != 0 and m[bank + access] <= column_at:
                clock = max(now, m[bank + access], m[m[bank + GROUP] + access], m[m[bank + RANK] + access])
                if clock < column_at or (clock == column_at and m[hit + ORDER] < column_order):
                    column_at, column, column_order = clock, hit, m[hit + ORDER]
            miss = m[bank + MISS_R + kind]
            if miss == 0 or m[bank + ACTIVE] > 0 or m[bank + PRE] > row_at:
                continue
            if row_hit_first != 0 and hit != 0 and m[hit + ARRIVE] <= m[miss + ARRIVE]:
                continue
            clock = max(now, m[bank + PRE], m[m[bank + GROUP] + PRE], m[m[bank + RANK] + PRE])
            if clock < row_at or (clock == row_at and m[miss + ORDER] < row_order):
                row_at, row, row_order, command = clock, miss, m[miss + ORDER], PRE
        elif open_row == s.CLOSED and activate and m[bank + ACT] <= row_at:
            clock = max(now, m[bank + ACT], m[m[bank + GROUP] + ACT], m[m[bank + RANK] + ACT])
            if clock <= row_at:
                head = m[bank + HEAD_R + kind]
                if clock < row_at or m[head + ORDER] < row_order:
                    row_at, row, row_order, command = clock, head, m[head + ORDER], ACT
    return column_at, column, row_at, row, command


@njit(cache=True)
def first_active(now: int, rows: bool, activate: bool, channel: int, m: np.ndarray) -> tuple[int, int, int]:
    """Return (clock, place, command) of the request with an opened bank to come first; place 0: none.

    `rows`, `activate`: whether commands other than column commands may issue, whether activates may.
    """
    best_at, best, best_command = NEVER, 0, RD
    first = m[channel + s.ACTIVES]
    for place in range(first, first + m[channel + s.N_ACTIVE]):
        slot = m[place]
        bank = m[slot + BANK]
        open_row = m[bank + OPEN]
        command = RD + m[slot + WRITE]
        if open_row != m[slot + ROW]:  # closed by the auto-precharge of another
            command = ACT if open_row < 0 else PRE
            if not rows or open_row == s.ACTIVATING or (command == ACT and not activate):
                continue
            if command == PRE and m[s.ROW_HIT_FIRST] != 0 and _active_hit(slot, channel, m):
                continue
        clock = max(now, earliest(command, bank, m))
        if clock < best_at or (clock == best_at and m[slot + ARRIVE] < m[m[best] + ARRIVE]):
            best_at, best, best_command = clock, place, command
    return best_at, best, best_command


@njit(cache=True)
def _active_hit(slot: int, channel: int, m: np.ndarray) -> bool:
    """Whether a request as old, whose bank was opened for it too, hits the row of this one's bank."""
    bank, first = m[slot + BANK], m[channel + s.ACTIVES]
    for place in range(first, first + m[channel + s.N_ACTIVE]):
        other = m[place]
        hit = m[other + BANK] == bank and m[other + ROW] == m[bank + OPEN]
        if hit and m[other + ARRIVE] <= m[slot + ARRIVE]:
            return True
    return False


@njit(cache=True)
def first_maintenance(now: int, channel: int, m: np.ndarray) -> tuple[int, int]:
    """Return (clock, command) of the maintenance at the head of its queue; NEVER while it must wait."""
    at = m[channel + s.MAINTENANCE] + 2 * m[channel + s.FIRST_MAINTENANCE]
    final, target = m[at], m[at + 1]
    if final != REF:
        command = PRE if m[target + OPEN] != s.CLOSED else final
        if m[target + OPEN] == s.ACTIVATING or (command == PRE and m[target + ACTIVE] > 0):
            return NEVER, command
        return max(now, earliest(command, target, m)), command
    command = REF
    first = m[target + s.FIRST_OF_RANK]
    end = first + m[s.GROUPS] * m[s.PER_GROUP] * BANK_FIELDS
    for bank in range(first, end, BANK_FIELDS):
        if m[bank + OPEN] != s.CLOSED:
            command = PREA
        if m[bank + OPEN] == s.ACTIVATING:
            return NEVER, command
    if command == PREA:
        for bank in range(first, end, BANK_FIELDS):
            if m[bank + ACTIVE] > 0:
                return NEVER, command
    return max(now, earliest_of_rank(command, target, m)), command


@njit(cache=True)
def set_write_mode(channel: int, m: np.ndarray) -> int:
    """Enter or leave write mode; return 1 in it, else 0."""
    reads, writes = m[channel + s.N_READS], m[channel + s.N_WRITES]
    if m[channel + s.WRITE_MODE] == 0:
        if writes > m[s.ENTER_WRITES] or reads == 0:
            m[channel + s.WRITE_MODE] = 1
    elif writes < m[s.LEAVE_WRITES] and reads > 0:
        m[channel + s.WRITE_MODE] = 0
    return m[channel + s.WRITE_MODE]
