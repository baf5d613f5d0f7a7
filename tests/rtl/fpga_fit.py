"""Fits cgsim/hardware/fpga_costs.yaml on the sizes of FITTED: python -m tests.rtl.fpga_fit > FILE.

What lines and queues take is computed, not fitted. The rest is a sum of components, each a count times how
often it is there; the counts are those of the least squares of relative errors that are not negative. Both
families of 6-input LUTs share all but their PEs; for the 4-input LUTs of ECP5 all but the PEs is the same
times one factor.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.optimize import nnls

from cgsim.hardware.fpga import Shape, computed_luts
from tests.rtl.fpga_table import FAMILIES, FITTED, STORED, read, shape
from tests.rtl.synthesis import Size

SHARED = (
    "column",
    "control",
    "group",
    "row_of_pixels",
    "gate_unit",
    "gate_unit_bit",
    "arbiter",
)
DSP = {"7-series": (2, 3), "ultrascale+": (2, 3), "ecp5": (4, 6)}
"""Multipliers of a group's control, and of its gate unit: the same in every size."""
ODD_DSP = {
    "odd_rows": {"7-series, ultrascale+": 4, "ecp5": 8},
    "odd_groups": {"7-series, ultrascale+": 5, "ecp5": 10},
}
"""Multipliers by a number of rows, or of groups, that is no power of two, as seen in synthesis; for ECP5, of
which no such size was synthesised, twice as many, as it is with those above."""
LANES = {
    "7-series": {"dsp": 2, "lut": 195, "ff": 26},
    "ultrascale+": {"dsp": 2, "lut": 310, "ff": 89},
    "ecp5": {"dsp": 2, "lut": 475, "ff": 89},
}
"""Synthesis of tests/rtl/vector_lane.v."""

HEAD = """\
# What a component of the array takes, by family of FPGAs. Written by `python -m tests.rtl.fpga_fit`, from
# synthesis of rtl/ with Yosys 0.23 on 2026-11-23 (tests/data/fpga_synthesis.json; docs/fpga.md).
#
# pe_*               a PE of a `ws` or `is` array, or of an `os` array
# column             accumulation of a column, with its comparator
# control, group     once; and for each column group
# row_of_pixels      `os`: for each row of each column group
# gate_unit          scanner and decisions of a column group, beside
# gate_unit_bit      for each bit that it scans at once
# odd_rows           `os`: for each column group, where rows are no power of two: multipliers, not shifts
# odd_groups         likewise, where column groups are none
# arbiter            for each column group, where the activation buffer has banks
# vector_lane        synthesis of tests/rtl/vector_lane.v
"""


def counts(one: Shape) -> dict[str, int]:
    """How often an array has each component."""
    groups = one.groups
    return {
        "column": one.cols,
        "control": 1,
        "group": groups,
        "row_of_pixels": one.rows * groups if one.output else 0,
        "gate_unit": groups if one.gated else 0,
        "gate_unit_bit": groups * one.window if one.gated else 0,
        "arbiter": groups if one.banked else 0,
    }


def fit(resource: str) -> dict[str, dict[str, float]]:
    """Counts of `lut` or `ff`: component -> family -> count."""
    rows = [row for row in read(STORED) if row.fitted]
    six = [row for row in rows if row.size.family != "ecp5"]
    pes = [(kind, family) for family in ("xc7", "xcup") for kind in ("stationary", "output")]
    shared = _solve(
        [[counts(shape(row.size))[name] for name in SHARED] + _pes(row.size, pes) for row in six],
        [_logic(row.size, row.measured[resource], resource) for row in six],
        [row.measured[resource] for row in six],
    )
    logic = dict(zip(SHARED, shared, strict=False))
    found = {name: {"7-series, ultrascale+": value} for name, value in logic.items()}
    for (kind, family), value in zip(pes, shared[len(SHARED) :], strict=True):
        found.setdefault(f"pe_{kind}", {})[FAMILIES[family]] = value
    four = [row for row in rows if row.size.family == "ecp5"]
    pes = [("stationary", "ecp5"), ("output", "ecp5")]
    factor, *alone = _solve(
        [
            [
                sum(logic[name] * times for name, times in counts(shape(row.size)).items()),
                *_pes(row.size, pes),
            ]
            for row in four
        ],
        [_logic(row.size, row.measured[resource], resource) for row in four],
        [row.measured[resource] for row in four],
    )
    for name, value in logic.items():
        found[name]["ecp5"] = value * factor
    for (kind, _), value in zip(pes, alone, strict=True):
        found[f"pe_{kind}"]["ecp5"] = value
    return found


def _pes(size: Size, kinds: list[tuple[str, str]]) -> list[int]:
    return [size.rows * size.cols * ((size.kind, size.family) == kind) for kind in kinds]


def _logic(size: Size, measured: int, resource: str) -> int:
    """What is left when lines and queues are taken off."""
    return measured - (computed_luts(shape(size), FAMILIES[size.family]) if resource == "lut" else 0)


def _solve(features: list[list[float]], values: list[int], scale: list[int]) -> list[float]:
    weights = 1 / np.array(scale)
    return list(nnls(np.array(features) * weights[:, None], np.array(values) * weights)[0])


def text() -> str:
    """The file."""
    lut, ff = fit("lut"), fit("ff")
    lines = [HEAD]
    for name in ("pe_stationary", "pe_output", *SHARED):
        lines.append(f"{name}:")
        for families in lut[name]:
            known = {"lut": lut[name][families], "ff": ff[name][families]}
            for family in families.split(", "):
                whole = {"pe": 1, "group": DSP[family][0], "gate_unit": DSP[family][1]}
                dsp = whole.get("pe" if name.startswith("pe_") else name, 0)
            told = {"dsp": dsp} if dsp else {}
            told |= {key: round(value, 1) for key, value in known.items() if round(value, 1)}
            lines.append(f"  {families}: {{{', '.join(f'{key}: {value:g}' for key, value in told.items())}}}")
    for name, told_dsp in ODD_DSP.items():
        lines.append(f"{name}:")
        lines += [f"  {families}: {{dsp: {dsp}}}" for families, dsp in told_dsp.items()]
    lines.append("vector_lane:")
    for family, told in LANES.items():
        lines.append(f"  {family}: {{{', '.join(f'{key}: {value}' for key, value in told.items())}}}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    assert FITTED
    sys.stdout.write(text())
