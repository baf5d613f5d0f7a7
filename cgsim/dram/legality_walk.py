"""The checker's walk over a log: one pass that remembers, for every bank, group, rank and bus, who came last.

A distance that must be kept from every earlier command of a kind is kept if it is kept from the last one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.command_log import BUS_ONLY
from cgsim.dram.counters import ACT, COMMANDS, PRE, PREA, RD, RDA, REF, REFB, WRA
from cgsim.dram.legal_timings import Timings

_BUS_ONLY = len(COMMANDS)
_CODES = _BUS_ONLY + len(BUS_ONLY)
RULES = 30
(
    ORDER, ADDRESS, COMMAND_BUS, DATA_BUS, BANK_CLOSED, OTHER_ROW, BANK_OPEN, REFRESH_OPEN, RCD, RP, RAS, RC,
    RRD_S, RRD_L, FAW, CCD_S, CCD_L, WTR_S, WTR_L, RTP, WR, READ_TO_WRITE, RANK_SWITCH, AUTO_PRECHARGE, PPD,
    RFC, RFC_BANK, RREFD, REFI, REFRESH_ROUND,
) = np.arange(RULES, dtype=np.int64)  # fmt: skip
"""Codes of `legality.RULES`, in their order. NumPy's integers: for each plain one, Numba compiles anew."""

_NONE, _ZERO, _ONE = np.arange(-1, 2, dtype=np.int64)


# Columns of `bank`, `group` and `rank`: lines of the last commands of each kind, -1 where there was none.
# CLOSING is the RDA or WRA that closed a bank, whose precharge is over at clock CLOSED; ROW the open one or
# -1; ROUND 1 if refreshed in this round; REFRESHES those that count, LAST_REFRESH the last of them, REF or
# REFB. FOUR: of a rank's ACTs, the one four back at FOUR + activates % 4.
_ACTIVATED, _PRECHARGED, _READ, _WRITTEN, _BANK_REFRESHED = range(5)
_CLOSING, _CLOSED, _ROW, _ROUND, _REFRESHES, _LAST_REFRESH, _BANK_STATE = range(5, 12)
_ALL_PRECHARGED, _ALL_REFRESHED, _ACTIVATES, _FOUR = range(5, 9)
_RANK_STATE = _FOUR + 4


class _Seen(NamedTuple):
    """What the walk knows: the log, the clock `at` which each line counts, what came last, what was found."""

    log: Any
    at: Any
    t: Timings
    counts: Any
    found: Any
    bank: Any
    group: Any
    rank: Any
    bus: Any


def walk(log: np.ndarray, t: Timings, end: int, counts: np.ndarray, found: np.ndarray) -> None:
    """Count violations by rule in `counts` (all of them in its last entry) and put the first into `found`.

    A row of `found`: rule, line of the earlier command, of the later one (-1: none), needed and found clocks.
    `end`: clock up to which refreshes are due, if it is later than the last command.
    """
    ranks = t.channels * t.ranks
    groups = ranks * t.bank_groups
    seen = _Seen(
        log,
        log[:, 0] + (log[:, 1] == ACT) * t.activate_shift,
        t,
        counts,
        found,
        np.full((groups * t.banks, _BANK_STATE), -1, np.int64),
        np.full((groups, 4), -1, np.int64),
        np.full((ranks, _RANK_STATE), -1, np.int64),
        np.full((t.channels, 2), -1, np.int64),
    )
    seen.bank[:, _ROUND] = seen.bank[:, _REFRESHES] = 0
    seen.rank[:, _ACTIVATES] = 0
    # Without refreshes of single banks, all banks of a rank are alike: look at the first.
    stride = 1 if (log[:, 1] == REFB).any() else t.bank_groups * t.banks
    _walk(seen, end, stride)


@njit(cache=True)
def _walk(seen, end, stride):  # type: ignore[no-untyped-def]
    log, t = seen.log, seen.t
    per_rank = t.bank_groups * t.banks
    clock = 0
    for i in range(len(log)):
        clock, command, channel = log[i, 0], log[i, 1], log[i, 2]
        if i > 0 and clock < log[i - 1, 0]:
            _report(seen, ORDER, i - 1, i, _ZERO, clock - log[i - 1, 0])
        of_rank = command in (PREA, REF) or command >= _BUS_ONLY
        group = 0 if of_rank else log[i, 4]
        bank = 0 if of_rank else log[i, 5]
        there = 0 <= channel < t.channels and 0 <= log[i, 3] < t.ranks
        there = there and 0 <= group < t.bank_groups and 0 <= bank < t.banks
        if not there or not 0 <= command < _CODES:
            _report(seen, ADDRESS, _NONE, i, _NONE, _ZERO)
            continue
        r = channel * t.ranks + log[i, 3]
        g = r * t.bank_groups + group
        b = g * t.banks + bank
        lane = 1 if t.command_buses == 2 and RD <= command <= WRA else 0
        busy = seen.bus[channel, lane]
        if busy >= 0:
            held = t.activate_clocks if log[busy, 1] == ACT else _ONE
            if clock - log[busy, 0] < held:
                _report(seen, COMMAND_BUS, busy, i, held, clock - log[busy, 0])
        seen.bus[channel, lane] = i
        if command >= _BUS_ONLY:
            continue
        _apart(seen, RFC, seen.rank[r, _ALL_REFRESHED], i, t.trfc)
        if not of_rank:
            _apart(seen, RFC_BANK, seen.bank[b, _BANK_REFRESHED], i, t.trfc_bank)
        if command == ACT:
            _activate(seen, i, r, g, b)
        elif command == PRE:
            _precharge(seen, i, r, b, _ONE)
            seen.bank[b, _PRECHARGED] = i
        elif command == PREA:
            _precharge(seen, i, r, r * per_rank, per_rank)
            seen.rank[r, _ALL_PRECHARGED] = i
        elif command == REF:
            _refresh(seen, i, r, r * per_rank, per_rank, stride)
            _refresh_all(seen, i, r, r * per_rank, per_rank)
        elif command == REFB:
            _refresh(seen, i, r, b, _ONE, _ONE)
            _refresh_bank(seen, i, r, b, per_rank)
        else:
            _column(seen, i, channel, r, g, b)
    for b in range(0, len(seen.bank), stride):
        _due(seen, _NONE, max(end, clock), b)


@njit(cache=True)
def _report(seen, rule, earlier, later, needed, distance):  # type: ignore[no-untyped-def]
    total = seen.counts[RULES]
    seen.counts[RULES] += 1
    seen.counts[rule] += 1
    if total < len(seen.found):
        row = seen.found[total]
        row[0], row[1], row[2], row[3], row[4] = rule, earlier, later, needed, distance


@njit(cache=True)
def _apart(seen, rule, earlier, later, needed):  # type: ignore[no-untyped-def]
    """Report if line `later` comes less than `needed` clocks after `earlier` (-1: there was none)."""
    if earlier >= 0 and seen.at[later] - seen.at[earlier] < needed:
        _report(seen, rule, earlier, later, needed, seen.at[later] - seen.at[earlier])


@njit(cache=True)
def _activate(seen, i, r, g, b):  # type: ignore[no-untyped-def]
    t = seen.t
    if seen.bank[b, _ROW] >= 0:
        _report(seen, BANK_OPEN, seen.bank[b, _ACTIVATED], i, _NONE, _ZERO)
    _apart(seen, RC, seen.bank[b, _ACTIVATED], i, t.trc)
    _precharged(seen, i, b)
    _apart(seen, RP, seen.rank[r, _ALL_PRECHARGED], i, t.trp_all)
    _apart(seen, RRD_S, seen.rank[r, _ACTIVATED], i, t.trrd_s)
    _apart(seen, RRD_L, seen.group[g, _ACTIVATED], i, t.trrd_l)
    four = _FOUR + seen.rank[r, _ACTIVATES] % 4
    _apart(seen, FAW, seen.rank[r, four], i, t.tfaw)
    if seen.rank[r, _BANK_REFRESHED] != seen.bank[b, _BANK_REFRESHED]:
        _apart(seen, RREFD, seen.rank[r, _BANK_REFRESHED], i, t.trrefd)
    seen.rank[r, four] = i
    seen.rank[r, _ACTIVATES] += 1
    seen.bank[b, _ACTIVATED] = seen.group[g, _ACTIVATED] = seen.rank[r, _ACTIVATED] = i
    seen.bank[b, _ROW] = max(seen.log[i, 6], 0)
    seen.bank[b, _CLOSING] = seen.bank[b, _READ] = seen.bank[b, _WRITTEN] = -1


@njit(cache=True)
def _precharged(seen, i, b):  # type: ignore[no-untyped-def]
    """Report if bank b is not precharged when line i, an activate or a refresh, comes."""
    _apart(seen, RP, seen.bank[b, _PRECHARGED], i, seen.t.trp)
    before = seen.bank[b, _CLOSING]
    if before >= 0:
        _apart(seen, AUTO_PRECHARGE, before, i, seen.bank[b, _CLOSED] - seen.at[before])


@njit(cache=True)
def _precharge(seen, i, r, first, count):  # type: ignore[no-untyped-def]
    t = seen.t
    for b in range(first, first + count):
        if seen.bank[b, _ROW] >= 0:
            _apart(seen, RAS, seen.bank[b, _ACTIVATED], i, t.tras)
            _apart(seen, RTP, seen.bank[b, _READ], i, t.trtp)
            recovery = t.write_latency + t.burst + t.write_extra + t.twr
            _apart(seen, WR, seen.bank[b, _WRITTEN], i, recovery)
        seen.bank[b, _ROW] = -1
    _apart(seen, PPD, seen.rank[r, _PRECHARGED], i, t.tppd)
    seen.rank[r, _PRECHARGED] = i


@njit(cache=True)
def _column(seen, i, channel, r, g, b):  # type: ignore[no-untyped-def]
    t = seen.t
    command, row = seen.log[i, 1], seen.log[i, 6]
    read = command in (RD, RDA)
    if seen.bank[b, _ROW] < 0:
        _report(seen, BANK_CLOSED, _NONE, i, _NONE, _ZERO)
    elif row >= 0 and seen.bank[b, _ROW] != row:
        _report(seen, OTHER_ROW, seen.bank[b, _ACTIVATED], i, _NONE, _ZERO)
    _apart(seen, RCD, seen.bank[b, _ACTIVATED], i, t.trcd_read if read else t.trcd_write)
    written = t.write_latency + t.burst + t.write_extra
    if read:
        _apart(seen, CCD_S, seen.rank[r, _READ], i, t.tccd_s)
        _apart(seen, CCD_L, seen.group[g, _READ], i, t.tccd_l)
        _apart(seen, WTR_S, seen.rank[r, _WRITTEN], i, written + t.twtr_s)
        _apart(seen, WTR_L, seen.group[g, _WRITTEN], i, written - t.burst + t.burst_group + t.twtr_l)
    else:
        _apart(seen, CCD_S, seen.rank[r, _WRITTEN], i, t.tccd_s_write)
        _apart(seen, CCD_L, seen.group[g, _WRITTEN], i, t.tccd_l_write)
        turn = t.read_latency + t.burst + t.read_to_write_gap - t.write_latency
        _apart(seen, READ_TO_WRITE, seen.rank[r, _READ], i, turn)
    _data_bus(seen, i, channel, r, read)
    if read:
        seen.bank[b, _READ] = seen.group[g, _READ] = seen.rank[r, _READ] = i
    else:
        seen.bank[b, _WRITTEN] = seen.group[g, _WRITTEN] = seen.rank[r, _WRITTEN] = i
    if command in (RDA, WRA):
        precharge = seen.at[i] + (t.trtp if read else written + t.twr)
        if seen.bank[b, _ACTIVATED] >= 0:
            precharge = max(precharge, seen.at[seen.bank[b, _ACTIVATED]] + t.tras)
        seen.bank[b, _CLOSING] = i
        seen.bank[b, _CLOSED] = precharge + t.trp
        seen.bank[b, _ROW] = -1


@njit(cache=True)
def _data_bus(seen, i, channel, r, read):  # type: ignore[no-untyped-def]
    """Data follow the data of earlier column commands on the same bus, with a gap between ranks."""
    t = seen.t
    latency = t.read_latency if read else t.write_latency
    for other in range(channel * t.ranks, (channel + 1) * t.ranks):
        if other != r and t.pseudo_channels:
            continue
        after_read = t.read_latency + t.burst - latency
        after_write = t.write_latency + t.burst - latency
        _apart(seen, DATA_BUS, seen.rank[other, _READ], i, after_read)
        _apart(seen, DATA_BUS, seen.rank[other, _WRITTEN], i, after_write)
        if other != r:
            _apart(seen, RANK_SWITCH, seen.rank[other, _READ], i, after_read + t.trtrs)
            if read:
                _apart(seen, RANK_SWITCH, seen.rank[other, _WRITTEN], i, after_write + t.trtrs)


@njit(cache=True)
def _refresh(seen, i, r, first, count, stride):  # type: ignore[no-untyped-def]
    """What a refresh asks of every bank that it refreshes."""
    _apart(seen, RP, seen.rank[r, _ALL_PRECHARGED], i, seen.t.trp_all)
    for b in range(first, first + count):
        if seen.bank[b, _ROW] >= 0:
            _report(seen, REFRESH_OPEN, seen.bank[b, _ACTIVATED], i, _NONE, _ZERO)
        else:
            _apart(seen, RC, seen.bank[b, _ACTIVATED], i, seen.t.trc)
        _precharged(seen, i, b)
        if b % stride == 0:
            _due(seen, i, seen.log[i, 0], b)


@njit(cache=True)
def _refresh_all(seen, i, r, first, count):  # type: ignore[no-untyped-def]
    for b in range(first, first + count):
        _apart(seen, RFC_BANK, seen.bank[b, _BANK_REFRESHED], i, seen.t.trfc_bank)
        seen.bank[b, _ROUND] = 0
    seen.rank[r, _ALL_REFRESHED] = i


@njit(cache=True)
def _refresh_bank(seen, i, r, b, per_rank):  # type: ignore[no-untyped-def]
    _apart(seen, RREFD, seen.rank[r, _BANK_REFRESHED], i, seen.t.trefresh_gap)
    _apart(seen, RRD_S, seen.rank[r, _ACTIVATED], i, seen.t.trrd_s)
    if seen.bank[b, _ROUND] > 0:
        _report(seen, REFRESH_ROUND, seen.bank[b, _BANK_REFRESHED], i, _NONE, _ZERO)
    seen.bank[b, _ROUND] = 1
    done = 0
    for other in range(r * per_rank, (r + 1) * per_rank):
        done += seen.bank[other, _ROUND]
    if done == per_rank:
        for other in range(r * per_rank, (r + 1) * per_rank):
            seen.bank[other, _ROUND] = 0
    seen.bank[b, _BANK_REFRESHED] = seen.rank[r, _BANK_REFRESHED] = i


@njit(cache=True)
def _due(seen, i, clock, b):  # type: ignore[no-untyped-def]
    """Report if bank b's refresh comes too late at `clock`; line i (-1: the end of the log) is it.

    Refresh n is due at n trefi and may be postponed by `postponed` trefi more, and no two may be further
    apart than that. Up to `pulled_in` refreshes ahead of time count.
    """
    t = seen.t
    if t.trefi <= 0:
        return
    last = seen.bank[b, _LAST_REFRESH]
    before = seen.log[last, 0] if last >= 0 else 0
    until = min(seen.bank[b, _REFRESHES] * t.trefi, before) + (t.postponed + 1) * t.trefi
    if clock > until:
        _report(seen, REFI, last, i, until - before, clock - before)
        seen.bank[b, _REFRESHES] = (clock - 1) // t.trefi - t.postponed  # what was missed is told once
    seen.bank[b, _REFRESHES] = min(seen.bank[b, _REFRESHES] + 1, clock // t.trefi + t.pulled_in)
    seen.bank[b, _LAST_REFRESH] = i
