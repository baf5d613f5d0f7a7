"""`policy: ramulator2`: the rules of Ramulator 2.1 (docs/dram.md), from event to event instead of clock by clock.

Requests are offered in order, up to `inj` per clock; an offer comes before the controllers' tick of its clock,
so that a command issues one clock later at the earliest. Channels keep clocks of their own and catch up when
a request is offered to them. The twin that does every tick is tests/dram/ramulator_twin.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import counters as n
from cgsim.dram import ramulator_state as s
from cgsim.dram.ramulator_advance import advance
from cgsim.dram.ramulator_config import Config
from cgsim.dram.ramulator_issue import enqueue, return_data
from cgsim.dram.ramulator_state import NEVER, NOW, TICKED, USED, Ramulator, controller, renew
from cgsim.dram.ramulator_ticks import EMPTY, NOTHING, ROOM_FOR_READ, TAG_ISSUED

__all__ = ["Config", "Ramulator", "controller", "drain", "finish", "renew", "serve"]


@njit(cache=True)
def locate(address: int, mapping: np.ndarray) -> tuple[int, int, int, int, int, int]:
    """Return (channel, rank, bank group, bank, row, column) of a byte address; columns count requests."""
    low, bits = mapping[s.CH_SHIFT], mapping[s.CH_BITS]
    channel = (address >> low) & ((1 << bits) - 1)
    rest = ((((address >> (low + bits)) << low) | (address & ((1 << low) - 1)))) >> mapping[s.TX_BITS]
    column = (rest >> mapping[s.CO_SHIFT]) & mapping[s.CO_MASK]
    rank = (rest >> mapping[s.RA_SHIFT]) & mapping[s.RA_MASK]
    group = (rest >> mapping[s.BG_SHIFT]) & mapping[s.BG_MASK]
    bank = (rest >> mapping[s.BA_SHIFT]) & mapping[s.BA_MASK]
    row = (rest >> mapping[s.RO_SHIFT]) & mapping[s.RO_MASK]
    if mapping[s.SWAP] != 0:
        column |= ((rest >> mapping[s.CO2_SHIFT]) & mapping[s.CO2_MASK]) << 2
        rank ^= column & mapping[s.RA_MASK]
        group ^= (column >> mapping[s.BG_XOR]) & mapping[s.BG_MASK]
        bank ^= (column >> mapping[s.BA_XOR]) & mapping[s.BA_MASK]
        row ^= (column >> mapping[s.RO_XOR]) & mapping[s.XOR_ROWS]
    return channel, rank, group, bank, row, column


@njit(cache=True)
def serve(c: Ramulator, first: int, step: int, count: int, write: int, tag: int, ready: int) -> int:
    """Offer `count` requests at first, first + step, ... from clock `ready` on; the clock of the last acceptance.

    `tag` (-1: none) marks reads for `finish`. With no requests the clock goes on to `ready`.
    """
    now, used = c.now[NOW], c.now[USED]
    if now < ready:
        now, used = ready, 0
    for index in range(count):
        address = first + index * step
        if used >= c.inj:
            now, used = now + 1, 0
        if c.limit > 0:
            freed = _wait_for_data(now, c)
            if freed > now:
                now, used = freed, 0
        channel, rank, group, bank, row, column = locate(address, c.mapping)
        bank += ((channel * c.ranks + rank) * c.groups + group) * c.per_group
        advance(channel, now, NOTHING, -1, c)
        chan = c.channels[channel]
        used += 1
        if chan[s.N_WRITES] > 0 and _is_writing(address, bank, c):
            if write == 0:
                c.counts[n.FORWARDED_READS] += 1
                return_data(now, tag, now + 1, channel, c)
            else:
                c.counts[n.MERGED_WRITES] += 1
            continue
        if chan[s.N_READS + write] >= (c.write_queue if write else c.read_queue):
            advance(channel, NEVER, ROOM_FOR_READ + write, -1, c)
            now, used = chan[TICKED], 1
        chan[s.N_FREE] -= 1
        slot = c.free[channel, chan[s.N_FREE]]
        request = c.slots[slot]
        request[s.ADDRESS], request[s.BANK], request[s.ROW], request[s.COLUMN] = address, bank, row, column
        request[s.ARRIVE], request[s.ORDER], request[s.TAG] = now, chan[s.ORDERED], tag
        request[s.WRITE], request[s.COUNTED] = write, 0
        chan[s.ORDERED] += 1
        chan[s.QUIET] = 0
        enqueue(slot, channel, c)
        if write == 0 and tag >= 0:
            c.unissued[channel, tag] += 1
    c.now[NOW], c.now[USED] = now, used
    c.counts[n.READS + write] += count
    if count > 0:
        c.counts[n.LAST_ACCEPTED] = now
    else:
        _all_until(now, c)
    c.counts[n.CLOCK] = now
    return now


@njit(cache=True)
def finish(c: Ramulator, tag: int) -> int:
    """Go on until every read of this tag has its data; the clock at which the last of them came, 0 if none."""
    for channel in range(len(c.channels)):
        advance(channel, NEVER, TAG_ISSUED, tag, c)
    clock = c.returned[tag]
    c.returned[tag] = 0
    if clock > c.now[NOW]:
        c.now[NOW], c.now[USED] = clock, 0
    _all_until(c.now[NOW], c)
    c.counts[n.CLOCK] = c.now[NOW]
    return clock


@njit(cache=True)
def drain(c: Ramulator) -> int:
    """Go on until all data have come and all writes are issued; that clock."""
    for channel in range(len(c.channels)):
        advance(channel, NEVER, EMPTY, -1, c)
    clock = c.counts[n.LAST_RETURN]
    for channel in range(len(c.channels)):
        clock = max(clock, c.channels[channel, s.LAST_WRITE])
    if clock > c.now[NOW]:
        c.now[NOW], c.now[USED] = clock, 0
    _all_until(c.now[NOW], c)
    c.counts[n.CLOCK] = c.now[NOW]
    for rank in range(len(c.opened)):
        if c.opened[rank, 0] > 0:
            c.counts[n.ACTIVE_CYCLES] += c.now[NOW] - c.opened[rank, 1]
            c.opened[rank, 1] = c.now[NOW]
    c.counts[n.IDLE_CYCLES] = len(c.opened) * c.now[NOW] - c.counts[n.ACTIVE_CYCLES]
    return clock


@njit(cache=True)
def _all_until(clock: int, c: Ramulator) -> None:
    for channel in range(len(c.channels)):
        advance(channel, clock, NOTHING, -1, c)


@njit(cache=True)
def _is_writing(address: int, bank: int, c: Ramulator) -> bool:
    """Whether a write to this address waits in the write queue."""
    slot = c.banks[bank, s.HEAD_W]
    while slot >= 0:
        if c.slots[slot, s.ADDRESS] == address:
            return True
        slot = c.slots[slot, s.NEXT]
    return False


@njit(cache=True)
def _wait_for_data(now: int, c: Ramulator) -> int:
    """Return the first clock from `now` on at which fewer than `limit` reads await their data."""
    while True:
        _all_until(now, c)
        reads = 0
        for channel in range(len(c.channels)):
            chan = c.channels[channel]
            while chan[s.N_WAITING] > 0 and c.waiting[channel, chan[s.FIRST_WAITING]] <= now:
                chan[s.FIRST_WAITING] = (chan[s.FIRST_WAITING] + 1) % c.limit
                chan[s.N_WAITING] -= 1
            reads += chan[s.N_READS] + chan[s.N_WAITING]
            for place in range(chan[s.N_ACTIVE]):
                reads += 1 - c.slots[c.active[channel, place], s.WRITE]
            if chan[s.STARTED] >= 0:
                reads += 1 - c.slots[chan[s.STARTED], s.WRITE]
        if reads < c.limit:
            return now
        now += 1
