"""What a run accesses and occupies: MACs by path, PE-cycles, bytes of registers and buffers, gate unit.

Made of the activity that the kernels count (`cgsim.engine.activity`); the rules are those of docs/energy.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgsim.engine.activity import (
    BASE_ELEMENTS,
    BASE_READS,
    BASE_STATIONARY,
    BASE_VECTORS,
    FINISHED,
    LATE_ELEMENTS,
    LATE_READS,
    LATE_STATIONARY,
    LATE_VECTORS,
    OPERATIONS,
    SCANNED_BITS,
    SLOTS,
)
from cgsim.engine.columns import ACCESSES
from cgsim.engine.metrics import (
    ACTIVATIONS_READ,
    ACTIVATIONS_WRITE,
    BASE_WEIGHTS_READ,
    CONDITIONAL_WEIGHTS_READ,
    CYCLES,
    RESIDUAL_READ,
)
from cgsim.engine.replay import ACTIVE
from cgsim.hardware import Hardware
from cgsim.trace.network import Layer

SUM_BYTES = 4


@dataclass(frozen=True)
class Work:
    """What S samples of a layer compute, int64 [S] each.

    `base_macs` and `late_macs` on the array, `deciding_macs` of gate networks on the vector unit;
    `decisions`: sums compared with thresholds; `gates` written into the gate buffer.
    """

    base_macs: np.ndarray
    late_macs: np.ndarray
    deciding_macs: np.ndarray
    decisions: np.ndarray
    gates: np.ndarray

    @classmethod
    def dense(cls, macs: np.ndarray) -> Work:
        """MACs without any gate."""
        none = np.zeros_like(macs)
        return cls(macs, none, none, none, none)


def accesses(
    counts: np.ndarray, work: Work, layer: Layer, hardware: Hardware, batch: int
) -> dict[str, np.ndarray]:
    """The ACCESSES of S samples of a layer, int64 [S] each, by name.

    `counts` int64 [S, RESULTS]. PEs that do nothing are shared out evenly over the samples of a batch, as its
    cycles are.
    """
    did = counts[:, ACTIVE:].astype(np.float64)
    rows, dataflow = hardware.array.rows, hardware.array.dataflow
    activation, weight = layer.activation_bits / 8, layer.weight_bits / 8
    vectors = did[:, BASE_VECTORS] + did[:, LATE_VECTORS]
    elements = did[:, BASE_ELEMENTS] + did[:, LATE_ELEMENTS]
    held = did[:, BASE_STATIONARY] + did[:, LATE_STATIONARY]
    width = _ratio(did[:, SLOTS], vectors * rows)  # columns of a column group
    reads = did[:, BASE_READS] + did[:, LATE_READS]
    operations, finished = did[:, OPERATIONS], did[:, FINISHED]

    # Sums: every column of a vector that has one. Elements of a vector: MACs behind each of its sums.
    sums = work.base_macs * _ratio(did[:, BASE_VECTORS], did[:, BASE_ELEMENTS])
    sums = sums + work.late_macs * _ratio(did[:, LATE_VECTORS], did[:, LATE_ELEMENTS])
    if dataflow == "os":
        sums = held * width
        register = elements * width * activation + vectors * width * rows * weight
        register += sums * SUM_BYTES * (rows + 1) / 2
        streamed, fixed = reads * activation, vectors * width * weight
    else:
        moving, standing = (activation, weight) if dataflow == "ws" else (weight, activation)
        register = (
            elements * width * moving + sums * rows * SUM_BYTES + held * width * standing * (rows + 1) / 2
        )
        streamed, fixed = reads * moving, held * width * standing
    if dataflow == "is":
        streamed, fixed = fixed, streamed
    operands = operations - finished if layer.on_array else operations

    dma = counts.astype(np.float64)
    scanned = did[:, SCANNED_BITS]
    # what scanners find: vectors, or (`os`) the pixels that row tiles are packed of
    found = did[:, LATE_STATIONARY] if dataflow == "os" else did[:, LATE_VECTORS]
    slots, macs = counts[:, ACTIVE + SLOTS], work.base_macs + work.late_macs
    pe_cycles = counts[:, CYCLES] * hardware.array.pes
    named = {
        "base_macs": work.base_macs,
        "conditional_macs": work.late_macs,
        "deciding_macs": work.deciding_macs,
        "clock_gated_pe_cycles": shared(slots - macs, batch),
        "idle_pe_cycles": shared(pe_cycles - slots, batch),
        "register_bytes": register,
        "activation_buffer_read_bytes": streamed + operands * activation + dma[:, ACTIVATIONS_WRITE],
        "activation_buffer_write_bytes": dma[:, ACTIVATIONS_READ]
        + dma[:, RESIDUAL_READ]
        + finished * activation,
        "weight_buffer_read_bytes": fixed + work.deciding_macs * weight,
        "weight_buffer_write_bytes": dma[:, BASE_WEIGHTS_READ] + dma[:, CONDITIONAL_WEIGHTS_READ],
        "accumulator_read_bytes": sums * SUM_BYTES,
        "accumulator_write_bytes": sums * SUM_BYTES,
        "gate_buffer_read_bytes": scanned / 8,
        "gate_buffer_write_bytes": work.gates / 8,
        "decisions": work.decisions,
        "scanned_bits": scanned,
        "fifo_entries": np.where(scanned > 0, found, 0),
        "vector_operations": operations,
    }
    return {name: np.rint(named[name]).astype(np.int64) for name in ACCESSES}


def shared(values: np.ndarray, batch: int) -> np.ndarray:
    """Share out what the samples of each batch have together, int64 [S], evenly; the sums stay."""
    if batch == 1:
        return values
    out = np.empty_like(values)
    for start in range(0, len(values), batch):
        own = values[start : start + batch]
        each, rest = divmod(int(own.sum()), len(own))
        out[start : start + batch] = each + (np.arange(len(own)) < rest)
    return out


def _ratio(dividend: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    return np.divide(dividend, divisor, out=np.zeros(len(divisor)), where=divisor > 0)
