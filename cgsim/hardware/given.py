"""Sections of a hardware file that give what cgsim would else look up: an FPGA's limits, costs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cgsim.hardware.section import Section, extra


def _limit(unit: str) -> Any:
    told = {**extra(unit), "expected": "an integer from 0 to 100000000"}
    return Field(
        default=None,
        ge=0,
        le=100_000_000,
        json_schema_extra=told,
        description=f"{unit[0].upper()}{unit[1:]} that there are. Default: those of the device.",
    )


class Fpga(Section):
    """What an FPGA-style accelerator may take (docs/fpga.md). Counts only where `style` is `fpga`."""

    family: Literal["7-series", "ultrascale+", "ecp5"] | None = Field(
        default=None,
        json_schema_extra={**extra(), "expected": "'7-series', 'ultrascale+', 'ecp5' or null"},
        description="Family of an FPGA that cgsim does not know by name. Default: that of the device which "
        "`technology` names.",
    )
    macs_per_dsp: Literal[1, 2] = Field(
        default=1,
        json_schema_extra=extra("MACs"),
        description="2: two int8 products with a common factor in one DSP slice (AMD WP486), which then adds "
        "nothing: sums take LUTs. Needs `ultrascale+` and an even number of columns in a group.",
    )
    usable_percent: float = Field(
        default=100.0,
        gt=0,
        le=100,
        json_schema_extra=extra("%"),
        description="Share of each resource that the accelerator may take; the rest is for what is beside "
        "it.",
    )
    dsp: int | None = _limit("DSP slices")
    lut: int | None = _limit("LUTs")
    ff: int | None = _limit("flip-flops")
    bram36: int | None = _limit("block RAMs of 36 Kb")
    uram: int | None = _limit("UltraRAMs")


def _cost(unit: str, description: str) -> Any:
    told = {**extra(unit), "expected": f"a number of {unit}, 0 or more"}
    return Field(default=None, ge=0, le=1e9, json_schema_extra=told, description=description)


class Costs(Section):
    """Energy and leakage that are known better than cgsim's tables have them (docs/energy.md).

    Default of each: what the table says.
    """

    table: str | None = Field(
        default=None,
        max_length=1000,
        json_schema_extra=extra(),
        description="A shipped table (`16nm`, `28nm`, `45nm`, `65nm`), the path of a file like them, or "
        "`cacti`: CACTI itself at the node of `technology`. Default: that of `technology`, if there is one.",
    )
    mac_pj: float | None = _cost("pJ", "A MAC.")
    pe_clock_gated_pj: float | None = _cost("pJ", "A cycle of a PE that a vector passes without a MAC.")
    pe_idle_pj: float | None = _cost("pJ", "A cycle of a PE without a vector.")
    register_pj: float | None = _cost("pJ", "A byte that goes from PE to PE.")
    activation_read_pj: float | None = _cost("pJ", "A byte read from the activation buffer.")
    activation_write_pj: float | None = _cost("pJ", "A byte written to it.")
    weight_read_pj: float | None = _cost("pJ", "A byte read from the weight buffer.")
    weight_write_pj: float | None = _cost("pJ", "A byte written to it.")
    accumulator_read_pj: float | None = _cost("pJ", "A byte read from the accumulator buffer.")
    accumulator_write_pj: float | None = _cost("pJ", "A byte written to it.")
    gate_read_pj: float | None = _cost("pJ", "A byte read from the gate buffer.")
    gate_write_pj: float | None = _cost("pJ", "A byte written to it.")
    compare_pj: float | None = _cost("pJ", "A sum compared with its threshold.")
    scan_pj: float | None = _cost("pJ", "A gate bit that an index scanner examines.")
    fifo_pj: float | None = _cost("pJ", "An index written to a queue and read from it.")
    vector_pj: float | None = _cost("pJ", "An element operation of the vector unit.")
    dram_pj: float | None = _cost("pJ", "A byte to or from a DRAM of `standard: ideal`.")
    leakage_array_mw: float | None = _cost("mW", "Leakage of the array.")
    leakage_activation_mw: float | None = _cost("mW", "Leakage of the activation buffer.")
    leakage_weight_mw: float | None = _cost("mW", "Leakage of the weight buffer.")
    leakage_accumulator_mw: float | None = _cost("mW", "Leakage of the accumulator buffer.")
    leakage_gate_mw: float | None = _cost("mW", "Leakage of the gate buffer.")
    leakage_gate_unit_mw: float | None = _cost("mW", "Leakage of the gate unit.")
    leakage_vector_mw: float | None = _cost("mW", "Leakage of the vector unit.")
