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
    PER_RANK,
    QUEUE,
    QUEUE_SIZE,
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
    SLOTS_MASK,
    STAGGERED,
    START,
    TAIL,
    TIME,
    UNBLOCKED,
    UNIFIED,
    WRITE,
    WRITE_COUNT,
    WRITE_SEEN,
    ZERO,
)
from cgsim.dram.kernels import kernel

HIT_CAP = 4
"""Column commands to a row after which the oldest request may close it although others hit it."""
DRAIN_ABOVE = 8
"""Waiting writes above which they drain when nothing else is queued."""
NOTHING, MOVED, AGAIN = range(3)


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
            _leave(words, words[bank + QUEUE], at)
            words[state + QUEUED] -= 1
            words[state + SEEN] = words[state + WRITE_SEEN] = 0
        elif first >= 0 and not RD <= first <= WRA:
            break
        look_again(words, words[bank + TIME])
        issue(words, command, bank, entry, now)
        first = command
        issued += 1
    moved = _schedule(words, state)
    if issued or moved:
        if first < REF:
            words[ACTIVITY] = now
        if moved == AGAIN or words[state + DUE] > 0:
            following = now + 1
        else:
            following = min(words[state + NEXT_REFRESH], _earliest(words, state, now))
    words[state + NEXT] = following


@kernel
def slot_of(words: np.ndarray, queue: int, at: int) -> int:
    """Word that names request `at` of a queue, counted from the oldest."""
    return queue + SLOTS + ((words[queue + START] + at) & words[SLOTS_MASK])


@kernel
def _leave(words: np.ndarray, queue: int, at: int) -> None:
    """Take request `at` out of a queue."""
    for place in range(at, 0, -1):
        words[slot_of(words, queue, place)] = words[slot_of(words, queue, place - 1)]
    words[queue + START] += 1
    words[queue + LENGTH] -= 1


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
    command, closed, precharge = -1, words[rank + RANK_REF], NEVER
    for at in range(bank, bank + span * BANK_WORDS, BANK_WORDS):
        if words[at + ROW] >= 0:
            ready = max(words[at + BANK_PRE], words[rank + RANK_PRE])
            if ready <= now:
                command, bank = PRE, at
                break
            precharge = min(precharge, ready)
        elif by_bank:
            closed = words[at + BANK_REFB]
        else:
            closed = max(closed, words[at + BANK_REF])
    if command == PRE:
        if words[words[bank + QUEUE] + LENGTH]:
            look_again(words, words[bank + TIME])
    elif precharge < NEVER:
        return -1, precharge
    elif closed > now:
        return -1, closed
    else:
        command = REFB if by_bank else REF
        words[state + DUE] -= 1
        words[state + REFRESHED] += 1
        words[state + BLOCKED] = words[state + UNBLOCKED] = 0
    issue(words, command, bank, words[ZERO], now)  # a variable: Numba compiles anew for each literal
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
        if time <= now:
            time = _with_gates(words, times + number, queues, time)
        if blocked <= number < unblocked:
            continue
        if time <= now:
            queue = words[state + FIRST_QUEUE] + number * words[QUEUE_SIZE]
            command, at, time = _ready(words, queue, times + number, now)
            if command >= 0:
                words[state + SERVED] = number
                if command == PRE:
                    words[COUNT_WORDS + ONDEMAND_PRECHARGES] += 1
                return command, words[slot_of(words, queue, at)], at, NEVER
        following = min(following, time)
    return -1, 0, 0, following


@kernel
def _earliest(words: np.ndarray, state: int, now: int) -> int:
    """The earliest clock after `now` in which a queue may have a command, no refresh being due."""
    times, queues, following = words[state + FIRST_TIME], words[QUEUES], NEVER
    for number in range(queues):
        time = words[times + number]
        if time <= now:
            time = _with_gates(words, times + number, queues, time)
            if time <= now:
                queue = words[state + FIRST_QUEUE] + number * words[QUEUE_SIZE]
                command, _, time = _ready(words, queue, times + number, now)
                if command >= 0:
                    return now + 1
            if time == now + 1:
                return time
        following = min(following, time)
    return following


@kernel
def _with_gates(words: np.ndarray, at: int, queues: int, time: int) -> int:
    """When a queue's command can issue, with what its bank group and rank have to wait for; noted with it."""
    time = max(time, words[words[at + queues]], words[words[at + 2 * queues]])
    words[at] = time
    return time


@kernel
def look_again(words: np.ndarray, at: int) -> None:
    """What the queue with time word `at` does next is to be found out anew."""
    words[at] = 0
    words[at + words[QUEUES]] = words[at + 2 * words[QUEUES]] = ZERO


@kernel
def _ready(words: np.ndarray, queue: int, at: int, now: int) -> tuple[int, int, int]:
    """The command that a queue with time word `at` can issue: (command, place in it, now).

    Or (-1, 0, earliest clock), noted with the queue.
    """
    if words[PER_RANK]:
        command, place, time = _ready_of_rank(words, queue, now)
        if command < 0:
            words[at] = time
        return command, place, time
    return _ready_of_bank(words, queue, at, now)


@kernel
def _wait_for(words: np.ndarray, at: int, time: int, group: int, rank: int) -> int:
    """Note that a queue waits for clock `time` and those in words `group` and `rank`; returns the latest."""
    queues = words[QUEUES]
    words[at], words[at + queues], words[at + 2 * queues] = time, group, rank
    return max(time, words[group], words[rank])


@kernel
def _act_time(words: np.ndarray, bank: int) -> int:
    group = words[words[bank + GROUP] + GROUP_ACT]
    return max(words[bank + BANK_ACT], group, words[words[bank + RANK] + RANK_ACT])


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
    entry = words[slot_of(words, queue, at)]
    for place in range(at):
        other = words[slot_of(words, queue, place)]
        if (
            not words[other + WRITE]
            and words[other + REQUEST_ROW] == words[entry + REQUEST_ROW]
            and words[other + COLUMN] == words[entry + COLUMN]
            and words[other + BANK] == words[entry + BANK]
        ):
            return True
    return False


@kernel
def _ready_of_bank(words: np.ndarray, queue: int, at: int, now: int) -> tuple[int, int, int]:
    """As `_ready` for the queue of a bank."""
    length = words[queue + LENGTH]
    if length == 0:
        return -1, 0, _wait_for(words, at, NEVER, ZERO, ZERO)
    head = words[slot_of(words, queue, 0)]
    bank = words[head + BANK]
    row, rank, group = words[bank + ROW], words[bank + RANK], words[bank + GROUP]
    if row < 0:
        time = _wait_for(words, at, words[bank + BANK_ACT], group + GROUP_ACT, rank + RANK_ACT)
        return (ACT, 0, now) if time <= now else (-1, 0, time)
    missed, closing, reads, writes = words[head + REQUEST_ROW] != row, NEVER, 0, 0
    if missed and words[bank + HITS] >= HIT_CAP:
        closing = max(words[bank + BANK_PRE], words[rank + RANK_PRE])
        if closing <= now:
            return PRE, 0, now
    read_time = write_time = NEVER
    for place in range(length):
        entry = words[slot_of(words, queue, place)]
        if words[entry + REQUEST_ROW] != row:
            continue
        if words[entry + WRITE]:
            if writes == 0:
                write_time = _column_time(words, bank, 1)
            writes += 1
            if write_time <= now and not (place and _awaits_read(words, queue, place)):
                return _column_command(words, 1), place, now
        else:
            if reads == 0:
                read_time = _column_time(words, bank, 0)
            reads += 1
            if read_time <= now:
                return _column_command(words, 0), place, now
    if reads + writes == 0:
        if missed:
            time = _wait_for(words, at, words[bank + BANK_PRE], ZERO, rank + RANK_PRE)
            return (PRE, 0, now) if time <= now else (-1, 0, time)
    elif writes == 0 and closing == NEVER:
        return -1, 0, _wait_for(words, at, words[bank + BANK_RD], group + GROUP_RD, rank + RANK_RD)
    elif reads == 0 and closing == NEVER:
        return -1, 0, _wait_for(words, at, words[bank + BANK_WR], group + GROUP_WR, rank + RANK_WR)
    time = closing
    if reads:
        time = min(time, read_time)
    if writes and write_time > now:
        time = min(time, write_time)
    return -1, 0, _wait_for(words, at, time, ZERO, ZERO)


@kernel
def _ready_of_rank(words: np.ndarray, queue: int, now: int) -> tuple[int, int, int]:
    """As `_ready_of_bank` for a queue that holds the requests of all banks of a rank."""
    length, following = words[queue + LENGTH], NEVER
    for at in range(length):
        entry = words[slot_of(words, queue, at)]
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
            for place in range(at):
                if words[words[slot_of(words, queue, place)] + BANK] == bank:
                    allowed = False
                    break
            if allowed and words[bank + HITS] < HIT_CAP:
                for place in range(at + 1, length):
                    other = words[slot_of(words, queue, place)]
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
def _schedule(words: np.ndarray, state: int) -> int:
    """Move one transaction to a command queue: NOTHING, MOVED, or AGAIN: the next clock may move another."""
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
        return NOTHING
    if kind:
        if pending(words, words[entry + ADDRESS], 0):
            words[state + DRAINING] = 0
            return AGAIN if was_draining else NOTHING
        words[state + DRAINING] -= 1
    words[slot_of(words, queue, words[queue + LENGTH])] = entry
    words[queue + LENGTH] += 1
    look_again(words, words[bank + TIME])
    words[state + QUEUED] += 1
    words[state + COUNT + kind] -= 1
    if before:
        words[before + LINK] = words[entry + LINK]
    else:
        words[state + HEAD + kind] = words[entry + LINK]
    following = words[entry + LINK]
    if words[state + TAIL + kind] == entry:
        words[state + TAIL + kind] = before
    if kind and words[state + DRAINING] == 0:
        return AGAIN
    while following and words[words[words[following + BANK] + QUEUE] + LENGTH] >= depth:
        before, following = following, words[following + LINK]
    words[state + SEEN + kind] = before
    return AGAIN if following else MOVED


@kernel
def pending(words: np.ndarray, address: int, write: int) -> int:
    """The pending request of that address and kind, 0: none."""
    entry = words[bucket_of(address)]
    while entry and (words[entry + ADDRESS] != address or words[entry + WRITE] != write):
        entry = words[entry + CHAIN]
    return entry
