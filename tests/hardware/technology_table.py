"""How far interpolated SRAMs are off what the library says: python -m tests.hardware.technology_table."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from cgsim.hardware.tables import FOLDER, Sram, Table

SMALL = 16
"""KiB; smaller SRAMs jump more from size to size."""


def main() -> None:
    """Print mean and largest deviation of SRAMs off the grid, all nodes together."""
    held = json.loads((Path(__file__).parents[1] / "data" / "hwcomponents.json").read_text())["sram"]
    found: dict[tuple[bool, str], list[float]] = defaultdict(list)
    for one in held:
        table = Table.read(FOLDER / f"{one['node_nm']}nm.yaml")
        kib, width = one["capacity_kib"], one["width_bits"]
        if kib in table.sram.capacity_kib and width in table.sram.width_bits:
            continue
        for name, value in zip(Sram._fields, table.macro(kib, width), strict=True):
            found[kib < SMALL, name].append(abs(value / one[name] - 1))
    for (small, name), off in sorted(found.items()):
        size = f"{'below' if small else 'from'} {SMALL} KiB"
        mean = sum(off) / len(off)
        print(f"{size:14} {name:12} {mean:5.1%} on average, {max(off):5.1%} at most, of {len(off)}")


if __name__ == "__main__":
    main()
