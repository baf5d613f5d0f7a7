"""Packed gates: the union over the channels of a slot, and counts over ranges of pixels."""

from __future__ import annotations

import numpy as np
from numba import njit

_M1 = np.uint64(0x5555555555555555)
_M2 = np.uint64(0x3333333333333333)
_M4 = np.uint64(0x0F0F0F0F0F0F0F0F)
_H1 = np.uint64(0x0101010101010101)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(cache=True, inline="always")
def popcount(word: np.uint64) -> int:
    """Number of ones in a 64-bit word (LLVM turns the shifts into one instruction)."""
    word = word - ((word >> np.uint64(1)) & _M1)
    word = (word & _M2) + ((word >> np.uint64(2)) & _M2)
    word = (word + (word >> np.uint64(4))) & _M4
    return np.int64((word * _H1) >> np.uint64(56))  # type: ignore[return-value]


@njit(cache=True)
def count_range(words: np.ndarray, first: int, end: int) -> int:
    """Ones among the bits [first, end) of `words`, uint64 [W], bit p in word p // 64."""
    if end <= first:
        return 0
    low, high = first >> 6, (end - 1) >> 6
    head = _ALL << np.uint64(first & 63)
    tail = _ALL >> np.uint64(63 - ((end - 1) & 63))
    if low == high:
        return popcount(words[low] & head & tail)
    total = popcount(words[low] & head) + popcount(words[high] & tail)
    for index in range(low + 1, high):
        total += popcount(words[index])
    return total


@njit(cache=True)
def count_ranges(words: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Ones in each range of each row: uint64 [R, W] and int64 [P, 2] give int64 [P, R]."""
    counts = np.empty((ranges.shape[0], words.shape[0]), np.int64)
    for row in range(words.shape[0]):
        for tile in range(ranges.shape[0]):
            counts[tile, row] = count_range(words[row], ranges[tile, 0], ranges[tile, 1])
    return counts


@njit(cache=True)
def unite(gates: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Pixels that at least one channel of each slot needs: uint64 [N, W] gives uint64 [slots, W].

    Slot s holds channels [first[s], end[s]). One row of gates (N = 1, `pixel` granularity) serves all.
    """
    united = np.zeros((len(first), gates.shape[1]), np.uint64)
    for slot in range(len(first)):
        if gates.shape[0] == 1:
            united[slot] = gates[0]
            continue
        for channel in range(first[slot], end[slot]):
            for word in range(gates.shape[1]):
                united[slot, word] |= gates[channel, word]
    return united
