"""FPGA resources, measured by synthesis of rtl/ and modelled: `make validate-fpga`.

python -m tests.rtl.fpga_table            the table of what tests/data/fpga_synthesis.json holds
python -m tests.rtl.fpga_table --anew     synthesises every size again first, into out/fpga_synthesis.json
"""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from cgsim.hardware.fpga import Amounts, Shape, array_parts
from tests.rtl import synthesis
from tests.rtl.synthesis import Size

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests" / "data" / "fpga_synthesis.json"
FAMILIES = {"xc7": "7-series", "xcup": "ultrascale+", "ecp5": "ecp5"}
COMPARED = ("lut", "ff", "dsp")


@dataclass(frozen=True)
class Row:
    """A size and what synthesis found."""

    size: Size
    measured: dict[str, int]

    @property
    def fitted(self) -> bool:
        """Whether the model was fitted on it."""
        return self.size.name in FITTED

    @functools.cached_property
    def modelled(self) -> dict[str, float]:
        """What the model says."""
        parts = array_parts(shape(self.size), FAMILIES[self.size.family])
        return sum(parts.values(), Amounts()).rounded().to_dict()

    def deviation(self, name: str) -> float:
        """Of the model from synthesis, 0.1 for 10 % too many."""
        return self.modelled[name] / self.measured[name] - 1


def read(path: Path = STORED) -> list[Row]:
    """The rows of a file of synthesis.main, in its order."""
    stored = json.loads(path.read_text())
    names = {one.name for one in fields(Size)}
    rows = []
    for entry in stored["sizes"].values():
        size = Size(**{name: value for name, value in entry.items() if name in names})
        measured = {name: entry[name] for name in COMPARED}
        rows.append(Row(size, measured))
    return rows


def shape(size: Size) -> Shape:
    """The array of a size, as the model takes it."""
    output = size.kind == "output"
    return Shape(size.rows, size.cols, size.groups, output, size.window, size.queue, size.gated, size.banked)


FITTED = (
    "xcup-4x4-g1-stationary-w64-q16",
    "xcup-8x8-g1-stationary-w64-q16",
    "xcup-4x4-g2-stationary-w8-q4",
    "xcup-4x4-g2-output-w8-q16",
    "xcup-16x4-g1-stationary-w16-q16",
    "xcup-4x4-g1-stationary-w64-q16-ungated",
    "xcup-16x16-g1-stationary-w64-q16-ungated",
    "xcup-8x8-g1-output-w16-q16",
    "xcup-4x8-g4-stationary-w16-q8",
    "xcup-8x8-g2-stationary-w16-q16-banked",
    "xc7-4x4-g1-stationary-w64-q16-ungated",
    "xc7-4x16-g1-stationary-w16-q16",
    "xc7-16x16-g1-stationary-w64-q16-ungated",
    "xc7-8x8-g1-output-w16-q16",
    "ecp5-8x8-g1-stationary-w64-q16-ungated",
    "ecp5-4x8-g2-stationary-w16-q16",
    "ecp5-4x4-g1-stationary-w64-q16-ungated",
    "ecp5-4x4-g2-output-w8-q16",
)
"""Sizes on which cgsim/hardware/fpga_costs.yaml was fitted (fpga_fit.py); the others are held."""


def table(rows: list[Row]) -> str:
    """A line per size, and the largest and mean deviation of those that were not fitted."""
    lines = [f"{'':<43}{'LUT':>7}{'model':>8}{'':>7}{'FF':>7}{'model':>8}{'':>7}{'DSP':>5}{'model':>6}"]
    for row in rows:
        line = f"{row.size.name:<41}{'*' if row.fitted else ' '} "
        for name in COMPARED:
            measured, model, wide = row.measured[name], row.modelled[name], name != "dsp"
            line += f"{measured:>{7 if wide else 5}}{model:>{8 if wide else 6}.0f}"
            line += f"{row.deviation(name):>+6.0%} " if wide else ""
        lines.append(line)
    lines.append("* fitted")
    held = [row for row in rows if not row.fitted]
    for name in COMPARED if held else ():
        off = [abs(row.deviation(name)) for row in held]
        lines.append(
            f"{name.upper()}: {len(held)} sizes held, off by {sum(off) / len(off):.1%} on average, "
            f"{max(off):.1%} at most"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Print the table."""
    path = STORED
    if "--anew" in arguments:
        if synthesis.missing_tools():
            sys.exit(f"Synthesis needs {', '.join(synthesis.missing_tools())}: make setup")
        path = ROOT / "out" / "fpga_synthesis.json"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        synthesis.main([str(path)])
    print(table(read(path)))


if __name__ == "__main__":
    main(sys.argv[1:])
