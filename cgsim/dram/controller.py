"""The default controller: FR-FCFS for accelerators (docs/dram.md, Default policy)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.controller_issue import candidate, returned
from cgsim.dram.controller_state import (
    AGE,
    ALL_BANK,
    ARRIVED,
    BUSY,
    CAUSE,
    END,
    FREE,
    HEAD,
    HIT,
    LAST_WRITE,
    MODE,
    NEVER,
    NEXT,
    NO_REFRESH,
    NONE,
    NOW,
    OPEN,
    OPEN_BANKS,
    PER_BANK,
    PLACE,
    PREVIOUS,
    QUEUED,
    RANK_WAITING,
    READ,
    READS_WAITING,
    SEQUENCE,
    SINCE,
    TABLE_BITS,
    TABLES,
    TAG,
    TAIL,
    TICK,
    TRIED,
    WAITING,
    WORD,
    WRITE,
    Controller,
    Settings,
    fresh,
    renew,
)
from cgsim.dram.controller_tick import advance
from cgsim.dram.counters import (
    ACTIVE_CYCLES,
    CLOCK,
    FORWARDED_READS,
    IDLE_CYCLES,
    LAST_ACCEPTED,
    LAST_RETURN,
    LOST_NO_REQUEST,
    MERGED_WRITES,
    READS,
    WRITES,
)
from cgsim.dram.mapping import decode_all, mapping
from cgsim.dram.settings import Config, check

__all__ = ["Config", "Controller", "controller", "drain", "finish", "renew", "serve"]

_REFRESHES = {"none": NO_REFRESH, "all_bank": ALL_BANK, "per_bank": PER_BANK}


def controller(config: Config, log_capacity: int = 0) -> Controller:
    """A controller at clock 0 that logs up to `log_capacity` commands."""
    check(config)
    device = config.device
    ranks = config.ranks * device.pseudo
    sizes = (config.channels, ranks, device.groups, device.banks, device.rows, device.columns)
    bits = tuple(size.bit_length() - 1 for size in sizes)
    timing = {name: getattr(device, name) for name in Settings._fields if hasattr(device, name)}
    interval = {"none": 0, "all_bank": device.refi, "per_bank": device.refipb}[config.refresh]
    timing |= {
        "channels": config.channels,
        "ranks": ranks,
        "row_bits": bits[4],
        "column_bits": bits[5],
        "shift": device.request_bytes.bit_length() - 1,
        "inner": bits[0],
        "own_bus": device.pseudo > 1,
        "closed": config.page_policy == "closed",
        "depth": config.queue_depth,
        "write_high": config.high,
        "write_low": config.low,
        "cap": config.row_hit_cap,
        "refresh": _REFRESHES[config.refresh],
        "interval": interval,
        "postponed": config.refresh_postponed,
        "inj": config.inj,
        "outstanding": config.max_outstanding,
        "jump": config.jump,
    }
    return fresh(Settings(**timing), _tables(config.mapping, bits), log_capacity)


def _tables(name: str, bits: tuple[int, ...]) -> np.ndarray:
    """Decode tables: XOR of one entry each gives bank (of all), row, column in one number."""
    channel, rank, group, bank, row, column = bits
    parts = mapping(name, (channel, rank, group, bank, row, column))
    values = np.arange(1 << TABLE_BITS, dtype=np.int64)
    every = (1 << sum(bits)) - 1
    tables = np.zeros((TABLES, 1 << TABLE_BITS), np.int64)
    for table in range(TABLES):
        fields = decode_all(parts, (values << (table * TABLE_BITS)) & every)
        word = fields[:, 0]
        for field, width in zip(range(1, 6), (rank, group, bank, row, column), strict=True):
            word = (word << width) | fields[:, field]
        tables[table] = word
    return tables


@njit(cache=True)
def serve(c: Controller, first: int, step: int, count: int, write: bool, tag: int, ready: int) -> int:
    """Offer `count` requests, at bytes first, first + step, ...; clock of the last acceptance."""
    s = c.settings
    kind = WRITE if write else READ
    if ready > c.clock[NOW]:
        c.clock[NOW] = ready
        c.clock[TRIED] = 0
    now, tried = c.clock[NOW], c.clock[TRIED]
    mask = (1 << TABLE_BITS) - 1
    for index in range(count):
        burst = (first + index * step) >> s.shift
        word = (
            c.tables[0, burst & mask]
            ^ c.tables[1, (burst >> TABLE_BITS) & mask]
            ^ c.tables[2, (burst >> (2 * TABLE_BITS)) & mask]
        )
        at = word >> (s.row_bits + s.column_bits)
        channel = at // (s.ranks * s.groups * s.banks)
        here = c.channel[channel]
        if tried == s.inj:
            now += 1
            tried = 0
        if s.outstanding > 0:
            before = now
            now = _wait_for_return(c, now)
            if now != before:
                tried = 0
        while True:
            if here[TICK] < now:
                advance(c, channel, now, False)
            if c.bank[at, WAITING + WRITE] > 0 and _waits(c, at, WRITE, word):
                if write:
                    c.counts[MERGED_WRITES] += 1
                else:
                    c.counts[FORWARDED_READS] += 1
                    returned(c, now + 1, 1, tag)
                break
            if here[QUEUED + kind] < s.depth and not (
                write and c.bank[at, WAITING] > 0 and _waits(c, at, READ, word)
            ):
                _enter(c, channel, at, kind, word, tag, now)
                break
            now = advance(c, channel, NEVER, True)
            tried = 0
        tried += 1
    if count > 0:
        c.counts[WRITES if write else READS] += count
        c.counts[LAST_ACCEPTED] = now
    c.counts[CLOCK] = now
    c.clock[NOW], c.clock[TRIED] = now, tried
    return now


@njit(cache=True)
def _waits(c: Controller, at: int, kind: int, word: int) -> bool:
    """A read or write of this burst waits."""
    slot = c.bank[at, HEAD + kind]
    while slot != NONE and c.entry[slot, WORD] != word:
        slot = c.entry[slot, NEXT]
    return slot != NONE


@njit(cache=True)
def _enter(c: Controller, channel: int, at: int, kind: int, word: int, tag: int, now: int) -> None:
    """Put a request into its queue."""
    here, bank = c.channel[channel], c.bank[at]
    slot = here[FREE + kind]
    entry = c.entry[slot]
    here[FREE + kind] = entry[NEXT]
    here[QUEUED + kind] += 1
    previous = bank[TAIL + kind]
    entry[AGE], entry[ARRIVED], entry[WORD], entry[TAG] = c.clock[SEQUENCE], now, word, tag
    entry[NEXT], entry[PREVIOUS], entry[CAUSE] = NONE, previous, 0
    c.clock[SEQUENCE] += 1
    if previous == NONE:
        bank[HEAD + kind] = slot
    else:
        c.entry[previous, NEXT] = slot
    bank[TAIL + kind] = slot
    bank[WAITING + kind] += 1
    if bank[HIT + kind] == NONE and word >> c.settings.column_bits == bank[OPEN]:
        bank[HIT + kind] = slot
    if bank[PLACE] == NONE:
        bank[PLACE] = here[BUSY]
        c.busy[channel, here[BUSY]] = at
        here[BUSY] += 1
    c.rank[at // (c.settings.groups * c.settings.banks), RANK_WAITING] += 1
    if kind == READ:
        c.clock[READS_WAITING] += 1
        if tag >= 0:
            c.tags[tag, channel] += 1
    candidate(c, at, here[MODE])


@njit(cache=True)
def _wait_for_return(c: Controller, now: int) -> int:
    """The clock, from `now` on, at which fewer reads are under way than allowed."""
    s = c.settings
    while True:
        for channel in range(s.channels):
            if c.channel[channel, TICK] < now:
                advance(c, channel, now, False)
        under_way, soonest = c.clock[READS_WAITING], now + s.cl + s.burst
        for end in c.returns:
            if end > now:
                under_way += 1
                soonest = min(soonest, end)
        if under_way < s.outstanding:
            return now
        now = soonest


@njit(cache=True)
def finish(c: Controller, tag: int) -> int:
    """Let time pass until all reads of the tag have returned; clock of the last return (0: there are none)."""
    if tag < 0:
        return 0
    last = c.settings.channels
    for channel in range(last):
        while c.tags[tag, channel] > 0:
            advance(c, channel, NEVER, True)
    end = c.tags[tag, last]
    c.tags[tag, last] = 0
    if end > c.clock[NOW]:
        c.clock[NOW], c.clock[TRIED] = end, 0
        c.counts[CLOCK] = end
    return end


@njit(cache=True)
def drain(c: Controller) -> int:
    """Serve all that waits; clock at which the last data have been transferred."""
    s = c.settings
    for channel in range(s.channels):
        while c.channel[channel, QUEUED] + c.channel[channel, QUEUED + WRITE] > 0:
            advance(c, channel, NEVER, True)
    end = max(c.clock[NOW], c.counts[LAST_RETURN], c.clock[LAST_WRITE])
    for channel in range(s.channels):
        advance(c, channel, end, False)
    if end > c.clock[NOW]:
        c.clock[NOW], c.clock[TRIED] = end, 0
        c.counts[CLOCK] = end
    for row in c.rank:
        c.counts[ACTIVE_CYCLES if row[OPEN_BANKS] > 0 else IDLE_CYCLES] += end - row[SINCE]
        row[SINCE] = end
    for bus in c.bus:
        if end > bus[END]:
            c.counts[LOST_NO_REQUEST] += end - bus[END]
            bus[END] = end
    return end
