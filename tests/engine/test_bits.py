"""Packed kernels against booleans."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from cgsim.engine import bits as kernels
from cgsim.trace.pack import bytes_to_words, pack_bits

seeds = st.integers(0, 2**32 - 1)
words64 = st.integers(0, 2**64 - 1)


def words(bits: np.ndarray) -> np.ndarray:
    return bytes_to_words(pack_bits(bits))


def random_bits(seed: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(shape) < rng.choice([0, 0.01, 0.5, 0.99, 1])


def as_int(packed: np.ndarray) -> int:
    """The words as one number, bit p of weight 2 ** p."""
    return int.from_bytes(packed.astype("<u8").tobytes(), "little")


@given(words64)
@example(0)
@example(2**64 - 1)
def test_popcount(value: int) -> None:
    assert kernels.popcount(np.uint64(value)) == value.bit_count()


@given(words64, st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
@example(2**64 - 1, 1)
@example(2**64 - 1, 64)
def test_field_counts(value: int, size: int) -> None:
    counts = int(kernels.field_counts(np.uint64(value), size))
    for field in range(0, 64, size):
        mask = (1 << size) - 1
        assert counts >> field & mask == (value >> field & mask).bit_count()


@given(st.integers(1, 300), seeds, st.data())
def test_ranges(pixels: int, seed: int, data: st.DataObject) -> None:
    bits = random_bits(seed, pixels)
    packed = words(bits[None])[0]
    first = data.draw(st.integers(0, pixels))
    end = data.draw(st.integers(0, pixels))
    inside = bits[first : max(first, end)]
    assert kernels.count_range(packed, first, end) == inside.sum()
    assert kernels.any_in_range(packed, first, end) == inside.any()


@given(st.integers(1, 300), seeds, st.data())
def test_up_to_64_bits_as_one_word(pixels: int, seed: int, data: st.DataObject) -> None:
    packed = words(random_bits(seed, 1, pixels))[0]
    first = data.draw(st.integers(0, pixels - 1))
    end = data.draw(st.integers(first + 1, min(pixels, first + 64)))
    assert int(kernels.bits_at(packed, first, end)) == as_int(packed) >> first & ((1 << end - first) - 1)


@given(st.integers(1, 300), seeds, st.data())
def test_append_bits(pixels: int, seed: int, data: st.DataObject) -> None:
    source = words(random_bits(seed, 1, pixels))[0]
    target = words(random_bits(seed + 1, 1, 500))[0]
    first = data.draw(st.integers(0, pixels))
    end = data.draw(st.integers(first, pixels))
    at = data.draw(st.integers(0, 500 - (end - first)))
    wanted = as_int(target) | (as_int(source) >> first & ((1 << end - first) - 1)) << at
    kernels.append_bits(target, at, source, first, end)
    assert as_int(target) == wanted


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 200), seeds)
def test_the_pixels_of_a_batch_follow_one_another(batch: int, channels: int, pixels: int, seed: int) -> None:
    bits = random_bits(seed, batch, channels, pixels)
    joined = kernels.join(words(bits), pixels)
    assert np.array_equal(joined, words(np.concatenate(bits, axis=1)))


@given(st.integers(1, 12), st.integers(1, 150), st.integers(1, 5), seeds)
def test_unite_and_count(channels: int, pixels: int, width: int, seed: int) -> None:
    bits = random_bits(seed, channels, pixels)
    first = np.arange(0, channels, width)
    end = np.minimum(first + width, channels)
    united = kernels.unite(words(bits), first, end)
    wanted = np.stack([bits[a:b].any(axis=0) for a, b in zip(first, end, strict=True)])
    assert np.array_equal(united, words(wanted))
    assert kernels.count_all(united) == wanted.sum()
    assert np.array_equal(
        kernels.unite(words(bits[:1]), first, end), np.repeat(words(bits[:1]), len(first), 0)
    )


@given(st.integers(1, 140), st.integers(1, 150), st.integers(1, 6), seeds)
def test_filters_of(channels: int, pixels: int, slots: int, seed: int) -> None:
    bits = random_bits(seed, channels, pixels)
    slot_of = np.random.default_rng(seed).integers(0, slots, pixels)
    wanted = np.stack([bits[:, slot_of == slot].any(axis=1) for slot in range(slots)])
    assert np.array_equal(kernels.filters_of(words(bits), slot_of, slots), words(wanted))
