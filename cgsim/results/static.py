"""Figures of an accelerator that no run changes: its area, or what it takes of an FPGA."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cgsim.engine.columns import Column
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware, area, resources

_RESOURCES = {
    "dsp": ("slices", "DSP slices"),
    "lut": ("LUTs", "LUTs"),
    "ff": ("flip-flops", "flip-flops"),
    "bram36": ("blocks", "block RAMs of 36 Kb"),
    "uram": ("blocks", "UltraRAMs"),
}

STATIC_COLUMNS: tuple[Column, ...] = (
    Column("area_mm2", "mm2", "area of the chip (ASIC-style; docs/energy.md)"),
    Column("gating_area_mm2", "mm2", "of it, what gating adds"),
    Column("gating_area_overhead", "1", "gating_area_mm2 / (area_mm2 - gating_area_mm2)"),
    *(Column(name, unit, f"{what} (FPGA-style; docs/fpga.md)") for name, (unit, what) in _RESOURCES.items()),
    *(
        Column(f"gating_{name}", unit, f"of them, what gating adds: {what}")
        for name, (unit, what) in _RESOURCES.items()
    ),
)
"""NaN where there is no model."""


def static_figures(hardware: Mapping[str, Any] | Hardware) -> dict[str, float]:
    """The STATIC_COLUMNS of an accelerator, given as it is or as the dict that a result holds."""
    if not isinstance(hardware, Hardware):
        try:
            hardware = Hardware.from_dict(hardware)
        except CgsimError:  # of a version that had other keys, or its table is gone
            return {column.name: math.nan for column in STATIC_COLUMNS}
    return dict(_figures(hardware))


@lru_cache(maxsize=1024)
def _figures(hardware: Hardware) -> dict[str, float]:
    found = {column.name: math.nan for column in STATIC_COLUMNS}
    if hardware.engines.pipeline:  # no model of these
        return found
    if hardware.style == "fpga":
        try:
            taken = resources(hardware)
        except CgsimError:  # an FPGA that is not known
            return found
        own, gating = taken.to_dict(), taken.gating.to_dict()
        return found | own | {f"gating_{name}": value for name, value in gating.items()}
    own_area = area(hardware)
    return found | {
        "area_mm2": own_area.total_mm2,
        "gating_area_mm2": own_area.gating_mm2,
        "gating_area_overhead": own_area.gating_overhead,
    }
