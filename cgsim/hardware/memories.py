"""The on-chip memories of an accelerator: how many, how large, how wide."""

from __future__ import annotations

from typing import Any, NamedTuple

SUM_BITS = 32


class Memory(NamedTuple):
    """`number` equal memories of `total_bytes` in all, whose ports have `bits` bits."""

    number: int
    total_bytes: int
    bits: int

    @property
    def kib(self) -> float:
        """Capacity of one of them in KiB."""
        return self.total_bytes / 1024 / self.number

    @property
    def words(self) -> int:
        """Words of one of them."""
        return -(-self.total_bytes * 8 // (self.number * self.bits))


def memories(hardware: Any) -> dict[str, Memory]:
    """The memories of each buffer. Without a gate unit there is no gate buffer.

    Words are what the array takes in a cycle: a row of weights, `rows` activations for each bank (with ideal
    banks, one bank per column group), a row of sums, and the gate bits of a scan for each group. Double
    buffering makes two memories of half the size, as both halves are read and written at once.
    """
    array, unit, buffers = hardware.array, hardware.gate_unit, hardware.buffers
    banks = unit.activation_banks if isinstance(unit.activation_banks, int) else array.column_groups
    halves = 2 if buffers.double_buffered else 1
    found = {
        "weight": Memory(halves, buffers.weight_bytes, 8 * array.cols),
        "activation": Memory(halves * banks, buffers.activation_bytes, 8 * array.rows),
        "accumulator": Memory(halves, buffers.accumulator_bytes, SUM_BITS * array.cols),
    }
    if unit.enabled:
        found["gate"] = Memory(halves, buffers.gate_bytes, unit.scan_bits_per_cycle * array.column_groups)
    return found
