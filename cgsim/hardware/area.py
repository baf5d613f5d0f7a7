"""The area of an accelerator, and what of it gating adds. Sources and what is left out: docs/energy.md."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cgsim.hardware.logic import comparator_um2, exit_bits, feed_bits, fifo_um2, pe_bits, scanner_um2
from cgsim.hardware.memories import Memory, memories
from cgsim.hardware.table_choice import Costed, table_of


@dataclass(frozen=True)
class Area:
    """Area in mm2, by component.

    Attributes:
        parts: of the accelerator without gating.
        gating: what gating adds: for each column group a feed port, an index queue and a scanner, for each
            column a comparator, the gate buffer, and the banks of the activation buffer.
    """

    parts: dict[str, float] = field(default_factory=dict)
    gating: dict[str, float] = field(default_factory=dict)

    @property
    def total_mm2(self) -> float:
        """All of it; NaN if no table says."""
        return self.gating_mm2 + (sum(self.parts.values()) if self.parts else math.nan)

    @property
    def gating_mm2(self) -> float:
        """What gating adds; NaN if no table says."""
        return sum(self.gating.values()) if self.parts else math.nan

    @property
    def gating_overhead(self) -> float:
        """What gating adds, as a share of the same accelerator without it."""
        return self.gating_mm2 / (self.total_mm2 - self.gating_mm2)


def area(hardware: Any) -> Area:
    """The area of an accelerator; empty if neither `costs.table` nor `technology` leads to a table.

    Raises:
        CgsimError: `costs.table` is refused.
    """
    table = table_of(hardware)
    return Area() if table is None else Area(_plain(hardware, table), _gating(hardware, table))


def _plain(hardware: Any, table: Costed) -> dict[str, float]:
    """Parts of the same accelerator with one feed and without a gate unit."""
    plain = _ungated(hardware)
    logic, bit = table.logic, table.logic.register_bit.area_um2
    vector = logic.mac.area_um2 + logic.comparator.area_um2
    found = {
        "pes": plain.array.pes * (logic.mac.area_um2 + pe_bits(plain) * bit) / 1e6,
        "feed_and_exit": (feed_bits(plain) + exit_bits(plain)) * bit / 1e6,
        "vector_unit": plain.vector_unit.lanes * vector / 1e6,
    }
    found |= {f"{name}_buffer": _covered(memory, table) for name, memory in memories(plain).items()}
    return found | {"activation_buffer": min(_activation_areas(hardware, table))}


def _activation_areas(hardware: Any, table: Costed) -> list[float]:
    """Area of the activation buffer with the banks that the feeds need, and in one piece."""
    return [_covered(memories(one)["activation"], table) for one in (hardware, _ungated(hardware))]


def _covered(memory: Memory, table: Costed) -> float:
    return memory.number * table.macro(memory.kib, memory.bits).area_mm2


def _gating(hardware: Any, table: Costed) -> dict[str, float]:
    groups, logic = hardware.array.column_groups, table.logic
    banked, whole = _activation_areas(hardware, table)
    found = {
        "feed_ports": (groups - 1) * feed_bits(hardware) * logic.register_bit.area_um2 / 1e6,
        "activation_banks": max(0.0, banked - whole),
    }
    if hardware.gate_unit.enabled:
        found |= {
            "index_fifos": groups * fifo_um2(hardware, logic) / 1e6,
            "scanners": groups * scanner_um2(hardware, logic) / 1e6,
            "comparators": hardware.array.cols * comparator_um2(logic) / 1e6,
            "gate_buffer": _covered(memories(hardware)["gate"], table),
        }
    return found


def _ungated(hardware: Any) -> Any:
    array = hardware.array.model_copy(update={"column_groups": 1})
    unit = hardware.gate_unit.model_copy(update={"enabled": False, "activation_banks": "ideal"})
    return hardware.model_copy(update={"array": array, "gate_unit": unit})
