"""Exact jumps of the default controller over periodic stretches of a run.

Within one row of every bank a run with a constant step comes back to the same banks after some requests,
only in later columns. If then the whole state is what it was one period earlier, but for the columns and
the clock, it goes on like that until the row ends, a refresh is forced, or the run ends; counts grow by the
same in every period.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import controller_state as at
from cgsim.dram.controller_issue import candidate
from cgsim.dram.controller_state import (
    ALL_BANK,
    AT_COUNTS,
    FIXED,
    NEVER,
    NO_REFRESH,
    NONE,
    PRECHARGE,
    WRITE,
    word_of,
)
from cgsim.dram.controller_tick import refreshes_due
from cgsim.dram.counters import (
    ACTIVATES,
    BANK_REFRESHES,
    LAST_RETURN,
    LATENCY_MAX,
    PRECHARGES,
    REFRESHES,
)

_APART = 8
"""Requests between two pictures of the state, at least."""


@njit(cache=True)
def period(m: np.ndarray, step: int) -> int:
    """Requests after which a run with this step (bytes) is back in the same banks; 0: there is no jump."""
    bytes_ = 1 << m[at.SHIFT]
    if not m[at.JUMP] or m[at.COLUMN_WIDTH] == 0 or step <= 0 or step % bytes_ or m[at.LOG_CAPACITY] > 0:
        return 0
    unit, requests = step >> m[at.SHIFT], 1
    while requests < _APART or (unit * requests) & ((1 << m[at.COLUMN_BEGIN]) - 1):
        requests *= 2
    return requests


@njit(cache=True)
def pictures(m: np.ndarray, requests: int) -> int:
    """So many are taken in a row of every bank before giving up on it."""
    return 2 * m[at.DEPTH] * m[at.CHANNELS] // requests + 4


@njit(cache=True)
def row_end(m: np.ndarray, first: int, step: int, index: int) -> int:
    """The first request from `index` on that is beyond the rows of request `index`."""
    row_bytes = 1 << (m[at.SHIFT] + m[at.COLUMN_BEGIN] + m[at.COLUMN_WIDTH])
    left = row_bytes - (first + index * step) % row_bytes
    return index + -(-left // step)


@njit(cache=True)
def plan(m: np.ndarray, first: int, step: int, index: int, count: int, requests: int) -> int:
    """The request, `index` or the first of a row, after which it pays to look for periods."""
    if requests == 0:
        return NEVER
    needed = m[at.DEPTH] + 2 * requests
    end = row_end(m, first, step, index)
    if index + needed > end:
        index = end
        end = row_end(m, first, step, index)
    return index if index + needed <= min(end, count) else NEVER


@njit(cache=True)
def forget_returned(m: np.ndarray, now: int) -> None:
    """Of the reads that have their command, list only those that are still under way."""
    begin = kept = m[at.AT_RETURNS]
    for place in range(begin, begin + m[at.RETURNS]):
        if m[place] > now:
            m[kept] = m[place]
            kept += 1
    m[at.RETURNS] = kept - begin


@njit(cache=True)
def attempt(
    m: np.ndarray,
    tables: np.ndarray,
    first: int,
    step: int,
    index: int,
    count: int,
    tag: int,
    begin: int,
    now: int,
    tried: int,
) -> tuple[int, int]:
    """Before request `index` of a run: (requests skipped, clocks they take).

    `begin`: sequence number of the first request that may be repeated.
    """
    requests = period(m, step)
    older, newer = m[at.AT_NEWER], m[at.AT_OLDER]
    m[at.AT_OLDER], m[at.AT_NEWER] = older, newer
    follows = m[at.TAKEN] == index - requests
    if not _picture(m, first + index * step, tag, begin, now, tried):
        m[at.TAKEN] = NONE
        return 0, 0
    before, saved = m[at.AT_SAVED], m[at.AT_SAVING]
    m[at.AT_SAVED], m[at.AT_SAVING] = saved, before
    _save(m, saved, tag, now)
    m[at.TAKEN] = index
    if not follows:
        return 0, 0
    for word in range(m[newer]):
        if m[older + word] != m[newer + word]:
            return 0, 0
    clocks = now - m[before]
    end = min(row_end(m, first, step, index), count)
    times = min((end - index) // requests, _clocks_free(m, m[before + 3]) // clocks)
    if times <= 0 or not _grows(m, before, tag, clocks):
        return 0, 0
    if not _alone(m, tables, first + index * step, step, requests, begin):
        return 0, 0
    _repeat(m, before, tag, begin, times, times * requests * (step >> m[at.SHIFT]), requests, clocks)
    m[at.TAKEN] = NONE
    return times * requests, times * clocks


@njit(cache=True)
def _picture(m: np.ndarray, address: int, tag: int, begin: int, now: int, tried: int) -> bool:
    """Write down the state relative to clock, sequence number and column; False: not one to repeat."""
    place = m[at.AT_NEWER]
    word = place + 1
    column = (address >> (m[at.SHIFT] + m[at.COLUMN_BEGIN])) << m[at.COLUMN_OUT]
    m[place] = 0
    m[word] = tried
    m[word + 1] = m[at.READS_WAITING]
    m[word + 2] = m[AT_COUNTS + ACTIVATES]
    m[word + 3] = m[AT_COUNTS + PRECHARGES]
    m[word + 4] = m[AT_COUNTS + REFRESHES] + m[AT_COUNTS + BANK_REFRESHES]
    word += 5
    channel = m[at.AT_CHANNELS]
    for index in range(m[at.CHANNELS]):
        tick = m[channel + at.TICK]
        m[word] = tick - now
        m[word + 1] = m[channel + at.MODE]
        m[word + 2] = m[channel + at.TURN]
        m[word + 3] = m[channel + at.QUEUED]
        m[word + 4] = m[channel + at.QUEUED + WRITE]
        m[word + 5] = m[channel + at.BUSY]
        m[word + 6] = max(m[channel + at.COLUMN_BUS], tick) - now
        m[word + 7] = max(m[channel + at.ROW_BUS], tick) - now
        m[word + 8] = m[m[at.AT_TAGS] + tag * (m[at.CHANNELS] + 1) + index] if tag >= 0 else 0
        word += 9
        rank = m[channel + at.FIRST_RANK]
        for _ in range(m[at.RANKS]):
            if m[rank + at.FORCED]:
                return False
            for kind in range(at.BANK_REFRESH_NEXT + 1):
                m[word + kind] = max(m[rank + kind], tick) - now
            word += at.BANK_REFRESH_NEXT + 1
            group = m[m[rank + at.FIRST_BANK] + at.GROUP]
            for _ in range(m[at.GROUPS]):
                for kind in range(PRECHARGE):
                    m[word + kind] = max(m[group + kind], tick) - now
                word += PRECHARGE
                group += at.GROUP_WORDS
            bank = m[rank + at.FIRST_BANK]
            for _ in range(m[at.GROUPS] * m[at.BANKS]):
                word = _bank(m, bank, word, tick, now, begin, column)
                if word < 0:
                    return False
                bank += at.BANK_WORDS
            rank += at.RANK_WORDS
        channel += at.CHANNEL_WORDS
    for bus in range(m[at.AT_BUSES], m[at.AT_ENTRIES], at.BUS_WORDS):
        m[word] = m[bus + at.END] - now
        m[word + 1] = m[bus + at.LAST_KIND]
        m[word + 2] = m[bus + at.LAST_CLOCK] - now
        m[word + 3] = m[bus + at.LAST_RANK]
        word += 4
    forget_returned(m, now)
    m[word] = m[at.RETURNS]
    word += 1
    for returning in range(m[at.AT_RETURNS], m[at.AT_RETURNS] + m[at.RETURNS]):
        m[word] = m[returning] - now
        word += 1
    m[place] = word - place
    return True


@njit(cache=True)
def _bank(m: np.ndarray, bank: int, word: int, tick: int, now: int, begin: int, column: int) -> int:
    """The part of a bank in the picture: where the next begins; -1: a state not to repeat."""
    for kind in range(at.KIND):
        m[word + kind] = max(m[bank + kind], tick) - now
    m[word + 4] = m[bank + at.OPEN]
    word += 5
    if m[bank + at.PLACE] == NONE:
        return word
    m[word] = m[bank + at.KIND]
    m[word + 1] = max(m[bank + at.EARLIEST], tick) - now
    m[word + 2] = m[bank + at.SERVED] > 0
    word += 3
    settled = m[m[bank + at.BUS] + at.END] - max(
        m[at.CL], m[at.CWL]
    )  # what is over then causes no more losses
    opened = m[bank + at.OPENED] + m[at.ACT_SHIFT] + max(m[at.RCDR], m[at.RCDW])
    if max(opened, m[bank + at.REFRESHED], m[m[bank + at.RANK] + at.REFRESH_END]) > settled:
        return -1
    mode = m[m[bank + at.CHANNEL] + at.MODE]
    for kind in range(2):
        hit = m[bank + at.HIT + kind]
        if kind == mode and hit != NONE and (hit != m[bank + at.HEAD + kind] or m[hit + at.AGE] < begin):
            return -1
        entry = m[bank + at.HEAD + kind]
        while entry != NONE:
            if m[entry + at.AGE] >= begin:  # of this run: it moves along
                m[word] = m[entry + at.WORD] - column
                m[word + 1] = m[entry + at.AGE] - m[at.SEQUENCE]
                m[word + 2] = m[entry + at.ARRIVED] - now
            else:  # of an earlier one: it waits and waits
                m[word] = m[entry + at.WORD]
                m[word + 1] = m[entry + at.AGE]
                m[word + 2] = m[entry + at.ARRIVED]
            m[word + 3] = m[entry + at.CAUSE]
            word += 4
            entry = m[entry + at.NEXT]
        m[word] = NONE
        word += 1
    return word


@njit(cache=True)
def _alone(m: np.ndarray, tables: np.ndarray, address: int, step: int, requests: int, begin: int) -> bool:
    """No request from before `begin` waits for a row that the requests of a period go to."""
    for index in range(requests):
        word = word_of(tables, (address + index * step) >> m[at.SHIFT])
        bank = m[at.AT_BANKS] + (word >> (m[at.ROW_BITS] + m[at.COLUMN_BITS])) * at.BANK_WORDS
        for kind in range(2):
            entry = m[bank + at.HEAD + kind]
            while entry != NONE and m[entry + at.AGE] < begin:
                if m[entry + at.WORD] >> m[at.COLUMN_BITS] == word >> m[at.COLUMN_BITS]:
                    return False
                entry = m[entry + at.NEXT]
    return True


@njit(cache=True)
def _save(m: np.ndarray, saved: int, tag: int, now: int) -> None:
    """Keep what grows in a period: clock, counts, column commands of the open rows, last return and write."""
    m[saved] = m[saved + 3] = now
    for channel in range(m[at.AT_CHANNELS], m[at.AT_RANKS], at.CHANNEL_WORDS):
        m[saved + 3] = min(m[saved + 3], m[channel + at.TICK])
    m[saved + 1] = m[at.LAST_WRITE]
    m[saved + 2] = _last_of(m, tag)
    saved += 4
    for word in range(AT_COUNTS, FIXED):
        m[saved] = m[word]
        saved += 1
    for bank in range(m[at.AT_BANKS], m[at.AT_BUSES], at.BANK_WORDS):
        m[saved] = m[bank + at.SERVED]
        saved += 1


@njit(cache=True)
def _last_of(m: np.ndarray, tag: int) -> int:
    """Last return of the tag."""
    return m[m[at.AT_TAGS] + tag * (m[at.CHANNELS] + 1) + m[at.CHANNELS]] if tag >= 0 else 0


@njit(cache=True)
def _grows(m: np.ndarray, saved: int, tag: int, clocks: int) -> bool:
    """Last return and last write have not moved in a period, or by the whole of it."""
    reads = m[AT_COUNTS + LAST_RETURN] - m[saved + 4 + LAST_RETURN]
    writes = m[at.LAST_WRITE] - m[saved + 1]
    tagged = _last_of(m, tag) - m[saved + 2]
    return (
        (reads == clocks or (reads == 0 and writes > 0))
        and (writes == clocks or (writes == 0 and reads > 0))
        and (tag < 0 or tagged == reads)
    )


@njit(cache=True)
def _clocks_free(m: np.ndarray, since: int) -> int:
    """Clocks for which no refresh changes what happens; `since`: beginning of the period."""
    free = NEVER
    if m[at.REFRESH] == NO_REFRESH:
        return free
    channel = m[at.AT_CHANNELS]
    for _ in range(m[at.CHANNELS]):
        tick = m[channel + at.TICK]
        idle = m[at.REFRESH] != ALL_BANK
        rank = m[channel + at.FIRST_RANK]
        until = NEVER
        for _ in range(m[at.RANKS]):
            idle |= m[rank + at.LAST_IDLE] >= since or m[rank + at.WAITING] == 0
            owed = max(m[at.POSTPONED] - 1 - m[rank + at.DEBT], 0)
            until = min(until, m[rank + at.DUE] + owed * m[at.INTERVAL])
            rank += at.RANK_WORDS
        if idle:  # whatever falls due is done at once
            if m[channel + at.DEBTS] > 0:
                return 0
            until = m[channel + at.NEXT_DUE]
        free = min(free, until - tick)
        channel += at.CHANNEL_WORDS
    return free


@njit(cache=True)
def _repeat(
    m: np.ndarray, saved: int, tag: int, begin: int, times: int, bursts: int, requests: int, clocks: int
) -> None:
    """The state after so many more periods, in which the run goes on by `bursts`."""
    passed, accepted = times * clocks, times * requests
    moved = (bursts >> m[at.COLUMN_BEGIN]) << m[at.COLUMN_OUT]
    grown = saved + 4
    for word in range(AT_COUNTS, FIXED):
        if word != AT_COUNTS + LATENCY_MAX:
            m[word] += times * (m[word] - m[grown])
        grown += 1
    for bank in range(m[at.AT_BANKS], m[at.AT_BUSES], at.BANK_WORDS):
        m[bank + at.SERVED] += times * (m[bank + at.SERVED] - m[grown])
        grown += 1
        for kind in range(at.KIND):
            m[bank + kind] += passed
        if m[bank + at.PLACE] == NONE:
            continue
        for kind in range(2):
            entry = m[bank + at.HEAD + kind]
            while entry != NONE:
                if m[entry + at.AGE] >= begin:
                    m[entry + at.WORD] += moved
                    m[entry + at.AGE] += accepted
                    m[entry + at.ARRIVED] += passed
                entry = m[entry + at.NEXT]
        candidate(m, bank, m[m[bank + at.CHANNEL] + at.MODE])
    m[at.SEQUENCE] += accepted
    m[at.JUMPED] += accepted
    m[at.LAST_WRITE] += times * (m[at.LAST_WRITE] - m[saved + 1])
    if tag >= 0:
        last = m[at.AT_TAGS] + tag * (m[at.CHANNELS] + 1) + m[at.CHANNELS]
        m[last] += times * (m[last] - m[saved + 2])
    for group in range(m[at.AT_GROUPS], m[at.AT_BANKS], at.GROUP_WORDS):
        for kind in range(PRECHARGE):
            m[group + kind] += passed
    for rank in range(m[at.AT_RANKS], m[at.AT_GROUPS], at.RANK_WORDS):
        for kind in range(at.BANK_REFRESH_NEXT + 1):
            m[rank + kind] += passed
        if m[rank + at.LAST_IDLE] >= m[saved + 3]:
            m[rank + at.LAST_IDLE] += passed
    for bus in range(m[at.AT_BUSES], m[at.AT_ENTRIES], at.BUS_WORDS):
        m[bus + at.END] += passed
        m[bus + at.LAST_CLOCK] += passed
    for place in range(m[at.AT_RETURNS], m[at.AT_RETURNS] + m[at.RETURNS]):
        m[place] += passed
    for channel in range(m[at.AT_CHANNELS], m[at.AT_RANKS], at.CHANNEL_WORDS):
        m[channel + at.TICK] += passed
        m[channel + at.NEXT_READY] = NONE
        m[channel + at.COLUMN_BUS] += passed
        m[channel + at.ROW_BUS] += passed
        while m[channel + at.NEXT_DUE] < m[channel + at.TICK]:
            refreshes_due(m, channel, m[channel + at.NEXT_DUE])
