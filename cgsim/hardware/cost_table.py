"""What an accelerator costs, before anything runs on it, as text."""

from __future__ import annotations

import math
from typing import Any

from cgsim.errors import CgsimError
from cgsim.hardware.area import area
from cgsim.hardware.energy import EnergyCosts, energy_costs
from cgsim.hardware.fpga import resources
from cgsim.hardware.fpga_table import resources_table

_ENERGY = {
    "mac_pj": "a MAC",
    "pe_clock_gated_pj": "a cycle of a PE whose clock is gated",
    "pe_idle_pj": "a cycle of an idle PE",
    "register_pj": "a byte from PE to PE",
    "compare_pj": "a decision",
    "scan_pj": "a gate bit scanned",
    "fifo_pj": "an index through a queue",
    "vector_pj": "an operation of the vector unit",
    "dram_pj": "a byte off-chip (`standard: ideal`)",
}
_BUFFERS = ("activation", "weight", "accumulator", "gate")


def costs_of(hardware: Any) -> dict[str, Any]:
    """Costs, area and FPGA resources as nested dicts; what is not known is missing.

    Raises:
        CgsimError: `costs.table` is refused.
    """
    costs, covered = energy_costs(hardware), area(hardware)
    told = {name: value for name, value in vars(costs).items() if not math.isnan(value)}
    found: dict[str, Any] = {"energy": told}
    if covered.parts and hardware.style == "asic":
        total = {"total_mm2": covered.total_mm2, "gating_mm2": covered.gating_mm2}
        found["area"] = {"parts_mm2": covered.parts, "gating_parts_mm2": covered.gating} | total
    if hardware.style == "fpga" and not hardware.engines.pipeline:
        taken = resources(hardware)
        parts = {name: part.to_dict() for name, part in taken.parts.items()}
        found["fpga"] = taken.to_dict() | {"parts": parts, "gating": taken.gating.to_dict()}
    return found


def costs_table(hardware: Any) -> str:
    """The same as a table of at most 80 columns.

    Raises:
        CgsimError: `costs.table` is refused.
    """
    costs, covered = energy_costs(hardware), area(hardware)
    blocks = [_energy(costs)]
    if covered.parts and hardware.style == "asic":
        lines = [f"{'area':<40}{'mm²':>10}"]
        lines += [_line(name.replace("_", " "), value) for name, value in covered.parts.items()]
        lines += [_line(f"gating: {name.replace('_', ' ')}", value) for name, value in covered.gating.items()]
        lines.append(_line("total", covered.total_mm2))
        lines.append(f"gating adds {covered.gating_overhead:.1%} to the rest")
        blocks.append("\n".join(lines))
    if hardware.style == "fpga" and not hardware.engines.pipeline:
        try:
            blocks.append(resources_table(resources(hardware)))
        except CgsimError:  # an FPGA that is not known
            blocks.append("FPGA resources: not known")
    return "\n\n".join(blocks)


def _energy(costs: EnergyCosts) -> str:
    if math.isnan(costs.mac_pj):
        return "energy: not known, this technology has no table of costs (docs/energy.md)"
    lines = [f"{'energy':<40}{'pJ':>10}"]
    lines += [_line(text, getattr(costs, name)) for name, text in _ENERGY.items()]
    lines.append(f"{'a byte of a buffer':<40}{'read, pJ':>10}{'write, pJ':>11}{'leaks, mW':>11}")
    for name in _BUFFERS:
        cells = [getattr(costs, f"{name}_{what}_pj") for what in ("read", "write")]
        leak = getattr(costs, f"leakage_{name}_mw")
        lines.append(f"{name:<40}{_number(cells[0]):>10}{_number(cells[1]):>11}{_number(leak):>11}")
    lines.append(f"{'leakage of the whole chip':<40}{'':21}{_number(costs.leakage_mw):>11}")
    return "\n".join(lines)


def _line(text: str, value: float) -> str:
    return f"{text:<40}{_number(value):>10}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
