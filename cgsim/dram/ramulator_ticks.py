"""Parts of a tick of `policy: ramulator2`: maintenance that falls due, commands and the queues that they change."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import ACT, PRE, RD, REF, REFB, WR
from cgsim.dram.ramulator_issue import dequeue, earliest, issue_column, issue_rank, issue_row
from cgsim.dram.ramulator_state import (
    ACTIVE,
    BANK,
    N_ACTIVE,
    N_PRIORITY,
    NEXT_REFRESH,
    Ramulator,
)

ROOM_FOR_READ, ROOM_FOR_WRITE, TAG_ISSUED, EMPTY, NOTHING = range(5)
"""What `advance` stops at, besides a clock."""


@njit(cache=True)
def reached(goal: int, tag: int, channel: int, c: Ramulator) -> bool:
    """Whether what `advance` is to stop at is so."""
    chan = c.channels[channel]
    if goal == NOTHING:
        return False
    if goal == ROOM_FOR_READ:
        return chan[s.N_READS] < c.read_queue
    if goal == ROOM_FOR_WRITE:
        return chan[s.N_WRITES] < c.write_queue
    if goal == TAG_ISSUED:
        return c.unissued[channel, tag] == 0
    return chan[s.N_READS] + chan[s.N_WRITES] + chan[N_ACTIVE] - chan[s.STARTED] == 1


@njit(cache=True)
def due(now: int, channel: int, c: Ramulator) -> int:
    """Queue the maintenance that falls due in this tick; return the clock of the next (NEVER if unknown)."""
    chan = c.channels[channel]
    while chan[NEXT_REFRESH] == now:
        if c.per_bank:
            banks = c.ranks * c.groups * c.per_group
            _queue_maintenance(REFB, channel * banks + chan[s.NEXT_BANK], channel, c)
            chan[s.NEXT_BANK] = (chan[s.NEXT_BANK] + 1) % banks
            chan[NEXT_REFRESH] += c.refresh_interval
        elif c.refresh_spread == 0:
            for rank in range(c.ranks):
                _queue_maintenance(REF, channel * c.ranks + rank, channel, c)
            chan[NEXT_REFRESH] += c.refresh_interval
        else:
            _queue_maintenance(REF, channel * c.ranks + chan[s.NEXT_BANK], channel, c)
            chan[s.NEXT_BANK] = (chan[s.NEXT_BANK] + 1) % c.ranks
            chan[NEXT_REFRESH] += c.refresh_spread
            if chan[s.NEXT_BANK] == 0:
                chan[NEXT_REFRESH] += c.refresh_interval - c.ranks * c.refresh_spread
    event = chan[NEXT_REFRESH]
    if chan[s.N_CAPPED] > 0:
        banks = c.ranks * c.groups * c.per_group
        for bank in range(channel * banks, (channel + 1) * banks):
            if c.banks[bank, s.ACCESSES] < c.cap or c.banks[bank, s.INJECTED] != 0:
                continue
            clock = earliest(PRE, bank, c.ready, c.banks)
            if clock > now:
                event = min(event, clock)
            elif chan[N_PRIORITY] < c.priority.shape[1]:
                _queue_maintenance(PRE, bank, channel, c)
                c.banks[bank, s.INJECTED] = 1
                chan[s.N_CAPPED] -= 1
            else:
                event = min(event, now + 1)
    return event


@njit(cache=True)
def _queue_maintenance(command: int, target: int, channel: int, c: Ramulator) -> None:
    chan = c.channels[channel]
    size = c.priority.shape[1]
    if chan[N_PRIORITY] == size:
        raise ValueError("priority_buffer_size: too small for the refreshes that wait")
    place = (chan[s.FIRST_PRIORITY] + chan[N_PRIORITY]) % size
    c.priority[channel, place, 0] = command
    c.priority[channel, place, 1] = target
    chan[N_PRIORITY] += 1


@njit(cache=True)
def issue_priority(command: int, now: int, channel: int, c: Ramulator) -> None:
    """Issue the next command of the maintenance at the head of its queue."""
    chan = c.channels[channel]
    final, target = c.priority[channel, chan[s.FIRST_PRIORITY]]
    if final == REF:
        issue_rank(command, target, now, channel, c)
    else:
        issue_row(command, -1, target, now, channel, c)
    if command == final:
        chan[s.FIRST_PRIORITY] = (chan[s.FIRST_PRIORITY] + 1) % c.priority.shape[1]
        chan[N_PRIORITY] -= 1


@njit(cache=True)
def release(slot: int, channel: int, c: Ramulator) -> None:
    chan = c.channels[channel]
    c.free[channel, chan[s.N_FREE]] = slot
    chan[s.N_FREE] += 1


@njit(cache=True)
def issue_queued_column(slot: int, upgrade: bool, now: int, channel: int, c: Ramulator) -> None:
    """Issue the read or write of a request that is still in its queue."""
    dequeue(slot, channel, c)
    issue_column(slot, upgrade, now, channel, c)
    release(slot, channel, c)


@njit(cache=True)
def issue_queued_row(command: int, slot: int, now: int, channel: int, c: Ramulator) -> None:
    """Issue what opens or closes a request's bank; with the bank opened the request leaves its queue."""
    bank, chan = c.slots[slot, BANK], c.channels[channel]
    if command == ACT and c.standard == s.LPDDR5:
        dequeue(slot, channel, c)
        begin_activation(slot, bank, now, channel, c)
    elif command == ACT and chan[N_ACTIVE] < c.active.shape[1]:
        dequeue(slot, channel, c)
        activate(slot, bank, channel, c)
    issue_row(command, slot, bank, now, channel, c)


@njit(cache=True)
def begin_activation(slot: int, bank: int, now: int, channel: int, c: Ramulator) -> None:
    """LPDDR5: the second activate command of a request is to follow within its window."""
    c.channels[channel, s.STARTED] = slot
    c.banks[bank, s.DEADLINE] = now + c.activate_window


@njit(cache=True)
def activate(slot: int, bank: int, channel: int, c: Ramulator) -> None:
    """Put a request among those whose bank was opened for them."""
    chan = c.channels[channel]
    c.active[channel, chan[N_ACTIVE]] = slot
    chan[N_ACTIVE] += 1
    c.banks[bank, ACTIVE] += 1


@njit(cache=True)
def remove(place: int, count: int, slots: np.ndarray) -> None:
    """Take one of `count` entries out."""
    for index in range(place, count - 1):
        slots[index] = slots[index + 1]


@njit(cache=True)
def issue_active(command: int, place: int, upgrade: bool, now: int, channel: int, c: Ramulator) -> None:
    """Issue a command of a request whose bank was opened for it."""
    chan = c.channels[channel]
    slot = c.active[channel, place]
    bank = c.slots[slot, BANK]
    if command == RD or command == WR:
        issue_column(slot, upgrade, now, channel, c)
        remove(place, chan[N_ACTIVE], c.active[channel])
        chan[N_ACTIVE] -= 1
        c.banks[bank, ACTIVE] -= 1
        release(slot, channel, c)
        return
    issue_row(command, slot, bank, now, channel, c)
    if command == ACT and c.standard == s.LPDDR5:  # enters anew; its bank goes on counting it
        remove(place, chan[N_ACTIVE], c.active[channel])
        chan[N_ACTIVE] -= 1
        begin_activation(slot, bank, now, channel, c)
    elif command == ACT and chan[N_ACTIVE] < c.active.shape[1]:
        remove(place, chan[N_ACTIVE], c.active[channel])
        chan[N_ACTIVE] -= 1
        activate(slot, bank, channel, c)
