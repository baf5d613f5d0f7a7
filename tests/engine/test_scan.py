"""The index scanner and its FIFO against a slow twin, written from docs/machine-model.md, cycle by cycle.

`tests/engine/test_stepped_indices.py` holds the same kernels against the scanner of the stepped array.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cgsim.engine.scan import Scanner, batch_cycles, stream_cycles
from cgsim.trace.pack import bytes_to_words, pack_bits

WINDOWS = [1, 2, 4, 8, 16, 32, 64, 128, 512, 3, 5, 6, 7, 12, 48, 63, 65, 100]
seeds = st.integers(0, 2**32 - 1)
scanners = st.one_of(
    st.builds(Scanner, st.sampled_from(WINDOWS), st.just(1), st.integers(1, 20)),
    st.builds(Scanner, st.just(1), st.integers(2, 6), st.integers(1, 20)),
)


def pops(needed: list[bool], scanner: Scanner) -> Iterator[int]:
    """The cycles in which needed candidates leave the FIFO, one per cycle at most."""
    queued, pending, window, cycle = 0, -1, 0, 0
    known = scanner.window_cycles - 1  # cycle in which the scanner knows its window
    while queued or window < len(needed):
        if window < len(needed) and cycle >= known:
            if pending < 0:
                pending = sum(needed[window : window + scanner.window])
            pushed = min(pending, scanner.depth - queued)
            queued += pushed
            pending -= pushed
            if pending == 0:
                window += scanner.window
                known = cycle + scanner.window_cycles
                pending = -1
        if queued:
            queued -= 1
            yield cycle
        cycle += 1


def some(seed: int, count: int) -> np.ndarray:
    """Needed candidates in stretches of different density: bool [count]."""
    rng = np.random.default_rng(seed)
    density = np.repeat(rng.choice([0, 0.02, 0.3, 0.9, 1], count // 20 + 1), 20)[:count]
    return rng.random(count) < density


@given(scanners, seeds, st.integers(0, 400), st.integers(0, 130), st.integers(0, 70))
@example(Scanner(4, 1, 1), 3, 200, 0, 0)
@example(Scanner(64, 1, 16), 3, 400, 63, 1)
def test_stream(scanner: Scanner, seed: int, count: int, first: int, behind: int) -> None:
    """Whatever lies before and behind the candidates."""
    needed = some(seed, first + count + behind)
    words = bytes_to_words(pack_bits(np.append(needed, False)[None]))[0]
    own = needed[first : first + count]
    left = list(pops(own.tolist(), scanner))
    assert len(left) == own.sum()
    wanted = left[-1] + 1 if left else 0
    assert tuple(stream_cycles(words, first, first + count, scanner)) == (wanted, own.sum())


@given(scanners, seeds, st.integers(0, 300), st.integers(0, 130), st.integers(1, 9))
def test_batches(scanner: Scanner, seed: int, count: int, first: int, size: int) -> None:
    """A batch takes from the last index of the batch before to its own last index."""
    needed = some(seed, first + count)
    words = bytes_to_words(pack_bits(np.append(needed, False)[None]))[0]
    left = pops(needed[first:].tolist(), scanner)
    ends = []
    while batch := list(islice(left, size)):
        ends.append(batch[-1] + 1)
    found = np.zeros(count + 1, np.int64)
    batches = batch_cycles(words, first, first + count, size, scanner, found)
    assert found[:batches].tolist() == np.diff([0, *ends]).tolist()


@given(seeds, st.integers(1, 300), st.sampled_from(WINDOWS), st.integers(1, 20))
def test_a_wider_scan_or_a_deeper_fifo_is_never_slower(
    seed: int, count: int, window: int, depth: int
) -> None:
    words = bytes_to_words(pack_bits(some(seed, count)[None]))[0]

    def cycles(scanner: Scanner) -> int:
        return int(stream_cycles(words, 0, count, scanner)[0])

    own = cycles(Scanner(window, 1, depth))
    assert cycles(Scanner(window, 1, depth + 1)) <= own
    assert cycles(Scanner(2 * window, 1, depth)) <= own
    assert cycles(Scanner(1, 3, depth)) >= cycles(Scanner(1, 2, depth)) >= cycles(Scanner(1, 1, depth)) >= own


@pytest.mark.parametrize("window", [1, 3, 8])
def test_by_hand(window: int) -> None:
    """All needed: one per cycle. The last one alone: as many cycles as windows."""
    every = bytes_to_words(pack_bits(np.ones((1, 24), bool)))[0]
    last = bytes_to_words(pack_bits((np.arange(24) == 23)[None]))[0]
    for depth in (1, 2, 16):
        assert tuple(stream_cycles(every, 0, 24, Scanner(window, 1, depth))) == (24, 24)
        assert tuple(stream_cycles(last, 0, 24, Scanner(window, 1, depth))) == (24 // window, 1)
    # known in the last of its three cycles
    assert tuple(stream_cycles(every, 0, 24, Scanner(1, 3, 4))) == (72, 24)
