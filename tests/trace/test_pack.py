"""Packed bits against plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cgsim.trace import bytes_to_words, count_bits, pack_bits, unpack_bits, words_to_bits
from cgsim.trace.pack import padding_is_zero


@given(st.integers(1, 3), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_bit_p_is_bit_p_mod_8_of_byte_p_div_8(rows: int, count: int, seed: int) -> None:
    bits = np.random.default_rng(seed).random((rows, count)) < 0.5
    packed, words = pack_bits(bits), bytes_to_words(pack_bits(bits))
    assert packed.shape == (rows, -(-count // 8))
    assert words.shape == (rows, -(-count // 64))
    assert words.dtype == np.uint64
    for row in range(rows):
        for p in range(count):
            assert bool(packed[row, p // 8] >> (p % 8) & 1) == bits[row, p]
            assert bool(int(words[row, p // 64]) >> (p % 64) & 1) == bits[row, p]
    assert padding_is_zero(packed, count)
    assert (unpack_bits(packed, count) == bits).all()
    assert (words_to_bits(words, count) == bits).all()
    assert count_bits(packed).tolist() == count_bits(words).tolist() == bits.sum(axis=1).tolist()


def test_set_padding_is_seen() -> None:
    assert not padding_is_zero(np.array([[0, 0b100]], dtype=np.uint8), 10)
    assert padding_is_zero(np.array([[0, 0b11]], dtype=np.uint8), 10)
    assert padding_is_zero(np.array([[255]], dtype=np.uint8), 8)
