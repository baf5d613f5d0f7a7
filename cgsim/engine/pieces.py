"""What a transfer moves, as pieces of contiguous DRAM addresses, in bits."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.mapping.parts import END, FIRST, SKIP_END, SKIP_FIRST

FIRST_BIT, BITS = range(2)
"""Fields of a piece."""


@njit(cache=True)
def no_pieces() -> np.ndarray:
    """Room for pieces: int64 [capacity, 2]; `add` makes more."""
    return np.empty((64, 2), np.int64)


@njit(cache=True)
def add(pieces: np.ndarray, start: int, used: int, first: int, bits: int) -> tuple[np.ndarray, int]:
    """Append a piece to the transfer that began at `start`; (pieces, used). Adjoining ones become one."""
    if bits == 0:
        return pieces, used
    if used > start and pieces[used - 1, FIRST_BIT] + pieces[used - 1, BITS] == first:
        pieces[used - 1, BITS] += bits
        return pieces, used
    if used == len(pieces):
        more = np.empty((2 * len(pieces), 2), np.int64)
        more[:used] = pieces
        pieces = more
    pieces[used, FIRST_BIT] = first
    pieces[used, BITS] = bits
    return pieces, used + 1


@njit(cache=True)
def add_weights(
    pieces: np.ndarray,
    start: int,
    used: int,
    first: int,
    each: int,
    part: np.ndarray,
    channels: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, int, int]:
    """Weights of a part of the reduction for the `wanted` (bool [N]) of output `channels` [first, end).

    They begin at `first`, `each` bits for each channel that uses the part. Returns (pieces, used, end).
    """
    for channel in range(max(channels[0], part[FIRST]), min(channels[1], part[END])):
        if part[SKIP_FIRST] <= channel < part[SKIP_END]:
            continue
        if wanted[channel]:
            pieces, used = add(pieces, start, used, first, each)
        first += each
    return pieces, used, first


@njit(cache=True)
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
) -> tuple[np.ndarray, int]:
    """Channels [first, end) of a block, at the pixels of `window` (rows [0, 1), columns [2, 3)).

    `sample`: bit address of the sample; `width` pixels of a row.
    """
    channels = block[1] - block[0]
    at, pixel = sample + block[2], channels * bits
    if first > block[0] or end < block[1]:  # a part of each pixel
        for y in range(window[0], window[1]):
            for x in range(window[2], window[3]):
                place = at + (y * width + x) * pixel + (first - block[0]) * bits
                pieces, used = add(pieces, start, used, place, (end - first) * bits)
        return pieces, used
    columns = window[3] - window[2]
    if columns == width:
        return add(
            pieces, start, used, at + window[0] * width * pixel, (window[1] - window[0]) * width * pixel
        )
    for y in range(window[0], window[1]):
        pieces, used = add(pieces, start, used, at + (y * width + window[2]) * pixel, columns * pixel)
    return pieces, used


@njit(cache=True)
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
) -> tuple[np.ndarray, int]:
    """Like `add_window`, but only pixels whose stamp, int64 [height, width], is `stamp`."""
    pixel = (block[1] - block[0]) * bits
    at = sample + block[2] + (first - block[0]) * bits
    width = stamps.shape[1]
    for y in range(window[0], window[1]):
        for x in range(window[2], window[3]):
            if stamps[y, x] == stamp:
                place = at + (y * width + x) * pixel
                pieces, used = add(pieces, start, used, place, (end - first) * bits)
    return pieces, used
