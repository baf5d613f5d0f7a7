"""The kernel's index scanner and FIFO against the stepped one."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cgsim.engine.scan import Scanner, batch_cycles, stream_cycles
from cgsim.engine.stepped.indices import IndexQueue, load_cycles
from cgsim.trace.pack import bytes_to_words, pack_bits
from tests.conftest import VALIDATE

needs_of = st.lists(st.tuples(st.sampled_from([0, 0.1, 0.5, 1]), st.integers(1, 60)), min_size=1, max_size=5)


def draw_needs(stretches: list[tuple[float, int]], seed: int) -> np.ndarray:
    """Candidates in stretches of (density, length): bool [candidates]."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random(length) < density for density, length in stretches])


def streamed(queue: IndexQueue, count: int) -> int:
    """Cycles until the last of `count` needed candidates has left the queue, one per cycle at most."""
    cycles = 0
    while count:
        queue.turn()
        if queue.queue:
            del queue.queue[0]
            count -= 1
        cycles += 1
    return cycles


@given(
    needs_of,
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.sampled_from([1, 2, 3, 5, 8, 16, 100, 4096]),
    st.integers(1, 20),
    st.integers(0, 70),
    st.integers(1, 9),
)
@example([(1, 12), (0, 12), (1, 1)], 0, 1, 3, 2, 0, 4)  # a full FIFO
@settings(max_examples=5000 if VALIDATE else 500, deadline=None)
def test_scanner(
    stretches: list[tuple[float, int]],
    seed: int,
    bits: int,
    scan_bits: int,
    depth: int,
    first: int,
    rows: int,
) -> None:
    needs = draw_needs(stretches, seed)
    words = bytes_to_words(pack_bits(np.concatenate([np.ones(first, bool), needs])))
    scanner = Scanner(max(1, scan_bits // bits), -(-bits // scan_bits), depth)
    end, count = first + len(needs), int(needs.sum())

    queue = IndexQueue(needs.tolist(), bits, scan_bits, depth)
    assert tuple(stream_cycles(words, first, end, scanner)) == (streamed(queue, count), count)

    queue = IndexQueue(needs.tolist(), bits, scan_bits, depth)
    loads = [load_cycles(queue, rows, min(rows, count - done)) for done in range(0, count, rows)]
    found = np.zeros(len(needs) + 1, np.int64)
    assert batch_cycles(words, first, end, rows, scanner, found) == len(loads)
    assert [max(rows, int(cycles)) for cycles in found[: len(loads)]] == loads


def test_a_full_queue_holds_the_scanner_back() -> None:
    """12 needed candidates, 12 that are not, one that is; three are read per cycle.

    With room for all, the last one is found in cycle 8 (from 0) and leaves behind the others, in cycle 12.
    With two places, the first twelve are pushed in cycles 0 (two of them) to 10, one per cycle as places get
    free; the empty windows pass in cycles 11 to 14; the last one is found, and leaves, in cycle 15.
    """
    needs = [True] * 12 + [False] * 12 + [True]
    assert streamed(IndexQueue(needs, 1, 3, 100), 13) == 13
    assert streamed(IndexQueue(needs, 1, 3, 2), 13) == 16
