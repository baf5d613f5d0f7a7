"""One layer on the array alone: what RTL and the stepped array are compared with."""

from __future__ import annotations

import numpy as np

from cgsim.engine.bits import join
from cgsim.engine.machine import machine, workload
from cgsim.engine.replay import replay_array
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.plan import plan
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import whole_layer
from cgsim.trace.network import Layer
from cgsim.trace.pack import bytes_to_words, pack_bits


def array_cycles(layer: Layer, hardware: Hardware, gates: np.ndarray | None, batch: int = 1) -> int:
    """Cycles of a convolution or linear layer with unlimited buffers and memory that never stalls the array.

    `gates` bool [N, M], [1, M] for `pixel` gates, with a leading [batch] where `batch` samples share folds;
    None for dense execution: one feed, the whole reduction as one path.
    """
    operation = Operation(layer) if gates is not None else Operation(layer).ungated()
    layout = slots(
        operation.layer, hardware.array.cols, hardware.array.column_groups if gates is not None else 1
    )
    whole = plan(operation.layer, layout, whole_layer(operation.layer, layout, batch), hardware, batch)
    work = workload(operation, layout, hardware)
    bits = np.ones((1, 1, batch * layer.pixels), bool) if gates is None else np.asarray(gates, bool)
    bits = bits.reshape(-1, bits.shape[-2], bits.shape[-1])
    packed = join(bytes_to_words(pack_bits(bits)), bits.shape[-1])
    cycles = replay_array(packed, layout.first, layout.end, whole, work, machine(hardware))
    return cycles - (
        hardware.array.pipelining == "scalesim" and cycles > 0
    )  # its last cycle is counted from 0
