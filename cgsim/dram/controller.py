"""The default controller: FR-FCFS for accelerators (docs/dram.md, Default policy)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import controller_jump as jump
from cgsim.dram import controller_state as at
from cgsim.dram.controller_issue import candidate, returned
from cgsim.dram.controller_state import (
    ALL_BANK,
    AT_COUNTS,
    NEVER,
    NO_REFRESH,
    NONE,
    PER_BANK,
    READ,
    TABLE_BITS,
    TABLES,
    WRITE,
    Controller,
    fresh,
    renew,
    word_of,
)
from cgsim.dram.controller_tick import advance, offered
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
from cgsim.dram.kernels import integer
from cgsim.dram.mapping import decode_all, mapping
from cgsim.dram.settings import Config, check

__all__ = ["Config", "Controller", "controller", "drain", "finish", "renew", "serve"]

_FIRST = integer(0)
_REFRESHES = {"none": NO_REFRESH, "all_bank": ALL_BANK, "per_bank": PER_BANK}
_FACTS = (
    *(
        "groups",
        "banks",
        "act_clocks",
        "act_shift",
        "dual",
        "cl",
        "cwl",
        "burst",
        "burst_max",
        "rcdr",
        "rcdw",
    ),
    *("rp", "rpab", "ras", "rc", "rtp", "wr", "ccds", "ccdl", "rrds", "rrdl", "faw", "wtrs", "wtrl", "rtw"),
    *("ppd", "cs", "wrrdcs", "rfc", "rfcpb", "pbact", "pbpb"),
)


def controller(config: Config, log_capacity: int = 0) -> Controller:
    """A controller at clock 0 that logs up to `log_capacity` commands."""
    check(config)
    device = config.device
    ranks = config.ranks * device.pseudo
    sizes = (config.channels, ranks, device.groups, device.banks, device.rows, device.columns)
    channel, rank, group, bank, row, column = (size.bit_length() - 1 for size in sizes)
    settings = np.zeros(at.SETTINGS, np.int64)
    for name in _FACTS:
        settings[getattr(at, name.upper())] = getattr(device, name)
    for place, value in (
        (at.CHANNELS, config.channels),
        (at.RANKS, ranks),
        (at.ROW_BITS, row),
        (at.COLUMN_BITS, column),
        (at.SHIFT, device.request_bytes.bit_length() - 1),
        (at.OWN_BUS, device.pseudo > 1),
        (at.CLOSED, config.page_policy == "closed"),
        (at.DEPTH, config.queue_depth),
        (at.WRITE_HIGH, config.high),
        (at.WRITE_LOW, config.low),
        (at.CAP, config.row_hit_cap),
        (at.REFRESH, _REFRESHES[config.refresh]),
        (at.INTERVAL, {"none": 0, "all_bank": device.refi, "per_bank": device.refipb}[config.refresh]),
        (at.POSTPONED, config.refresh_postponed),
        (at.INJ, config.inj),
        (at.OUTSTANDING, config.max_outstanding),
        (at.JUMP, config.jump),
    ):
        settings[place] = value
    tables = _tables(config.mapping, (channel, rank, group, bank, row, column))
    begin, width = _columns_alone(tables, column)
    settings[at.COLUMN_BEGIN], settings[at.COLUMN_WIDTH] = begin, width
    if width > 0:
        settings[at.COLUMN_OUT] = int(_word(tables, begin)).bit_length() - 1
    return fresh(settings, tables, log_capacity)


def _word(tables: np.ndarray, bit: int) -> int:
    """What a bit of a burst's number gives."""
    return int(tables[bit // TABLE_BITS, 1 << bit % TABLE_BITS])


def _columns_alone(tables: np.ndarray, bits: int) -> tuple[int, int]:
    """The longest stretch of bits (begin, width) that are neighbours in the column and go nowhere else."""
    best = begin = width = 0
    last = 0
    found = 0
    for bit in range(TABLES * TABLE_BITS):
        word = _word(tables, bit)
        alone = 0 < word < 1 << bits and word & (word - 1) == 0
        width = width + 1 if alone and (width == 0 or word == last << 1) else int(alone)
        begin = bit if width == 1 else begin
        last = word
        if width > best:
            found, best = begin, width
    return found, best


def _tables(name: str, bits: tuple[int, int, int, int, int, int]) -> np.ndarray:
    """Decode tables: XOR of one entry each gives bank (of all), row, column in one number."""
    parts = mapping(name, bits)
    values = np.arange(1 << TABLE_BITS, dtype=np.int64)
    every = (1 << sum(bits)) - 1
    tables = np.zeros((TABLES, 1 << TABLE_BITS), np.int64)
    for table in range(TABLES):
        fields = decode_all(parts, (values << (table * TABLE_BITS)) & every)
        word = fields[:, 0]
        for field in range(1, 6):
            word = (word << bits[field]) | fields[:, field]
        tables[table] = word
    return tables


@njit(cache=True)
def serve(c: Controller, first: int, step: int, count: int, write: bool, tag: int, ready: int) -> int:
    """Offer `count` requests, at bytes first, first + step, ...; clock of the last acceptance."""
    return _serve(c.state, c.tables, first, step, count, write, tag, ready)


@njit(cache=True)
def _serve(
    m: np.ndarray, tables: np.ndarray, first: int, step: int, count: int, write: bool, tag: int, ready: int
) -> int:
    kind = WRITE if write else READ
    if ready > m[at.NOW]:
        m[at.NOW] = ready
        m[at.TRIED] = 0
    now, tried = m[at.NOW], m[at.TRIED]
    shift, page_bits, depth, inj = m[at.SHIFT], m[at.ROW_BITS] + m[at.COLUMN_BITS], m[at.DEPTH], m[at.INJ]
    banks = m[at.AT_BANKS]
    requests, begin, left, row = 0, m[at.SEQUENCE], 0, 0
    event, beginning = NEVER, True  # request before which there is something to do about jumps: a row begins
    if count > depth:
        requests = jump.period(m, step)
        event = jump.plan(m, first, step, _FIRST, count, requests)
    index = 0
    while index < count:
        if index == event and beginning:
            begin, beginning, left = m[at.SEQUENCE], False, jump.pictures(m, requests)
            m[at.TAKEN] = NONE
            row = jump.row_end(m, first, step, index)
            event += depth
        elif index == event:
            skipped, clocks = jump.attempt(m, tables, first, step, index, count, tag, begin, now, tried)
            index += skipped
            now += clocks
            left = left - 1 if skipped == 0 else jump.pictures(m, requests)
            event = index + requests
            if left == 0 or event >= row:
                beginning = True
                event = jump.plan(m, first, step, row if left == 0 else index, count, requests)
            if index == count:
                break
            continue
        burst = (first + index * step) >> shift
        word = word_of(tables, burst)
        bank = banks + (word >> page_bits) * at.BANK_WORDS
        channel = m[bank + at.CHANNEL]
        if tried == inj:
            now += 1
            tried = 0
        if m[at.OUTSTANDING] > 0 and m[at.READS_WAITING] + m[at.RETURNS] >= m[at.OUTSTANDING]:
            before = now
            now = _wait_for_return(m, now)
            if now != before:
                tried = 0
        while True:
            if m[channel + at.TICK] < now:
                advance(m, channel, now)
            if _waits(m, m[bank + at.HEAD + WRITE], word):
                if write:
                    m[AT_COUNTS + MERGED_WRITES] += 1
                else:
                    m[AT_COUNTS + FORWARDED_READS] += 1
                    returned(m, now + 1, 1 + _FIRST, tag)
                break
            if m[channel + at.QUEUED + kind] < depth and not (write and _waits(m, m[bank + at.HEAD], word)):
                _enter(m, channel, bank, kind, word, tag, now)
                break
            now = advance(m, channel, m[at.FOREVER])
            tried = 0
        tried += 1
        index += 1
    if count > 0:
        m[AT_COUNTS + (WRITES if write else READS)] += count
        m[AT_COUNTS + LAST_ACCEPTED] = now
    m[AT_COUNTS + CLOCK] = now
    m[at.NOW], m[at.TRIED] = now, tried
    return now


@njit(cache=True)
def _waits(m: np.ndarray, entry: int, word: int) -> bool:
    """One of the requests from `entry` on is for this burst."""
    while entry != NONE and m[entry + at.WORD] != word:
        entry = m[entry + at.NEXT]
    return entry != NONE


@njit(cache=True)
def _enter(m: np.ndarray, channel: int, bank: int, kind: int, word: int, tag: int, now: int) -> None:
    """Put a request into its queue."""
    entry = m[channel + at.FREE + kind]
    m[channel + at.FREE + kind] = m[entry + at.NEXT]
    m[channel + at.QUEUED + kind] += 1
    previous = m[bank + at.TAIL + kind]
    m[entry + at.AGE] = m[at.SEQUENCE]
    m[entry + at.ARRIVED] = now
    m[entry + at.WORD] = word
    m[entry + at.TAG] = tag
    m[entry + at.NEXT] = NONE
    m[entry + at.PREVIOUS] = previous
    m[entry + at.CAUSE] = 0
    m[at.SEQUENCE] += 1
    if previous == NONE:
        m[bank + at.HEAD + kind] = entry
    else:
        m[previous + at.NEXT] = entry
    m[bank + at.TAIL + kind] = entry
    if m[bank + at.HIT + kind] == NONE and word >> m[at.COLUMN_BITS] == m[bank + at.OPEN]:
        m[bank + at.HIT + kind] = entry
    if m[bank + at.PLACE] == NONE:
        m[bank + at.PLACE] = m[channel + at.BUSY]
        m[m[channel + at.BUSY_LIST] + m[channel + at.BUSY]] = bank
        m[channel + at.BUSY] += 1
    m[m[bank + at.RANK] + at.WAITING] += 1
    if kind == READ:
        m[at.READS_WAITING] += 1
        if tag >= 0:
            m[m[at.AT_TAGS] + tag * (m[at.CHANNELS] + 1) + m[channel + at.CHANNEL_INDEX]] += 1
    candidate(m, bank, m[channel + at.MODE])
    offered(m, channel, bank)


@njit(cache=True)
def _wait_for_return(m: np.ndarray, now: int) -> int:
    """The clock, from `now` on, at which fewer reads are under way than allowed."""
    while True:
        _advance_all(m, now)
        jump.forget_returned(m, now)
        if m[at.READS_WAITING] + m[at.RETURNS] < m[at.OUTSTANDING]:
            return now
        soonest = now + m[at.CL] + m[at.BURST]
        for place in range(m[at.AT_RETURNS], m[at.AT_RETURNS] + m[at.RETURNS]):
            soonest = min(soonest, m[place])
        now = soonest


@njit(cache=True)
def _advance_all(m: np.ndarray, until: int) -> None:
    channel = m[at.AT_CHANNELS]
    for _ in range(m[at.CHANNELS]):
        advance(m, channel, until)
        channel += at.CHANNEL_WORDS


@njit(cache=True)
def finish(c: Controller, tag: int) -> int:
    """Let time pass until all reads of the tag have returned; clock of the last return (0: none)."""
    m = c.state
    if tag < 0:
        return 0
    channel, waiting = m[at.AT_CHANNELS], m[at.AT_TAGS] + tag * (m[at.CHANNELS] + 1)
    for _ in range(m[at.CHANNELS]):
        while m[waiting] > 0:
            advance(m, channel, m[at.FOREVER])
        channel += at.CHANNEL_WORDS
        waiting += 1
    end = m[waiting]
    m[waiting] = 0
    _pass(m, end)
    return end


@njit(cache=True)
def _pass(m: np.ndarray, clock: int) -> None:
    """It is `clock`, if it was not later already."""
    if clock > m[at.NOW]:
        m[at.NOW] = clock
        m[at.TRIED] = 0
        m[AT_COUNTS + CLOCK] = clock


@njit(cache=True)
def drain(c: Controller) -> int:
    """Serve all that waits; clock at which the last data have been transferred."""
    m = c.state
    channel = m[at.AT_CHANNELS]
    for _ in range(m[at.CHANNELS]):
        while m[channel + at.QUEUED] + m[channel + at.QUEUED + WRITE] > 0:
            advance(m, channel, m[at.FOREVER])
        channel += at.CHANNEL_WORDS
    end = max(m[at.NOW], m[AT_COUNTS + LAST_RETURN], m[at.LAST_WRITE])
    _advance_all(m, end)
    _pass(m, end)
    for rank in range(m[at.AT_RANKS], m[at.AT_GROUPS], at.RANK_WORDS):
        cause = ACTIVE_CYCLES if m[rank + at.OPEN_BANKS] > 0 else IDLE_CYCLES
        m[AT_COUNTS + cause] += end - m[rank + at.SINCE]
        m[rank + at.SINCE] = end
    for bus in range(m[at.AT_BUSES], m[at.AT_ENTRIES], at.BUS_WORDS):
        if end > m[bus + at.END]:
            m[AT_COUNTS + LOST_NO_REQUEST] += end - m[bus + at.END]
            m[bus + at.END] = end
    return end
