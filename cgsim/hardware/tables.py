"""Energy, leakage and area of parts at a process node: the shipped tables, and those of users.

Where the numbers of the shipped ones come from stands in them, in cgsim/hardware/technology/; how what lies
between their points is found: docs/energy.md.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError

from cgsim.errors import CgsimError
from cgsim.hardware.constraints import expectation
from cgsim.hardware.messages import configuration_error
from cgsim.hardware.section import Section
from cgsim.yamlfile import read_yaml

FOLDER = Path(__file__).with_name("technology")


class Sram(NamedTuple):
    """One SRAM: energy of an access of its whole width, leakage, area."""

    read_pj: float
    write_pj: float
    leakage_mw: float
    area_mm2: float


class Part(Section):
    """A piece of logic: an operation, and what it leaks and covers."""

    energy_pj: float = Field(ge=0)
    leakage_mw: float = Field(ge=0)
    area_um2: float = Field(ge=0)
    source: str = Field(default="")


class Logic(Section):
    """Pieces of logic: a MAC of 8 x 8 and 32 bits, adder and comparator of 32 bits, a counter of 20."""

    mac: Part
    adder: Part
    comparator: Part
    counter: Part
    register_bit: Part = Field(alias="register")


class OffChip(Section):
    """DRAM of which only a cost per bit is known (`dram.standard: ideal`)."""

    energy_pj_per_bit: float = Field(ge=0)
    source: str = Field(default="")


def _ascending(values: Any) -> tuple[float, ...]:
    numbers = isinstance(values, list) and all(type(v) in (int, float) and 0 < v < math.inf for v in values)
    if not numbers or len(values) < 2 or sorted(set(values)) != values:
        raise expectation("two or more ascending numbers above 0")
    return tuple(values)


def _rows(values: Any) -> tuple[tuple[float, ...], ...]:
    good = isinstance(values, list) and all(
        isinstance(row, list) and all(type(v) in (int, float) and 0 < v < math.inf for v in row)
        for row in values
    )
    if not good:
        raise expectation("a row of numbers above 0 for each capacity, one for each width")
    return tuple(tuple(row) for row in values)


_Axis = Annotated[Any, BeforeValidator(_ascending)]
_Grid = Annotated[Any, BeforeValidator(_rows)]


class SramGrid(Section):
    """SRAMs with one port: rows are capacities, columns widths of the port."""

    capacity_kib: _Axis
    width_bits: _Axis
    read_pj: _Grid
    write_pj: _Grid
    leakage_mw: _Grid
    area_mm2: _Grid
    source: str = Field(default="")


class Table(Section):
    """What a file of cgsim/hardware/technology, or one of a user, holds."""

    node_nm: float = Field(gt=0)
    date: Any = None
    sources: Any = None
    logic: Logic
    dram: OffChip
    sram: SramGrid

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a file. Raises CgsimError, one line with every bad key."""
        values = read_yaml(path)
        try:
            table = cls.model_validate(values)
        except ValidationError as error:
            raise configuration_error(cls, error, str(path)) from None
        shape = (len(table.sram.capacity_kib), len(table.sram.width_bits))
        for name in Sram._fields:
            grid = getattr(table.sram, name)
            if len(grid) != shape[0] or any(len(row) != shape[1] for row in grid):
                raise CgsimError(
                    f"{path}: sram.{name}: expected {shape[0]} rows (capacities) of {shape[1]} (widths)"
                )
        return table

    def macro(self, kib: float, bits: int) -> Sram:
        """An SRAM of `kib` KiB whose port has `bits` bits.

        Between the points of the grid it is interpolated, linearly in the logarithms of capacity, width and
        the figure. A wider port is made of several SRAMs side by side, all accessed together; more capacity
        than the largest has, of several of which one is accessed. What is smaller, or narrower, costs as much
        as the smallest that there is.
        """
        grid = self.sram
        beside = math.ceil(bits / grid.width_bits[-1])
        behind = math.ceil(kib / beside / grid.capacity_kib[-1])
        row, low = _between(grid.capacity_kib, kib / beside / behind)
        column, left = _between(grid.width_bits, bits / beside)
        found = []
        for name in Sram._fields:
            values = getattr(grid, name)
            corners = [
                (1 - low) * (1 - left) * math.log(values[row][column]),
                (1 - low) * left * math.log(values[row][column + 1]),
                low * (1 - left) * math.log(values[row + 1][column]),
                low * left * math.log(values[row + 1][column + 1]),
            ]
            found.append(math.exp(sum(corners)))
        own = Sram(*found)
        return Sram(
            own.read_pj * beside,
            own.write_pj * beside,
            own.leakage_mw * beside * behind,
            own.area_mm2 * beside * behind,
        )


def _between(axis: tuple[float, ...], value: float) -> tuple[int, float]:
    """The point of `axis` below `value`, and the share of the way to the next one, in logarithms."""
    value = min(max(value, axis[0]), axis[-1])
    at = min(bisect_right(axis, value), len(axis) - 1) - 1
    return at, math.log(value / axis[at]) / math.log(axis[at + 1] / axis[at])


def shipped_tables() -> list[str]:
    """Names of the tables in the package, such as `28nm`."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: int(name[:-2]))
