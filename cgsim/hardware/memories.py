"""The SRAMs of an accelerator: how many, how large, how wide (as cgsim.hardware.fpga has its block RAM)."""

from __future__ import annotations

from typing import Any, NamedTuple

from cgsim.hardware.tables import Costed, Sram

SUM_BITS = 32


class Memory(NamedTuple):
    """`number` equal SRAMs of `kib` KiB each, whose ports have `bits` bits."""

    number: int
    kib: float
    bits: int

    def built(self, table: Costed) -> Sram:
        """Energy of an access of one of them; leakage and area of all."""
        own = table.macro(self.kib, self.bits)
        return own._replace(leakage_mw=own.leakage_mw * self.number, area_mm2=own.area_mm2 * self.number)


def memories(hardware: Any) -> dict[str, Memory]:
    """The SRAMs of each buffer, by the names of `EnergyCosts`. Without a gate unit there is no gate buffer.

    Words are what the array takes in a cycle: `rows` activations for each bank (with ideal banks, one bank
    per column group), a row of weights, a row of sums, and the gate bits of a scan for each group. Double
    buffering makes two memories of half the size, as both halves are read and written at once.
    """
    array, unit, buffers = hardware.array, hardware.gate_unit, hardware.buffers
    banks = unit.activation_banks if isinstance(unit.activation_banks, int) else array.column_groups
    halves = 2 if buffers.double_buffered else 1
    found = {
        "activation": Memory(halves * banks, buffers.activation_kib / (halves * banks), 8 * array.rows),
        "weight": Memory(halves, buffers.weight_kib / halves, 8 * array.cols),
        "accumulator": Memory(halves, buffers.accumulator_kib / halves, SUM_BITS * array.cols),
    }
    if unit.enabled:
        bits = unit.scan_bits_per_cycle * array.column_groups
        found["gate"] = Memory(halves, buffers.gate_kib / halves, bits)
    return found
