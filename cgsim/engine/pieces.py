"""What a transfer moves, as pieces of contiguous DRAM addresses, in bits."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.mapping.parts import END, FIRST, SKIP_END, SKIP_FIRST

FIRST_BIT, BITS = range(2)
"""Fields of a piece."""


@njit(cache=True)
def no_pieces() -> np.ndarray:
    """Pieces, none yet: int64 [capacity, 2]."""
    return np.empty((64, 2), np.int64)


@njit(cache=True)
def room(pieces: np.ndarray, used: int, more: int) -> np.ndarray:
    """The `used` pieces with room for `more`."""
    if used + more <= len(pieces):
        return pieces
    larger = np.empty((2 * (used + more), 2), np.int64)
    larger[:used] = pieces[:used]
    return larger


@kernel
def add(pieces: np.ndarray, start: int, used: int, first: int, bits: int) -> int:
    """Append a piece to the transfer that began at `start`, if there is room; those used then.

    Adjoining ones become one.
    """
    if bits == 0:
        return used
    if used > start and pieces[used - 1, FIRST_BIT] + pieces[used - 1, BITS] == first:
        pieces[used - 1, BITS] += bits
        return used
    pieces[used, FIRST_BIT] = first
    pieces[used, BITS] = bits
    return used + 1


@kernel
def add_weights(
    pieces: np.ndarray,
    start: int,
    used: int,
    first: int,
    each: int,
    part: np.ndarray,
    channels: np.ndarray,
    wanted: np.ndarray,
) -> tuple[int, int]:
    """Weights of a part of the reduction for the `wanted` (bool [N]) of output `channels` [first, end).

    They begin at `first`, `each` bits for each channel that uses the part. A piece for each of `channels`
    must have room. Returns (used, end).
    """
    for channel in range(max(channels[0], part[FIRST]), min(channels[1], part[END])):
        if part[SKIP_FIRST] <= channel < part[SKIP_END]:
            continue
        if wanted[channel]:
            used = add(pieces, start, used, first, each)
        first += each
    return used, first


@kernel
def add_window(
    pieces: np.ndarray,
    start: int,
    used: int,
    sample: int,
    block: np.ndarray,
    first: int,
    end: int,
    window: np.ndarray,
    width: int,
    bits: int,
) -> int:
    """Channels [first, end) of a block, at the pixels of `window` (rows [0, 1), columns [2, 3)).

    `sample`: bit address of the sample; `width` pixels of a row. A piece for each pixel must have room.
    """
    channels = block[1] - block[0]
    at, pixel = sample + block[2], channels * bits
    if first > block[0] or end < block[1]:  # a part of each pixel
        for y in range(window[0], window[1]):
            for x in range(window[2], window[3]):
                place = at + (y * width + x) * pixel + (first - block[0]) * bits
                used = add(pieces, start, used, place, (end - first) * bits)
        return used
    columns = window[3] - window[2]
    if columns == width:
        return add(
            pieces, start, used, at + window[0] * width * pixel, (window[1] - window[0]) * width * pixel
        )
    for y in range(window[0], window[1]):
        used = add(pieces, start, used, at + (y * width + window[2]) * pixel, columns * pixel)
    return used


@kernel
def add_pixels(
    pieces: np.ndarray,
    start: int,
    used: int,
    sample: int,
    block: np.ndarray,
    first: int,
    end: int,
    window: np.ndarray,
    stamps: np.ndarray,
    stamp: int,
    bits: int,
) -> int:
    """Like `add_window`, but only pixels whose stamp, int64 [height, width], is `stamp`."""
    pixel = (block[1] - block[0]) * bits
    at = sample + block[2] + (first - block[0]) * bits
    width = stamps.shape[1]
    for y in range(window[0], window[1]):
        for x in range(window[2], window[3]):
            if stamps[y, x] == stamp:
                place = at + (y * width + x) * pixel
                used = add(pieces, start, used, place, (end - first) * bits)
    return used
