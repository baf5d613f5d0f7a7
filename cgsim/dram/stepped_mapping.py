"""Where an address lies, bit by bit from the lowest, as the mappings' descriptions say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.dram.standards import standard
from cgsim.dram.stepped_timing import Place

if TYPE_CHECKING:
    from cgsim.dram.controller import Config

_LOWEST_FIRST = {
    "RoBaRaCoCh": ("ch", "co", "ra", "bg", "ba", "ro"),
    "ChRaBaRoCo": ("ch", "co", "ro", "ba", "bg", "ra"),
    "MOP4CLXOR": ("ch", "low", "ra", "bg", "ba", "high", "ro"),  # low, high: parts of the column
    "streaming": ("ch", "ra", "bg", "co", "ba", "ro"),
}
_LOW = 2
"""Column bits that MOP4CLXOR keeps low."""


def widths(config: Config) -> dict[str, int]:
    """Bits of each field."""
    t = standard(config.standard)
    sizes = {
        "ch": config.channels,
        "ra": config.ranks * t.pseudo,
        "bg": t.groups,
        "ba": t.banks,
        "ro": t.rows,
        "co": t.columns,
    }
    return {name: size.bit_length() - 1 for name, size in sizes.items()}


def place_of(config: Config, address: int) -> tuple[int, Place, int, int]:
    """Channel, place in it, row and column of a byte address."""
    name = config.mapping
    width = widths(config)
    width["low"] = min(_LOW, width["co"])
    width["high"] = width["co"] - width["low"]
    left = address // standard(config.standard).request_bytes
    field = {}
    for part in _LOWEST_FIRST.get(name) or [name[i : i + 2] for i in range(10, -1, -2)]:
        field[part] = left % 2 ** width[part]
        left //= 2 ** width[part]
    if name == "MOP4CLXOR":
        field["co"] = field["high"] * 2 ** width["low"] + field["low"]
        hashed = field["high"]
        for part in ("ra", "bg", "ba"):
            field[part] ^= hashed % 2 ** width[part]
            hashed //= 2 ** width[part]
    elif name == "streaming":
        bank, row = field["ba"], field["ro"]
        field["ba"] = _folded(bank, row, width["ba"])
        field["bg"] = _folded(field["bg"], row * 2 ** width["ba"] + bank, width["bg"])
    return field["ch"], Place(field["ra"], field["bg"], field["ba"]), field["ro"], field["co"]


def _folded(value: int, bits: int, width: int) -> int:
    """`value` XORed with all bits, `width` at a time."""
    while width and bits:
        value ^= bits % 2**width
        bits //= 2**width
    return value
