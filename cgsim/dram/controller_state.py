"""State of the default controller: one int64 array, and where things lie in it. All times in DRAM clocks.

Things (channels, ranks, bank groups, banks, data buses, waiting requests) are records; a record is referred
to by the place of its first word, and the names below are words of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.counters import COUNTERS, LATENCY_BINS, TAGS

NEVER = 1 << 60
"""Later than anything."""
NONE = -1

(
    CHANNELS,
    RANKS,
    GROUPS,
    BANKS,
    ROW_BITS,
    COLUMN_BITS,
    SHIFT,
    OWN_BUS,
    DUAL,
    ACT_CLOCKS,
    ACT_SHIFT,
    CLOSED,
    DEPTH,
    WRITE_HIGH,
    WRITE_LOW,
    CAP,
    REFRESH,
    INTERVAL,
    POSTPONED,
    INJ,
    OUTSTANDING,
    JUMP,
    COLUMN_BEGIN,
    COLUMN_WIDTH,
    COLUMN_OUT,
    CL,
    CWL,
    BURST,
    BURST_MAX,
    RCDR,
    RCDW,
    RP,
    RPAB,
    RAS,
    RC,
    RTP,
    WR,
    CCDS,
    CCDL,
    RRDS,
    RRDL,
    FAW,
    WTRS,
    WTRL,
    RTW,
    PPD,
    CS,
    WRRDCS,
    RFC,
    RFCPB,
    PBACT,
    PBPB,
    SETTINGS,
) = range(53)
"""Settings, at the beginning of the array. RANKS (or pseudo-channels) of a channel, GROUPS of a rank, BANKS
of a group; SHIFT: bits of an address within a burst; COLUMN_: bits [begin, begin + width) of a burst's
number are bits of the column and nothing else, from bit `out` up; timing as `Standard` names it."""

NO_REFRESH, ALL_BANK, PER_BANK = range(3)

(
    NOW,
    TRIED,
    SEQUENCE,
    LAST_WRITE,
    READS_WAITING,
    AT_CHANNELS,
    AT_RANKS,
    AT_GROUPS,
    AT_BANKS,
    AT_BUSES,
    AT_ENTRIES,
    AT_BUSY,
    AT_TAGS,
    AT_RETURNS,
    RETURNS,
    AT_LOG,
    LOG_CAPACITY,
    AT_OLDER,
    AT_NEWER,
    AT_SAVED,
    AT_SAVING,
    TAKEN,
    JUMPED,
    FOREVER,
    AT_COUNTS,
) = range(SETTINGS, SETTINGS + 25)
"""NOW, TRIED: the clock, and requests offered in it. SEQUENCE: requests accepted. LAST_WRITE: end of the
last write's data. RETURNS: how many reads have got their command and are listed with their return clock.
AT_OLDER to TAKEN: see controller_jump; JUMPED: requests not simulated one by one. FOREVER: NEVER. AT_:
where the records begin. AT_COUNTS is the place of the counts itself."""
AT_LATENCY = AT_COUNTS + COUNTERS
FIXED = AT_LATENCY + LATENCY_BINS

READ, WRITE, ACTIVATE, PRECHARGE = range(4)
"""Kinds of commands; in banks, groups, ranks the word of that number is the clock before which there is
none."""

(
    KIND,
    PRIORITY,
    EARLIEST,
    HEAD,
    _HEAD_WRITE,
    TAIL,
    _TAIL_WRITE,
    HIT,
    _HIT_WRITE,
    OPEN,
    SERVED,
    OPENED,
    REFRESHED,
    PLACE,
    INDEX,
    GROUP,
    RANK,
    CHANNEL,
    BUS,
    BANK_WORDS,
) = range(4, 24)
"""Of a bank. KIND, PRIORITY, EARLIEST: its candidate. HEAD, TAIL, HIT (oldest with the open row): waiting
reads, and one word further writes. OPEN: its open page (NONE: closed). SERVED: column commands since ACT.
OPENED: clock of ACT. REFRESHED: end of its last refresh. PLACE: in the list of busy banks (NONE: not).
INDEX: of all banks."""

GROUP_WORDS = 4

(
    REFRESH_NEXT,
    BANK_REFRESH_NEXT,
    DUE,
    DEBT,
    FORCED,
    ROUND,
    OPEN_BANKS,
    SINCE,
    REFRESH_END,
    WAITING,
    LAST_IDLE,
    HELD,
    FIRST_BANK,
    RANK_INDEX,
    ACTS_PLACE,
    ACTS,
) = range(4, 20)
RANK_WORDS = ACTS + 4
"""Of a rank. ROUND: mask of the banks refreshed in this round. SINCE: clock of the last change between no
bank open and some. WAITING: requests; LAST_IDLE: the last clock at which there was none left. HELD: bank
that waits for its refresh (NONE: no bank). ACTS: clocks of the last four ACT."""

(
    TICK,
    MODE,
    TURN,
    QUEUED,
    _QUEUED_WRITE,
    COLUMN_BUS,
    ROW_BUS,
    NEXT_DUE,
    DEBTS,
    BUSY,
    FREE,
    _FREE_WRITE,
    FIRST_RANK,
    BUSY_LIST,
    CHANNEL_INDEX,
    NEXT_PLACE,
    NEXT_KIND,
    NEXT_READY,
    NEXT_PRIORITY,
    CHANNEL_WORDS,
) = range(20)
"""Of a channel. TICK: the next tick to do. DEBTS: refreshes due in all ranks. BUSY: how many banks have
requests; BUSY_LIST: where they are listed. NEXT_: the next command if nothing is offered (NEXT_READY NONE:
not known). FREE: first free record of the read queue and of the write
queue."""

END, LAST_KIND, LAST_CLOCK, LAST_RANK, BUS_WORDS = range(5)
"""Of a data bus: end of the last transfer; its command."""

AGE, ARRIVED, WORD, TAG, NEXT, PREVIOUS, CAUSE, ENTRY_WORDS = range(8)
"""Of a waiting request. WORD: bank, row and column. CAUSE: 0 none, 1 it has opened its row, 2 closed
another."""

TABLES, TABLE_BITS = 3, 11
"""A burst's number is decoded by TABLES look-ups of TABLE_BITS bits each."""
LOG_WORDS = 9


class Controller(NamedTuple):
    """A controller: its state, decode tables int64 [TABLES, 2 ** TABLE_BITS], and views of the state."""

    state: np.ndarray
    tables: np.ndarray
    counts: np.ndarray
    latency: np.ndarray
    log: np.ndarray


@njit(cache=True)
def word_of(tables: np.ndarray, burst: int) -> int:
    """Bank (of all), row and column of a burst by its number, in one number."""
    mask = (1 << TABLE_BITS) - 1
    return (
        tables[0, burst & mask]
        ^ tables[1, (burst >> TABLE_BITS) & mask]
        ^ tables[2, (burst >> (2 * TABLE_BITS)) & mask]
    )


@njit(cache=True)
def fresh(settings: np.ndarray, tables: np.ndarray, log_capacity: int) -> Controller:
    """A controller at clock 0: banks closed, nothing waiting. `settings`: int64 [SETTINGS]."""
    channels, ranks = settings[CHANNELS], settings[CHANNELS] * settings[RANKS]
    groups = ranks * settings[GROUPS]
    banks = groups * settings[BANKS]
    buses = ranks if settings[OWN_BUS] else channels
    depth = settings[DEPTH]
    at_channels = FIXED
    at_ranks = at_channels + channels * CHANNEL_WORDS
    at_groups = at_ranks + ranks * RANK_WORDS
    at_banks = at_groups + groups * GROUP_WORDS
    at_buses = at_banks + banks * BANK_WORDS
    at_entries = at_buses + buses * BUS_WORDS
    at_busy = at_entries + channels * 2 * depth * ENTRY_WORDS
    at_tags = at_busy + banks
    at_returns = at_tags + TAGS * (channels + 1)
    at_log = at_returns + settings[OUTSTANDING]
    at_older = at_log + log_capacity * LOG_WORDS
    picture = 16 + channels * 16 + ranks * 16 + groups * 4 + banks * 16 + channels * 2 * depth * 4 + buses * 4
    picture += settings[OUTSTANDING] + 1
    at_saved = at_older + 2 * picture
    saved = 4 + FIXED - AT_COUNTS + banks
    m = np.zeros(at_saved + 2 * saved, np.int64)
    m[:SETTINGS] = settings[:SETTINGS]
    m[AT_CHANNELS], m[AT_RANKS], m[AT_GROUPS], m[AT_BANKS] = at_channels, at_ranks, at_groups, at_banks
    m[AT_BUSES], m[AT_ENTRIES], m[AT_BUSY], m[AT_TAGS] = at_buses, at_entries, at_busy, at_tags
    m[AT_RETURNS], m[AT_LOG], m[LOG_CAPACITY] = at_returns, at_log, log_capacity
    m[AT_OLDER], m[AT_NEWER] = at_older, at_older + picture
    m[AT_SAVED], m[AT_SAVING], m[TAKEN], m[FOREVER] = at_saved, at_saved + saved, NONE, NEVER
    for index in range(channels):
        _channel(m, index)
    for index in range(ranks):
        rank = at_ranks + index * RANK_WORDS
        m[rank + RANK_INDEX] = index
        m[rank + FIRST_BANK] = at_banks + index * m[GROUPS] * m[BANKS] * BANK_WORDS
        m[rank + REFRESH_END] = -NEVER
        m[rank + HELD] = NONE
        m[rank + ACTS : rank + ACTS + 4] = -NEVER
    for index in range(banks):
        bank = at_banks + index * BANK_WORDS
        m[bank + KIND] = NONE
        m[bank + HEAD : bank + OPEN + 1] = NONE
        m[bank + REFRESHED] = -NEVER
        m[bank + PLACE] = NONE
        m[bank + INDEX] = index
        group = index // m[BANKS]
        rank = group // m[GROUPS]
        channel = rank // m[RANKS]
        m[bank + GROUP] = at_groups + group * GROUP_WORDS
        m[bank + RANK] = at_ranks + rank * RANK_WORDS
        m[bank + CHANNEL] = at_channels + channel * CHANNEL_WORDS
        m[bank + BUS] = at_buses + (rank if m[OWN_BUS] else channel) * BUS_WORDS
    for index in range(buses):
        m[at_buses + index * BUS_WORDS + LAST_KIND] = NONE
    m[at_log:at_older] = -1
    log = m[at_log:at_older].reshape((log_capacity, LOG_WORDS))
    return Controller(m, tables, m[AT_COUNTS:AT_LATENCY], m[AT_LATENCY:FIXED], log)


@njit(cache=True)
def _channel(m: np.ndarray, index: int) -> None:
    here = m[AT_CHANNELS] + index * CHANNEL_WORDS
    banks = m[RANKS] * m[GROUPS] * m[BANKS]
    m[here + CHANNEL_INDEX] = index
    m[here + TURN] = m[DEPTH]
    m[here + FIRST_RANK] = m[AT_RANKS] + index * m[RANKS] * RANK_WORDS
    m[here + BUSY_LIST] = m[AT_BUSY] + index * banks
    m[here + NEXT_DUE] = NEVER
    m[here + NEXT_READY] = NONE
    for one in range(m[RANKS]):
        due = NEVER
        if m[REFRESH] != NO_REFRESH:  # pseudo-channels together, ranks one after the other
            due = m[INTERVAL] // 2 if m[OWN_BUS] else m[INTERVAL] * (2 * one + 1) // (2 * m[RANKS])
        m[m[here + FIRST_RANK] + one * RANK_WORDS + DUE] = due
        m[here + NEXT_DUE] = min(m[here + NEXT_DUE], due)
    for kind in range(2):
        entry = m[AT_ENTRIES] + (index * 2 + kind) * m[DEPTH] * ENTRY_WORDS
        m[here + FREE + kind] = entry
        for at in range(m[DEPTH]):
            m[entry + NEXT] = entry + ENTRY_WORDS if at + 1 < m[DEPTH] else NONE
            entry += ENTRY_WORDS


@njit(cache=True)
def renew(c: Controller) -> Controller:
    """A fresh controller of the same settings."""
    return fresh(c.state, c.tables, len(c.log))
