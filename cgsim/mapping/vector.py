"""Tiles of the layers that the vector unit executes alone: pooling, and additions that nothing hosts."""

from __future__ import annotations

from math import ceil

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.plan import reach
from cgsim.trace.network import Layer


def operations_per_output(layer: Layer) -> int:
    """Lane operations behind one output: taps of a window, pixels of a global pool, additions, a copy."""
    if layer.operator == "pool":
        return layer.kernel[0] * layer.kernel[1]
    if layer.operator == "global_pool":
        return layer.in_shape[1] * layer.in_shape[2]
    if layer.operator == "gather":
        return 1
    return len(layer.producers) - 1


def vector_tiles(layer: Layer, hardware: Hardware, residency: Residency = NOTHING_KEPT) -> np.ndarray:
    """The fewest tiles that fit the activation buffer; tiles of one row if none do (see `require_fits`)."""
    return tiles_of(layer, vector_rows(layer, hardware, residency), residency)


def vector_rows(layer: Layer, hardware: Hardware, residency: Residency = NOTHING_KEPT) -> int:
    """Output rows of each tile of `vector_tiles`, of the last one at most."""
    height = layer.out_shape[1]
    for pieces in range(1, height):
        rows = ceil(height / pieces)
        tiles = tiles_of(layer, rows, residency)
        if vector_bytes(tiles, hardware, residency) <= hardware.buffers.activation_bytes:
            return rows
    return 1


def vector_bytes(tiles: np.ndarray, hardware: Hardware, residency: Residency = NOTHING_KEPT) -> int:
    """Bytes of activation buffer that tiles need, all its parts together, and what is kept there."""
    parts = 2 if hardware.buffers.double_buffered else 1
    return int((tiles[:, 0] + tiles[:, 2]).max()) * min(parts, len(tiles)) + residency.reserved_bytes


def tiles_of(layer: Layer, rows: int, residency: Residency = NOTHING_KEPT) -> np.ndarray:
    """Tiles of `rows` output rows, int64 [tiles, 3]: bytes loaded, lane operations, bytes stored."""
    channels, height, width = layer.out_shape
    operands = 0 if residency.input_kept else max(1, len(layer.producers)) - residency.operands_kept
    read = channels if layer.operator == "gather" else layer.in_shape[0]
    tiles = []
    for row in range(0, height, rows):
        end = min(row + rows, height)
        first, last = (0, layer.in_shape[1]) if layer.operator == "global_pool" else reach(layer, 0, row, end)
        loaded = read * (last - first) * layer.in_shape[2] * operands
        outputs = channels * (end - row) * width
        bits = layer.activation_bits
        stored = 0 if residency.output_kept else (outputs * bits + 7) // 8
        tiles.append(((loaded * bits + 7) // 8, outputs * operations_per_output(layer), stored))
    return np.array(tiles, np.int64)
