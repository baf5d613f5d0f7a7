"""SRAMs by CACTI itself, in place of a table: `costs.table: cacti` (the optional extra `cacti`).

The library hwcomponents-cacti runs it; it needs Python 3.12 and CACTI's program, which comes with the library
for Linux with a recent glibc and is else built from the source there. What it says is kept in the user's
cache.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from pathlib import Path

from cgsim.atomic import atomic_path
from cgsim.errors import CgsimError
from cgsim.hardware.tables import Logic, OffChip, Sram, Table

LIBRARY = "hwcomponents-cacti"
WIDEST, NARROWEST = 512, 32
"""Bits of a port that CACTI is asked for; wider ones are made of several SRAMs side by side."""


@dataclass(frozen=True)
class CactiTable:
    """A table whose SRAMs CACTI works out at their exact size; logic and DRAM are those of `table`."""

    table: Table

    @property
    def logic(self) -> Logic:
        """Pieces of logic."""
        return self.table.logic

    @property
    def dram(self) -> OffChip:
        """Cost of DRAM."""
        return self.table.dram

    def macro(self, kib: float, bits: int) -> Sram:
        """An SRAM of `kib` KiB whose port has `bits` bits. Raises CgsimError without the library."""
        beside = ceil(bits / WIDEST)
        width = max(NARROWEST, ceil(bits / beside))
        own = _cached(self.table.node_nm, max(1.0, kib / beside), width)
        return Sram(*(value * beside for value in own))


@lru_cache(maxsize=4096)
def _cached(node_nm: float, kib: float, width: int) -> Sram:
    """From the cache, or from CACTI."""
    path = _folder() / f"{LIBRARY}-{_version()}.json"
    key = f"{node_nm:g} nm, {kib:g} KiB x {width}"
    known = _known(path)
    if key not in known:
        known[key] = list(_run(node_nm, kib, width))
        with suppress(CgsimError), atomic_path(path) as temporary:  # what cannot be written is no cache
            temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return Sram(*known[key])


def _known(path: Path) -> dict[str, list[float]]:
    """What the cache holds; nothing if it cannot be read, or if anything in it is not a cache's."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    good = isinstance(found, dict) and all(
        isinstance(one, list) and len(one) == len(Sram._fields) and all(type(v) in (int, float) for v in one)
        for one in found.values()
    )
    return found if good else {}


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cgsim" / "cacti"


def _version() -> str:
    try:
        return version(LIBRARY)
    except PackageNotFoundError:
        own = ".".join(map(str, sys.version_info[:2]))
        needs = "" if sys.version_info >= (3, 12) else f" (Python 3.12 or newer; this is {own})"
        raise CgsimError(
            f"costs.table: 'cacti' needs the library {LIBRARY}{needs}: pip install 'cgsim[cacti]'"
        ) from None


def _run(node_nm: float, kib: float, width: int) -> Sram:
    """Ask CACTI. Sizes are in bits there, nodes in metres."""
    try:
        from hwcomponents_cacti import SRAM  # type: ignore[import-not-found]

        own = SRAM(tech_node=node_nm * 1e-9, width=width, size=round(kib * 8192))
        found = own.read().energy * 1e12, own.write().energy * 1e12, own.leak_power * 1e3, own.area * 1e6
    except Exception as error:  # whatever a subprocess that fails makes of it
        reason = " ".join(str(error).split())[:200]
        raise CgsimError(f"costs.table: 'cacti': CACTI did not run: {reason}") from None
    return Sram(*found)
