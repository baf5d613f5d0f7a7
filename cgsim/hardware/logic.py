"""What the logic of an accelerator is made of: registers, MACs, comparators. After rtl/."""

from __future__ import annotations

from typing import Any

from cgsim.hardware.memories import SUM_BITS
from cgsim.hardware.tables import Logic

THRESHOLD_BITS = 32
INDEX_BITS = 20
"""Of a pixel or a filter (rtl/cgsim_pkg.sv)."""
FIFO_BITS = INDEX_BITS


def pe_bits(hardware: Any) -> int:
    """Flip-flops of a PE: what moves, what stays (twice if the next is loaded meanwhile), the sum."""
    twice = 2 if hardware.array.pipelining == "overlapped" else 1
    if hardware.array.dataflow == "os":
        return 8 + 8 + twice * SUM_BITS
    return 8 + twice * 8 + SUM_BITS


def feed_bits(hardware: Any) -> int:
    """Flip-flops that delay the elements of a vector until it is the turn of their row: a feed's."""
    rows = hardware.array.rows
    return int(8 * rows * (rows - 1) // 2)


def exit_bits(hardware: Any) -> int:
    """Flip-flops that delay the sums of the columns until all of a vector's are there."""
    cols = hardware.array.cols
    return int(SUM_BITS * cols * (cols - 1) // 2)


def pe_leakage_mw(hardware: Any, logic: Logic) -> float:
    """Leakage of a PE."""
    return logic.mac.leakage_mw + pe_bits(hardware) * logic.register_bit.leakage_mw


def scanner_um2(hardware: Any, logic: Logic) -> float:
    """Area of an index scanner: a comparison of each bit of its window, registers for them, a counter."""
    bits = hardware.gate_unit.scan_bits_per_cycle
    return (
        bits * (logic.comparator.area_um2 / SUM_BITS + logic.register_bit.area_um2) + logic.counter.area_um2
    )


def fifo_um2(hardware: Any, logic: Logic) -> float:
    """Area of an index queue: its entries as flip-flops, two counters."""
    bits = hardware.gate_unit.fifo_depth * FIFO_BITS
    return bits * logic.register_bit.area_um2 + 2 * logic.counter.area_um2


def comparator_um2(logic: Logic) -> float:
    """Area of a column's comparator, with a register for the threshold."""
    return logic.comparator.area_um2 + THRESHOLD_BITS * logic.register_bit.area_um2


def group_leakage_mw(hardware: Any, logic: Logic) -> float:
    """Leakage of the gate unit: scanners, queues, comparators."""
    unit, array = hardware.gate_unit, hardware.array
    scanner = unit.scan_bits_per_cycle * (
        logic.comparator.leakage_mw / SUM_BITS + logic.register_bit.leakage_mw
    )
    queue = unit.fifo_depth * FIFO_BITS * logic.register_bit.leakage_mw + 3 * logic.counter.leakage_mw
    column = logic.comparator.leakage_mw + THRESHOLD_BITS * logic.register_bit.leakage_mw
    return float(array.column_groups * (scanner + queue) + array.cols * column)
