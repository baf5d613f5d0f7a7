"""A clock of a channel under the DRAMsim3 policy: refresh, command choice, moving of transactions."""

from __future__ import annotations

import numpy as np

from cgsim.dram.counters import ACT, ONDEMAND_PRECHARGES, PRE, RD, RDA, REF, REFB, WR, WRA
from cgsim.dram.dramsim_issue import bucket_of, issue
from cgsim.dram.dramsim_state import (
    ACTIVITY,
    ADDRESS,
    BANK,
    BANK_ACT,
    BANK_PRE,
    BANK_RD,
    BANK_REF,
    BANK_REFB,
    BANK_STAGGERED,
    BANK_WORDS,
    BANK_WR,
    BANKS,
    BLOCKED,
    CHAIN,
    CLOSE,
    COLUMN,
    COUNT,
    COUNT_WORDS,
    DEPTH,
    DRAINING,
    DUAL,
    DUE,
    FAW,
    FIRST_BANK,
    FIRST_QUEUE,
    FIRST_TIME,
    GROUP,
    GROUP_ACT,
    GROUP_RD,
    GROUP_WR,
    GROUPS,
    HEAD,
    HITS,
    INTERVAL,
    LENGTH,
    LINK,
    NEVER,
    NEXT,
    NEXT_REFRESH,
    OLDEST,
    PER_RANK,
    QUEUE,
    QUEUED,
    QUEUES,
    RANK,
    RANK_ACT,
    RANK_PRE,
    RANK_RD,
    RANK_REF,
    RANK_WR,
    RANKS,
    REFRESH,
    REFRESHED,
    REQUEST_ROW,
    ROOM,
    ROW,
    SEEN,
    SERVED,
    SLOTS,
    STAGGERED,
    TAIL,
    TIME,
    UNBLOCKED,
    UNIFIED,
    WRITE,
    WRITE_COUNT,
    WRITE_SEEN,
)
from cgsim.dram.kernels import kernel

HIT_CAP = 4
"""Column commands to a row after which the oldest request may close it although others hit it."""
DRAIN_ABOVE = 8
"""Waiting writes above which they drain when nothing else is queued."""


@kernel
def tick(words: np.ndarray, state: int, now: int) -> None:
    """Clock `now` of a channel; sets the next clock in which anything can happen."""
    if now == words[state + NEXT_REFRESH]:
        words[state + DUE] += 1
        words[state + NEXT_REFRESH] += words[INTERVAL]
    following = words[state + NEXT_REFRESH]
    first = -1
    if words[state + DUE] > 0:
        first, later = _refresh(words, state, now)
        following = min(following, later)
    issued = 1 if first >= 0 else 0
    while issued <= words[DUAL]:
        command, entry, at, later = _choose(words, state, now)
        following = min(following, later)
        if command < 0:
            break
        bank = words[entry + BANK]
        if RD <= command <= WRA:
            if RD <= first <= WRA:
                break
            queue = words[bank + QUEUE]
            length = words[queue + LENGTH] - 1
            words[queue + LENGTH] = length
            for slot in range(queue + SLOTS + at, queue + SLOTS + length):
                words[slot] = words[slot + 1]
            words[state + QUEUED] -= 1
            words[state + SEEN] = words[state + WRITE_SEEN] = 0
        elif first >= 0 and not RD <= first <= WRA:
            break
        issue(words, command, bank, entry, now)
        first = command
        issued += 1
    moved = _schedule(words, state)
    if issued or moved:
        following = now + 1
        if first < REF:
            words[ACTIVITY] = now
    words[state + NEXT] = following


@kernel
def _refresh(words: np.ndarray, state: int, now: int) -> tuple[int, int]:
    """Issue the next command of the refresh at hand: (command, NEVER), or (-1, when to try again)."""
    number, by_bank = words[state + REFRESHED], words[REFRESH] == BANK_STAGGERED
    rank_banks = words[GROUPS] * words[BANKS]
    first, span = 0, rank_banks  # simultaneous: the tool's loop over ranks ends after the first
    if by_bank:  # bank groups first, then banks, then ranks
        rest = number // words[GROUPS]
        first = number % words[GROUPS] * words[BANKS] + rest % words[BANKS]
        first, span = first + rest // words[BANKS] % words[RANKS] * rank_banks, 1
    elif words[REFRESH] == STAGGERED:
        first = number % words[RANKS] * rank_banks
    if words[PER_RANK]:
        words[state + BLOCKED] = first // rank_banks
        words[state + UNBLOCKED] = first // rank_banks + 1
    else:
        words[state + BLOCKED], words[state + UNBLOCKED] = first, first + span
    bank = words[state + FIRST_BANK] + first * BANK_WORDS
    rank = words[bank + RANK]
    closed, precharge = words[rank + RANK_REF], NEVER
    for at in range(bank, bank + span * BANK_WORDS, BANK_WORDS):
        if words[at + ROW] >= 0:
            ready = max(words[at + BANK_PRE], words[rank + RANK_PRE])
            if ready <= now:
                if words[words[at + QUEUE] + LENGTH]:
                    words[words[at + TIME]] = now
                issue(words, PRE, at, 0, now)
                return PRE, NEVER
            precharge = min(precharge, ready)
        elif by_bank:
            closed = words[at + BANK_REFB]
        else:
            closed = max(closed, words[at + BANK_REF])
    if precharge < NEVER:
        return -1, precharge
    if closed > now:
        return -1, closed
    command = REFB if by_bank else REF
    issue(words, command, bank, 0, now)
    words[state + DUE] -= 1
    words[state + REFRESHED] += 1
    words[state + BLOCKED] = words[state + UNBLOCKED] = 0
    return command, NEVER


@kernel
def _choose(words: np.ndarray, state: int, now: int) -> tuple[int, int, int, int]:
    """The next command of the queues, round robin.

    Returns (command, request, place in its queue, NEVER), or (-1, 0, 0, clock): none can issue before.
    """
    blocked, unblocked = words[state + BLOCKED], words[state + UNBLOCKED]
    times, queues = words[state + FIRST_TIME], words[QUEUES]
    number, following = words[state + SERVED], NEVER
    for _ in range(queues):
        number += 1
        if number == queues:
            number = 0
        time = words[times + number]
        if blocked <= number < unblocked:
            continue
        if time <= now:
            queue = words[state + FIRST_QUEUE] + number * (SLOTS + words[DEPTH])
            if words[PER_RANK]:
                command, at, time = _ready_of_rank(words, queue, now)
            else:
                command, at, time = _ready_of_bank(words, queue, now)
            if command >= 0:
                words[state + SERVED] = number
                if command == PRE:
                    words[COUNT_WORDS + ONDEMAND_PRECHARGES] += 1
                return command, words[queue + SLOTS + at], at, NEVER
            words[times + number] = time
        following = min(following, time)
    return -1, 0, 0, following


@kernel
def _act_time(words: np.ndarray, bank: int) -> int:
    rank = words[bank + RANK]
    window = words[rank + FAW + words[rank + OLDEST]]
    group = words[words[bank + GROUP] + GROUP_ACT]
    return max(words[bank + BANK_ACT], group, words[rank + RANK_ACT], window)


@kernel
def _column_time(words: np.ndarray, bank: int, write: int) -> int:
    rank, group = words[bank + RANK], words[bank + GROUP]
    if write:
        return max(words[bank + BANK_WR], words[group + GROUP_WR], words[rank + RANK_WR])
    return max(words[bank + BANK_RD], words[group + GROUP_RD], words[rank + RANK_RD])


@kernel
def _column_command(words: np.ndarray, write: int) -> int:
    if words[CLOSE]:
        return WRA if write else RDA
    return WR if write else RD


@kernel
def _awaits_read(words: np.ndarray, queue: int, at: int) -> bool:
    """Whether an older read of the same place is in the queue."""
    entry = words[queue + SLOTS + at]
    for slot in range(queue + SLOTS, queue + SLOTS + at):
        other = words[slot]
        if (
            not words[other + WRITE]
            and words[other + REQUEST_ROW] == words[entry + REQUEST_ROW]
            and words[other + COLUMN] == words[entry + COLUMN]
            and words[other + BANK] == words[entry + BANK]
        ):
            return True
    return False


@kernel
def _ready_of_bank(words: np.ndarray, queue: int, now: int) -> tuple[int, int, int]:
    """The command that a bank's queue can issue: (command, place in it, now), or (-1, 0, earliest clock)."""
    length = words[queue + LENGTH]
    if length == 0:
        return -1, 0, NEVER
    head = words[queue + SLOTS]
    bank = words[head + BANK]
    row = words[bank + ROW]
    if row < 0:
        time = _act_time(words, bank)
        return (ACT, 0, now) if time <= now else (-1, 0, time)
    missed, following, precharge = words[head + REQUEST_ROW] != row, NEVER, NEVER
    if missed:
        precharge = max(words[bank + BANK_PRE], words[words[bank + RANK] + RANK_PRE])
        if words[bank + HITS] >= HIT_CAP:
            if precharge <= now:
                return PRE, 0, now
            following = precharge
    hits = False
    read_time = write_time = -1
    for at in range(length):
        entry = words[queue + SLOTS + at]
        if words[entry + REQUEST_ROW] != row:
            continue
        hits = True
        if words[entry + WRITE]:
            if write_time < 0:
                write_time = _column_time(words, bank, 1)
            time = write_time
            if time <= now and at and _awaits_read(words, queue, at):
                continue
        else:
            if read_time < 0:
                read_time = _column_time(words, bank, 0)
            time = read_time
        if time <= now:
            return _column_command(words, words[entry + WRITE]), at, now
        following = min(following, time)
        if read_time > now and write_time > now:
            break
    if missed and not hits:
        if precharge <= now:
            return PRE, 0, now
        following = precharge
    return -1, 0, following


@kernel
def _ready_of_rank(words: np.ndarray, queue: int, now: int) -> tuple[int, int, int]:
    """As `_ready_of_bank` for a queue that holds the requests of all banks of a rank."""
    first, length, following = queue + SLOTS, words[queue + LENGTH], NEVER
    for at in range(length):
        entry = words[first + at]
        bank = words[entry + BANK]
        row = words[bank + ROW]
        if row < 0:
            command, time = ACT, _act_time(words, bank)
        elif row == words[entry + REQUEST_ROW]:
            write = words[entry + WRITE]
            command, time = _column_command(words, write), _column_time(words, bank, write)
            if write and time <= now and _awaits_read(words, queue, at):
                continue
        else:
            command, time = PRE, max(words[bank + BANK_PRE], words[words[bank + RANK] + RANK_PRE])
            allowed = True
            for slot in range(first, first + at):
                if words[words[slot] + BANK] == bank:
                    allowed = False
                    break
            if allowed and words[bank + HITS] < HIT_CAP:
                for slot in range(first + at + 1, first + length):
                    other = words[slot]
                    if words[other + BANK] == bank and words[other + REQUEST_ROW] == row:
                        allowed = False
                        break
            if not allowed:
                continue
        if time <= now:
            return command, at, now
        following = min(following, time)
    return -1, 0, following


@kernel
def _schedule(words: np.ndarray, state: int) -> bool:
    """Move one transaction to a command queue. Returns whether another clock may move one."""
    was_draining = words[state + DRAINING] > 0
    if not was_draining and not words[UNIFIED]:
        writes = words[state + WRITE_COUNT]
        if writes >= words[ROOM] or (writes > DRAIN_ABOVE and words[state + QUEUED] == 0):
            words[state + DRAINING] = writes
    kind = 1 if words[state + DRAINING] > 0 else 0
    before = words[state + SEEN + kind]
    entry = words[before + LINK] if before else words[state + HEAD + kind]
    depth, bank, queue = words[DEPTH], 0, 0
    while entry:
        bank = words[entry + BANK]
        queue = words[bank + QUEUE]
        if words[queue + LENGTH] < depth:
            break
        before, entry = entry, words[entry + LINK]
    words[state + SEEN + kind] = before
    if not entry:
        return False
    if kind:
        if pending(words, words[entry + ADDRESS], 0):
            words[state + DRAINING] = 0
            return was_draining
        words[state + DRAINING] -= 1
    words[queue + SLOTS + words[queue + LENGTH]] = entry
    words[queue + LENGTH] += 1
    words[words[bank + TIME]] = 0
    words[state + QUEUED] += 1
    words[state + COUNT + kind] -= 1
    if before:
        words[before + LINK] = words[entry + LINK]
    else:
        words[state + HEAD + kind] = words[entry + LINK]
    if words[state + TAIL + kind] == entry:
        words[state + TAIL + kind] = before
    return True


@kernel
def pending(words: np.ndarray, address: int, write: int) -> int:
    """The pending request of that address and kind, 0: none."""
    entry = words[bucket_of(address)]
    while entry and (words[entry + ADDRESS] != address or words[entry + WRITE] != write):
        entry = words[entry + CHAIN]
    return entry
