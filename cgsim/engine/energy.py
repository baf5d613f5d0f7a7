"""Energy by component, in pJ: what a run accesses x what an access costs, leakage over its time, the DRAM."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cgsim.dram.energy import energy_pj, standard_currents
from cgsim.dram.standards import STANDARDS
from cgsim.engine.columns import ENERGIES
from cgsim.hardware import EnergyCosts, Hardware

BUFFERS = {
    "activation": "activation_buffer",
    "weight": "weight_buffer",
    "accumulator": "accumulator",
    "gate": "gate_buffer",
}
"""By the name that costs have: the name that accesses have."""


def energies(
    used: Mapping[str, np.ndarray], costs: EnergyCosts, hardware: Hardware, dram: np.ndarray
) -> dict[str, np.ndarray]:
    """The ENERGIES of n rows in pJ, float [n] each, by component.

    `used` has the ACCESSES, `cycles` and `offchip_bytes`; `dram` the energy of a command-level DRAM, which
    `ideal` replaces by a cost per byte. NaN where a cost is not known.
    """
    time = used["cycles"] * hardware.cycle_ns  # x mW = pJ
    found = {
        "base_macs": used["base_macs"] * costs.mac_pj,
        "conditional_macs": used["conditional_macs"] * costs.mac_pj,
        "clock_gated_pes": used["clock_gated_pe_cycles"] * costs.pe_clock_gated_pj,
        "idle_pes": used["idle_pe_cycles"] * costs.pe_idle_pj,
        "registers": used["register_bytes"] * costs.register_pj,
        "gate_unit": used["decisions"] * costs.compare_pj
        + used["scanned_bits"] * costs.scan_pj
        + used["fifo_entries"] * costs.fifo_pj,
        "vector_unit": used["vector_operations"] * costs.vector_pj,
        "leakage": time * costs.leakage_mw,
        "dram": used["offchip_bytes"] * costs.dram_pj if hardware.dram.standard == "ideal" else dram,
    }
    for cost, buffer in BUFFERS.items():
        read, write = getattr(costs, f"{cost}_read_pj"), getattr(costs, f"{cost}_write_pj")
        found[buffer] = used[f"{buffer}_read_bytes"] * read + used[f"{buffer}_write_bytes"] * write
    return {name: found[name] for name in ENERGIES}


def dram_energy(counts: np.ndarray, hardware: Hardware) -> np.ndarray:
    """Energy of the DRAM devices in pJ, float [n], from what the memory counted, int64 [n, COUNTERS].

    0 for `standard: ideal`, NaN where the standard's currents are not known. Source: `cgsim.dram.energy`.
    """
    if hardware.dram.standard == "ideal":
        return np.zeros(len(counts))
    currents = standard_currents(STANDARDS[hardware.dram.standard])
    if currents is None:
        return np.full(len(counts), np.nan)
    return np.array([energy_pj(currents, own)["total"] for own in counts])
