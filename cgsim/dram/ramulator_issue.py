"""What a command does in `policy: ramulator2`: constraints, banks, counters, log."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import counters as n
from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import ACT, LATENCY_BINS, PRE, RD, RDA, REF, REFB
from cgsim.dram.ramulator_queues import find_row
from cgsim.dram.ramulator_state import ACCESSES, BANK, BANK_FIELDS, GROUP, OPEN, RANK, RULE_KINDS, TAG, WRITE


@njit(cache=True)
def earliest(command: int, bank: int, m: np.ndarray) -> int:
    """Clock from which the constraints allow a command to a bank."""
    return max(m[bank + command], m[m[bank + GROUP] + command], m[m[bank + RANK] + command])


@njit(cache=True)
def earliest_of_rank(command: int, rank: int, m: np.ndarray) -> int:
    """Clock from which the constraints allow a command to all banks of a rank."""
    first = m[rank + s.FIRST_OF_RANK]
    clock = 0
    for bank in range(first, first + m[s.GROUPS] * m[s.PER_GROUP] * BANK_FIELDS, BANK_FIELDS):
        clock = max(clock, earliest(command, bank, m))
    return clock


@njit(cache=True)
def _forbid(bound: int, node: int, clock: int, m: np.ndarray) -> None:
    """Apply the rules between two bounds to a rank, bank group or bank."""
    for rule in range(m[bound], m[bound + 1], 2):
        until = clock + m[rule + 1]
        if m[node + m[rule]] < until:
            m[node + m[rule]] = until


@njit(cache=True)
def _forbid_others(bound: int, rank: int, clock: int, channel: int, m: np.ndarray) -> None:
    if m[bound] == m[bound + 1]:
        return
    first = m[channel + s.FIRST_RANK]
    for other in range(first, first + m[s.RANKS] * s.RANK_FIELDS, s.RANK_FIELDS):
        if other != rank:
            _forbid(bound, other, clock, m)


@njit(cache=True)
def constrain(command: int, bank: int, clock: int, channel: int, m: np.ndarray) -> None:
    """Note what a command to a bank, issued now, forbids."""
    bounds = m[s.AT_RULES] + command * (RULE_KINDS + 1)
    _forbid(bounds + s.OWN_RANK, m[bank + RANK], clock, m)
    _forbid(bounds + s.OWN_GROUP, m[bank + GROUP], clock, m)
    _forbid(bounds + s.OWN_BANK, bank, clock, m)
    _forbid_others(bounds + s.OTHER_RANKS, m[bank + RANK], clock, channel, m)
    window = m[s.AT_WINDOWS]
    for _ in range(m[s.WINDOWS]):
        if m[window + s.BEFORE_IT] == command:
            _window(window, bank, clock, channel, m)
        window += s.WINDOW_FIELDS


@njit(cache=True)
def _window(window: int, bank: int, clock: int, channel: int, m: np.ndarray) -> None:
    """Forbid until the window-th last command is long enough ago."""
    level, length = m[window + s.LEVEL], m[window + s.LENGTH]
    node = bank if level == 3 else m[bank + GROUP] if level == 2 else m[bank + RANK]
    place = 0 if level == 0 else m[node + s.PLACE]
    ring = m[window + s.RINGS] + m[channel + s.LOG_CHANNEL] * m[window + s.RING_SIZE] + place * (length + 1)
    count = m[ring]
    m[ring + 1 + count % length] = clock
    m[ring] = count + 1
    if count + 1 < length:
        return
    until = m[ring + 1 + (count + 1) % length] + m[window + s.CLOCKS]
    after = m[window + s.AFTER_IT]
    if level > 0:
        m[node + after] = max(m[node + after], until)
        return
    first = m[channel + s.FIRST_RANK]
    for rank in range(first, first + m[s.RANKS] * s.RANK_FIELDS, s.RANK_FIELDS):
        m[rank + after] = max(m[rank + after], until)


@njit(cache=True)
def _constrain_rank(command: int, rank: int, clock: int, channel: int, m: np.ndarray) -> None:
    """Note what a command to all banks of a rank, issued now, forbids."""
    bounds = m[s.AT_RULES] + command * (RULE_KINDS + 1)
    _forbid(bounds + s.OWN_RANK, rank, clock, m)
    first = m[rank + s.FIRST_OF_RANK]
    for bank in range(first, first + m[s.GROUPS] * m[s.PER_GROUP] * BANK_FIELDS, BANK_FIELDS):
        _forbid(bounds + s.OWN_GROUP, m[bank + GROUP], clock, m)
        _forbid(bounds + s.OWN_BANK, bank, clock, m)
    _forbid_others(bounds + s.OTHER_RANKS, rank, clock, channel, m)


@njit(cache=True)
def log_command(
    clock: int, command: int, channel: int, rank: int, bank: int, slot: int, m: np.ndarray
) -> None:
    """Write a command into the log if there is room; bank, slot: 0 if it has none."""
    entry = m[m[s.AT_COUNTS] + n.COMMANDS_LOGGED]
    m[m[s.AT_COUNTS] + n.COMMANDS_LOGGED] = entry + 1
    if entry >= m[s.LOG_SIZE]:
        return
    at = m[s.AT_LOG] + entry * s.LOG_FIELDS
    m[at], m[at + 1] = clock, command
    m[at + 2], m[at + 3] = m[channel + s.LOG_CHANNEL], m[rank + s.LOG_RANK]
    m[at + 4 : at + 9] = -1
    if bank != 0:
        m[at + 4], m[at + 5] = m[bank + s.LOG_GROUP], m[bank + s.LOG_BANK]
    if slot != 0:
        m[at + 6], m[at + 7], m[at + 8] = m[slot + s.ROW], m[slot + s.COLUMN], m[slot + WRITE]


@njit(cache=True)
def _open(bank: int, row: int, clock: int, m: np.ndarray) -> None:
    """A row is open from this clock on."""
    rank = m[bank + RANK]
    m[bank + OPEN] = row
    find_row(bank, 0, m)
    find_row(bank, 1, m)
    if m[rank + s.OPEN_BANKS] == 0:
        m[rank + s.OPEN_SINCE] = clock
    m[rank + s.OPEN_BANKS] += 1


@njit(cache=True)
def _close(bank: int, clock: int, channel: int, m: np.ndarray) -> None:
    """No row is open from this clock on."""
    if m[s.CAP] > 0:
        if m[bank + ACCESSES] >= m[s.CAP] and m[bank + s.INJECTED] == 0:
            m[channel + s.N_CAPPED] -= 1
        m[bank + ACCESSES] = m[bank + s.INJECTED] = 0
    if m[bank + OPEN] >= 0:
        rank = m[bank + RANK]
        m[rank + s.OPEN_BANKS] -= 1
        if m[rank + s.OPEN_BANKS] == 0:
            m[m[s.AT_COUNTS] + n.ACTIVE_CYCLES] += clock - m[rank + s.OPEN_SINCE]
    m[bank + OPEN] = s.CLOSED


@njit(cache=True)
def _count_row(slot: int, met: int, m: np.ndarray) -> None:
    """Count what a request met when its first command issues: n.ROW_HITS, ROW_MISSES or ROW_CONFLICTS."""
    if m[slot + s.COUNTED] == 0:
        m[slot + s.COUNTED] = 1
        m[m[s.AT_COUNTS] + met] += 1
        if met == n.ROW_HITS:
            m[m[s.AT_COUNTS] + n.READ_ROW_HITS + m[slot + WRITE]] += 1


@njit(cache=True)
def issue_column(slot: int, upgrade: bool, clock: int, channel: int, m: np.ndarray) -> None:
    """Issue the read or write of a request; `upgrade`: with auto-precharge if its row has had its cap."""
    bank, write = m[slot + BANK], m[slot + WRITE]
    command = RD + write
    if m[s.CAP] > 0:
        accesses = m[bank + ACCESSES]
        if upgrade and accesses >= m[s.CAP] and earliest(RDA + write, bank, m) <= clock:
            command = RDA + write
        else:
            m[bank + ACCESSES] = accesses + 1
            if accesses + 1 == m[s.CAP] and m[bank + s.INJECTED] == 0:
                m[channel + s.N_CAPPED] += 1
    _count_row(slot, n.ROW_HITS, m)
    constrain(command, bank, clock, channel, m)
    log_command(clock, command, channel, m[bank + RANK], bank, slot, m)
    m[m[s.AT_COUNTS] + n.READ_COMMANDS + write] += 1
    m[m[s.AT_COUNTS] + n.DATA_CYCLES] += m[s.BURST]
    if command >= RDA:
        _close(bank, clock, channel, m)
    if write == 0:
        return_data(m[slot + s.ARRIVE], m[slot + TAG], clock + m[s.READ_LATENCY], channel, m)
        if m[slot + TAG] >= 0:
            m[m[channel + s.UNISSUED] + m[slot + TAG]] -= 1
    else:
        m[channel + s.LAST_WRITE] = clock


@njit(cache=True)
def return_data(arrive: int, tag: int, clock: int, channel: int, m: np.ndarray) -> None:
    """Data of a read come at a clock."""
    counts, latency = m[s.AT_COUNTS], clock - arrive
    m[counts + n.LATENCY_SUM] += latency
    m[counts + n.LATENCY_MAX] = max(m[counts + n.LATENCY_MAX], latency)
    m[counts + n.LAST_RETURN] = max(m[counts + n.LAST_RETURN], clock)
    m[m[s.AT_LATENCY] + min(latency >> 2, LATENCY_BINS - 1)] += 1
    if tag >= 0:
        m[m[s.AT_RETURNED] + tag] = max(m[m[s.AT_RETURNED] + tag], clock)
    if m[s.LIMIT] > 0:
        place = (m[channel + s.FIRST_WAITING] + m[channel + s.N_WAITING]) % m[s.LIMIT]
        m[m[channel + s.WAITING] + place] = clock
        m[channel + s.N_WAITING] += 1


@njit(cache=True)
def issue_row(command: int, slot: int, bank: int, clock: int, channel: int, m: np.ndarray) -> None:
    """Issue an activate, precharge or refresh to a bank, for a request or (slot 0) for none."""
    counts = m[s.AT_COUNTS]
    if slot != 0:
        _count_row(slot, n.ROW_CONFLICTS if command == PRE else n.ROW_MISSES, m)
    constrain(command, bank, clock, channel, m)
    log_command(clock, command, channel, m[bank + RANK], bank, slot, m)
    if command == PRE:
        m[counts + n.PRECHARGES] += 1
        m[counts + n.ONDEMAND_PRECHARGES] += 1
        _close(bank, clock, channel, m)
    elif command == REFB:
        m[counts + n.BANK_REFRESHES] += 1
    else:
        if command == ACT:
            m[counts + n.ACTIVATES] += 1
        if command == s.ACT2 or m[s.STANDARD] != s.LPDDR5:
            _open(bank, m[slot + s.ROW], clock, m)
        else:
            m[bank + OPEN] = s.ACTIVATING


@njit(cache=True)
def issue_rank(command: int, rank: int, clock: int, channel: int, m: np.ndarray) -> None:
    """Issue a refresh or precharge of all banks of a rank."""
    _constrain_rank(command, rank, clock, channel, m)
    log_command(clock, command, channel, rank, 0, 0, m)
    if command == REF:
        m[m[s.AT_COUNTS] + n.REFRESHES] += 1
        return
    m[m[s.AT_COUNTS] + n.PRECHARGES] += 1
    first = m[rank + s.FIRST_OF_RANK]
    for bank in range(first, first + m[s.GROUPS] * m[s.PER_GROUP] * BANK_FIELDS, BANK_FIELDS):
        _close(bank, clock, channel, m)
