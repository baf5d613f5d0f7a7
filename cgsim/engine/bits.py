"""Packed gates: the union over the channels of a slot, and counts over ranges of pixels."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel

_M1 = np.uint64(0x5555555555555555)
_M2 = np.uint64(0x3333333333333333)
_M4 = np.uint64(0x0F0F0F0F0F0F0F0F)
_M8 = np.uint64(0x00FF00FF00FF00FF)
_M16 = np.uint64(0x0000FFFF0000FFFF)
_M32 = np.uint64(0x00000000FFFFFFFF)
_H1 = np.uint64(0x0101010101010101)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(cache=True, inline="always")
def popcount(word: np.uint64) -> int:
    """Number of ones in a 64-bit word (LLVM turns the shifts into one instruction)."""
    word = word - ((word >> np.uint64(1)) & _M1)
    word = (word & _M2) + ((word >> np.uint64(2)) & _M2)
    word = (word + (word >> np.uint64(4))) & _M4
    return np.int64((word * _H1) >> np.uint64(56))  # type: ignore[return-value]


@njit(cache=True, inline="always")
def bits_at(words: np.ndarray, first: int, end: int) -> np.uint64:
    """The at most 64 bits [first, end) of `words` as one word."""
    low, high, shift = first >> 6, (end - 1) >> 6, np.uint64(first & 63)
    bits = words[low] >> shift
    if high > low:
        bits |= words[high] << (np.uint64(64) - shift)
    return bits & (_ALL >> np.uint64(64 - (end - first)))


@njit(cache=True, inline="always")
def field_counts(word: np.uint64, size: int) -> np.uint64:
    """Ones in each field of `size` bits, in that field; `size` a power of two up to 64."""
    if size >= 2:
        word = word - ((word >> np.uint64(1)) & _M1)
    if size >= 4:
        word = (word & _M2) + ((word >> np.uint64(2)) & _M2)
    if size >= 8:
        word = (word + (word >> np.uint64(4))) & _M4
    if size >= 16:
        word = (word + (word >> np.uint64(8))) & _M8
    if size >= 32:
        word = (word + (word >> np.uint64(16))) & _M16
    if size >= 64:
        word = (word + (word >> np.uint64(32))) & _M32
    return word


@kernel
def count_range(words: np.ndarray, first: int, end: int) -> int:
    """Ones among the bits [first, end) of `words`, uint64 [W], bit p in word p // 64."""
    if end <= first:
        return 0
    if end - first <= 64:
        return popcount(bits_at(words, first, end))
    low, high = first >> 6, (end - 1) >> 6
    head = _ALL << np.uint64(first & 63)
    tail = _ALL >> np.uint64(63 - ((end - 1) & 63))
    total = popcount(words[low] & head) + popcount(words[high] & tail)
    for index in range(low + 1, high):
        total += popcount(words[index])
    return total


@kernel
def any_in_range(words: np.ndarray, first: int, end: int) -> bool:
    """True if one of the bits [first, end) of `words` is set."""
    while first < end and not bits_at(words, first, min(first + 64, end)):
        first += 64
    return first < end


@kernel
def count_all(words: np.ndarray) -> int:
    """Ones in `words`, uint64 [R, W]."""
    total = 0
    for row in range(words.shape[0]):
        for word in words[row]:
            total += popcount(word)
    return total


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


@kernel
def append_bits(target: np.ndarray, at: int, words: np.ndarray, first: int, end: int) -> None:
    """Or the bits [first, end) of `words` into `target`, from bit `at` on; both uint64 [W]."""
    while first < end:
        count = min(end - first, 64 - (first & 63))
        bits = words[first >> 6] >> np.uint64(first & 63)
        if count < 64:
            bits &= (np.uint64(1) << np.uint64(count)) - np.uint64(1)
        target[at >> 6] |= bits << np.uint64(at & 63)
        if (at & 63) + count > 64:
            target[(at >> 6) + 1] |= bits >> np.uint64(64 - (at & 63))
        at += count
        first += count


@njit(cache=True)
def join(gates: np.ndarray, pixels: int) -> np.ndarray:
    """The gates of a batch as those of one sample, whose pixels follow one another.

    uint64 [B, N, W] of `pixels` bits gives uint64 [N, ceil(B x pixels / 64)].
    """
    batch, channels = gates.shape[0], gates.shape[1]
    joined = np.zeros((channels, -(-batch * pixels // 64)), np.uint64)
    for channel in range(channels):
        for sample in range(batch):
            append_bits(joined[channel], sample * pixels, gates[sample, channel], 0, pixels)
    return joined


@njit(cache=True)
def filters_of(gates: np.ndarray, slot_of: np.ndarray, slots: int) -> np.ndarray:
    """Filters that each slot of pixels needs: uint64 [N, W] and int64 [pixels] give uint64 [slots, N / 64].

    Bit n of slot s is set where channel n is on for a pixel of the slot.
    """
    found = np.zeros((slots, -(-gates.shape[0] // 64)), np.uint64)
    for channel in range(gates.shape[0]):
        place, bit = channel >> 6, np.uint64(1) << np.uint64(channel & 63)
        for index in range(gates.shape[1]):
            word = gates[channel, index]
            while word:
                low = word & (~word + np.uint64(1))
                found[slot_of[index * 64 + popcount(low - np.uint64(1))], place] |= bit
                word ^= low
    return found
