"""What a command does under the DRAMsim3 policy: bank states, earliest clocks of others, counters, log."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.counters import (
    ACT,
    ACTIVATES,
    ACTIVE_CYCLES,
    BANK_REFRESHES,
    COMMANDS_LOGGED,
    DATA_CYCLES,
    IDLE_CYCLES,
    LAST_RETURN,
    LATENCY_BINS,
    LATENCY_MAX,
    LATENCY_SUM,
    PRE,
    PRECHARGES,
    RD,
    RDA,
    READ_COMMANDS,
    READ_ROW_HITS,
    REF,
    REFB,
    REFRESHES,
    ROW_HITS,
    WRA,
    WRITE_COMMANDS,
    WRITE_ROW_HITS,
)
from cgsim.dram.dramsim_state import (
    ACCEPTED,
    ADDRESS,
    BANK_ACT,
    BANK_PRE,
    BANK_RD,
    BANK_REF,
    BANK_REFB,
    BANK_STAGGERED,
    BANK_WR,
    BUCKETS,
    CHAIN,
    COLUMN,
    FAW,
    FREE,
    FREE_WAITER,
    GROUP_ACT,
    GROUP_RD,
    GROUP_WR,
    HITS,
    LINK,
    OLDEST,
    OPEN,
    RANK_ACT,
    RANK_PRE,
    RANK_RD,
    RANK_REF,
    RANK_WR,
    REQUEST_ROW,
    ROW,
    SINCE,
    TAG,
    WAITER,
    WRITE,
    Dramsim,
)


@njit(cache=True, inline="always")
def bucket_of(address: int) -> int:
    """Bucket of an address among pending requests."""
    return ((address * 0x1E3779B97F4A7C15) >> 40) & (BUCKETS - 1)


@njit(cache=True)
def issue(c: Dramsim, command: int, bank: int, entry: int, now: int) -> None:
    """Carry out `command` on a bank, numbered over all channels, for a request of the pool or none (-1)."""
    rank = bank // c.rank_banks
    if c.counts[COMMANDS_LOGGED] < len(c.log):
        _log(c, command, bank, entry, now)
    c.counts[COMMANDS_LOGGED] += 1
    if command == ACT:
        _activate(c, bank, rank, c.pool[entry, REQUEST_ROW], now)
    elif command == PRE:
        c.counts[PRECHARGES] += 1
        c.banks[bank, BANK_ACT] = max(c.banks[bank, BANK_ACT], now + c.pre_act)
        _close(c, bank, rank, now + c.pre_act, now)
        if c.tppd_holds:
            c.ranks[rank, RANK_PRE] = now + c.pre_pre
    elif command == REF:
        c.counts[REFRESHES] += 1
        c.ranks[rank, RANK_ACT] = max(c.ranks[rank, RANK_ACT], now + c.ref_act)
        c.ranks[rank, RANK_REF] = now + c.ref_act
    elif command == REFB:
        c.counts[BANK_REFRESHES] += 1
        for other in range(rank * c.rank_banks, (rank + 1) * c.rank_banks):
            if other != bank:
                c.banks[other, BANK_ACT] = max(c.banks[other, BANK_ACT], now + c.ref_act)
                c.banks[other, BANK_REFB] = max(c.banks[other, BANK_REFB], now + c.refb_refb)
    else:
        _column(c, command, bank, rank, entry, now)


@njit(cache=True)
def _activate(c: Dramsim, bank: int, rank: int, row: int, now: int) -> None:
    c.counts[ACTIVATES] += 1
    banks, ranks = c.banks, c.ranks
    banks[bank, ROW] = row
    banks[bank, HITS] = 0
    banks[bank, BANK_ACT] = max(banks[bank, BANK_ACT], now + c.act_act)
    banks[bank, BANK_RD] = now + c.act_rd
    banks[bank, BANK_WR] = now + c.act_wr
    banks[bank, BANK_PRE] = max(banks[bank, BANK_PRE], now + c.act_pre)
    group = bank // c.banks_each
    c.groups[group, GROUP_ACT] = max(c.groups[group, GROUP_ACT], now + c.act_act_l)
    ranks[rank, RANK_ACT] = max(ranks[rank, RANK_ACT], now + c.act_act_s)
    oldest = ranks[rank, OLDEST]
    ranks[rank, FAW + oldest] = now + c.faw
    ranks[rank, OLDEST] = (oldest + 1) & 3
    if ranks[rank, OPEN] == 0:
        c.counts[IDLE_CYCLES] += now - ranks[rank, SINCE]
        ranks[rank, SINCE] = now
    ranks[rank, OPEN] += 1
    if c.refresh == BANK_STAGGERED:
        for other in range(rank * c.rank_banks, (rank + 1) * c.rank_banks):
            if other != bank:
                banks[other, BANK_REFB] = max(banks[other, BANK_REFB], now + c.act_act)


@njit(cache=True)
def _close(c: Dramsim, bank: int, rank: int, ready: int, now: int) -> None:
    """Close the row; the bank can be refreshed at `ready`."""
    banks, ranks = c.banks, c.ranks
    banks[bank, ROW] = -1
    banks[bank, HITS] = 0
    banks[bank, BANK_REF] = max(banks[bank, BANK_REF], ready)
    banks[bank, BANK_REFB] = max(banks[bank, BANK_REFB], ready)
    ranks[rank, OPEN] -= 1
    if ranks[rank, OPEN] == 0:
        c.counts[ACTIVE_CYCLES] += now - ranks[rank, SINCE]
        ranks[rank, SINCE] = now


@njit(cache=True)
def _column(c: Dramsim, command: int, bank: int, rank: int, entry: int, now: int) -> None:
    counts, banks, ranks, groups = c.counts, c.banks, c.ranks, c.groups
    read = command in (RD, RDA)
    counts[DATA_CYCLES] += c.burst
    hit = banks[bank, HITS] > 0
    banks[bank, HITS] += 1
    group = bank // c.banks_each
    if read:
        counts[READ_COMMANDS] += 1
        counts[READ_ROW_HITS] += hit
        same_l, same_s, same_o = now + c.rd_rd_l, now + c.rd_rd_s, now + c.rd_rd_o
        turn_l = turn_s = now + c.rd_wr
        turn_o, closing = now + c.rd_wr_o, now + c.rd_pre
        SAME_G, TURN_G, SAME, TURN = GROUP_RD, GROUP_WR, RANK_RD, RANK_WR
    else:
        counts[WRITE_COMMANDS] += 1
        counts[WRITE_ROW_HITS] += hit
        same_l, same_s, same_o = now + c.rd_rd_l, now + c.rd_rd_s, now + c.wr_wr_o
        turn_l, turn_s = now + c.wr_rd_l, now + c.wr_rd_s
        turn_o, closing = now + c.wr_rd_o, now + c.wr_pre
        SAME_G, TURN_G, SAME, TURN = GROUP_WR, GROUP_RD, RANK_WR, RANK_RD
    counts[ROW_HITS] += hit
    groups[group, SAME_G] = max(groups[group, SAME_G], same_l)
    groups[group, TURN_G] = max(groups[group, TURN_G], turn_l)
    ranks[rank, SAME] = max(ranks[rank, SAME], same_s)
    ranks[rank, TURN] = max(ranks[rank, TURN], turn_s)
    if c.ranks_each > 1:
        first = rank // c.ranks_each * c.ranks_each
        for other in range(first, first + c.ranks_each):
            if other != rank:
                ranks[other, SAME] = max(ranks[other, SAME], same_o)
                ranks[other, TURN] = max(ranks[other, TURN], turn_o)
    if command in (RDA, WRA):
        ready = closing + c.pre_act
        banks[bank, BANK_ACT] = max(banks[bank, BANK_ACT], ready + c.burst if read else ready)
        _close(c, bank, rank, ready, now)
    else:
        banks[bank, BANK_PRE] = max(banks[bank, BANK_PRE], closing)
    if read:
        _answer(c, entry, now + c.read_delay)
    _forget(c, entry)


@njit(cache=True, inline="always")
def answered(c: Dramsim, accepted: int, tag: int, at: int) -> None:
    """A read accepted in clock `accepted` has its data in clock `at`."""
    counts, latency = c.counts, at - accepted
    counts[LATENCY_SUM] += latency
    counts[LATENCY_MAX] = max(counts[LATENCY_MAX], latency)
    counts[LAST_RETURN] = max(counts[LAST_RETURN], at)
    c.latency[min(latency >> 2, LATENCY_BINS - 1)] += 1
    if tag >= 0:
        c.tags[tag, 0] -= 1
        c.tags[tag, 1] = max(c.tags[tag, 1], at)
    if c.max_outstanding:
        c.arrivals[at & (len(c.arrivals) - 1)] += 1


@njit(cache=True)
def _answer(c: Dramsim, entry: int, at: int) -> None:
    """Data for a read and for those merged into it."""
    pool, waiters, scalars = c.pool, c.waiters, c.scalars
    answered(c, pool[entry, ACCEPTED], pool[entry, TAG], at)
    waiter = pool[entry, WAITER]
    while waiter >= 0:
        answered(c, waiters[waiter, 0], waiters[waiter, 1], at)
        following = waiters[waiter, 2]
        waiters[waiter, 2] = scalars[FREE_WAITER]
        scalars[FREE_WAITER] = waiter
        waiter = following


@njit(cache=True)
def _forget(c: Dramsim, entry: int) -> None:
    """Take a request out of the table of pending ones and of the pool."""
    pool, buckets = c.pool, c.buckets
    bucket = bucket_of(pool[entry, ADDRESS])
    at = buckets[bucket]
    if at == entry:
        buckets[bucket] = pool[entry, CHAIN]
    else:
        while pool[at, CHAIN] != entry:
            at = pool[at, CHAIN]
        pool[at, CHAIN] = pool[entry, CHAIN]
    pool[entry, LINK] = c.scalars[FREE]
    c.scalars[FREE] = entry


@njit(cache=True)
def _log(c: Dramsim, command: int, bank: int, entry: int, now: int) -> None:
    line: np.ndarray = c.log[c.counts[COMMANDS_LOGGED]]
    line[:] = -1
    rank = bank // c.rank_banks
    line[0], line[1] = now, command
    line[2], line[3] = rank // c.ranks_each, rank % c.ranks_each
    if command != REF:
        line[4], line[5] = bank // c.banks_each % c.groups_each, bank % c.banks_each
    if entry >= 0:
        line[6], line[7], line[8] = c.pool[entry, REQUEST_ROW], c.pool[entry, COLUMN], c.pool[entry, WRITE]
