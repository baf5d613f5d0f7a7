"""The index scanner and its FIFO: when the needed vectors of a fold are found (docs/machine-model.md)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.engine.bits import bits_at, count_range, field_counts

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


class Scanner(NamedTuple):
    """`window` candidates are examined in `window_cycles` cycles; the FIFO holds `depth` indices."""

    window: int
    window_cycles: int
    depth: int


@kernel
def stream_cycles(words: np.ndarray, first: int, end: int, scanner: Scanner) -> tuple[int, int]:
    """(cycles until the last needed candidate of [first, end) has left the FIFO, number of those needed).

    One leaves per cycle. `words` uint64: bit p is set where candidate p is needed. The cycles are the
    needed candidates and the cycles in which the FIFO was empty before the last of them.
    """
    queued, empty, last, needed = 0, 0, 0, 0
    wait, window = scanner.window_cycles - 1, scanner.window
    several = window <= 64 and window & (window - 1) == 0  # windows per word; counted all at once
    step = 64 if several else window
    mask = _ALL >> np.uint64(64 - min(window, 64))
    for start in range(first, end, step):
        stop = min(start + step, end)
        counts = np.uint64(0)
        if several:
            counts = field_counts(bits_at(words, start, stop), window)
        for position in range(start, stop, window):
            if several:
                found = int(counts & mask)
                counts >>= np.uint64(window & 63)
            else:
                found = count_range(words, position, stop)
            if wait > 0:  # the FIFO goes on while the window is being examined
                empty += max(0, wait - queued)
                queued = max(0, queued - wait)
            if found > 0:
                needed += found
                last = needed + empty
            elif queued == 0:
                empty += 1
            queued = max(0, min(queued + found, scanner.depth) - 1)
    return last, needed


@njit(cache=True)
def batch_cycles(
    words: np.ndarray, first: int, end: int, size: int, scanner: Scanner, cycles: np.ndarray
) -> int:
    """As `stream_cycles`, for batches of `size` indices: fills `cycles` with the time of each.

    Returns the number of batches.
    The last batch may be smaller; its time lasts until its last index has left.
    """
    now, queued = 0, 0
    left = np.zeros(3, np.int64)  # indices, batches that are complete, cycle after the last index
    before = 0
    for position in range(first, end, scanner.window):
        found = count_range(words, position, min(position + scanner.window, end))
        waiting = min(queued, scanner.window_cycles - 1)
        _leave(left, waiting, now, size, cycles)
        queued -= waiting
        now += scanner.window_cycles - 1
        pushed = min(found, scanner.depth - queued)
        queued += pushed
        _leave(left, min(queued, 1) + found - pushed, now, size, cycles)
        queued = max(0, queued - 1)
        now += 1 + found - pushed
    _leave(left, queued, now, size, cycles)
    batches = left[1]
    if left[0] > batches * size:
        cycles[batches] = left[2]
        batches += 1
    for batch in range(batches):
        done = cycles[batch]
        cycles[batch] = done - before
        before = done
    return batches


@kernel
def _leave(left: np.ndarray, count: int, now: int, size: int, cycles: np.ndarray) -> None:
    """Let `count` indices leave in the cycles from `now` on; note when a batch is complete."""
    if count == 0:
        return
    while (left[1] + 1) * size <= left[0] + count:
        cycles[left[1]] = now + (left[1] + 1) * size - left[0]
        left[1] += 1
    left[0] += count
    left[2] = now + count
