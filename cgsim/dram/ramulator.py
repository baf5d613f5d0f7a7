"""`policy: ramulator2`: the rules of Ramulator 2.1 (docs/dram.md), from event to event, not clock by clock.

Requests are offered in order, up to `inj` per clock; an offer comes before the controllers' tick of its
clock, so that a command issues one clock later at the earliest. Channels keep clocks of their own and catch
up when a request is offered to them. The twin that does every tick is tests/dram/ramulator_twin.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import counters as n
from cgsim.dram import ramulator_state as s
from cgsim.dram.ramulator_advance import advance
from cgsim.dram.ramulator_config import Config
from cgsim.dram.ramulator_issue import return_data
from cgsim.dram.ramulator_queues import enqueue, is_writing, take_slot
from cgsim.dram.ramulator_state import CHANNEL_FIELDS, NEVER, NOW, TICKED, USED, Ramulator, controller, renew
from cgsim.dram.ramulator_ticks import EMPTY, NOTHING, ROOM_FOR_READ, TAG_ISSUED

__all__ = ["Config", "Ramulator", "controller", "drain", "finish", "renew", "serve"]


@njit(cache=True)
def locate(address: int, m: np.ndarray) -> tuple[int, int, int, int, int, int]:
    """Return (channel, rank, bank group, bank, row, column) of a byte address; columns count requests."""
    at = m[s.AT_MAPPING]
    low, bits = m[at + s.CH_SHIFT], m[at + s.CH_BITS]
    channel = (address >> low) & ((1 << bits) - 1)
    rest = (((address >> (low + bits)) << low) | (address & ((1 << low) - 1))) >> m[at + s.TX_BITS]
    column = (rest >> m[at + s.CO_SHIFT]) & m[at + s.CO_MASK]
    rank = (rest >> m[at + s.RA_SHIFT]) & m[at + s.RA_MASK]
    group = (rest >> m[at + s.BG_SHIFT]) & m[at + s.BG_MASK]
    bank = (rest >> m[at + s.BA_SHIFT]) & m[at + s.BA_MASK]
    row = (rest >> m[at + s.RO_SHIFT]) & m[at + s.RO_MASK]
    if m[at + s.SWAP] != 0:
        column |= ((rest >> m[at + s.CO2_SHIFT]) & m[at + s.CO2_MASK]) << 2
        rank ^= column & m[at + s.RA_MASK]
        group ^= (column >> m[at + s.BG_XOR]) & m[at + s.BG_MASK]
        bank ^= (column >> m[at + s.BA_XOR]) & m[at + s.BA_MASK]
        row ^= (column >> m[at + s.RO_XOR]) & m[at + s.XOR_ROWS]
    return channel, rank, group, bank, row, column


@njit(cache=True)
def serve(c: Ramulator, first: int, step: int, count: int, write: int, tag: int, ready: int) -> int:
    """Offer `count` requests at first, first + step, ... from clock `ready` on; when the last was accepted.

    `tag` (-1: none) marks reads for `finish`. With no requests the clock goes on to `ready`.
    """
    return _serve(c.m, first, step, count, write, tag, ready)


@njit(cache=True)
def _serve(m: np.ndarray, first: int, step: int, count: int, write: int, tag: int, ready: int) -> int:
    now, used = m[NOW], m[USED]
    if now < ready:
        now, used = ready, 0
    counts, goal = m[s.AT_COUNTS], ROOM_FOR_READ + write
    for index in range(count):
        address = first + index * step
        if used >= m[s.INJ]:
            now, used = now + 1, 0
        if m[s.LIMIT] > 0:
            freed = _wait_for_data(now, m)
            if freed > now:
                now, used = freed, 0
        number, rank, group, bank, row, column = locate(address, m)
        channel = m[s.AT_CHANNELS] + number * CHANNEL_FIELDS
        bank += ((number * m[s.RANKS] + rank) * m[s.GROUPS] + group) * m[s.PER_GROUP]
        bank = m[s.AT_BANKS] + bank * s.BANK_FIELDS
        advance(channel, now, NOTHING, -1, m)
        used += 1
        if m[channel + s.N_WRITES] > 0 and is_writing(address, bank, m):
            if write == 0:
                m[counts + n.FORWARDED_READS] += 1
                return_data(now, tag, now + 1, channel, m)
            else:
                m[counts + n.MERGED_WRITES] += 1
            continue
        if m[channel + s.N_READS + write] >= m[s.QUEUE_R + write]:
            advance(channel, NEVER, goal, -1, m)
            now, used = m[channel + TICKED], 1
        slot = take_slot(channel, m)
        m[slot + s.ADDRESS], m[slot + s.BANK], m[slot + s.ROW], m[slot + s.COLUMN] = (
            address,
            bank,
            row,
            column,
        )
        m[slot + s.ARRIVE], m[slot + s.ORDER], m[slot + s.TAG] = now, m[channel + s.ORDERED], tag
        m[slot + s.WRITE], m[slot + s.COUNTED] = write, 0
        m[channel + s.ORDERED] += 1
        m[channel + s.QUIET] = 0
        enqueue(slot, channel, m)
        if write == 0 and tag >= 0:
            m[m[channel + s.UNISSUED] + tag] += 1
    m[NOW], m[USED] = now, used
    m[counts + n.READS + write] += count
    if count > 0:
        m[counts + n.LAST_ACCEPTED] = now
    else:
        _all_until(now, m)
    m[counts + n.CLOCK] = now
    return now


@njit(cache=True)
def finish(c: Ramulator, tag: int) -> int:
    """Go on until every read of this tag has its data; the clock at which the last came, 0 if none."""
    m = c.m
    for number in range(m[s.CHANNELS]):
        advance(m[s.AT_CHANNELS] + number * CHANNEL_FIELDS, NEVER, TAG_ISSUED, tag, m)
    clock = m[m[s.AT_RETURNED] + tag]
    m[m[s.AT_RETURNED] + tag] = 0
    _go_on(clock, m)
    return clock


@njit(cache=True)
def drain(c: Ramulator) -> int:
    """Go on until all data have come and all writes are issued; that clock."""
    m = c.m
    clock = 0
    for number in range(m[s.CHANNELS]):
        channel = m[s.AT_CHANNELS] + number * CHANNEL_FIELDS
        advance(channel, NEVER, EMPTY, -1, m)
        clock = max(clock, m[channel + s.LAST_WRITE])
    counts = m[s.AT_COUNTS]
    clock = max(clock, m[counts + n.LAST_RETURN])
    _go_on(clock, m)
    ranks = m[s.CHANNELS] * m[s.RANKS]
    for rank in range(m[s.AT_RANKS], m[s.AT_RANKS] + ranks * s.RANK_FIELDS, s.RANK_FIELDS):
        if m[rank + s.OPEN_BANKS] > 0:
            m[counts + n.ACTIVE_CYCLES] += m[NOW] - m[rank + s.OPEN_SINCE]
            m[rank + s.OPEN_SINCE] = m[NOW]
    m[counts + n.IDLE_CYCLES] = ranks * m[NOW] - m[counts + n.ACTIVE_CYCLES]
    return clock


@njit(cache=True)
def _go_on(clock: int, m: np.ndarray) -> None:
    """All channels tick up to a clock, or to where the offers are."""
    if clock > m[NOW]:
        m[NOW], m[USED] = clock, 0
    _all_until(m[NOW], m)
    m[m[s.AT_COUNTS] + n.CLOCK] = m[NOW]


@njit(cache=True)
def _all_until(clock: int, m: np.ndarray) -> None:
    for number in range(m[s.CHANNELS]):
        advance(m[s.AT_CHANNELS] + number * CHANNEL_FIELDS, clock, NOTHING, -1, m)


@njit(cache=True)
def _wait_for_data(now: int, m: np.ndarray) -> int:
    """Return the first clock from `now` on at which fewer than `limit` reads await their data."""
    while True:
        _all_until(now, m)
        reads = 0
        for number in range(m[s.CHANNELS]):
            channel = m[s.AT_CHANNELS] + number * CHANNEL_FIELDS
            while m[channel + s.N_WAITING] > 0:
                if m[m[channel + s.WAITING] + m[channel + s.FIRST_WAITING]] > now:
                    break
                m[channel + s.FIRST_WAITING] = (m[channel + s.FIRST_WAITING] + 1) % m[s.LIMIT]
                m[channel + s.N_WAITING] -= 1
            reads += m[channel + s.N_READS] + m[channel + s.N_WAITING]
            for place in range(m[channel + s.N_ACTIVE]):
                reads += 1 - m[m[m[channel + s.ACTIVES] + place] + s.WRITE]
            if m[channel + s.STARTED] != 0:
                reads += 1 - m[m[channel + s.STARTED] + s.WRITE]
        if reads < m[s.LIMIT]:
            return now
        now += 1
