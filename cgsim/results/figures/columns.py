"""Columns of the tables that figures are made of: taken by name, or missed by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from cgsim.errors import CgsimError, nearest


class Table(Protocol):
    """Columns by name, of one length: a pandas DataFrame, or a dict of arrays."""

    def keys(self) -> Iterable[Any]:
        """Names of the columns."""

    def __getitem__(self, name: str, /) -> Any:
        """Values of a column."""


_ARRAY = ("array.rows", "array.cols")
NAMES = ("hardware", "clock_mhz")
"""Columns that tell runs of a sweep apart besides the trace and the keys with a dot."""


def names_of(table: Table) -> list[str]:
    """Return the names of the columns."""
    return [str(name) for name in table.keys()]  # noqa: SIM118 (a DataFrame iterates over it, too)


def taken(table: Table, needed: Sequence[str], figure: str) -> dict[str, np.ndarray]:
    """Return the columns needed as arrays.

    Raises CgsimError that names the first one missing and the nearest that is there, or an empty table.
    """
    present = names_of(table)
    for name in needed:
        if name not in present:
            raise CgsimError(f"{figure}: column {name!r} is missing{_nearest(name, present)}")
    columns = {name: np.asarray(table[name]) for name in needed}
    if not len(next(iter(columns.values()))):
        raise CgsimError(f"{figure}: the table is empty")
    return columns


def numbers(table: Table, needed: Sequence[str], figure: str) -> dict[str, np.ndarray]:
    """Return the columns needed as float64; raises CgsimError, also if one holds no numbers."""
    columns = taken(table, needed, figure)
    found = {}
    for name, values in columns.items():
        try:
            found[name] = values.astype(np.float64)
        except (TypeError, ValueError):
            raise CgsimError(f"{figure}: column {name!r} holds {values[0]!r}, expected numbers") from None
    return found


def varied(table: Table) -> list[str]:
    """Return the columns of hardware values that differ among the rows."""
    keys = [name for name in names_of(table) if name in NAMES or "." in name]
    return [key for key in keys if len({str(value) for value in np.asarray(table[key]).tolist()}) > 1]


def variant(table: Table, row: int, keys: Sequence[str]) -> str:
    """Return the values of a row that tell it apart: `8×16, batch 4`; of hardware, its name."""
    told = []
    if {*_ARRAY} <= {*keys}:
        told.append("×".join(str(np.asarray(table[key])[row]) for key in _ARRAY))
        keys = [key for key in keys if key not in _ARRAY]
    for key in keys:
        value = np.asarray(table[key])[row]
        text = f"{value:g}" if isinstance(value, float | np.floating) else str(value)
        told.append(text if key == "hardware" else f"{key.rpartition('.')[2]} {text}")
    return ", ".join(told)


def _nearest(name: str, present: Sequence[str]) -> str:
    """Return the nearest name, else the first few: a table of results has a hundred columns."""
    found = nearest(name, present)
    if "valid:" not in found or len(present) <= 8:
        return found
    return f" (there are {', '.join(present[:6])} and {len(present) - 6} more)"


def common(table: Table) -> str:
    """Return the trace and the accelerator that all rows have in common: "resnet20-cgnet on edge-16x16"."""
    told = []
    for name in ("trace", "hardware"):
        values = set(np.asarray(table[name]).astype(str).tolist()) if name in names_of(table) else set()
        told.append(values.pop() if len(values) == 1 else "")
    return " on ".join(filter(None, told))
