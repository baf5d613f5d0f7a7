"""A tiling spelled out as arrays: pixel tiles, channel tiles and what each loads, ready for the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.mapping.slots import Slots
from cgsim.mapping.tiling import LoopOrder, Tiling
from cgsim.trace.network import Layer

LOOP_ORDERS: dict[LoopOrder, int] = {"weights_outer": 0, "activations_outer": 1, "weights_resident": 2}


class Plan(NamedTuple):
    """Tiles of one layer. P pixel tiles, C channel tiles; all arrays int64.

    `pixels` [P, 2]: output pixels [first, end) in raster order. `patch` [P, 4]: input rows [first, end) and
    columns [first, end) that they read. `folds` [C, 2]: column folds. `channels` [C, 2]: output channels.
    `inputs` [C, 2]: input channels read with the tile's base phase, and those that only its
    conditional phase reads. Where activations stay for all channel tiles of a pixel tile, a channel
    tile lists what no earlier one has read.
    """

    pixels: np.ndarray
    patch: np.ndarray
    folds: np.ndarray
    channels: np.ndarray
    inputs: np.ndarray
    loop_order: int
    chunk_folds: int
    interleaved: int


def plan(layer: Layer, layout: Slots, tiling: Tiling) -> Plan:
    """The tiles of `layer` under `tiling`."""
    _, height, width = layer.out_shape
    pixels, patch = [], []
    for row in range(0, height, tiling.tile_rows):
        last_row = min(row + tiling.tile_rows, height)
        for column in range(0, width, tiling.tile_columns):
            last_column = min(column + tiling.tile_columns, width)
            pixels.append((row * width + column, (last_row - 1) * width + last_column))
            patch.append((*reach(layer, 0, row, last_row), *reach(layer, 1, column, last_column)))
    starts = range(0, layout.column_folds, tiling.tile_folds)
    folds = [(first, min(first + tiling.tile_folds, layout.column_folds)) for first in starts]
    return Plan(
        np.array(pixels, np.int64),
        np.array(patch, np.int64),
        np.array(folds, np.int64),
        np.array([layout.channel_range(*pair) for pair in folds], np.int64),
        np.array(_inputs(layer, layout, folds, tiling.loop_order), np.int64),
        LOOP_ORDERS[tiling.loop_order],
        tiling.chunk_folds,
        int(tiling.interleaved),
    )


def reach(layer: Layer, axis: int, first: int, end: int) -> tuple[int, int]:
    """Input rows (axis 0) or columns (axis 1) [first, end) that output rows or columns [first, end) read."""
    start = first * layer.stride[axis] - layer.padding[axis]
    stop = (end - 1) * layer.stride[axis] - layer.padding[axis]
    stop += layer.dilation[axis] * (layer.kernel[axis] - 1) + 1
    size = layer.in_shape[1 + axis]
    return min(max(start, 0), size), max(min(stop, size), 0)


def _inputs(
    layer: Layer, layout: Slots, folds: list[tuple[int, int]], order: LoopOrder
) -> list[tuple[int, int]]:
    if order == "weights_outer" or len(folds) == 1:
        return [_tile_inputs(layer, layout, first, end) for first, end in folds]
    if layout.blocks == 1:
        base = _tile_inputs(layer, layout, 0, 1)[0]
        return [(base if tile == 0 else 0, layer.in_shape[0] - base) for tile in range(len(folds))]
    every = (layer.in_shape[0], 0) if layer.base_reduction else (0, layer.in_shape[0])
    return [every if tile == 0 else (0, 0) for tile in range(len(folds))]


def _tile_inputs(layer: Layer, layout: Slots, first: int, end: int) -> tuple[int, int]:
    first_block, end_block = layout.block_range(first, end)
    groups = (end_block - 1) // layer.base_groups - first_block // layer.base_groups + 1
    channels = groups * (layer.in_shape[0] // layer.groups)
    if not layer.conditional_reduction:
        return channels, 0
    base = (end_block - first_block) * layer.base_channels
    return base, channels - base
