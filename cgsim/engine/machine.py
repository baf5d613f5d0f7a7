"""The configuration and a layer's sizes as plain integers, for the kernels."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.slots import Slots


class Machine(NamedTuple):
    """What the kernels need of the hardware. Cycles and counts, all integers."""

    rows: int
    drain: int
    """Cycles from the last vector's entry to the last result's exit: rows + columns - 2."""
    serial: int
    """1: a fold starts when the one before it has left the array (`serial`, `scalesim`)."""
    free_groups: int
    """1: column groups wait for each other only at the end of a tile (`group_sync: tile`)."""
    scan_bits: int
    compare_latency: int
    lanes: int
    depth: int
    """Parts of a double-buffered buffer: 2, or 1 without double buffering."""
    on_demand: int


class Workload(NamedTuple):
    """What the kernels need of an operation. Folds, elements and bits, all integers."""

    base_folds: int
    conditional_folds: int
    base_reduction: int
    conditional_reduction: int
    column_groups: int
    weight_bits: int
    activation_bits: int
    residuals: int
    out_width: int
    in_height: int
    in_width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


def machine(hardware: Hardware) -> Machine:
    """`hardware` as the kernels see it."""
    array, gate_unit = hardware.array, hardware.gate_unit
    return Machine(
        rows=array.rows,
        drain=array.rows + array.cols - 2,
        serial=int(array.pipelining != "overlapped"),
        free_groups=int(gate_unit.group_sync == "tile"),
        scan_bits=gate_unit.scan_bits_per_cycle,
        compare_latency=gate_unit.compare_latency,
        lanes=hardware.vector_unit.lanes,
        depth=2 if hardware.buffers.double_buffered else 1,
        on_demand=int(hardware.dma.conditional_fetch == "on_demand"),
    )


def workload(operation: Operation, layout: Slots, rows: int) -> Workload:
    """`operation`, whose layer is a convolution or linear layer, on an array of `rows` rows."""
    layer = operation.layer
    return Workload(
        base_folds=ceil(layer.base_reduction / rows),
        conditional_folds=ceil(layer.conditional_reduction / rows),
        base_reduction=layer.base_reduction,
        conditional_reduction=layer.conditional_reduction,
        column_groups=layout.groups,
        weight_bits=layer.weight_bits,
        activation_bits=layer.activation_bits,
        residuals=operation.residuals,
        out_width=layer.out_shape[2],
        in_height=layer.in_shape[1],
        in_width=layer.in_shape[2],
        kernel=layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
    )
