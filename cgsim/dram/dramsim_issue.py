"""What a command does under the DRAMsim3 policy: bank states, earliest clocks of others, counters, log."""

from __future__ import annotations

import numpy as np

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
    REFRESHES,
    ROW_HITS,
    WRA,
    WRITE_COMMANDS,
    WRITE_ROW_HITS,
)
from cgsim.dram.dramsim_state import (
    ACCEPTED,
    ACT_ACT,
    ACT_ACT_L,
    ACT_ACT_S,
    ACT_FAW,
    ACT_PRE,
    ACT_RD,
    ACT_WR,
    ADDRESS,
    ARRIVALS,
    ARRIVALS_MASK,
    BANK_ACT,
    BANK_NUMBER,
    BANK_PRE,
    BANK_RD,
    BANK_REF,
    BANK_REFB,
    BANK_STAGGERED,
    BANK_WORDS,
    BANK_WR,
    BANKS,
    BANKS_FROM,
    BUCKET_WORDS,
    BUCKETS,
    BURST,
    CHAIN,
    COLUMN,
    COUNT_WORDS,
    FAW,
    FIRST_RANK,
    FREE,
    FREE_WAITER,
    GROUP,
    GROUP_ACT,
    GROUP_NUMBER,
    GROUP_RD,
    GROUP_WR,
    GROUPS,
    HITS,
    LATENCY_WORDS,
    LIMIT,
    LINK,
    LOG,
    LOG_LINES,
    NUMBER,
    OF_CHANNEL,
    OLDEST,
    OPEN,
    PRE_ACT,
    PRE_PRE,
    RANK,
    RANK_ACT,
    RANK_NUMBER,
    RANK_PRE,
    RANK_RD,
    RANK_REF,
    RANK_WORDS,
    RANK_WR,
    RANKS,
    RD_PRE,
    RD_RD_L,
    RD_RD_O,
    RD_RD_S,
    RD_WR,
    RD_WR_O,
    READ_DELAY,
    REF_ACT,
    REFB_REFB,
    REFRESH,
    REQUEST_ROW,
    ROW,
    SINCE,
    TAG,
    TAG_WORDS,
    TPPD,
    WAITER,
    WAITER_ACCEPTED,
    WAITER_LINK,
    WAITER_TAG,
    WR_PRE,
    WR_RD_L,
    WR_RD_O,
    WR_RD_S,
    WR_WR_O,
    WRITE,
)
from cgsim.dram.kernels import kernel


@kernel
def bucket_of(address: int) -> int:
    """Word of an address's bucket of pending requests."""
    return BUCKET_WORDS + (((address * 0x1E3779B97F4A7C15) >> 40) & (BUCKETS - 1))


@kernel
def wait(words: np.ndarray, at: int, clock: int) -> None:
    """Word `at`, an earliest clock, is `clock` at least."""
    words[at] = max(words[at], clock)


@kernel
def issue(words: np.ndarray, command: int, bank: int, entry: int, now: int) -> None:
    """Carry out `command` on a bank, for a request or none (0)."""
    if words[COUNT_WORDS + COMMANDS_LOGGED] < words[LOG_LINES]:
        _log(words, command, bank, entry, now)
    words[COUNT_WORDS + COMMANDS_LOGGED] += 1
    rank = words[bank + RANK]
    if command == ACT:
        _activate(words, bank, rank, words[entry + REQUEST_ROW], now)
    elif command == PRE:
        words[COUNT_WORDS + PRECHARGES] += 1
        wait(words, bank + BANK_ACT, now + words[PRE_ACT])
        _close(words, bank, rank, now + words[PRE_ACT], now)
        if words[TPPD]:
            words[rank + RANK_PRE] = now + words[PRE_PRE]
    elif command <= WRA:
        _column(words, command, bank, rank, entry, now)
    elif command == REF:
        words[COUNT_WORDS + REFRESHES] += 1
        wait(words, rank + RANK_ACT, now + words[REF_ACT])
        words[rank + RANK_REF] = now + words[REF_ACT]
    else:  # the tool blocks the other banks of the rank, not the bank itself
        words[COUNT_WORDS + BANK_REFRESHES] += 1
        _others(words, bank, rank, BANK_ACT, now + words[REF_ACT])
        _others(words, bank, rank, BANK_REFB, now + words[REFB_REFB])


@kernel
def _others(words: np.ndarray, bank: int, rank: int, field: int, clock: int) -> None:
    """The other banks of the rank wait."""
    first = words[rank + BANKS_FROM]
    for other in range(first, first + words[GROUPS] * words[BANKS] * BANK_WORDS, BANK_WORDS):
        if other != bank:
            wait(words, other + field, clock)


@kernel
def _activate(words: np.ndarray, bank: int, rank: int, row: int, now: int) -> None:
    words[COUNT_WORDS + ACTIVATES] += 1
    words[bank + ROW] = row
    words[bank + HITS] = 0
    wait(words, bank + BANK_ACT, now + words[ACT_ACT])
    words[bank + BANK_RD] = now + words[ACT_RD]
    words[bank + BANK_WR] = now + words[ACT_WR]
    wait(words, bank + BANK_PRE, now + words[ACT_PRE])
    wait(words, words[bank + GROUP] + GROUP_ACT, now + words[ACT_ACT_L])
    wait(words, rank + RANK_ACT, now + words[ACT_ACT_S])
    oldest = words[rank + OLDEST]
    words[rank + FAW + oldest] = now + words[ACT_FAW]
    words[rank + OLDEST] = (oldest + 1) & 3
    wait(words, rank + RANK_ACT, words[rank + FAW + ((oldest + 1) & 3)])
    if words[rank + OPEN] == 0:
        words[COUNT_WORDS + IDLE_CYCLES] += now - words[rank + SINCE]
        words[rank + SINCE] = now
    words[rank + OPEN] += 1
    if words[REFRESH] == BANK_STAGGERED:
        _others(words, bank, rank, BANK_REFB, now + words[ACT_ACT])


@kernel
def _close(words: np.ndarray, bank: int, rank: int, ready: int, now: int) -> None:
    """Close the row; the bank can be refreshed at `ready`."""
    words[bank + ROW] = -1
    words[bank + HITS] = 0
    wait(words, bank + BANK_REF, ready)
    wait(words, bank + BANK_REFB, ready)
    words[rank + OPEN] -= 1
    if words[rank + OPEN] == 0:
        words[COUNT_WORDS + ACTIVE_CYCLES] += now - words[rank + SINCE]
        words[rank + SINCE] = now


@kernel
def _column(words: np.ndarray, command: int, bank: int, rank: int, entry: int, now: int) -> None:
    read = command in (RD, RDA)
    words[COUNT_WORDS + DATA_CYCLES] += words[BURST]
    hit = words[bank + HITS] > 0
    words[bank + HITS] += 1
    words[COUNT_WORDS + ROW_HITS] += hit
    group = words[bank + GROUP]
    if read:
        words[COUNT_WORDS + READ_COMMANDS] += 1
        words[COUNT_WORDS + READ_ROW_HITS] += hit
        wait(words, group + GROUP_RD, now + words[RD_RD_L])
        wait(words, rank + RANK_RD, now + words[RD_RD_S])
        wait(words, rank + RANK_WR, now + words[RD_WR])
        closing = now + words[RD_PRE]
        if words[RANKS] > 1:
            _other_ranks(words, rank, now + words[RD_RD_O], now + words[RD_WR_O])
    else:
        words[COUNT_WORDS + WRITE_COMMANDS] += 1
        words[COUNT_WORDS + WRITE_ROW_HITS] += hit
        wait(words, group + GROUP_RD, now + words[WR_RD_L])
        wait(words, group + GROUP_WR, now + words[RD_RD_L])
        wait(words, rank + RANK_RD, now + words[WR_RD_S])
        wait(words, rank + RANK_WR, now + words[RD_RD_S])
        closing = now + words[WR_PRE]
        if words[RANKS] > 1:
            _other_ranks(words, rank, now + words[WR_RD_O], now + words[WR_WR_O])
    if command >= RDA:
        ready = closing + words[PRE_ACT]
        wait(words, bank + BANK_ACT, ready + words[BURST] if read else ready)
        _close(words, bank, rank, ready, now)
    else:
        wait(words, bank + BANK_PRE, closing)
    if read:
        _answer(words, entry, now + words[READ_DELAY])
    _forget(words, entry)


@kernel
def _other_ranks(words: np.ndarray, rank: int, read: int, write: int) -> None:
    first = words[words[rank + OF_CHANNEL] + FIRST_RANK]
    for other in range(first, first + words[RANKS] * RANK_WORDS, RANK_WORDS):
        if other != rank:
            wait(words, other + RANK_RD, read)
            wait(words, other + RANK_WR, write)


@kernel
def answered(words: np.ndarray, accepted: int, tag: int, at: int) -> None:
    """A read accepted in clock `accepted` has its data in clock `at`."""
    latency = at - accepted
    words[COUNT_WORDS + LATENCY_SUM] += latency
    wait(words, COUNT_WORDS + LATENCY_MAX, latency)
    wait(words, COUNT_WORDS + LAST_RETURN, at)
    words[LATENCY_WORDS + min(latency >> 2, LATENCY_BINS - 1)] += 1
    if tag >= 0:
        words[TAG_WORDS + 2 * tag] -= 1
        wait(words, TAG_WORDS + 2 * tag + 1, at)
    if words[LIMIT]:
        words[words[ARRIVALS] + (at & words[ARRIVALS_MASK])] += 1


@kernel
def _answer(words: np.ndarray, entry: int, at: int) -> None:
    """Data for a read and for those merged into it."""
    answered(words, words[entry + ACCEPTED], words[entry + TAG], at)
    waiter = words[entry + WAITER]
    while waiter:
        answered(words, words[waiter + WAITER_ACCEPTED], words[waiter + WAITER_TAG], at)
        following = words[waiter + WAITER_LINK]
        words[waiter + WAITER_LINK] = words[FREE_WAITER]
        words[FREE_WAITER] = waiter
        waiter = following


@kernel
def _forget(words: np.ndarray, entry: int) -> None:
    """Take a request out of the table of pending ones and free its record."""
    at = bucket_of(words[entry + ADDRESS])
    while words[at] != entry:
        at = words[at] + CHAIN
    words[at] = words[entry + CHAIN]
    words[entry + LINK] = words[FREE]
    words[FREE] = entry


@kernel
def _log(words: np.ndarray, command: int, bank: int, entry: int, now: int) -> None:
    at = words[LOG] + 9 * words[COUNT_WORDS + COMMANDS_LOGGED]
    rank = words[bank + RANK]
    words[at], words[at + 1] = now, command
    words[at + 2] = words[words[rank + OF_CHANNEL] + NUMBER]
    words[at + 3] = words[rank + RANK_NUMBER]
    if command != REF:
        words[at + 4], words[at + 5] = words[bank + GROUP_NUMBER], words[bank + BANK_NUMBER]
    if entry:
        words[at + 6], words[at + 7] = words[entry + REQUEST_ROW], words[entry + COLUMN]
        words[at + 8] = words[entry + WRITE]
