"""Which table of energy and area an accelerator has."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Protocol

from cgsim.errors import CgsimError, nearest
from cgsim.hardware.cacti import CactiTable
from cgsim.hardware.tables import FOLDER, Logic, OffChip, Sram, Table, shipped_tables

CACTI = "cacti"


class Costed(Protocol):
    """A table, or what stands in for one: logic, DRAM, and SRAMs of any size."""

    @property
    def logic(self) -> Logic:
        """Pieces of logic."""

    @property
    def dram(self) -> OffChip:
        """Cost of DRAM."""

    def macro(self, kib: float, bits: int) -> Sram:
        """An SRAM of `kib` KiB whose port has `bits` bits."""


def table_of(hardware: Any) -> Costed | None:
    """The table of an accelerator: `costs.table`, or else that of its `technology`; None if there is none.

    Raises:
        CgsimError: `costs.table` names no table and no file, or the file is refused.
    """
    wanted = hardware.costs.table
    names = shipped_tables()
    if wanted is None:
        return _read(FOLDER / f"{hardware.technology}.yaml") if hardware.technology in names else None
    if wanted == CACTI:
        if hardware.technology not in names:
            raise CgsimError(
                f"hardware {hardware.name!r}: costs.table: 'cacti' needs a technology of {', '.join(names)}, "
                f"got {hardware.technology!r}"
            )
        return CactiTable(_read(FOLDER / f"{hardware.technology}.yaml"))
    if wanted in names:
        return _read(FOLDER / f"{wanted}.yaml")
    path = Path(wanted)
    if not path.is_file():
        raise CgsimError(
            f"hardware {hardware.name!r}: costs.table: expected {', '.join(names)}, 'cacti' or the path of a "
            f"file, got {wanted!r}{nearest(wanted, names)}"
        )
    return Table.read(path)  # each time: it may change


@functools.cache
def _read(path: Path) -> Table:
    return Table.read(path)
