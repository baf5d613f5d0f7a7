"""What an access, an operation and a moment cost in energy. Sources and assumptions: docs/energy.md."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from cgsim.hardware.logic import FIFO_BITS, THRESHOLD_BITS, group_leakage_mw, pe_leakage_mw
from cgsim.hardware.memories import SUM_BITS, memories
from cgsim.hardware.table_choice import Costed, table_of

CLOCK_GATED, IDLE = 0.1, 0.01
"""Of a MAC, per cycle, for a PE whose operands pass without one, and for one that nothing passes. Assumed:
clock gating leaves the clock tree's branch and the latch of the gate."""


@dataclass(frozen=True)
class EnergyCosts:
    """Energy in pJ and leakage in mW; NaN where neither a table nor the hardware file says.

    Attributes:
        mac_pj: a MAC. `pe_clock_gated_pj`, `pe_idle_pj`: a cycle of a PE that a vector passes without a MAC,
            and of one without a vector.
        register_pj: a byte that goes from PE to PE.
        activation_read_pj: a byte read from the activation buffer; likewise for each buffer and for writing.
        compare_pj: a sum compared with its threshold. `scan_pj`: a gate bit examined. `fifo_pj`: an index
            through a queue.
        vector_pj: an element operation of the vector unit.
        dram_pj: a byte to or from a DRAM of `standard: ideal`.
        leakage_array_mw: of the array; likewise for each buffer, gate unit and vector unit.
    """

    mac_pj: float
    pe_clock_gated_pj: float
    pe_idle_pj: float
    register_pj: float
    activation_read_pj: float
    activation_write_pj: float
    weight_read_pj: float
    weight_write_pj: float
    accumulator_read_pj: float
    accumulator_write_pj: float
    gate_read_pj: float
    gate_write_pj: float
    compare_pj: float
    scan_pj: float
    fifo_pj: float
    vector_pj: float
    dram_pj: float
    leakage_array_mw: float
    leakage_activation_mw: float
    leakage_weight_mw: float
    leakage_accumulator_mw: float
    leakage_gate_mw: float
    leakage_gate_unit_mw: float
    leakage_vector_mw: float

    @property
    def leakage_mw(self) -> float:
        """Leakage of the whole chip."""
        return sum(getattr(self, name) for name in COSTS if name.startswith("leakage_"))


COSTS = tuple(field.name for field in fields(EnergyCosts))


def energy_costs(hardware: Any) -> EnergyCosts:
    """The costs of an accelerator: those of its table, where `costs` does not give others.

    Raises:
        CgsimError: `costs.table` is refused.
    """
    table = table_of(hardware)
    found = dict.fromkeys(COSTS, math.nan) if table is None else _of_table(hardware, table)
    given = {name: getattr(hardware.costs, name) for name in COSTS}
    return EnergyCosts(**found | {name: value for name, value in given.items() if value is not None})


def _of_table(hardware: Any, table: Costed) -> dict[str, float]:
    logic, array = table.logic, hardware.array
    mac = hardware.costs.mac_pj if hardware.costs.mac_pj is not None else logic.mac.energy_pj
    bit = logic.register_bit.energy_pj
    gated = hardware.gate_unit.enabled
    found = {
        "mac_pj": mac,
        "pe_clock_gated_pj": CLOCK_GATED * mac,
        "pe_idle_pj": IDLE * mac,
        "register_pj": 8 * bit,
        "gate_read_pj": 0.0,  # without a gate unit
        "gate_write_pj": 0.0,
        "compare_pj": logic.comparator.energy_pj + THRESHOLD_BITS * bit,
        "scan_pj": logic.comparator.energy_pj / SUM_BITS + bit,
        "fifo_pj": 2 * FIFO_BITS * bit + 2 * logic.counter.energy_pj,
        "vector_pj": mac + logic.comparator.energy_pj,
        "dram_pj": 8 * table.dram.energy_pj_per_bit,
        "leakage_array_mw": array.pes * pe_leakage_mw(hardware, logic),
        "leakage_gate_mw": 0.0,
        "leakage_gate_unit_mw": group_leakage_mw(hardware, logic) if gated else 0.0,
        "leakage_vector_mw": hardware.vector_unit.lanes
        * (logic.mac.leakage_mw + logic.comparator.leakage_mw),
    }
    for name, memory in memories(hardware).items():
        sram = table.macro(memory.kib, memory.bits)
        found[f"{name}_read_pj"] = sram.read_pj * 8 / memory.bits
        found[f"{name}_write_pj"] = sram.write_pj * 8 / memory.bits
        found[f"leakage_{name}_mw"] = memory.number * sram.leakage_mw
    return found
