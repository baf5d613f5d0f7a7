"""The tilings that a layer may have: every size where it is small, otherwise those that cut it evenly."""

from __future__ import annotations

from math import ceil

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.parts import parts, row_folds
from cgsim.mapping.slots import Slots
from cgsim.mapping.tiling import ACTIVATIONS_OUTER, WEIGHTS_OUTER, WEIGHTS_RESIDENT, Tilings, fits, needs
from cgsim.trace.network import Layer

SMALL = 8
"""Up to this size of a dimension every cut is a candidate."""
PIECES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 64, 128)
"""Numbers of pieces into which larger ones are cut."""
FEW_FOLDS, CHUNKS = 16, (1, 2, 4, 8, 16, 32)
"""The same for the row folds of a phase, whose weights are loaded chunk by chunk."""


def candidates(
    layer: Layer,
    layout: Slots,
    hardware: Hardware,
    residuals: int,
    residency: Residency = NOTHING_KEPT,
) -> Tilings:
    """Tilings of `layer` that fit the buffers, of those that differ in what they do.

    There is at least one if `require_fits` (`cgsim.mapping.capacity`) is content and nothing is kept on chip.
    """
    gated = layer.conditional_reduction > 0
    _, height, width = layer.out_shape
    shapes = [(height, width, samples) for samples in cuts(hardware.mapping.batch) if samples > 1]
    shapes += [(rows, width, 1) for rows in cuts(height)]
    shapes += [(1, columns, 1) for columns in cuts(width)[1:]]
    interleavings = (0, 1) if gated and hardware.buffers.double_buffered else (0,)
    phases = parts(layer, hardware.array.dataflow)
    longest = max(row_folds(phase, hardware.array.rows) for phase in phases)
    orders = []
    for folds in cuts(layout.column_folds):
        orders.append((folds, longest, WEIGHTS_RESIDENT))
        if folds < layout.column_folds:  # otherwise weights are resident
            orders.append((folds, longest, WEIGHTS_OUTER))
        chunks = _chunks(layer, layout, hardware, folds, longest)
        orders += [(folds, chunk, ACTIVATIONS_OUTER) for chunk in chunks]
    shape, order, interleaved = np.meshgrid(
        np.arange(len(shapes)), np.arange(len(orders)), interleavings, indexing="ij"
    )
    rows, columns, samples = np.array(shapes, np.int64)[shape.ravel()].T
    folds, chunk, loop = np.array(orders, np.int64)[order.ravel()].T
    found = Tilings(rows, columns, samples, folds, chunk, loop, interleaved.ravel().astype(np.int64))
    return found.some(fits(needs(layer, layout, hardware, found, residuals, gated, residency), hardware))


def cuts(size: int) -> list[int]:
    """Sizes of pieces, the largest first."""
    if size <= SMALL:
        return list(range(size, 0, -1))
    return sorted({ceil(size / pieces) for pieces in (*PIECES, size)}, reverse=True)


def _chunks(layer: Layer, layout: Slots, hardware: Hardware, folds: int, longest: int) -> list[int]:
    """Row folds of a chunk; the most that fit are among them."""
    if longest <= FEW_FOLDS:
        return list(range(longest, 0, -1))
    channels = min(folds * layout.groups * layout.width, layer.out_channels)
    parts = 2 if hardware.buffers.double_buffered else 1
    fold_bytes = channels * hardware.array.rows * layer.weight_bits / 8
    fit = int(hardware.buffers.weight_bytes / parts / fold_bytes)
    pieces = max(1, ceil(longest / max(fit, 1)))
    return sorted({ceil(longest / count) for count in (*CHUNKS, longest, pieces)}, reverse=True)
