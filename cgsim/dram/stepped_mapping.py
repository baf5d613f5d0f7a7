"""Where an address lies, bit by bit from the lowest, as the mappings' descriptions say it."""

from __future__ import annotations

from cgsim.dram.settings import Config
from cgsim.dram.standards import standard
from cgsim.dram.stepped_timing import Place

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
        hashed = field["co"]
        for part in ("ra", "bg", "ba", "ro"):
            field[part] ^= hashed % 2 ** width[part]
            hashed //= 2 ** width[part]
    elif name == "streaming":
        window = 2 ** width["ba"]
        left, odd = field["ro"] * window + field["ba"], False
        field["ba"] = 0
        while window > 1 and left:
            field["ba"] ^= left % window
            field["bg"] ^= 0 if odd else left % window % 2 ** width["bg"]
            left, odd = left // window, not odd
    return field["ch"], Place(field["ra"], field["bg"], field["ba"]), field["ro"], field["co"]
