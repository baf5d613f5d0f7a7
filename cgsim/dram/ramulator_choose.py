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
    GROUP,
    HEAD_R,
    HIT_R,
    MISS_R,
    NEVER,
    NODE,
    OPEN,
    ORDER,
    RANK,
    ROW,
    WRITE,
    Ramulator,
)


@njit(cache=True)
def first_queued(
    kind: int,
    count: int,
    now: int,
    activate: bool,
    row_hit_first: bool,
    listed: np.ndarray,
    banks: np.ndarray,
    slots: np.ndarray,
    ready: np.ndarray,
) -> tuple[int, int, int, int, int]:
    """Return (clock, slot) of the column command and (clock, slot, command) of the row command to come first.

    Of the queue of a kind, `count` banks `listed`; clocks are not before `now`. Among those that may issue
    at the same clock the oldest is first. `activate`: whether a bank may be opened.
    """
    column_at = row_at = NEVER
    column = row = -1
    command = ACT
    column_order = row_order = NEVER
    access = RD + kind
    for place in range(count):
        bank = listed[place]
        node, group, rank = banks[bank, NODE], banks[bank, GROUP], banks[bank, RANK]
        open_row = banks[bank, OPEN]
        if open_row >= 0:
            hit, miss = banks[bank, HIT_R + kind], banks[bank, MISS_R + kind]
            if hit >= 0:
                clock = max(now, max(ready[access, node], max(ready[access, group], ready[access, rank])))
                if clock <= column_at:
                    order = slots[hit, ORDER]
                    if clock < column_at or order < column_order:
                        column_at, column, column_order = clock, hit, order
            if miss < 0 or banks[bank, ACTIVE] > 0:
                continue
            if row_hit_first and hit >= 0 and slots[hit, ARRIVE] <= slots[miss, ARRIVE]:
                continue
            clock = max(now, max(ready[PRE, node], max(ready[PRE, group], ready[PRE, rank])))
            if clock <= row_at:
                order = slots[miss, ORDER]
                if clock < row_at or order < row_order:
                    row_at, row, row_order, command = clock, miss, order, PRE
        elif open_row == s.CLOSED and activate:
            clock = max(now, max(ready[ACT, node], max(ready[ACT, group], ready[ACT, rank])))
            if clock <= row_at:
                head = banks[bank, HEAD_R + kind]
                order = slots[head, ORDER]
                if clock < row_at or order < row_order:
                    row_at, row, row_order, command = clock, head, order, ACT
    return column_at, column, row_at, row, command


@njit(cache=True)
def first_active(
    now: int, count: int, active: np.ndarray, rows: bool, activate: bool, c: Ramulator
) -> tuple[int, int, int]:
    """Return (clock, place in `active`, command) of the request with an opened bank to come first.

    `rows`, `activate`: whether commands other than column commands may issue, whether activates may.
    """
    best_at, best, best_command = NEVER, -1, RD
    for place in range(count):
        slot = active[place]
        bank = c.slots[slot, BANK]
        open_row = c.banks[bank, OPEN]
        command = RD + c.slots[slot, WRITE]
        if open_row != c.slots[slot, ROW]:  # closed by the auto-precharge of another
            command = ACT if open_row < 0 else PRE
            if not rows or open_row == s.ACTIVATING or (command == ACT and not activate):
                continue
            if command == PRE and c.row_hit_first and _active_hit(bank, slot, count, active, c):
                continue
        clock = max(now, earliest(command, bank, c.ready, c.banks))
        if clock < best_at or (
            clock == best_at and c.slots[slot, ARRIVE] < c.slots[active[best], ARRIVE]
        ):
            best_at, best, best_command = clock, place, command
    return best_at, best, best_command


@njit(cache=True)
def _active_hit(bank: int, slot: int, count: int, active: np.ndarray, c: Ramulator) -> bool:
    for place in range(count):
        other = active[place]
        if c.slots[other, BANK] == bank and c.slots[other, ROW] == c.banks[bank, OPEN]:
            if c.slots[other, ARRIVE] <= c.slots[slot, ARRIVE]:
                return True
    return False


@njit(cache=True)
def first_priority(now: int, channel: int, c: Ramulator) -> tuple[int, int]:
    """Return (clock, command) of the maintenance command at the head of its queue; NEVER while it must wait."""
    chan = c.channels[channel]
    final, target = c.priority[channel, chan[s.FIRST_PRIORITY]]
    banks = c.groups * c.per_group
    if final != REF:
        command = PRE if c.banks[target, OPEN] != s.CLOSED else final
        if command == PRE and c.banks[target, ACTIVE] > 0:
            return NEVER, command
        if c.banks[target, OPEN] == s.ACTIVATING:
            return NEVER, command
        return max(now, earliest(command, target, c.ready, c.banks)), command
    command = REF
    for bank in range(target * banks, (target + 1) * banks):
        if c.banks[bank, OPEN] != s.CLOSED:
            command = PREA
        if c.banks[bank, OPEN] == s.ACTIVATING:
            return NEVER, command
    if command == PREA:
        for bank in range(target * banks, (target + 1) * banks):
            if c.banks[bank, ACTIVE] > 0:
                return NEVER, command
    return max(now, earliest_of_rank(command, target, c)), command


@njit(cache=True)
def set_write_mode(channel: int, c: Ramulator) -> int:
    """Enter or leave write mode; return 1 in it, else 0."""
    chan = c.channels[channel]
    reads, writes = chan[s.N_READS], chan[s.N_WRITES]
    if chan[s.WRITE_MODE] == 0:
        if writes > c.enter_writes or reads == 0:
            chan[s.WRITE_MODE] = 1
    elif writes < c.leave_writes and reads > 0:
        chan[s.WRITE_MODE] = 0
    return chan[s.WRITE_MODE]


