"""Packed kernels against booleans."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cgsim.engine.bits import count_range, count_ranges, popcount, unite
from cgsim.trace.pack import bytes_to_words, pack_bits


def words(bits: np.ndarray) -> np.ndarray:
    return bytes_to_words(pack_bits(bits))


@given(st.integers(0, 2**64 - 1))
def test_popcount(value: int) -> None:
    assert popcount(np.uint64(value)) == value.bit_count()


@given(st.integers(1, 300), st.data())
def test_count_range(pixels: int, data: st.DataObject) -> None:
    bits = np.random.default_rng(data.draw(st.integers(0, 99))).random((1, pixels)) < 0.5
    first = data.draw(st.integers(0, pixels))
    end = data.draw(st.integers(0, pixels))
    assert count_range(words(bits)[0], first, end) == bits[0, first : max(first, end)].sum()


@given(st.integers(1, 12), st.integers(1, 150), st.integers(1, 5), st.integers(0, 99))
def test_unite_and_count(channels: int, pixels: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.random((channels, pixels)) < 0.2
    first = np.arange(0, channels, width)
    end = np.minimum(first + width, channels)
    united = unite(words(bits), first, end)
    wanted = np.stack([bits[a:b].any(axis=0) for a, b in zip(first, end, strict=True)])
    assert (united == words(wanted)).all()
    edges = np.unique(np.concatenate([[0, pixels], rng.integers(0, pixels + 1, 3)]))
    ranges = np.stack([edges[:-1], edges[1:]], axis=1)
    counts = count_ranges(united, ranges)
    assert counts.tolist() == [[int(row[a:b].sum()) for row in wanted] for a, b in ranges]
    assert (unite(words(bits[:1]), first, end) == words(bits[:1])).all()
