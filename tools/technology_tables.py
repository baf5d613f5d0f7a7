"""Writes cgsim/hardware/technology/*.yaml and tests/data/hwcomponents.json from the library hwcomponents.

    python tools/technology_tables.py [FOLDER]

It needs Python 3.12 or newer with hwcomponents 1.0.114, hwcomponents-cacti 1.0.40, hwcomponents-library
1.0.58 and hwcomponents-neurosim 1.0.43 (which the library imports), and CACTI's program for this machine:
where the one in the package does not run, remove the folders obj_* beside its source there and call
`make opt NTHREADS=1`. The tables are part of the repository: nothing else needs any of this. They take some
minutes.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from importlib.metadata import version
from pathlib import Path

import hwcomponents_library  # type: ignore[import-not-found]
from hwcomponents_cacti import SRAM  # type: ignore[import-not-found]

NODES = (16, 28, 45, 65)
CAPACITIES = tuple(2**power for power in range(13))  # KiB
WIDTHS = (32, 64, 128, 256, 512)
HELD = (
    (3, 48),
    (6, 96),
    (12, 32),
    (24, 64),
    (48, 192),
    (96, 128),
    (192, 384),
    (288, 256),
    (640, 64),
    (1536, 512),
)
"""Off the grid: what tests hold the interpolation against."""
FIELDS = ("read_pj", "write_pj", "leakage_mw", "area_mm2")
LOGIC = {
    "mac": (
        "multiplier 8 x 8 and adder of 32 bits",
        "AladdinIntMAC",
        {"adder_width": 32, "multiplier_width": 8},
        "mac",
    ),
    "adder": ("of 32 bits", "AladdinAdder", {"width": 32}, "add"),
    "comparator": ("of 32 bits", "AladdinComparator", {"width": 32}, "compare"),
    "counter": ("of 20 bits, as the indices of rtl/ have", "AladdinCounter", {"width": 20}, "count"),
    "register": ("one bit, written once", "AladdinRegister", {"width": 1}, "write"),
}


def sram(node: float, kib: float, width: int) -> tuple[float, ...]:
    """(read pJ, write pJ, leakage mW, area mm2) of one port of `width` bits."""
    own = SRAM(tech_node=node * 1e-9, width=width, size=round(kib * 8192))
    return own.read().energy * 1e12, own.write().energy * 1e12, own.leak_power * 1e3, own.area * 1e6


def table(node: int) -> str:
    """The text of a node's file."""
    packages = {name: version(f"hwcomponents{name}") for name in ("", "-cacti", "-library")}
    lines = [
        "# Energy, leakage and area at a class of process nodes, by tools/technology_tables.py; do not edit.",
        "# How cgsim uses it, and what was assumed: docs/energy.md. A file of your own: costs.table.",
        f"node_nm: {node}",
        f"date: {dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "sources:",
        f"  cacti: CACTI 7 as hwcomponents-cacti {packages['-cacti']} (hwcomponents {packages['']}) runs it"
        + {16: ", its 22 nm scaled", 28: ", between its 22 and 32 nm"}.get(node, ""),
        "  aladdin: Aladdin (Shao et al., ISCA 2014) at 40 nm, scaled by hwcomponents-library "
        + packages["-library"],
        "  lpddr4: LPDDR4, 8 pJ per bit, as hwcomponents-cacti has it from public data",
        "logic:  # energy of an operation, leakage, area",
    ]
    for name, (what, kind, sizes, action) in LOGIC.items():
        own = getattr(hwcomponents_library, kind)(tech_node=node * 1e-9, **sizes)
        energy = getattr(own, action)().energy * 1e12
        lines.append(
            f"  {name}: {{energy_pj: {energy:.5g}, leakage_mw: {own.leak_power * 1e3:.5g}, "
            f"area_um2: {own.area * 1e12:.5g}, source: aladdin}}  # {what}"
        )
    lines += [
        "dram: {energy_pj_per_bit: 8, source: lpddr4}",
        "sram:  # rows: capacities; columns: widths of the port",
    ]
    lines += ["  source: cacti", f"  capacity_kib: {list(CAPACITIES)}", f"  width_bits: {list(WIDTHS)}"]
    found = [[sram(node, kib, width) for width in WIDTHS] for kib in CAPACITIES]
    for index, field in enumerate(FIELDS):
        lines.append(f"  {field}:")
        lines += ["    - [" + ", ".join(f"{own[index]:.5g}" for own in row) + "]" for row in found]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Write all tables, and the figures that they are held against."""
    root = Path(__file__).parent.parent
    folder = Path(arguments[0]) if arguments else root / "cgsim" / "hardware" / "technology"
    for node in NODES:
        (folder / f"{node}nm.yaml").write_text(table(node), encoding="utf-8")
        print(f"{node} nm", flush=True)
    held = [
        {
            "node_nm": node,
            "capacity_kib": kib,
            "width_bits": width,
            **dict(zip(FIELDS, sram(node, kib, width), strict=True)),
        }
        for node in NODES
        for kib, width in (*HELD, (128, 64), (1024, 64))
    ]
    source = f"hwcomponents-cacti {version('hwcomponents-cacti')}, by tools/technology_tables.py"
    text = json.dumps({"source": source, "sram": held}, indent=1)
    (root / "tests" / "data" / "hwcomponents.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
