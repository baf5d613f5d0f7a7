"""What a search can ask for: the figures of a run and of its accelerator, each with the better direction."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cgsim.errors import CgsimError, nearest
from cgsim.hardware import Hardware

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A figure of merit: its value for a run, from the run's summary and its accelerator."""

    better: Literal["less", "more"]
    unit: str
    description: str
    value: Callable[[Summary, Hardware], float]


def _per_image(column: str) -> Callable[[Summary, Hardware], float]:
    return lambda summary, _: summary[column] / summary["samples"]


def _of_summary(column: str) -> Callable[[Summary, Hardware], float]:
    return lambda summary, _: math.nan if summary[column] is None else float(summary[column])


def _dram_energy(summary: Summary, _: Hardware) -> float:
    return float(summary["gated_dram_energy_pj"] / summary["samples"] / 1e6)


def _buffer_kib(_: Summary, hardware: Hardware) -> float:
    sizes = hardware.buffers
    return sizes.activation_kib + sizes.weight_kib + sizes.accumulator_kib + sizes.gate_kib


FIGURES: dict[str, Figure] = {
    "latency": Figure("less", "ms", "gated, mean over the samples", _of_summary("gated_latency_ms_mean")),
    "p99_latency": Figure("less", "ms", "gated, 99th percentile", _of_summary("gated_latency_ms_p99")),
    "cycles": Figure("less", "cycles", "gated, per image", _of_summary("gated_cycles_per_image")),
    "throughput": Figure("more", "1/s", "gated, images per second", _of_summary("gated_images_per_second")),
    "speedup": Figure("more", "1", "over dense execution", _of_summary("speedup")),
    "efficiency": Figure("more", "1", "speedup / FLOP reduction", _of_summary("efficiency")),
    "utilization": Figure("more", "1", "of the PEs, gated", _of_summary("utilization")),
    "offchip": Figure("less", "bytes", "gated, off-chip bytes per image", _per_image("gated_offchip_bytes")),
    "energy": Figure(
        "less", "µJ", "gated, of chip and DRAM, per image", _of_summary("gated_energy_uj_per_image")
    ),
    "dram_energy": Figure("less", "µJ", "gated, of the DRAM, per image", _dram_energy),
    "energy_reduction": Figure("more", "1", "over dense execution", _of_summary("energy_reduction")),
    "power": Figure("less", "mW", "gated, of chip and DRAM", _of_summary("gated_power_mw")),
    "area": Figure("less", "mm²", "of the chip (ASIC-style)", _of_summary("area_mm2")),
    "dsp": Figure("less", "slices", "DSP slices (FPGA-style)", _of_summary("dsp")),
    "lut": Figure("less", "LUTs", "LUTs (FPGA-style)", _of_summary("lut")),
    "ff": Figure("less", "flip-flops", "flip-flops (FPGA-style)", _of_summary("ff")),
    "bram36": Figure("less", "blocks", "block RAMs of 36 Kb (FPGA-style)", _of_summary("bram36")),
    "uram": Figure("less", "blocks", "UltraRAMs (FPGA-style)", _of_summary("uram")),
    "accuracy": Figure("more", "1", "of the gated model, from the trace", _of_summary("accuracy_gated")),
    "pes": Figure("less", "PEs", "rows x cols of the array", lambda _, hardware: float(hardware.array.pes)),
    "buffers": Figure("less", "KiB", "all on-chip buffers together", _buffer_kib),
}
"""What objectives and constraints may name."""

_CONSTRAINT = re.compile(r"\s*([\w-]+)\s*(<=|>=)\s*(\S+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A limit of a figure."""

    name: str
    relation: Literal["<=", ">="]
    limit: float

    def excess(self, figures: Mapping[str, float]) -> float:
        """Return by how much the limit is missed, relative to it; 0 or less where it is kept, inf for NaN."""
        value = figures[self.name]
        if math.isnan(value):
            return math.inf
        over = value - self.limit if self.relation == "<=" else self.limit - value
        return over / (abs(self.limit) or 1.0)

    def __str__(self) -> str:
        return f"{self.name}{self.relation}{self.limit:g}"


def known_figure(name: Any, where: str) -> str:
    """Return the name of a figure; raises CgsimError, which `where` begins, with the nearest one."""
    if name in FIGURES:
        return str(name)
    raise CgsimError(f"{where}: unknown figure {name!r}{nearest(str(name), FIGURES)}")


def parse_constraint(text: Any, where: str) -> Constraint:
    """Return the constraint that `p99_latency<=2.5` or `accuracy>=0.9` says; raises CgsimError."""
    found = _CONSTRAINT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise CgsimError(f"{where}: expected FIGURE<=NUMBER or FIGURE>=NUMBER, got {text!r}")
    name, relation, number = found.groups()
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise CgsimError(f"{where}: expected a number behind {relation}, got {number!r}")
    return Constraint(known_figure(name, where), relation, limit)  # type: ignore[arg-type]
