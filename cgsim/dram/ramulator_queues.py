"""Read and write queue of `policy: ramulator2`: a list per bank and kind, oldest first."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram import ramulator_state as s
from cgsim.dram.ramulator_state import (
    BANK,
    BEFORE,
    HEAD_R,
    HIT_R,
    MISS_R,
    N_BANKS_R,
    NEXT,
    OPEN,
    PLACE_R,
    ROW,
    TAIL_R,
    WRITE,
)


@njit(cache=True)
def find_row(bank: int, kind: int, m: np.ndarray) -> None:
    """Find the oldest request of a kind that hits the open row of a bank, and the oldest that does not."""
    row = m[bank + OPEN]
    hit = miss = 0
    slot = m[bank + HEAD_R + kind]
    while slot != 0 and (hit == 0 or miss == 0):
        if m[slot + ROW] == row:
            if hit == 0:
                hit = slot
        elif miss == 0:
            miss = slot
        slot = m[slot + NEXT]
    m[bank + HIT_R + kind] = hit
    m[bank + MISS_R + kind] = miss


@njit(cache=True)
def enqueue(slot: int, channel: int, m: np.ndarray) -> None:
    """Append a request to its queue."""
    bank, kind = m[slot + BANK], m[slot + WRITE]
    row, tail = m[bank + OPEN], m[bank + TAIL_R + kind]
    m[slot + NEXT], m[slot + BEFORE] = 0, tail
    m[bank + TAIL_R + kind] = slot
    if tail != 0:
        m[tail + NEXT] = slot
    else:
        m[bank + HEAD_R + kind] = slot
        count = m[channel + N_BANKS_R + kind]
        m[m[channel + s.LISTED_R + kind] + count] = bank
        m[bank + PLACE_R + kind] = count
        m[channel + N_BANKS_R + kind] = count + 1
        m[bank + HIT_R + kind] = m[bank + MISS_R + kind] = 0
    if row >= 0:
        first = bank + (HIT_R if m[slot + ROW] == row else MISS_R) + kind
        if m[first] == 0:
            m[first] = slot
    m[channel + s.N_READS + kind] += 1


@njit(cache=True)
def dequeue(slot: int, channel: int, m: np.ndarray) -> None:
    """Take a request out of its queue."""
    bank, kind = m[slot + BANK], m[slot + WRITE]
    after, before = m[slot + NEXT], m[slot + BEFORE]
    m[channel + s.N_READS + kind] -= 1
    if before != 0:
        m[before + NEXT] = after
    else:
        m[bank + HEAD_R + kind] = after
    if after != 0:
        m[after + BEFORE] = before
    else:
        m[bank + TAIL_R + kind] = before
    if before == 0 and after == 0:
        count = m[channel + N_BANKS_R + kind] - 1
        m[channel + N_BANKS_R + kind] = count
        place, listed = m[bank + PLACE_R + kind], m[channel + s.LISTED_R + kind]
        last = m[listed + count]
        m[listed + place] = last
        m[last + PLACE_R + kind] = place
        m[bank + HIT_R + kind] = m[bank + MISS_R + kind] = 0
        return
    row = m[bank + OPEN]
    if m[bank + HIT_R + kind] == slot:
        while after != 0 and m[after + ROW] != row:
            after = m[after + NEXT]
        m[bank + HIT_R + kind] = after
    elif m[bank + MISS_R + kind] == slot:
        while after != 0 and m[after + ROW] == row:
            after = m[after + NEXT]
        m[bank + MISS_R + kind] = after


@njit(cache=True)
def take_slot(channel: int, m: np.ndarray) -> int:
    """Return an unused slot of a channel."""
    slot = m[channel + s.FREE]
    m[channel + s.FREE] = m[slot + NEXT]
    return slot


@njit(cache=True)
def release(slot: int, channel: int, m: np.ndarray) -> None:
    """Give a slot back."""
    m[slot + NEXT] = m[channel + s.FREE]
    m[channel + s.FREE] = slot


@njit(cache=True)
def is_writing(address: int, bank: int, m: np.ndarray) -> bool:
    """Whether a write to this address waits in the write queue."""
    slot = m[bank + s.HEAD_W]
    while slot != 0:
        if m[slot + s.ADDRESS] == address:
            return True
        slot = m[slot + NEXT]
    return False
