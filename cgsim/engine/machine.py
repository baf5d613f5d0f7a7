"""The configuration and a layer's sizes as plain integers, for the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.engine.scan import Scanner
from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.parts import parts
from cgsim.mapping.slots import Slots

WS, IS, OS = range(3)
DATAFLOWS = ("ws", "is", "os")
FOLD, TILE, LAYER = range(3)
SYNCS = ("fold", "tile", "layer")


class Machine(NamedTuple):
    """What the kernels need of the hardware. Cycles and counts, all integers."""

    rows: int
    dataflow: int
    exit: int
    """Cycles from the end of a fold's stream to its last result's exit."""
    serial: int
    """1: a fold starts when the one before it has left the array (`serial`, `scalesim`)."""
    sync: int
    banks: int
    """Banks of the activation buffer; 0: ideal."""
    compare_latency: int
    lanes: int
    depth: int
    """Parts of a double-buffered buffer: 2, or 1 without double buffering."""
    on_demand: int


class Workload(NamedTuple):
    """What the kernels need of an operation. Folds, elements and bits, all integers.

    `base_parts`, `late_parts` int64 [P, 5]: `cgsim.mapping.parts`. `slot_block` int64 [slots]: block of each
    slot. `width`: columns of a column group.
    """

    base_parts: np.ndarray
    late_parts: np.ndarray
    slot_block: np.ndarray
    column_groups: int
    width: int
    scanner: Scanner
    pixel_gates: int
    weight_bits: int
    activation_bits: int
    residuals: int
    reads: int
    """1: inputs are loaded; 0: they are on chip. `writes`: outputs. `residual_reads`: operands loaded."""
    residual_reads: int
    writes: int
    pixels: int
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
    skew = array.rows + array.cols - 2
    shifts_down = array.dataflow == "os" and array.pipelining != "scalesim"
    return Machine(
        rows=array.rows,
        dataflow=DATAFLOWS.index(array.dataflow),
        exit=skew + array.rows if shifts_down else skew,
        serial=int(array.pipelining != "overlapped"),
        sync=SYNCS.index(gate_unit.group_sync),
        banks=0 if gate_unit.activation_banks == "ideal" else int(gate_unit.activation_banks),
        compare_latency=gate_unit.compare_latency,
        lanes=hardware.vector_unit.lanes,
        depth=2 if hardware.buffers.double_buffered else 1,
        on_demand=int(hardware.dma.conditional_fetch == "on_demand"),
    )


def workload(
    operation: Operation, layout: Slots, hardware: Hardware, residency: Residency = NOTHING_KEPT
) -> Workload:
    """`operation`, whose layer is a convolution or linear layer, in slots of `layout`."""
    layer = operation.layer
    base, late = parts(layer, hardware.array.dataflow)
    bits = 1 if layer.gate == "pixel" else layout.width
    scan_bits = hardware.gate_unit.scan_bits_per_cycle
    return Workload(
        base_parts=base,
        late_parts=late,
        slot_block=np.arange(len(layout.first)) // (len(layout.first) // layout.blocks),
        column_groups=layout.groups,
        width=layout.width,
        scanner=Scanner(max(1, scan_bits // bits), -(-bits // scan_bits), hardware.gate_unit.fifo_depth),
        pixel_gates=int(layer.gate == "pixel"),
        weight_bits=layer.weight_bits,
        activation_bits=layer.activation_bits,
        residuals=operation.residuals,
        reads=int(not residency.input_kept),
        residual_reads=operation.residuals - residency.operands_kept,
        writes=int(not residency.output_kept),
        pixels=layer.pixels,
        out_width=layer.out_shape[2],
        in_height=layer.in_shape[1],
        in_width=layer.in_shape[2],
        kernel=layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
    )
