"""`policy: dramsim3`: the rules of DRAMsim3, skipping clocks in which nothing can happen.

Clock n is the moment after n ticks. Requests are accepted in it, up to `inj`; then tick n issues commands.
"""

from __future__ import annotations

import numpy as np

from cgsim.dram.counters import (
    ACTIVE_CYCLES,
    CLOCK,
    FORWARDED_READS,
    IDLE_CYCLES,
    LAST_ACCEPTED,
    LAST_RETURN,
    MERGED_READS,
    MERGED_WRITES,
    READS,
    WRITES,
)
from cgsim.dram.dramsim_issue import answered, bucket_of
from cgsim.dram.dramsim_state import (
    ACCEPTED,
    ACCEPTED_LAST,
    ACTIVITY,
    ADDRESS,
    ARRIVALS,
    ARRIVALS_MASK,
    ARRIVED,
    BANK,
    BANK_WORDS,
    BANKS,
    CHAIN,
    CHANNEL_WORDS,
    CHANNELS,
    COLLECTED,
    COLUMN,
    COUNT,
    COUNT_WORDS,
    DEPTH,
    DRAINING,
    FIRST_BANK,
    FIRST_CHANNEL,
    FIRST_RANK,
    FREE,
    FREE_WAITER,
    GROUPS,
    HEAD,
    INJ,
    LAYOUT,
    LENGTH,
    LIMIT,
    LINK,
    NEVER,
    NEXT,
    NOW,
    OFFERED,
    OPEN,
    QUEUE,
    QUEUED,
    RANK_WORDS,
    RANKS,
    REQUEST_ROW,
    ROOM,
    SHIFT,
    SINCE,
    TAG,
    TAG_WORDS,
    TAIL,
    UNIFIED,
    WAITER,
    WAITER_ACCEPTED,
    WAITER_LINK,
    WAITER_TAG,
    WRITE,
    WRITE_COUNT,
    Dramsim,
    controller,
    renew,
)
from cgsim.dram.dramsim_tick import DRAIN_ABOVE, tick
from cgsim.dram.kernels import kernel

__all__ = ["Dramsim", "controller", "drain", "finish", "renew", "serve"]


PATIENCE = 1 << 20
"""Clocks without a command, while requests wait, after which the rules have led into a dead end."""


@kernel
def serve(c: Dramsim, first: int, step: int, count: int, write: int, tag: int, ready: int) -> int:
    """Offer `count` requests at byte addresses first + i step, none before clock `ready`.

    Returns the clock in which the last was accepted (with count 0: the clock, which is at least `ready`).
    """
    return _serve(c.words, first, step, count, write, tag, ready)


@kernel
def finish(c: Dramsim, tag: int) -> int:
    """Advance until every read with this tag has its data. Returns the clock of the last of them, 0: none."""
    words = c.words
    while words[TAG_WORDS + 2 * tag] > 0:
        _advance(words, NEVER)
    last = words[TAG_WORDS + 2 * tag + 1]
    while words[NOW] < last:
        _advance(words, last)
    words[TAG_WORDS + 2 * tag + 1] = 0
    _settle(words)
    return last


@kernel
def drain(c: Dramsim) -> int:
    """Advance until all reads have their data and writes drain no more.

    Returns the clocks up to the last data or acceptance; writes that drain later only count commands.
    """
    words = c.words
    while True:
        busy, last = _busy(words), words[COUNT_WORDS + LAST_RETURN]
        if not busy and words[NOW] > last:
            break
        _advance(words, NEVER if busy else last + 1)  # until the last data, writes may begin to drain
    _settle(words)
    return max(last + 1 if last else 0, words[ACCEPTED_LAST])


@kernel
def _serve(words: np.ndarray, first: int, step: int, count: int, write: int, tag: int, ready: int) -> int:
    done, address = 0, first
    kind = 0 if words[UNIFIED] else write
    state = _channel_of(words, address)
    while True:
        now = words[NOW]
        if now >= ready:
            while done < count and words[OFFERED] < words[INJ] and words[state + COUNT + kind] < words[ROOM]:
                if words[LIMIT] and _awaited(words) >= words[LIMIT]:
                    break
                _accept(words, state, address, write, tag)
                words[ACTIVITY] = now
                words[OFFERED] += 1
                words[ACCEPTED_LAST] = now
                done += 1
                address += step
                state = _channel_of(words, address)
            if done >= count:
                break
        wanted = NEVER
        if done >= count:
            wanted = ready
        elif words[state + COUNT + kind] < words[ROOM]:
            wanted = max(now + 1, ready)
            if words[LIMIT] and now >= ready and _awaited(words) >= words[LIMIT]:
                wanted = _next_arrival(words, now)
        _advance(words, wanted)
    words[COUNT_WORDS + LAST_ACCEPTED] = words[ACCEPTED_LAST]
    _settle(words)
    return words[NOW]


@kernel
def _advance(words: np.ndarray, wanted: int) -> None:
    """To the clock after the next tick in which anything happens, or to clock `wanted` if that is earlier."""
    first = words[FIRST_CHANNEL]
    at = words[first + NEXT]
    if wanted == NEVER and words[NOW] - words[ACTIVITY] > PATIENCE:
        raise RuntimeError("DRAMsim3's rules stop here: a write in a full buffer waits for a read behind it")
    if words[CHANNELS] == 1:
        if at < wanted:
            if words[LIMIT]:
                _collect(words, at)
            tick(words, first, at)
            wanted = at + 1
    else:
        end = first + words[CHANNELS] * CHANNEL_WORDS
        for state in range(first + CHANNEL_WORDS, end, CHANNEL_WORDS):
            at = min(at, words[state + NEXT])
        if at < wanted:
            if words[LIMIT]:
                _collect(words, at)
            for state in range(first, end, CHANNEL_WORDS):
                if words[state + NEXT] == at:
                    tick(words, state, at)
            wanted = at + 1
    words[NOW] = wanted
    words[OFFERED] = 0
    if words[LIMIT]:
        _collect(words, wanted)


@kernel
def _channel_of(words: np.ndarray, address: int) -> int:
    if words[CHANNELS] == 1:
        return words[FIRST_CHANNEL]
    number = address >> words[SHIFT] >> words[LAYOUT] & words[LAYOUT + 1]
    return words[FIRST_CHANNEL] + number * CHANNEL_WORDS


@kernel
def _accept(words: np.ndarray, state: int, address: int, write: int, tag: int) -> None:
    """Take a request in the clock at hand; the channel has room."""
    now = words[NOW]
    words[COUNT_WORDS + (WRITES if write else READS)] += 1
    if not write and tag >= 0:
        words[TAG_WORDS + 2 * tag] += 1
    other = words[bucket_of(address)]
    reading = 0
    while other:
        if words[other + ADDRESS] == address:
            if words[other + WRITE]:
                if write:
                    words[COUNT_WORDS + MERGED_WRITES] += 1
                else:
                    words[COUNT_WORDS + FORWARDED_READS] += 1
                    answered(words, now, tag, now + 1)
                return
            reading = other
        other = words[other + CHAIN]
    if reading and not write:
        _merge(words, reading, tag)
        return
    entry = words[FREE]
    words[FREE] = words[entry + LINK]
    bank = _place(words, state, entry, address)
    words[entry + WRITE], words[entry + ACCEPTED], words[entry + TAG] = write, now, tag
    words[entry + LINK] = words[entry + WAITER] = 0
    bucket = bucket_of(address)
    words[entry + CHAIN] = words[bucket]
    words[bucket] = entry
    kind = 0 if words[UNIFIED] else write
    last = words[state + TAIL + kind]
    words[last + LINK if last else state + HEAD + kind] = entry
    words[state + TAIL + kind] = entry
    words[state + COUNT + kind] += 1
    if write or words[words[bank + QUEUE] + LENGTH] < words[DEPTH]:  # else it can only wait
        words[state + NEXT] = min(words[state + NEXT], now)


@kernel
def _merge(words: np.ndarray, entry: int, tag: int) -> None:
    """A read of an address whose read is pending: it gets the same data."""
    waiter = words[FREE_WAITER]
    if not waiter:
        raise RuntimeError("too many reads of one address are waiting")
    words[COUNT_WORDS + MERGED_READS] += 1
    words[FREE_WAITER] = words[waiter + WAITER_LINK]
    words[waiter + WAITER_ACCEPTED], words[waiter + WAITER_TAG] = words[NOW], tag
    words[waiter + WAITER_LINK] = words[entry + WAITER]
    words[entry + WAITER] = waiter


@kernel
def _place(words: np.ndarray, state: int, entry: int, address: int) -> int:
    """Decode an address; returns the bank."""
    bits = address >> words[SHIFT]
    rank = bits >> words[LAYOUT + 2] & words[LAYOUT + 3]
    group = bits >> words[LAYOUT + 4] & words[LAYOUT + 5]
    number = bits >> words[LAYOUT + 6] & words[LAYOUT + 7]
    inside = (rank * words[GROUPS] + group) * words[BANKS] + number
    bank = words[state + FIRST_BANK] + inside * BANK_WORDS
    words[entry + ADDRESS], words[entry + BANK] = address, bank
    words[entry + REQUEST_ROW] = bits >> words[LAYOUT + 8] & words[LAYOUT + 9]
    words[entry + COLUMN] = bits >> words[LAYOUT + 10] & words[LAYOUT + 11]
    return bank


@kernel
def _awaited(words: np.ndarray) -> int:
    """Reads that await their data; counted only where they are limited."""
    return words[COUNT_WORDS + READS] - words[ARRIVED]


@kernel
def _collect(words: np.ndarray, now: int) -> None:
    """Count the reads whose data have arrived by clock `now`."""
    arrivals, mask = words[ARRIVALS], words[ARRIVALS_MASK]
    for at in range(words[COLLECTED] + 1, min(now, words[COLLECTED] + mask) + 1):
        words[ARRIVED] += words[arrivals + (at & mask)]
        words[arrivals + (at & mask)] = 0
    words[COLLECTED] = now


@kernel
def _next_arrival(words: np.ndarray, now: int) -> int:
    """The next clock in which data arrive, as far as it is known."""
    arrivals, mask = words[ARRIVALS], words[ARRIVALS_MASK]
    for at in range(now + 1, now + mask + 1):
        if words[arrivals + (at & mask)]:
            return at
    return NEVER


@kernel
def _settle(words: np.ndarray) -> None:
    """Bring the counters that depend on the clock up to it."""
    now = words[NOW]
    words[COUNT_WORDS + CLOCK] = now
    for state in range(
        words[FIRST_CHANNEL], words[FIRST_CHANNEL] + words[CHANNELS] * CHANNEL_WORDS, CHANNEL_WORDS
    ):
        first = words[state + FIRST_RANK]
        for rank in range(first, first + words[RANKS] * RANK_WORDS, RANK_WORDS):
            which = ACTIVE_CYCLES if words[rank + OPEN] else IDLE_CYCLES
            words[COUNT_WORDS + which] += now - words[rank + SINCE]
            words[rank + SINCE] = now


@kernel
def _busy(words: np.ndarray) -> bool:
    """Whether anything is queued that will still be served."""
    first = words[FIRST_CHANNEL]
    for state in range(first, first + words[CHANNELS] * CHANNEL_WORDS, CHANNEL_WORDS):
        waiting = words[state + QUEUED] + words[state + COUNT] + words[state + DRAINING]
        if waiting or words[state + WRITE_COUNT] > DRAIN_ABOVE:
            return True
    return False
