"""Tiles of the layers that the vector unit executes alone: pooling, and additions that nothing hosts."""

from __future__ import annotations

from math import ceil

import numpy as np

from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.mapping.plan import reach
from cgsim.mapping.tiling import kib_text
from cgsim.trace.network import Layer


def operations_per_output(layer: Layer) -> int:
    """Lane operations behind one output: taps of a window, pixels of a global pool, additions."""
    if layer.operator == "pool":
        return layer.kernel[0] * layer.kernel[1]
    if layer.operator == "global_pool":
        return layer.in_shape[1] * layer.in_shape[2]
    return len(layer.producers) - 1


def vector_tiles(layer: Layer, hardware: Hardware) -> np.ndarray:
    """Tiles of output rows that fit the activation buffer, int64 [tiles, 3].

    Columns: bytes loaded, lane operations, bytes stored. Raises CgsimError if one row does not fit.
    """
    height = layer.out_shape[1]
    for pieces in range(1, height + 1):
        tiles = _tiles(layer, ceil(height / pieces))
        if _kib(tiles, hardware) <= hardware.buffers.activation_kib:
            return tiles
    raise CgsimError(
        f"hardware {hardware.name!r}: layer {layer.name!r} does not fit even as tiles of one row: "
        f"buffers.activation_kib needs {kib_text(vector_kib(layer, hardware))}, "
        f"has {kib_text(hardware.buffers.activation_kib)}"
    )


def vector_kib(layer: Layer, hardware: Hardware) -> float:
    """Return the KiB of activation buffer that tiles of one row need."""
    return _kib(_tiles(layer, 1), hardware)


def _kib(tiles: np.ndarray, hardware: Hardware) -> float:
    parts = 2 if hardware.buffers.double_buffered else 1
    return int((tiles[:, 0] + tiles[:, 2]).max()) * min(parts, len(tiles)) / 1024


def _tiles(layer: Layer, rows: int) -> np.ndarray:
    channels, height, width = layer.out_shape
    operands = len(layer.producers)
    tiles = []
    for row in range(0, height, rows):
        end = min(row + rows, height)
        first, last = (0, layer.in_shape[1]) if layer.operator == "global_pool" else reach(layer, 0, row, end)
        loaded = layer.in_shape[0] * (last - first) * layer.in_shape[2] * operands
        outputs = channels * (end - row) * width
        bits = layer.activation_bits
        tiles.append(
            ((loaded * bits + 7) // 8, outputs * operations_per_output(layer), (outputs * bits + 7) // 8)
        )
    return np.array(tiles, np.int64)
