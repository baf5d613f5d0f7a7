"""State of the DRAMsim3 policy: one array of int64 words that hold records; all times in DRAM clocks.

A record (channel, rank, bank group, bank, queue, request) is named by the index of its first word, so that
`words[bank + ROW]` is the open row of a bank; 0 names none. One array, because kernels are handed each array
of a tuple as seven values: with many of them the calls take longer than the work.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.counters import COUNTERS, LATENCY_BINS, TAGS
from cgsim.dram.dramsim_ini import FIELDS, REFRESHES, Config
from cgsim.errors import CgsimError

NEVER = 1 << 60
"""A clock that does not come."""
WAITERS = 1 << 13
"""Merged reads that can wait for data at the same time."""
BUCKETS = 1 << 9
"""Buckets of the table of pending requests."""
STAGGERED, SIMULTANEOUS, BANK_STAGGERED = range(len(REFRESHES))

# The first words. NOW: the clock; OFFERED: requests accepted in it; FREE, FREE_WAITER: lists of unused
# records; ARRIVED, COLLECTED: reads that have their data, up to which clock (only with a limit); ACTIVITY:
# clock of the last command or acceptance; ZERO: 0.
NOW, OFFERED, FREE, FREE_WAITER, ARRIVED, COLLECTED, ACCEPTED_LAST, ACTIVITY, ZERO = range(9)
# Settings.
(
    CHANNELS,
    RANKS,
    GROUPS,
    BANKS,
    QUEUES,
    DEPTH,
    ROOM,
    INJ,
    LIMIT,
    UNIFIED,
    PER_RANK,
    CLOSE,
    DUAL,
    TPPD,
    REFRESH,
    INTERVAL,
    BURST,
    READ_DELAY,
    RD_RD_L,
    RD_RD_S,
    RD_RD_O,
    RD_WR,
    RD_WR_O,
    WR_RD_L,
    WR_RD_S,
    WR_RD_O,
    WR_WR_O,
    RD_PRE,
    WR_PRE,
    ACT_ACT,
    ACT_ACT_L,
    ACT_ACT_S,
    ACT_RD,
    ACT_WR,
    ACT_PRE,
    ACT_FAW,
    PRE_ACT,
    PRE_PRE,
    REF_ACT,
    REFB_REFB,
    SHIFT,
    FIRST_CHANNEL,
    LOG,
    LOG_LINES,
    ARRIVALS,
    ARRIVALS_MASK,
    SLOTS_MASK,
    QUEUE_SIZE,
) = range(9, 57)
LAYOUT = 57
"""Position and mask of each of FIELDS in an address."""
COUNT_WORDS = LAYOUT + 2 * len(FIELDS)
LATENCY_WORDS = COUNT_WORDS + COUNTERS
TAG_WORDS = LATENCY_WORDS + LATENCY_BINS
"""Of each tag: reads that have not issued, clock of the last data."""
BUCKET_WORDS = TAG_WORDS + 2 * TAGS
"""First pending request of each bucket."""
RECORDS = BUCKET_WORDS + BUCKETS

# A channel. NEXT: the next clock in which anything can happen. HEAD to SEEN: of reads, then of writes; SEEN:
# all transactions up to this one wait for room. SERVED, BLOCKED, UNBLOCKED: numbers of queues.
(
    NEXT,
    SERVED,
    DRAINING,
    DUE,
    REFRESHED,
    NEXT_REFRESH,
    BLOCKED,
    UNBLOCKED,
    QUEUED,
    HEAD,
    WRITE_HEAD,
    TAIL,
    WRITE_TAIL,
    COUNT,
    WRITE_COUNT,
    SEEN,
    WRITE_SEEN,
    NUMBER,
    FIRST_QUEUE,
    FIRST_TIME,
    FIRST_RANK,
    FIRST_BANK,
    CHANNEL_WORDS,
) = range(23)
# A rank, a bank group, a bank: earliest commands; FAW: ends of the last four windows, the first at OLDEST.
RANK_ACT, RANK_RD, RANK_WR, RANK_PRE, RANK_REF, OPEN, SINCE, OLDEST, FAW = range(9)
OF_CHANNEL, RANK_NUMBER, BANKS_FROM, RANK_WORDS = range(12, 16)
GROUP_ACT, GROUP_RD, GROUP_WR, GROUP_WORDS = range(4)
BANK_ACT, BANK_RD, BANK_WR, BANK_PRE, BANK_REF, BANK_REFB, ROW, HITS = range(8)
GROUP, RANK, QUEUE, TIME, GROUP_NUMBER, BANK_NUMBER, BANK_WORDS = range(8, 15)
# A queue: a ring of its requests, the oldest at START modulo the size of the ring. Apart from it stand, of
# all queues of a channel together, a clock before which the queue has no command, and (QUEUES and 2 QUEUES
# words further) two words with clocks that count besides: of the bank group and the rank, or ZERO.
LENGTH, START, SLOTS = range(3)
# A request. LINK: next of its list; CHAIN: of its bucket; WAITER: first read merged into it.
ADDRESS, BANK, REQUEST_ROW, COLUMN, WRITE, ACCEPTED, TAG, LINK, CHAIN, WAITER, REQUEST_WORDS = range(11)
# A read merged into another.
WAITER_ACCEPTED, WAITER_TAG, WAITER_LINK, WAITER_WORDS = range(4)


class Dramsim(NamedTuple):
    """A memory under the DRAMsim3 policy."""

    words: np.ndarray
    """All state and settings; the arrays below are parts of it."""
    start: np.ndarray
    """The words at clock 0."""
    counts: np.ndarray
    """[COUNTERS]"""
    latency: np.ndarray
    """[LATENCY_BINS]"""
    log: np.ndarray
    """[capacity, 9]"""


@njit(cache=True)
def renew(c: Dramsim) -> Dramsim:
    """A controller with the same settings at clock 0."""
    return _parts(c.start.copy(), c.start)


@njit(cache=True)
def _parts(words: np.ndarray, start: np.ndarray) -> Dramsim:
    log = words[words[LOG] : words[LOG] + 9 * words[LOG_LINES]]
    return Dramsim(
        words,
        start,
        words[COUNT_WORDS:LATENCY_WORDS],
        words[LATENCY_WORDS:TAG_WORDS],
        log.reshape(words[LOG_LINES], 9),
    )


def controller(config: Config, log_capacity: int = 0) -> Dramsim:
    """A controller at clock 0: all banks closed, all queues empty."""
    header = np.zeros(RECORDS, np.int64)
    for at, value in _settings(config).items():
        header[at] = value
    fields = config.fields()
    for number, field in enumerate(FIELDS):
        position, width = fields[field]
        header[LAYOUT + 2 * number : LAYOUT + 2 * number + 2] = position, (1 << width) - 1
    parts, end = [header], RECORDS
    header[FIRST_CHANNEL] = end
    channels = config.channels
    total = (channels * CHANNEL_WORDS) + channels * _channel_size(config)
    requests = channels * (2 * config.trans_queue_size + int(header[QUEUES]) * config.cmd_queue_size)
    if total + requests * REQUEST_WORDS > 1 << 27:
        raise CgsimError(f"{config.name}: banks and queues are too many or too large to simulate")
    records = np.zeros(total, np.int64)
    _lay_out(records, end, header, config)
    parts.append(records)
    end += total
    header[FREE] = end
    parts.append(_free_list(end, requests, REQUEST_WORDS, LINK))
    end += requests * REQUEST_WORDS
    header[FREE_WAITER] = end
    parts.append(_free_list(end, WAITERS, WAITER_WORDS, WAITER_LINK))
    end += WAITERS * WAITER_WORDS
    header[ARRIVALS], size = end, 1 << (int(header[READ_DELAY]) + 2).bit_length()
    header[ARRIVALS_MASK] = size - 1
    parts.append(np.zeros(size, np.int64))
    end += size
    header[LOG], header[LOG_LINES] = end, log_capacity
    parts.append(np.full(9 * log_capacity, -1, np.int64))
    header[NOW] = 1  # the tool ticks before it offers: nothing happens in tick 0
    start = np.concatenate(parts)
    return _parts(start.copy(), start)


def _free_list(first: int, count: int, size: int, link: int) -> np.ndarray:
    records = np.zeros((count, size), np.int64)
    records[:-1, link] = first + size * np.arange(1, count)
    return records.reshape(-1)


def _channel_size(config: Config) -> int:
    """Words of a channel's ranks, groups, banks and queues."""
    groups = config.ranks * config.bank_groups
    banks = groups * config.banks
    queues = config.ranks if config.queue_structure == "PER_RANK" else banks
    size = config.ranks * RANK_WORDS + groups * GROUP_WORDS + banks * BANK_WORDS
    return size + queues * (3 + _queue_size(config))


def _queue_size(config: Config) -> int:
    """Words of a queue's record."""
    return SLOTS + (1 << (config.cmd_queue_size - 1).bit_length())


def _lay_out(records: np.ndarray, first: int, header: np.ndarray, config: Config) -> None:
    """Fill in what records say of each other; `first` is the index of the first word."""
    end = first + config.channels * CHANNEL_WORDS
    per_rank = config.queue_structure == "PER_RANK"
    queues, size = int(header[QUEUES]), _queue_size(config)
    for number in range(config.channels):
        state = first + number * CHANNEL_WORDS
        rank_at, end = end, end + config.ranks * RANK_WORDS
        group_at, end = end, end + config.ranks * config.bank_groups * GROUP_WORDS
        bank_at, end = end, end + config.ranks * config.bank_groups * config.banks * BANK_WORDS
        time_at, end = end, end + 3 * queues
        queue_at, end = end, end + queues * size
        place = state - first
        records[place + NUMBER] = number
        records[place + FIRST_QUEUE], records[place + FIRST_TIME] = queue_at, time_at
        records[place + FIRST_RANK], records[place + FIRST_BANK] = rank_at, bank_at
        records[place + NEXT] = records[place + NEXT_REFRESH] = header[INTERVAL]
        records[time_at - first : time_at - first + queues] = NEVER
        records[time_at - first + queues : time_at - first + 3 * queues] = ZERO
        for at in range(config.ranks * config.bank_groups * config.banks):
            group = at // config.banks
            rank = group // config.bank_groups
            queue = rank if per_rank else at
            bank = records[bank_at - first + at * BANK_WORDS :]
            bank[ROW], bank[GROUP] = -1, group_at + group * GROUP_WORDS
            bank[RANK] = rank_at + rank * RANK_WORDS
            bank[QUEUE], bank[TIME] = queue_at + queue * size, time_at + queue
            bank[GROUP_NUMBER], bank[BANK_NUMBER] = group % config.bank_groups, at % config.banks
        for rank in range(config.ranks):
            record = records[rank_at - first + rank * RANK_WORDS :]
            record[OF_CHANNEL], record[RANK_NUMBER] = state, rank
            record[BANKS_FROM] = bank_at + rank * config.bank_groups * config.banks * BANK_WORDS


def _settings(config: Config) -> dict[int, int]:
    t, burst = config.timing, config.burst_cycles
    RL, WL = t["AL"] + t["CL"], t["AL"] + t["CWL"]
    one = "_S" if config.bank_groups == 1 else "_L"
    refresh = REFRESHES.index(config.refresh_policy)
    interval = t["tREFIb"] if refresh == BANK_STAGGERED else t["tREFI"]
    if refresh == STAGGERED:
        interval //= config.ranks
    per_rank = config.queue_structure == "PER_RANK"
    return {
        CHANNELS: config.channels,
        RANKS: config.ranks,
        GROUPS: config.bank_groups,
        BANKS: config.banks,
        QUEUES: config.ranks if per_rank else config.ranks * config.bank_groups * config.banks,
        DEPTH: config.cmd_queue_size,
        QUEUE_SIZE: _queue_size(config),
        SLOTS_MASK: _queue_size(config) - SLOTS - 1,
        ROOM: config.trans_queue_size,
        INJ: config.inj,
        LIMIT: config.max_outstanding,
        UNIFIED: config.unified_queue,
        PER_RANK: per_rank,
        CLOSE: config.row_buf_policy == "CLOSE_PAGE",
        DUAL: config.hbm_dual_cmd,
        TPPD: config.standard == "LPDDR4",
        REFRESH: refresh,
        INTERVAL: max(1, interval),
        BURST: burst,
        READ_DELAY: RL + burst,
        RD_RD_L: max(burst, t["tCCD" + one]),
        RD_RD_S: max(burst, t["tCCD_S"]),
        RD_RD_O: burst + t["tRTRS"],
        RD_WR: RL + burst - WL + t["tRTRS"],
        RD_WR_O: RL + burst + t["tRTRS"] - WL,
        WR_RD_L: WL + burst + t["tWTR" + one],
        WR_RD_S: WL + burst + t["tWTR_S"],
        WR_RD_O: WL + burst + t["tRTRS"] - RL,
        WR_WR_O: burst,
        RD_PRE: t["AL"] + t["tRTP"],
        WR_PRE: WL + burst + t["tWR"],
        ACT_ACT: t["tRAS"] + t["tRP"],
        ACT_ACT_L: t["tRRD" + one],
        ACT_ACT_S: t["tRRD_S"],
        ACT_RD: t["tRCDRD"] if config.hbm else t["tRCD"] - t["AL"],
        ACT_WR: t["tRCDWR"] if config.hbm else t["tRCD"] - t["AL"],
        ACT_PRE: t["tRAS"],
        ACT_FAW: t["tFAW"],
        PRE_ACT: t["tRP"],
        PRE_PRE: t["tPPD"],
        REF_ACT: t["tRFC"],
        REFB_REFB: t["tREFI"],
        SHIFT: config.request_bytes.bit_length() - 1,
    }
