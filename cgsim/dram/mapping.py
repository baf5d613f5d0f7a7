"""Where an address lies: channel, rank, bank group, bank, row, column, for every mapping by name.

A mapping is a table of parts, int64 [parts, 4]: (field, shift, mask, out shift). Of the number of a burst
(byte address over the bytes of a request), bits ((burst >> shift) & mask) << out go to the field; parts of
one field are XORed, so hashes are parts like others.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.settings import FIELDS, MAPPINGS
from cgsim.errors import CgsimError, nearest

__all__ = ["FIELDS", "MAPPINGS", "decode", "decode_all", "mapping"]

CHANNEL, RANK, GROUP, BANK, ROW, COLUMN = range(6)
_LOW_COLUMNS = 2
"""Column bits that MOP4CLXOR keeps lowest: four bursts of a row one after the other."""
_ORDERS = {
    "RoBaRaCoCh": ("ch", "co", "ra", "bg", "ba", "ro"),
    "ChRaBaRoCo": ("ch", "co", "ro", "ba", "bg", "ra"),
}
"""Fields from the lowest bits up, in Ramulator's names (its channel is always lowest)."""


def mapping(name: str, bits: tuple[int, int, int, int, int, int]) -> np.ndarray:
    """The parts of the mapping `name`; `bits`: width of each field, in the order of FIELDS."""
    if name not in MAPPINGS:
        raise CgsimError(f"dram mapping {name!r} is unknown{nearest(name, MAPPINGS)}")
    width = dict(zip(FIELDS, bits, strict=True))
    if name == "streaming":
        return _streaming(width)
    if name == "MOP4CLXOR":
        return _mop(width)
    parts: list[tuple[int, int, int, int]] = []
    low = 0
    for field in _ORDERS.get(name) or _letters(name):
        low = _take(parts, field, low, width[field], 0)
    return np.array(parts, np.int64)


def _letters(name: str) -> tuple[str, ...]:
    """The fields of one of DRAMsim3's names, twelve letters with the highest bits first."""
    return tuple(name[at : at + 2] for at in range(10, -1, -2))


def _take(parts: list[tuple[int, int, int, int]], field: str, low: int, width: int, out: int) -> int:
    """Give bits [low, low + width) to the field; return the first bit after them."""
    if width > 0:
        parts.append((FIELDS.index(field), low, (1 << width) - 1, out))
    return low + width


def _streaming(width: dict[str, int]) -> np.ndarray:
    """Neighbours in other channels, pseudo-channels and bank groups; rows of one bank far apart.

    From the lowest bits up: channel, rank, bank group, column, bank, row. Bank and row, cut into windows as
    wide as the bank: all windows are XORed into the bank, every other one into the bank group. So streams
    that differ in one row bit use other banks, and strides of powers of two use all of them.
    """
    parts: list[tuple[int, int, int, int]] = []
    low = 0
    for field in ("ch", "ra", "bg", "co"):
        low = _take(parts, field, low, width[field], 0)
    end = low + width["ba"] + width["ro"]
    _take(parts, "ro", low + width["ba"], width["ro"], 0)
    for window, begin in enumerate(range(low, end, max(width["ba"], 1))):
        _take(parts, "ba", begin, min(width["ba"], end - begin), 0)
        if window % 2 == 0:
            _take(parts, "bg", begin, min(width["ba"], width["bg"], end - begin), 0)
    return np.array(parts, np.int64)


def _mop(width: dict[str, int]) -> np.ndarray:
    """Two column bits, rank, bank group, bank, other column bits, row; the rest XORed with columns."""
    parts: list[tuple[int, int, int, int]] = []
    low = _take(parts, "ch", 0, width["ch"], 0)
    kept = min(_LOW_COLUMNS, width["co"])
    low = _take(parts, "co", low, kept, 0)
    for field in ("ra", "bg", "ba"):
        low = _take(parts, field, low, width[field], 0)
    columns = low
    low = _take(parts, "co", low, width["co"] - kept, kept)
    _take(parts, "ro", low, width["ro"], 0)
    hashed = 0  # column bits used
    for field in ("ra", "bg", "ba", "ro"):
        for out in range(width[field]):
            if hashed < width["co"]:
                low = hashed if hashed < kept else columns - kept + hashed
                low += width["ch"] if hashed < kept else 0
                _take(parts, field, low, 1, out)
            hashed += 1
    return np.array(parts, np.int64)


@njit(cache=True, inline="always")
def decode(parts: np.ndarray, burst: int) -> tuple[int, int, int, int, int, int]:
    """Channel, rank, bank group, bank, row, column of a burst."""
    channel, rank, group, bank, row, column = 0, 0, 0, 0, 0, 0
    for part in range(len(parts)):
        value = ((burst >> parts[part, 1]) & parts[part, 2]) << parts[part, 3]
        field = parts[part, 0]
        if field == CHANNEL:
            channel ^= value
        elif field == RANK:
            rank ^= value
        elif field == GROUP:
            group ^= value
        elif field == BANK:
            bank ^= value
        elif field == ROW:
            row ^= value
        else:
            column ^= value
    return channel, rank, group, bank, row, column


def decode_all(parts: np.ndarray, bursts: np.ndarray) -> np.ndarray:
    """Fields of many bursts: int64 [bursts, 6], in the order of FIELDS."""
    fields = np.zeros((len(bursts), len(FIELDS)), np.int64)
    for field, shift, mask, out in parts.tolist():
        fields[:, field] ^= ((bursts >> shift) & mask) << out
    return fields
