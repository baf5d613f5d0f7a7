"""What a command does in `policy: ramulator2`: constraints, banks, queues, counters, log."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import counters as n
from cgsim.dram import ramulator_state as s
from cgsim.dram.counters import ACT, LATENCY_BINS, PRE, PREA, RD, RDA, REF, REFB, WR, WRA
from cgsim.dram.ramulator_state import (
    ACT2,
    ARRIVE,
    BANK,
    BEFORE,
    CAS_RD,
    CLOSED,
    COUNTED,
    GROUP,
    HEAD_R,
    HIT_R,
    MISS_R,
    NEXT,
    NODE,
    OPEN,
    RANK,
    ROW,
    TAG,
    TAIL_R,
    WRITE,
    Ramulator,
)


@njit(cache=True)
def earliest(command: int, bank: int, ready: np.ndarray, banks: np.ndarray) -> int:
    """Clock from which the constraints allow a command to a bank."""
    return max(
        ready[command, banks[bank, NODE]],
        max(ready[command, banks[bank, GROUP]], ready[command, banks[bank, RANK]]),
    )


@njit(cache=True)
def earliest_of_rank(command: int, rank: int, c: Ramulator) -> int:
    """Clock from which the constraints allow a command to a rank (counted over all channels)."""
    banks = c.groups * c.per_group
    clock = 0
    for bank in range(rank * banks, (rank + 1) * banks):
        clock = max(clock, earliest(command, bank, c.ready, c.banks))
    return clock


@njit(cache=True)
def _forbid(first: int, end: int, node: int, clock: int, rules: np.ndarray, ready: np.ndarray) -> None:
    for rule in range(first, end):
        until = clock + rules[rule, 1]
        if ready[rules[rule, 0], node] < until:
            ready[rules[rule, 0], node] = until


@njit(cache=True)
def constrain(command: int, bank: int, clock: int, channel: int, c: Ramulator) -> None:
    """Note what a command to a bank, issued now, forbids."""
    at, rules, ready, banks = c.rules_at, c.rules, c.ready, c.banks
    rank = banks[bank, RANK]
    _forbid(at[command, 0], at[command, 1], rank, clock, rules, ready)
    _forbid(at[command, 2], at[command, 3], banks[bank, GROUP], clock, rules, ready)
    _forbid(at[command, 3], at[command, 4], banks[bank, NODE], clock, rules, ready)
    if at[command, 1] < at[command, 2]:
        nodes = ready.shape[1] // len(c.channels)
        for other in range(channel * nodes, channel * nodes + c.ranks):
            if other != rank:
                _forbid(at[command, 1], at[command, 2], other, clock, rules, ready)
    for window in range(len(c.windows)):
        if c.windows[window, 1] == command:
            _window(window, bank, clock, channel, c)


@njit(cache=True)
def _window(window: int, bank: int, clock: int, channel: int, c: Ramulator) -> None:
    """Forbid until the window-th last command is long enough ago."""
    level, after, clocks = c.windows[window, 0], c.windows[window, 2], c.windows[window, 3]
    length = c.windows[window, 4]
    nodes = c.ready.shape[1] // len(c.channels)
    node = c.banks[bank, (RANK, RANK, GROUP, NODE)[level]]
    place = channel * (nodes + 1) + (nodes if level == 0 else node - channel * nodes)
    ring = c.rings[window, place]
    count = ring[0]
    ring[1 + count % length] = clock
    ring[0] = count + 1
    if count + 1 >= length:
        until = ring[1 + (count + 1) % length] + clocks
        first, end = (channel * nodes, channel * nodes + c.ranks) if level == 0 else (node, node + 1)
        for other in range(first, end):
            c.ready[after, other] = max(c.ready[after, other], until)


@njit(cache=True)
def constrain_rank(command: int, rank: int, clock: int, channel: int, c: Ramulator) -> None:
    """Note what a command to all banks of a rank, issued now, forbids."""
    at, rules, ready, banks = c.rules_at, c.rules, c.ready, c.banks
    count = c.groups * c.per_group
    first = rank * count
    node = banks[first, RANK]
    _forbid(at[command, 0], at[command, 1], node, clock, rules, ready)
    for bank in range(first, first + count):
        if bank % c.per_group == 0:
            _forbid(at[command, 2], at[command, 3], banks[bank, GROUP], clock, rules, ready)
        _forbid(at[command, 3], at[command, 4], banks[bank, NODE], clock, rules, ready)
    nodes = ready.shape[1] // len(c.channels)
    for other in range(channel * nodes, channel * nodes + c.ranks):
        if other != node:
            _forbid(at[command, 1], at[command, 2], other, clock, rules, ready)


@njit(cache=True)
def log_command(clock: int, command: int, channel: int, rank: int, bank: int, slot: int, c: Ramulator) -> None:
    """Write a command into the log if there is room; bank, slot: -1 if it has none."""
    entry = c.counts[n.COMMANDS_LOGGED]
    c.counts[n.COMMANDS_LOGGED] = entry + 1
    if entry >= len(c.log):
        return
    row = c.log[entry]
    row[:] = -1
    row[0], row[1], row[2] = clock, command, channel
    row[3] = rank % c.ranks
    if bank >= 0:
        row[4] = bank // c.per_group % c.groups
        row[5] = bank % c.per_group
    if slot >= 0:
        row[6], row[7], row[8] = c.slots[slot, ROW], c.slots[slot, s.COLUMN], c.slots[slot, WRITE]


@njit(cache=True)
def find_row(bank: int, kind: int, slots: np.ndarray, banks: np.ndarray) -> None:
    """Find the oldest request of a kind that hits the open row of a bank, and the oldest that does not."""
    row = banks[bank, OPEN]
    hit = miss = -1
    slot = banks[bank, HEAD_R + kind]
    while slot >= 0 and (hit < 0 or miss < 0):
        if slots[slot, ROW] == row:
            if hit < 0:
                hit = slot
        elif miss < 0:
            miss = slot
        slot = slots[slot, NEXT]
    banks[bank, HIT_R + kind] = hit
    banks[bank, MISS_R + kind] = miss


@njit(cache=True)
def open_bank(bank: int, row: int, clock: int, c: Ramulator) -> None:
    """A row is open from this clock on."""
    rank = bank // (c.groups * c.per_group)
    c.banks[bank, OPEN] = row
    find_row(bank, 0, c.slots, c.banks)
    find_row(bank, 1, c.slots, c.banks)
    if c.opened[rank, 0] == 0:
        c.opened[rank, 1] = clock
    c.opened[rank, 0] += 1


@njit(cache=True)
def close_bank(bank: int, clock: int, channel: int, c: Ramulator) -> None:
    """No row is open from this clock on."""
    if c.cap > 0:
        if c.banks[bank, s.ACCESSES] >= c.cap and c.banks[bank, s.INJECTED] == 0:
            c.channels[channel, s.N_CAPPED] -= 1
        c.banks[bank, s.ACCESSES] = c.banks[bank, s.INJECTED] = 0
    if c.banks[bank, OPEN] >= 0:
        rank = bank // (c.groups * c.per_group)
        c.opened[rank, 0] -= 1
        if c.opened[rank, 0] == 0:
            c.counts[n.ACTIVE_CYCLES] += clock - c.opened[rank, 1]
    c.banks[bank, OPEN] = CLOSED


@njit(cache=True)
def enqueue(slot: int, channel: int, c: Ramulator) -> None:
    """Append a request to its queue: at the end of its bank's list."""
    slots, banks = c.slots, c.banks
    bank, kind, row = slots[slot, BANK], slots[slot, WRITE], banks[slots[slot, BANK], OPEN]
    tail = banks[bank, TAIL_R + kind]
    slots[slot, NEXT], slots[slot, BEFORE] = -1, tail
    banks[bank, TAIL_R + kind] = slot
    if tail >= 0:
        slots[tail, NEXT] = slot
    else:
        banks[bank, HEAD_R + kind] = slot
        count = c.channels[channel, s.N_BANKS_R + kind]
        c.listed[channel, kind, count] = bank
        banks[bank, s.PLACE_R + kind] = count
        c.channels[channel, s.N_BANKS_R + kind] = count + 1
        banks[bank, HIT_R + kind] = banks[bank, MISS_R + kind] = -1
    if row >= 0:
        first = (HIT_R if slots[slot, ROW] == row else MISS_R) + kind
        if banks[bank, first] < 0:
            banks[bank, first] = slot
    c.channels[channel, s.N_READS + kind] += 1


@njit(cache=True)
def dequeue(slot: int, channel: int, c: Ramulator) -> None:
    """Take a request out of its queue."""
    slots, banks = c.slots, c.banks
    bank, kind = slots[slot, BANK], slots[slot, WRITE]
    after, before = slots[slot, NEXT], slots[slot, BEFORE]
    if before >= 0:
        slots[before, NEXT] = after
    else:
        banks[bank, HEAD_R + kind] = after
    if after >= 0:
        slots[after, BEFORE] = before
    else:
        banks[bank, TAIL_R + kind] = before
    c.channels[channel, s.N_READS + kind] -= 1
    if before < 0 and after < 0:
        count = c.channels[channel, s.N_BANKS_R + kind] - 1
        c.channels[channel, s.N_BANKS_R + kind] = count
        place, last = banks[bank, s.PLACE_R + kind], c.listed[channel, kind, count]
        c.listed[channel, kind, place] = last
        banks[last, s.PLACE_R + kind] = place
        banks[bank, HIT_R + kind] = banks[bank, MISS_R + kind] = -1
        return
    row = banks[bank, OPEN]
    if banks[bank, HIT_R + kind] == slot:
        while after >= 0 and slots[after, ROW] != row:
            after = slots[after, NEXT]
        banks[bank, HIT_R + kind] = after
    elif banks[bank, MISS_R + kind] == slot:
        while after >= 0 and slots[after, ROW] == row:
            after = slots[after, NEXT]
        banks[bank, MISS_R + kind] = after


@njit(cache=True)
def count_row(slot: int, row_hits: int, c: Ramulator) -> None:
    """Count what a request met when its first command issues: n.ROW_HITS, ROW_MISSES or ROW_CONFLICTS."""
    if c.slots[slot, COUNTED] == 0:
        c.slots[slot, COUNTED] = 1
        c.counts[row_hits] += 1
        if row_hits == n.ROW_HITS:
            c.counts[n.READ_ROW_HITS + c.slots[slot, WRITE]] += 1


@njit(cache=True)
def issue_column(slot: int, upgrade: bool, clock: int, channel: int, c: Ramulator) -> None:
    """Issue the read or write of a request; `upgrade`: with auto-precharge if its row has had its cap."""
    slots, banks, counts = c.slots, c.banks, c.counts
    bank, write = slots[slot, BANK], slots[slot, WRITE]
    command = RD + write
    if c.cap > 0:
        accesses = banks[bank, s.ACCESSES]
        if upgrade and accesses >= c.cap and earliest(RDA + write, bank, c.ready, banks) <= clock:
            command = RDA + write
        else:
            banks[bank, s.ACCESSES] = accesses + 1
            if accesses + 1 == c.cap and banks[bank, s.INJECTED] == 0:
                c.channels[channel, s.N_CAPPED] += 1
    count_row(slot, n.ROW_HITS, c)
    constrain(command, bank, clock, channel, c)
    log_command(clock, command, channel, bank // (c.groups * c.per_group), bank, slot, c)
    counts[n.READ_COMMANDS + write] += 1
    counts[n.DATA_CYCLES] += c.burst
    if command >= RDA:
        close_bank(bank, clock, channel, c)
    if write == 0:
        return_data(slots[slot, ARRIVE], slots[slot, TAG], clock + c.read_latency, channel, c)
        if slots[slot, TAG] >= 0:
            c.unissued[channel, slots[slot, TAG]] -= 1
    else:
        c.channels[channel, s.LAST_WRITE] = clock


@njit(cache=True)
def return_data(arrive: int, tag: int, clock: int, channel: int, c: Ramulator) -> None:
    """Data of a read come at a clock."""
    counts, latency = c.counts, clock - arrive
    counts[n.LATENCY_SUM] += latency
    counts[n.LATENCY_MAX] = max(counts[n.LATENCY_MAX], latency)
    counts[n.LAST_RETURN] = max(counts[n.LAST_RETURN], clock)
    c.latency[min(latency >> 2, LATENCY_BINS - 1)] += 1
    if tag >= 0:
        c.returned[tag] = max(c.returned[tag], clock)
    if c.limit > 0:
        chan = c.channels[channel]
        c.waiting[channel, (chan[s.FIRST_WAITING] + chan[s.N_WAITING]) % c.limit] = clock
        chan[s.N_WAITING] += 1


@njit(cache=True)
def issue_row(command: int, slot: int, bank: int, clock: int, channel: int, c: Ramulator) -> None:
    """Issue an activate or precharge to a bank, for a request or (slot -1) for none."""
    if slot >= 0:
        count_row(slot, n.ROW_MISSES if command == ACT else n.ROW_CONFLICTS, c)
    constrain(command, bank, clock, channel, c)
    log_command(clock, command, channel, bank // (c.groups * c.per_group), bank, slot, c)
    if command == PRE:
        c.counts[n.PRECHARGES] += 1
        c.counts[n.ONDEMAND_PRECHARGES] += 1
        close_bank(bank, clock, channel, c)
    elif command == REFB:
        c.counts[n.BANK_REFRESHES] += 1
    else:
        if command == ACT:
            c.counts[n.ACTIVATES] += 1
        if command == ACT2 or c.standard != s.LPDDR5:
            open_bank(bank, c.slots[slot, ROW], clock, c)
        else:
            c.banks[bank, OPEN] = s.ACTIVATING


@njit(cache=True)
def issue_rank(command: int, rank: int, clock: int, channel: int, c: Ramulator) -> None:
    """Issue a refresh or precharge of all banks of a rank (counted over all channels)."""
    constrain_rank(command, rank, clock, channel, c)
    log_command(clock, command, channel, rank, -1, -1, c)
    if command == REF:
        c.counts[n.REFRESHES] += 1
        return
    c.counts[n.PRECHARGES] += 1
    banks = c.groups * c.per_group
    for bank in range(rank * banks, (rank + 1) * banks):
        close_bank(bank, clock, channel, c)


