"""Gates as packed bits: little-endian along the last axis, padding bits zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pack_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack bool[..., M] into uint8[..., ceil(M / 8)]: bit i of the row is bit i % 8 of byte i // 8."""
    return np.packbits(np.asarray(bits, dtype=np.bool_), axis=-1, bitorder="little")


def unpack_bits(packed: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    """Unpack uint8[..., B] into bool[..., count], the reverse of `pack_bits`."""
    return np.unpackbits(packed, axis=-1, count=count, bitorder="little").view(np.bool_)


def bytes_to_words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Copy uint8[..., B] into uint64[..., ceil(B / 8)]: bit p of a row is bit p % 64 of word p // 64."""
    size = packed.shape[-1]
    words = (size + 7) // 8
    padded = np.zeros((*packed.shape[:-1], words * 8), dtype=np.uint8)
    padded[..., :size] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


def words_to_bits(words: NDArray[np.uint64], count: int) -> NDArray[np.bool_]:
    """Unpack uint64[..., W] into bool[..., count], the reverse of packing into words."""
    data = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    return unpack_bits(data, count)


def count_bits(packed: NDArray[np.uint8] | NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the ones of every entry along the first axis: [S, ...] -> int64[S]."""
    flat = packed.reshape(packed.shape[0], -1)
    return np.bitwise_count(flat).sum(axis=1, dtype=np.int64)


def padding_is_zero(packed: NDArray[np.uint8], count: int) -> bool:
    """True if the bits from `count` on are zero in every row of uint8[..., ceil(count / 8)]."""
    spare = count % 8
    return not spare or not (packed[..., -1] >> spare).any()
