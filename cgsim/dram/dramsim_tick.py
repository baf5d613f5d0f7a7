"""A clock of a channel under the DRAMsim3 policy: refresh, command choice, moving of transactions."""

from __future__ import annotations

from numba import njit

from cgsim.dram.counters import (
    ACT,
    FORWARDED_READS,
    MERGED_READS,
    MERGED_WRITES,
    ONDEMAND_PRECHARGES,
    PRE,
    RD,
    RDA,
    READS,
    REF,
    REFB,
    WR,
    WRA,
    WRITES,
)
from cgsim.dram.dramsim_issue import answered, bucket_of, issue
from cgsim.dram.dramsim_state import (
    ACCEPTED,
    ADDRESS,
    BANK,
    BANK_ACT,
    BANK_PRE,
    BANK_RD,
    BANK_REF,
    BANK_REFB,
    BANK_STAGGERED,
    BANK_WR,
    BLOCKED,
    CHAIN,
    CLOCK_NOW,
    COLUMN,
    COUNT,
    DRAINING,
    DUE,
    FAW,
    FREE,
    FREE_WAITER,
    GROUP_ACT,
    GROUP_RD,
    GROUP_WR,
    HEAD,
    HITS,
    LINK,
    NEVER,
    NEXT,
    NEXT_REFRESH,
    OLDEST,
    QUEUE,
    QUEUED,
    RANK_ACT,
    RANK_PRE,
    RANK_RD,
    RANK_REF,
    RANK_WR,
    REFRESHED,
    REQUEST_ROW,
    ROW,
    SEEN,
    SERVED,
    STAGGERED,
    TAG,
    TAIL,
    UNBLOCKED,
    WAITER,
    WRITE,
    WRITE_COUNT,
    Dramsim,
)

HIT_CAP = 4
"""Column commands to a row after which the oldest request may close it although others hit it."""
DRAIN_ABOVE = 8
"""Waiting writes above which they drain when nothing else is queued."""


@njit(cache=True)
def tick(c: Dramsim, channel: int, now: int) -> None:
    """Clock `now` of a channel; sets the next clock in which anything can happen."""
    state = c.channels[channel]
    if now == state[NEXT_REFRESH]:
        state[DUE] += 1
        state[NEXT_REFRESH] += c.interval
    following = NEVER
    first = -1
    if state[DUE] > 0:
        first, following = _refresh(c, channel, now)
    found = first >= 0
    for attempt in range(2):
        if first < 0 or attempt == 1:
            command, bank, entry, at, later = _choose(c, channel, now)
            following = min(following, later)
            if command < 0:
                break
            column = RD <= command <= WRA
            if attempt == 1 and column == (RD <= first <= WRA):
                break
            if column:
                queue = c.pool[entry, QUEUE]
                length = c.lengths[queue] - 1
                for slot in range(at, length):
                    c.slots[queue, slot] = c.slots[queue, slot + 1]
                c.lengths[queue] = length
                state[QUEUED] -= 1
                state[SEEN] = state[SEEN + 1] = -1
            issue(c, command, bank, entry, now)
            first, found = command, True
        if not c.dual:
            break
    moved = _schedule(c, channel, now)
    state[NEXT] = now + 1 if found or moved else min(following, state[NEXT_REFRESH])


@njit(cache=True)
def _refresh(c: Dramsim, channel: int, now: int) -> tuple[int, int]:
    """Issue the next command of the refresh at hand: (command, NEVER), or (-1, when to try again)."""
    state = c.channels[channel]
    number, span = state[REFRESHED], c.rank_banks
    if c.refresh == BANK_STAGGERED:  # bank groups first, then banks, then ranks
        rest = number // c.groups_each
        bank, span = number % c.groups_each * c.banks_each + rest % c.banks_each, 1
        bank += rest // c.banks_each % c.ranks_each * c.rank_banks
    elif c.refresh == STAGGERED:
        bank = number % c.ranks_each * span
    else:
        bank = 0  # the tool's loop over ranks ends after the first
    if c.per_rank:
        state[BLOCKED] = channel * c.queues + bank // c.rank_banks
        state[UNBLOCKED] = state[BLOCKED] + 1
    else:
        state[BLOCKED] = channel * c.queues + bank
        state[UNBLOCKED] = state[BLOCKED] + span
    bank += channel * c.ranks_each * c.rank_banks
    rank = bank // c.rank_banks
    closed, precharge = c.ranks[rank, RANK_REF], NEVER
    for at in range(bank, bank + span):
        if c.banks[at, ROW] >= 0:
            ready = max(c.banks[at, BANK_PRE], c.ranks[rank, RANK_PRE])
            if ready <= now:
                queue = channel * c.queues
                queue += rank % c.ranks_each if c.per_rank else at % (c.ranks_each * c.rank_banks)
                if c.lengths[queue]:
                    c.times[queue] = now
                issue(c, PRE, at, -1, now)
                return PRE, NEVER
            precharge = min(precharge, ready)
        elif c.refresh == BANK_STAGGERED:
            closed = c.banks[at, BANK_REFB]
        else:
            closed = max(closed, c.banks[at, BANK_REF])
    if precharge < NEVER:
        return -1, precharge
    if closed > now:
        return -1, closed
    command = REFB if c.refresh == BANK_STAGGERED else REF
    issue(c, command, bank, -1, now)
    state[DUE] -= 1
    state[REFRESHED] += 1
    state[BLOCKED] = state[UNBLOCKED] = 0
    return command, NEVER


@njit(cache=True)
def _choose(c: Dramsim, channel: int, now: int) -> tuple[int, int, int, int, int]:
    """The next command of the queues, round robin.

    Returns (command, bank, request, place in its queue, clock). command -1: none can issue before that clock.
    """
    state = c.channels[channel]
    base, end = channel * c.queues, (channel + 1) * c.queues
    queue = base + state[SERVED]
    following = NEVER
    for _ in range(c.queues):
        queue += 1
        if queue == end:
            queue = base
        time = c.times[queue]
        if time > now:
            if not state[BLOCKED] <= queue < state[UNBLOCKED]:
                following = min(following, time)
            continue
        if state[BLOCKED] <= queue < state[UNBLOCKED]:
            continue
        if c.per_rank:
            command, at, time = _ready_of_rank(c, queue, now)
        else:
            command, at, time = _ready_of_bank(c, queue, now)
        if command >= 0:
            state[SERVED] = queue - base
            entry = c.slots[queue, at]
            if command == PRE:
                c.counts[ONDEMAND_PRECHARGES] += 1
            return command, c.pool[entry, BANK], entry, at, now
        c.times[queue] = time
        following = min(following, time)
    return -1, -1, -1, -1, following


@njit(cache=True, inline="always")
def _act_time(c: Dramsim, bank: int, rank: int) -> int:
    window = c.ranks[rank, FAW + c.ranks[rank, OLDEST]]
    group = c.groups[bank // c.banks_each, GROUP_ACT]
    return max(c.banks[bank, BANK_ACT], group, c.ranks[rank, RANK_ACT], window)


@njit(cache=True, inline="always")
def _column_time(c: Dramsim, bank: int, rank: int, write: int) -> int:
    group = bank // c.banks_each
    if write:
        return max(c.banks[bank, BANK_WR], c.groups[group, GROUP_WR], c.ranks[rank, RANK_WR])
    return max(c.banks[bank, BANK_RD], c.groups[group, GROUP_RD], c.ranks[rank, RANK_RD])


@njit(cache=True, inline="always")
def _column_command(c: Dramsim, write: int) -> int:
    if c.close:
        return WRA if write else RDA
    return WR if write else RD


@njit(cache=True)
def _awaits_read(c: Dramsim, queue: int, at: int) -> bool:
    """Whether an older read of the same place is in the queue."""
    entry, pool = c.slots[queue, at], c.pool
    for before in range(at):
        other = c.slots[queue, before]
        if (
            not pool[other, WRITE]
            and pool[other, REQUEST_ROW] == pool[entry, REQUEST_ROW]
            and pool[other, COLUMN] == pool[entry, COLUMN]
            and pool[other, BANK] == pool[entry, BANK]
        ):
            return True
    return False


@njit(cache=True)
def _ready_of_bank(c: Dramsim, queue: int, now: int) -> tuple[int, int, int]:
    """The command that a bank's queue can issue: (command, place in it, now), or (-1, -1, earliest clock)."""
    length = c.lengths[queue]
    if length == 0:
        return -1, -1, NEVER
    pool = c.pool
    head = c.slots[queue, 0]
    bank = pool[head, BANK]
    rank = bank // c.rank_banks
    row = c.banks[bank, ROW]
    if row < 0:
        time = _act_time(c, bank, rank)
        return (ACT, 0, now) if time <= now else (-1, -1, time)
    missed = pool[head, REQUEST_ROW] != row
    following = NEVER
    if missed:
        precharge = max(c.banks[bank, BANK_PRE], c.ranks[rank, RANK_PRE])
        if c.banks[bank, HITS] >= HIT_CAP:
            if precharge <= now:
                return PRE, 0, now
            following = precharge
    hits = False
    read_time = write_time = -1
    for at in range(length):
        entry = c.slots[queue, at]
        if pool[entry, REQUEST_ROW] != row:
            continue
        hits = True
        if pool[entry, WRITE]:
            if write_time < 0:
                write_time = _column_time(c, bank, rank, 1)
            time = write_time
            if time <= now and at and _awaits_read(c, queue, at):
                continue
        else:
            if read_time < 0:
                read_time = _column_time(c, bank, rank, 0)
            time = read_time
        if time <= now:
            return _column_command(c, pool[entry, WRITE]), at, now
        following = min(following, time)
        if read_time > now and write_time > now:
            break
    if missed and not hits:
        if precharge <= now:
            return PRE, 0, now
        following = precharge
    return -1, -1, following


@njit(cache=True)
def _ready_of_rank(c: Dramsim, queue: int, now: int) -> tuple[int, int, int]:
    """As `_ready_of_bank` for a queue that holds the requests of all banks of a rank."""
    pool, slots, length = c.pool, c.slots, c.lengths[queue]
    following = NEVER
    for at in range(length):
        entry = slots[queue, at]
        bank = pool[entry, BANK]
        rank, row = bank // c.rank_banks, c.banks[bank, ROW]
        if row < 0:
            command, time = ACT, _act_time(c, bank, rank)
        elif row == pool[entry, REQUEST_ROW]:
            write = pool[entry, WRITE]
            if write and _awaits_read(c, queue, at):
                continue
            command, time = _column_command(c, write), _column_time(c, bank, rank, write)
        else:
            command, time = PRE, max(c.banks[bank, BANK_PRE], c.ranks[rank, RANK_PRE])
            allowed = True
            for before in range(at):
                if pool[slots[queue, before], BANK] == bank:
                    allowed = False
                    break
            if allowed and c.banks[bank, HITS] < HIT_CAP:
                for other in range(at + 1, length):
                    if (
                        pool[slots[queue, other], BANK] == bank
                        and pool[slots[queue, other], REQUEST_ROW] == row
                    ):
                        allowed = False
                        break
            if not allowed:
                continue
        if time <= now:
            return command, at, now
        following = min(following, time)
    return -1, -1, following


@njit(cache=True)
def _schedule(c: Dramsim, channel: int, now: int) -> bool:
    """Move one transaction to a command queue. Returns whether another clock may move one."""
    state, pool = c.channels[channel], c.pool
    was_draining = state[DRAINING] > 0
    if not was_draining and not c.unified:
        writes = state[WRITE_COUNT]
        if writes >= c.room or (writes > DRAIN_ABOVE and state[QUEUED] == 0):
            state[DRAINING] = writes
    kind = 1 if state[DRAINING] > 0 else 0
    before = state[SEEN + kind]  # all up to this one have no room
    entry = pool[before, LINK] if before >= 0 else state[HEAD + kind]
    while entry >= 0:
        queue = pool[entry, QUEUE]
        if c.lengths[queue] < c.depth:
            break
        before, entry = entry, pool[entry, LINK]
    state[SEEN + kind] = before
    if entry < 0:
        return False
    if kind:
        if _pending(c, pool[entry, ADDRESS], 0) >= 0:
            state[DRAINING] = 0
            return was_draining
        state[DRAINING] -= 1
    c.slots[queue, c.lengths[queue]] = entry
    c.lengths[queue] += 1
    c.times[queue] = now
    state[QUEUED] += 1
    state[COUNT + kind] -= 1
    if before >= 0:
        pool[before, LINK] = pool[entry, LINK]
    else:
        state[HEAD + kind] = pool[entry, LINK]
    if state[TAIL + kind] == entry:
        state[TAIL + kind] = before
    return True


@njit(cache=True)
def _pending(c: Dramsim, address: int, write: int) -> int:
    """The pending request of that address and kind; -1: none."""
    entry = c.buckets[bucket_of(address)]
    while entry >= 0 and (c.pool[entry, ADDRESS] != address or c.pool[entry, WRITE] != write):
        entry = c.pool[entry, CHAIN]
    return entry


@njit(cache=True)
def channel_of(c: Dramsim, address: int) -> int:
    """Channel of a byte address."""
    return (address >> c.shift) >> c.layout[0, 0] & c.layout[0, 1]


@njit(cache=True)
def has_room(c: Dramsim, channel: int, write: int) -> bool:
    """Whether a channel takes another request."""
    kind = write if not c.unified else 0
    return c.channels[channel, COUNT + kind] < c.room


@njit(cache=True)
def accept(c: Dramsim, channel: int, address: int, write: int, tag: int) -> None:
    """Take a request in the clock at hand; the channel has room."""
    pool, scalars = c.pool, c.scalars
    now = scalars[CLOCK_NOW]
    c.counts[WRITES if write else READS] += 1
    if not write and tag >= 0:
        c.tags[tag, 0] += 1
    if _pending(c, address, 1) >= 0:
        if write:
            c.counts[MERGED_WRITES] += 1
        else:
            c.counts[FORWARDED_READS] += 1
            answered(c, now, tag, now + 1)
        return
    if not write:
        entry = _pending(c, address, 0)
        if entry >= 0:
            c.counts[MERGED_READS] += 1
            waiter = scalars[FREE_WAITER]
            if waiter < 0:
                raise RuntimeError("too many reads of one address are waiting")
            scalars[FREE_WAITER] = c.waiters[waiter, 2]
            c.waiters[waiter, 0], c.waiters[waiter, 1] = now, tag
            c.waiters[waiter, 2] = pool[entry, WAITER]
            pool[entry, WAITER] = waiter
            return
    entry = scalars[FREE]
    scalars[FREE] = pool[entry, LINK]
    _place(c, channel, entry, address)
    pool[entry, WRITE], pool[entry, ACCEPTED], pool[entry, TAG] = write, now, tag
    pool[entry, LINK] = pool[entry, WAITER] = -1
    bucket = bucket_of(address)
    pool[entry, CHAIN] = c.buckets[bucket]
    c.buckets[bucket] = entry
    state, kind = c.channels[channel], write if not c.unified else 0
    if state[TAIL + kind] >= 0:
        pool[state[TAIL + kind], LINK] = entry
    else:
        state[HEAD + kind] = entry
    state[TAIL + kind] = entry
    state[COUNT + kind] += 1
    state[NEXT] = min(state[NEXT], now)


@njit(cache=True)
def _place(c: Dramsim, channel: int, entry: int, address: int) -> None:
    """Decode an address."""
    pool, layout, bits = c.pool, c.layout, address >> c.shift
    rank = bits >> layout[1, 0] & layout[1, 1]
    group = bits >> layout[2, 0] & layout[2, 1]
    bank = bits >> layout[3, 0] & layout[3, 1]
    inside = (rank * c.groups_each + group) * c.banks_each + bank
    pool[entry, ADDRESS] = address
    pool[entry, BANK] = channel * c.ranks_each * c.rank_banks + inside
    pool[entry, REQUEST_ROW] = bits >> layout[4, 0] & layout[4, 1]
    pool[entry, COLUMN] = bits >> layout[5, 0] & layout[5, 1]
    pool[entry, QUEUE] = channel * c.queues + (rank if c.per_rank else inside)
