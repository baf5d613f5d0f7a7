"""What a report is made of: sections of tables, plots and pairs. Plain values, turned into HTML by `page`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Column:
    """A column of a table: its values (text, numbers, None), and whether it is shown at first."""

    name: str
    values: Sequence[Any]
    unit: str = ""
    description: str = ""
    shown: bool = True

    @property
    def numeric(self) -> bool:
        """Whether it has numbers."""
        return np.asarray(self.values).dtype.kind in "iuf"


@dataclass(frozen=True)
class Table:
    """A table that readers sort and filter."""

    columns: Sequence[Column]
    caption: str


@dataclass(frozen=True)
class Plot:
    """A plot: `data` and `layout` as plotly.js takes them."""

    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    caption: str
    height: int = 420


@dataclass(frozen=True)
class Explorer:
    """A plot of the rows that a table shows, whose axes and colours readers choose among its columns."""

    table: Table
    x: str
    y: str
    colour: str
    caption: str


@dataclass(frozen=True)
class Pairs:
    """Names and values, a line each; `folded`: to be opened by the reader."""

    title: str
    pairs: Mapping[str, str]
    folded: bool = True


@dataclass(frozen=True)
class Tiles:
    """The figures that matter most: (name, value, remark)."""

    tiles: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Sides:
    """Several results beside each other: a row per name, a cell per result."""

    caption: str
    heads: Sequence[str]
    rows: Mapping[str, Sequence[str]]


Block = Table | Plot | Explorer | Pairs | Tiles | Sides


@dataclass(frozen=True)
class Section:
    """A result, or what several have to do with each other."""

    title: str
    remark: str = ""
    blocks: list[Block] = field(default_factory=list)
