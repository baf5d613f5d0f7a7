"""State of the default controller: arrays, and what their columns mean. All times in DRAM clocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.counters import COUNTERS, LATENCY_BINS, TAGS

NEVER = 1 << 60
"""Later than anything."""

READ, WRITE, ACTIVATE, PRECHARGE = range(4)
"""Kinds of commands, and the columns of banks, groups, ranks that tell when the next may be issued at the earliest."""
NONE = -1

(
    KIND,
    PRIORITY,
    HEAD,
    _HEAD_WRITE,
    TAIL,
    _TAIL_WRITE,
    HIT,
    _HIT_WRITE,
    WAITING,
    _WAITING_WRITE,
    OPEN,
    SERVED,
    OPENED,
    REFRESHED,
    PLACE,
    BANK_COLUMNS,
) = range(4, 20)
"""Columns of a bank. KIND, PRIORITY: of its candidate. HEAD, TAIL, HIT (oldest with the open row), WAITING (how
many): for reads, and one column further for writes. OPEN: its open page (NONE: closed). SERVED: column commands
since ACT. OPENED: clock of ACT. REFRESHED: end of its last refresh. PLACE: in the list of busy banks (NONE: not)."""

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
    RANK_WAITING,
    FAW,
) = range(4, 15)
FAW_PLACE = FAW + 4
RANK_COLUMNS = FAW + 5
"""Columns of a rank. ROUND: mask of the banks refreshed in this round. SINCE: clock of the last change between no
bank open and some. FAW: clocks of the last four ACT."""

TICK, MODE, TURN, QUEUED, _QUEUED_WRITE, COLUMN_BUS, ROW_BUS, NEXT_DUE, DEBTS, BUSY, FREE, _FREE_WRITE = (
    range(12)
)
CHANNEL_COLUMNS = 12
"""Columns of a channel. TICK: the next tick to do. DEBTS: refreshes due in all ranks. BUSY: banks with candidates
to look for. FREE: first free entry of the read queue and of the write queue."""

END, LAST_KIND, LAST_CLOCK, LAST_RANK = range(4)
BUS_COLUMNS = 4
"""Columns of a data bus: end of the last transfer; its command."""

AGE, ARRIVED, WORD, TAG, NEXT, PREVIOUS, CAUSE = range(7)
ENTRY_COLUMNS = 8
"""Columns of a waiting request. WORD: bank, row and column. CAUSE: 0 none, 1 it has opened its row, 2 closed one."""

NOW, TRIED, SEQUENCE, LAST_WRITE, READS_WAITING = range(5)
CLOCK_COLUMNS = 5

TABLES, TABLE_BITS = 3, 11
"""A burst's number is decoded by TABLES look-ups of TABLE_BITS bits each."""


class Settings(NamedTuple):
    """What does not change. Timing in clocks, as `Standard` names it; counts are of one channel (ranks: or
    pseudo-channels) but for `channels`; `kinds` arrays are by READ, WRITE."""

    channels: int
    ranks: int
    groups: int
    banks: int
    row_bits: int
    column_bits: int
    shift: int
    inner: int
    own_bus: bool
    dual: bool
    act_clocks: int
    act_shift: int
    closed: bool
    depth: int
    write_high: int
    write_low: int
    cap: int
    refresh: int
    interval: int
    postponed: int
    inj: int
    outstanding: int
    jump: bool
    cl: int
    cwl: int
    burst: int
    burst_max: int
    rcdr: int
    rcdw: int
    rp: int
    rpab: int
    ras: int
    rc: int
    rtp: int
    wr: int
    ccds: int
    ccdl: int
    rrds: int
    rrdl: int
    faw: int
    wtrs: int
    wtrl: int
    rtw: int
    ppd: int
    cs: int
    wrrdcs: int
    rfc: int
    rfcpb: int
    pbact: int
    pbpb: int


NO_REFRESH, ALL_BANK, PER_BANK = range(3)


class Controller(NamedTuple):
    """A controller: settings, decode tables [TABLES, 2 ** TABLE_BITS], and state that the kernel changes.

    channel, rank, group, bank, bus: one row each (banks of a rank, ranks of a channel are neighbours). entry: the
    waiting requests, [channels, 2 (reads, writes), depth] of them. busy [channels, banks of a channel]. tags
    [TAGS, channels + 1]: reads that wait, by channel; largest return clock. returns: return clocks of the reads under way
    (only with `outstanding`). clock: CLOCK_COLUMNS.
    """

    settings: Settings
    tables: np.ndarray
    channel: np.ndarray
    rank: np.ndarray
    group: np.ndarray
    bank: np.ndarray
    bus: np.ndarray
    entry: np.ndarray
    busy: np.ndarray
    tags: np.ndarray
    returns: np.ndarray
    clock: np.ndarray
    counts: np.ndarray
    latency: np.ndarray
    log: np.ndarray


@njit(cache=True)
def fresh(settings: Settings, tables: np.ndarray, log_capacity: int) -> Controller:
    """A controller at clock 0: banks closed, nothing waiting."""
    s = settings
    ranks = s.channels * s.ranks
    groups = ranks * s.groups
    banks = groups * s.banks
    channel = np.zeros((s.channels, CHANNEL_COLUMNS), np.int64)
    rank = np.zeros((ranks, RANK_COLUMNS), np.int64)
    bank = np.zeros((banks, BANK_COLUMNS), np.int64)
    entry = np.zeros((s.channels * 2 * s.depth, ENTRY_COLUMNS), np.int64)
    bank[:, KIND] = NONE
    bank[:, HEAD : HIT + 2] = NONE
    bank[:, OPEN] = NONE
    bank[:, PLACE] = NONE
    bank[:, REFRESHED] = -NEVER
    rank[:, FAW : FAW + 4] = -NEVER
    rank[:, REFRESH_END] = -NEVER
    for row in range(s.channels):
        channel[row, TURN] = s.depth
        channel[row, NEXT_DUE] = NEVER
        for one in range(s.ranks):
            due = s.interval * (1 if s.own_bus else 2 * one + 1) // (2 if s.own_bus else 2 * s.ranks)
            if s.refresh == NO_REFRESH:
                due = NEVER
            rank[row * s.ranks + one, DUE] = due
            channel[row, NEXT_DUE] = min(channel[row, NEXT_DUE], due)
        for kind in range(2):
            begin = (row * 2 + kind) * s.depth
            channel[row, FREE + kind] = begin
            for at in range(s.depth):
                entry[begin + at, NEXT] = begin + at + 1 if at + 1 < s.depth else NONE
    bus = np.zeros((ranks if s.own_bus else s.channels, BUS_COLUMNS), np.int64)
    bus[:, LAST_KIND] = NONE
    tags = np.zeros((TAGS, s.channels + 1), np.int64)
    return Controller(
        s,
        tables,
        channel,
        rank,
        np.zeros((groups, 4), np.int64),
        bank,
        bus,
        entry,
        np.zeros((s.channels, banks // s.channels), np.int64),
        tags,
        np.full(s.outstanding, -1, np.int64),
        np.zeros(CLOCK_COLUMNS, np.int64),
        np.zeros(COUNTERS, np.int64),
        np.zeros(LATENCY_BINS, np.int64),
        np.full((log_capacity, 9), -1, np.int64),
    )


@njit(cache=True)
def renew(c: Controller) -> Controller:
    """A fresh controller of the same settings."""
    return fresh(c.settings, c.tables, len(c.log))
