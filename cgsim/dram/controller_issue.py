"""What a command of the default controller does to the state (docs/dram.md, Default policy)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import controller_state as at
from cgsim.dram.controller_losses import other_rank, share_out
from cgsim.dram.controller_state import ACTIVATE, AT_COUNTS, NONE, PRECHARGE, READ, WRITE
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
    ONDEMAND_PRECHARGES,
    PRE,
    PREA,
    PRECHARGES,
    RD,
    RDA,
    READ_COMMANDS,
    READ_ROW_HITS,
    REF,
    REFB,
    REFRESHES,
    ROW_CONFLICTS,
    ROW_HITS,
    ROW_MISSES,
    WRITE_COMMANDS,
    WRITE_ROW_HITS,
)
from cgsim.dram.kernels import integer

_COLUMN, _OWN, _OTHER = 1 << 56, 2 << 56, 3 << 56
"""Priorities of a column command, of a row command for a request of the mode and of the other one; the
request's age is added. With two buses the column command of a clock comes before the row command."""
_NONE, _NO = integer(NONE), integer(0)
_HOLD = 4
"""A row that waiting requests want and that has served none is kept for so many tRC."""


@njit(cache=True)
def candidate(m: np.ndarray, bank: int, mode: int) -> None:
    """Decide the command that the bank wants next."""
    direction, priority = mode, _OWN
    head = m[bank + at.HEAD + mode]
    if head != NONE:
        hit = m[bank + at.HIT + mode]
        if hit != NONE and (m[bank + at.SERVED] < m[at.CAP] or hit == head):
            m[bank + at.KIND] = mode
            m[bank + at.PRIORITY] = (-_COLUMN if m[at.DUAL] else _COLUMN) + m[hit + at.AGE]
            m[bank + at.EARLIEST] = 0
            return
    else:
        direction, priority = 1 - mode, _OTHER
        head = m[bank + at.HEAD + direction]
        if head == NONE or m[bank + at.HIT + direction] != NONE:
            m[bank + at.KIND] = NONE
            return
    m[bank + at.PRIORITY] = priority + m[head + at.AGE]
    m[bank + at.EARLIEST] = 0
    if m[bank + at.OPEN] == NONE:
        m[bank + at.KIND] = ACTIVATE
        return
    m[bank + at.KIND] = PRECHARGE
    if m[bank + at.SERVED] == 0 and (m[bank + at.HIT] != NONE or m[bank + at.HIT + WRITE] != NONE):
        m[bank + at.EARLIEST] = m[bank + at.OPENED] + _HOLD * m[at.RC]


@njit(cache=True, inline="always")
def _later(m, word, clock):  # type: ignore[no-untyped-def]
    """No such command before `clock`."""
    if m[word] < clock:
        m[word] = clock


@njit(cache=True)
def write_log(m: np.ndarray, clock: int, code: int, rank: int, bank: int, word: int, write: int) -> None:
    """Log a command: of a bank (NONE: of the rank), row and column of `word` (NONE: none)."""
    place = m[AT_COUNTS + COMMANDS_LOGGED]
    m[AT_COUNTS + COMMANDS_LOGGED] += 1
    if place >= m[at.LOG_CAPACITY]:
        return
    row = m[at.AT_LOG] + place * at.LOG_WORDS
    index = m[rank + at.RANK_INDEX]
    m[row], m[row + 1], m[row + 2], m[row + 3] = clock, code, index // m[at.RANKS], index % m[at.RANKS]
    if bank != NONE:
        index = m[bank + at.INDEX]
        m[row + 4], m[row + 5] = index // m[at.BANKS] % m[at.GROUPS], index % m[at.BANKS]
    if word != NONE:
        m[row + 6] = (word >> m[at.COLUMN_BITS]) & ((1 << m[at.ROW_BITS]) - 1)
        if RD <= code < REF:
            m[row + 7] = word & ((1 << m[at.COLUMN_BITS]) - 1)
    m[row + 8] = write


@njit(cache=True)
def _find(m: np.ndarray, entry: int, page: int) -> int:
    """The first of the requests from `entry` on that has the page."""
    while entry != NONE and m[entry + at.WORD] >> m[at.COLUMN_BITS] != page:
        entry = m[entry + at.NEXT]
    return entry


@njit(cache=True)
def _opened(m: np.ndarray, rank: int, clock: int, change: int) -> None:
    """Banks of the rank open (change > 0) or close."""
    if m[rank + at.OPEN_BANKS] == 0:
        m[AT_COUNTS + IDLE_CYCLES] += clock - m[rank + at.SINCE]
        m[rank + at.SINCE] = clock
    m[rank + at.OPEN_BANKS] += change
    if m[rank + at.OPEN_BANKS] == 0:
        m[AT_COUNTS + ACTIVE_CYCLES] += clock - m[rank + at.SINCE]
        m[rank + at.SINCE] = clock


@njit(cache=True)
def _close(m: np.ndarray, bank: int) -> None:
    m[bank + at.OPEN] = NONE
    m[bank + at.HIT] = NONE
    m[bank + at.HIT + WRITE] = NONE


@njit(cache=True)
def _hold_row_bus(m: np.ndarray, channel: int, until: int) -> None:
    m[channel + at.ROW_BUS] = until
    if not m[at.DUAL]:
        m[channel + at.COLUMN_BUS] = until


@njit(cache=True)
def activate(m: np.ndarray, channel: int, bank: int, clock: int) -> None:
    """ACT for the oldest request that the bank is to serve."""
    rank, group = m[bank + at.RANK], m[bank + at.GROUP]
    mode = m[channel + at.MODE]
    kind = mode if m[bank + at.HEAD + mode] != NONE else 1 - mode
    head = m[bank + at.HEAD + kind]
    page = m[head + at.WORD] >> m[at.COLUMN_BITS]
    if m[head + at.CAUSE] == 0:
        m[head + at.CAUSE] = 1
    m[bank + at.OPEN] = page
    m[bank + at.SERVED] = 0
    m[bank + at.OPENED] = clock
    m[bank + at.HIT + kind] = head
    m[bank + at.HIT + 1 - kind] = _find(m, m[bank + at.HEAD + 1 - kind], page)
    _opened(m, rank, clock, integer(1))
    shifted = clock + m[at.ACT_SHIFT]
    _later(m, bank + READ, shifted + m[at.RCDR])
    _later(m, bank + WRITE, shifted + m[at.RCDW])
    _later(m, bank + ACTIVATE, clock + m[at.RC])
    _later(m, bank + PRECHARGE, shifted + m[at.RAS])
    _later(m, group + ACTIVATE, clock + m[at.RRDL])
    place = m[rank + at.ACTS_PLACE]
    m[rank + at.ACTS + place] = clock
    place = (place + 1) & 3
    m[rank + at.ACTS_PLACE] = place
    _later(m, rank + ACTIVATE, clock + m[at.RRDS])
    _later(m, rank + ACTIVATE, m[rank + at.ACTS + place] + m[at.FAW])
    _later(m, rank + at.REFRESH_NEXT, shifted + m[at.RC])
    _later(m, rank + at.BANK_REFRESH_NEXT, shifted + m[at.RRDS])
    _hold_row_bus(m, channel, clock + m[at.ACT_CLOCKS])
    m[AT_COUNTS + ACTIVATES] += 1
    write_log(m, clock, integer(ACT), rank, bank, page << m[at.COLUMN_BITS], kind)
    candidate(m, bank, mode)


@njit(cache=True)
def precharge(m: np.ndarray, channel: int, bank: int, clock: int, refreshing: bool) -> None:
    """PRE, for the bank's oldest request or for a refresh."""
    rank = m[bank + at.RANK]
    mode = m[channel + at.MODE]
    kind = _NO
    if not refreshing:
        kind = mode if m[bank + at.HEAD + mode] != NONE else 1 - mode
        m[m[bank + at.HEAD + kind] + at.CAUSE] = 2
        m[AT_COUNTS + ONDEMAND_PRECHARGES] += 1
    m[AT_COUNTS + PRECHARGES] += 1
    write_log(m, clock, integer(PRE), rank, bank, m[bank + at.OPEN] << m[at.COLUMN_BITS], kind)
    _close(m, bank)
    _opened(m, rank, clock, integer(-1))
    _later(m, bank + ACTIVATE, clock + m[at.RP] - m[at.ACT_SHIFT])
    _later(m, rank + PRECHARGE, clock + m[at.PPD])
    _later(m, rank + at.REFRESH_NEXT, clock + m[at.RP])
    _hold_row_bus(m, channel, clock + 1)
    candidate(m, bank, mode)


@njit(cache=True)
def precharge_all(m: np.ndarray, channel: int, rank: int, clock: int) -> None:
    """PREA: close all banks of the rank."""
    m[AT_COUNTS + PRECHARGES] += m[rank + at.OPEN_BANKS]
    write_log(m, clock, integer(PREA), rank, _NONE, _NONE, _NO)
    _opened(m, rank, clock, -m[rank + at.OPEN_BANKS])
    bank = m[rank + at.FIRST_BANK]
    for _ in range(m[at.GROUPS] * m[at.BANKS]):
        if m[bank + at.OPEN] != NONE:
            _close(m, bank)
            candidate(m, bank, m[channel + at.MODE])
        bank += at.BANK_WORDS
    _later(m, rank + ACTIVATE, clock + m[at.RPAB] - m[at.ACT_SHIFT])
    _later(m, rank + PRECHARGE, clock + m[at.PPD])
    _later(m, rank + at.REFRESH_NEXT, clock + m[at.RPAB])
    _hold_row_bus(m, channel, clock + 1)


@njit(cache=True)
def refresh_rank(m: np.ndarray, channel: int, rank: int, clock: int) -> None:
    """REF."""
    _later(m, rank + ACTIVATE, clock + m[at.RFC] - m[at.ACT_SHIFT])
    _later(m, rank + at.REFRESH_NEXT, clock + m[at.RFC])
    m[rank + at.REFRESH_END] = clock + m[at.RFC]
    m[AT_COUNTS + REFRESHES] += 1
    write_log(m, clock, integer(REF), rank, _NONE, _NONE, _NO)
    _paid(m, channel, rank, clock)


@njit(cache=True)
def refresh_bank(m: np.ndarray, channel: int, bank: int, clock: int) -> None:
    """REFB."""
    banks = m[at.GROUPS] * m[at.BANKS]
    rank = m[bank + at.RANK]
    _later(m, bank + ACTIVATE, clock + m[at.RFCPB] - m[at.ACT_SHIFT])
    _later(m, rank + ACTIVATE, clock + m[at.PBACT] - m[at.ACT_SHIFT])
    _later(m, rank + at.BANK_REFRESH_NEXT, clock + m[at.PBPB])
    m[bank + at.REFRESHED] = clock + m[at.RFCPB]
    m[rank + at.ROUND] |= 1 << (m[bank + at.INDEX] % banks)
    if m[rank + at.ROUND] == (1 << banks) - 1:
        m[rank + at.ROUND] = 0
    m[AT_COUNTS + BANK_REFRESHES] += 1
    write_log(m, clock, integer(REFB), rank, bank, _NONE, _NO)
    _paid(m, channel, rank, clock)


@njit(cache=True)
def _paid(m: np.ndarray, channel: int, rank: int, clock: int) -> None:
    """A refresh of the rank is done."""
    m[rank + at.DEBT] -= 1
    m[channel + at.DEBTS] -= 1
    if m[rank + at.DEBT] == 0:
        m[rank + at.FORCED] = 0
    _hold_row_bus(m, channel, clock + 1)


@njit(cache=True)
def column(m: np.ndarray, channel: int, bank: int, clock: int) -> None:
    """RD or WR (in the closed policy RDA, WRA) for the oldest row hit of the bank."""
    kind = m[bank + at.KIND]
    entry = m[bank + at.HIT + kind]
    rank, group, bus = m[bank + at.RANK], m[bank + at.GROUP], m[bank + at.BUS]
    start = clock + (m[at.CL] if kind == READ else m[at.CWL])
    if start > m[bus + at.END]:
        share_out(m, bank, kind, clock, m[entry + at.ARRIVED])
    end = start + m[at.BURST]
    m[bus + at.END] = end
    m[bus + at.LAST_KIND] = kind
    m[bus + at.LAST_CLOCK] = clock
    m[bus + at.LAST_RANK] = rank
    m[AT_COUNTS + DATA_CYCLES] += m[at.BURST]
    cause = m[entry + at.CAUSE]
    if cause == 0:
        m[AT_COUNTS + ROW_HITS] += 1
        m[AT_COUNTS + (READ_ROW_HITS if kind == READ else WRITE_ROW_HITS)] += 1
    else:
        m[AT_COUNTS + (ROW_MISSES if cause == 1 else ROW_CONFLICTS)] += 1

    word, page = m[entry + at.WORD], m[bank + at.OPEN]
    hit = _find(m, m[entry + at.NEXT], page)
    _leave(m, channel, bank, kind, entry)
    m[bank + at.HIT + kind] = hit
    m[bank + at.SERVED] += 1
    m[rank + at.WAITING] -= 1
    if m[rank + at.WAITING] == 0:
        m[rank + at.LAST_IDLE] = clock
    if m[channel + at.TURN] < m[at.DEPTH]:
        m[channel + at.TURN] += 1

    m[rank + kind] = max(m[rank + kind], clock + m[at.CCDS])
    m[group + kind] = max(m[group + kind], clock + m[at.CCDL])
    if kind == READ:
        m[AT_COUNTS + READ_COMMANDS] += 1
        _later(m, rank + WRITE, clock + m[at.RTW])
        closing = clock + m[at.RTP]
        m[at.READS_WAITING] -= 1
        returned(m, end, end - m[entry + at.ARRIVED], m[entry + at.TAG])
        if m[entry + at.TAG] >= 0:
            m[m[at.AT_TAGS] + m[entry + at.TAG] * (m[at.CHANNELS] + 1) + m[channel + at.CHANNEL_INDEX]] -= 1
    else:
        m[AT_COUNTS + WRITE_COMMANDS] += 1
        _later(m, rank + READ, end + m[at.WTRS])
        _later(m, group + READ, start + m[at.BURST_MAX] + m[at.WTRL])
        closing = end + m[at.WR]
        _later(m, at.LAST_WRITE, end)
    if m[at.RANKS] > 1 and not m[at.OWN_BUS]:
        _other_ranks(m, channel, rank, kind, clock)
    code = RD + kind
    if m[at.CLOSED] and hit == NONE and m[bank + at.HIT + 1 - kind] == NONE:
        code += RDA - RD
        _later(m, bank + ACTIVATE, closing + m[at.RP] - m[at.ACT_SHIFT])
        _later(m, rank + at.REFRESH_NEXT, closing + m[at.RP])
        _close(m, bank)
        _opened(m, rank, clock, integer(-1))
    else:
        _later(m, bank + PRECHARGE, closing)
    m[channel + at.COLUMN_BUS] = clock + 1
    if not m[at.DUAL]:
        m[channel + at.ROW_BUS] = clock + 1
    write_log(m, clock, code, rank, bank, word, kind)
    candidate(m, bank, m[channel + at.MODE])


@njit(cache=True)
def returned(m: np.ndarray, end: int, latency: int, tag: int) -> None:
    """A read's data come at clock `end`."""
    m[AT_COUNTS + LATENCY_SUM] += latency
    _later(m, AT_COUNTS + LATENCY_MAX, latency)
    _later(m, AT_COUNTS + LAST_RETURN, end)
    m[at.AT_LATENCY + min(latency >> 2, LATENCY_BINS - 1)] += 1
    if tag >= 0:
        _later(m, m[at.AT_TAGS] + tag * (m[at.CHANNELS] + 1) + m[at.CHANNELS], end)
    if m[at.OUTSTANDING] > 0:
        m[m[at.AT_RETURNS] + m[at.RETURNS]] = end
        m[at.RETURNS] += 1


@njit(cache=True)
def _leave(m: np.ndarray, channel: int, bank: int, kind: int, entry: int) -> None:
    """Take a request out of its bank's list and give its record back."""
    previous, following = m[entry + at.PREVIOUS], m[entry + at.NEXT]
    if previous == NONE:
        m[bank + at.HEAD + kind] = following
    else:
        m[previous + at.NEXT] = following
    if following == NONE:
        m[bank + at.TAIL + kind] = previous
    else:
        m[following + at.PREVIOUS] = previous
    m[channel + at.QUEUED + kind] -= 1
    m[entry + at.NEXT] = m[channel + at.FREE + kind]
    m[channel + at.FREE + kind] = entry
    if m[bank + at.HEAD] == NONE and m[bank + at.HEAD + WRITE] == NONE:
        m[channel + at.BUSY] -= 1
        moved = m[m[channel + at.BUSY_LIST] + m[channel + at.BUSY]]
        m[m[channel + at.BUSY_LIST] + m[bank + at.PLACE]] = moved
        m[moved + at.PLACE] = m[bank + at.PLACE]
        m[bank + at.PLACE] = NONE


@njit(cache=True)
def _other_ranks(m: np.ndarray, channel: int, rank: int, kind: int, clock: int) -> None:
    other = m[channel + at.FIRST_RANK]
    for _ in range(m[at.RANKS]):
        if other != rank:
            _later(m, other + READ, clock + other_rank(m, kind, _NO))
            _later(m, other + WRITE, clock + other_rank(m, kind, 1 - _NO))
        other += at.RANK_WORDS
