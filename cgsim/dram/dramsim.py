"""`policy: dramsim3`: the rules of DRAMsim3, skipping clocks in which nothing can happen.

Clock n is the moment after n ticks. Requests are accepted in it, up to `inj`; then tick n issues commands.
"""

from __future__ import annotations

from numba import njit

from cgsim.dram.counters import (
    ACTIVE_CYCLES,
    CLOCK,
    IDLE_CYCLES,
    LAST_ACCEPTED,
    LAST_RETURN,
    READS,
)
from cgsim.dram.dramsim_state import (
    ACCEPTED_LAST,
    ARRIVED,
    CLOCK_NOW,
    COLLECTED,
    COUNT,
    DRAINING,
    NEVER,
    NEXT,
    OFFERED,
    OPEN,
    QUEUED,
    SINCE,
    WRITE_COUNT,
    Dramsim,
    controller,
)
from cgsim.dram.dramsim_tick import accept, channel_of, has_room, tick

__all__ = ["Dramsim", "controller", "drain", "finish", "serve"]


@njit(cache=True)
def serve(c: Dramsim, first: int, step: int, count: int, write: int, tag: int, ready: int) -> int:
    """Offer `count` requests at byte addresses first + i step, none before clock `ready`.

    Returns the clock in which the last was accepted (with count 0: the clock, which is at least `ready`).
    """
    scalars = c.scalars
    done, address = 0, first
    channel = channel_of(c, address)
    while True:
        now = scalars[CLOCK_NOW]
        if now >= ready:
            while done < count and scalars[OFFERED] < c.inj and has_room(c, channel, write):
                if c.max_outstanding and c.counts[READS] - scalars[ARRIVED] >= c.max_outstanding:
                    break
                accept(c, channel, address, write, tag)
                scalars[OFFERED] += 1
                scalars[ACCEPTED_LAST] = now
                done += 1
                address += step
                channel = channel_of(c, address)
            if done >= count:
                break
        wanted = NEVER
        if done >= count:
            wanted = ready
        elif has_room(c, channel, write):
            wanted = max(now + 1, ready)
            if c.max_outstanding and now >= ready and c.counts[READS] - scalars[ARRIVED] >= c.max_outstanding:
                wanted = _next_arrival(c, now)
        _advance(c, wanted)
    c.counts[LAST_ACCEPTED] = scalars[ACCEPTED_LAST]
    _settle(c)
    return scalars[CLOCK_NOW]


@njit(cache=True)
def finish(c: Dramsim, tag: int) -> int:
    """Advance until every read with this tag has its data. Returns the clock of the last of them, 0: none."""
    while c.tags[tag, 0] > 0:
        _advance(c, NEVER)
    last = c.tags[tag, 1]
    while c.scalars[CLOCK_NOW] < last:
        _advance(c, last)
    c.tags[tag, 1] = 0
    _settle(c)
    return last


@njit(cache=True, inline="always")
def _advance(c: Dramsim, wanted: int) -> None:
    """To the clock after the next tick in which anything happens, or to clock `wanted` if that is earlier."""
    channels, scalars = c.channels, c.scalars
    at = channels[0, NEXT]
    for channel in range(1, len(channels)):
        at = min(at, channels[channel, NEXT])
    if at >= wanted:
        scalars[CLOCK_NOW] = wanted
    else:
        if c.max_outstanding:
            _collect(c, at)
        for channel in range(len(channels)):
            if channels[channel, NEXT] <= at:
                tick(c, channel, at)
        scalars[CLOCK_NOW] = at + 1
    scalars[OFFERED] = 0
    if c.max_outstanding:
        _collect(c, scalars[CLOCK_NOW])


@njit(cache=True)
def _collect(c: Dramsim, now: int) -> None:
    """Count the reads whose data have arrived by clock `now`; only where outstanding reads are limited."""
    scalars, size = c.scalars, len(c.arrivals)
    for at in range(scalars[COLLECTED] + 1, min(now, scalars[COLLECTED] + size - 1) + 1):
        scalars[ARRIVED] += c.arrivals[at & (size - 1)]
        c.arrivals[at & (size - 1)] = 0
    scalars[COLLECTED] = now


@njit(cache=True)
def _next_arrival(c: Dramsim, now: int) -> int:
    """The next clock in which data arrive, as far as it is known."""
    size = len(c.arrivals)
    for at in range(now + 1, now + size):
        if c.arrivals[at & (size - 1)]:
            return at
    return NEVER


@njit(cache=True)
def _settle(c: Dramsim) -> None:
    """Bring the counters that depend on the clock up to it."""
    now = c.scalars[CLOCK_NOW]
    c.counts[CLOCK] = now
    for rank in range(len(c.ranks)):
        c.counts[ACTIVE_CYCLES if c.ranks[rank, OPEN] else IDLE_CYCLES] += now - c.ranks[rank, SINCE]
        c.ranks[rank, SINCE] = now


@njit(cache=True)
def drain(c: Dramsim) -> int:
    """Advance until all reads have their data and writes drain no more.

    Returns the clocks up to the last data or acceptance; writes that drain later only count commands.
    """
    while _busy(c):
        _advance(c, NEVER)
    last = c.counts[LAST_RETURN]
    while c.scalars[CLOCK_NOW] <= last:
        _advance(c, last + 1)
    _settle(c)
    return max(last + 1 if last else 0, c.scalars[ACCEPTED_LAST])


@njit(cache=True)
def _busy(c: Dramsim) -> bool:
    for channel in range(len(c.channels)):
        state = c.channels[channel]
        if state[QUEUED] or state[COUNT] or state[DRAINING] or state[WRITE_COUNT] > 8:
            return True
    return False
