"""Components of the energy as tables and plots show them."""

from __future__ import annotations

ENERGY_GROUPS: dict[str, tuple[str, ...]] = {
    "array: MACs": ("base_macs", "conditional_macs"),
    "array: idle and gated PEs": ("clock_gated_pes", "idle_pes"),
    "array: registers": ("registers",),
    "buffers": ("activation_buffer", "weight_buffer", "accumulator", "gate_buffer"),
    "gate unit": ("gate_unit",),
    "vector unit": ("vector_unit",),
    "leakage": ("leakage",),
    "DRAM": ("dram",),
}
"""By what they are called, the components (`cgsim.engine.columns.ENERGIES`) that are added up."""
