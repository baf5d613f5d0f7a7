"""A tiling spelled out as arrays: pixel tiles, channel tiles and what each loads, ready for the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.layout import Layout, layout_of
from cgsim.mapping.slots import Slots
from cgsim.mapping.tiling import LoopOrder, Tiling
from cgsim.trace.network import Layer

LOOP_ORDERS: dict[LoopOrder, int] = {"weights_outer": 0, "activations_outer": 1, "weights_resident": 2}


class Plan(NamedTuple):
    """Tiles of one layer for a batch of samples. P pixel tiles, C channel tiles; all arrays int64.

    `pixels` [P, 2]: output pixels [first, end), raster order, those of the batch's samples one after the
    other. `samples` [P]: samples of the tile. `patch` [P, 4]: input rows [first, end) and columns
    [first, end) that they read, of each sample. Where columns hold pixels (`is`): `slot_of` [batch x M]: the
    slot of each pixel, counted through all tiles; `first_slot` [P + 1]: the first slot of each tile.

    `folds` [C, 2]: column folds of channels. `channels` [C, 2]: output channels. `inputs` [C, 2]: input
    channels read with the tile's base phase, and those that only its conditional phase reads. Where
    activations stay for all channel tiles of a pixel tile, a channel tile lists what no earlier one has read.
    """

    pixels: np.ndarray
    samples: np.ndarray
    patch: np.ndarray
    slot_of: np.ndarray
    first_slot: np.ndarray
    folds: np.ndarray
    channels: np.ndarray
    inputs: np.ndarray
    loop_order: int
    chunk_folds: int
    interleaved: int
    layout: Layout


def plan(
    layer: Layer,
    layout: Slots,
    tiling: Tiling,
    hardware: Hardware,
    batch: int = 1,
    output_cuts: tuple[int, ...] = (),
    residuals: int = 0,
    result_channels: int = 0,
) -> Plan:
    """The tiles of `layer` under `tiling` for `batch` samples; what follows `batch`: see `layout_of`."""
    pixel_order = hardware.mapping.pixel_order if hardware.array.dataflow == "is" else None
    _, height, width = layer.out_shape
    pixels, samples, patch = [], [], []
    slot_of = np.zeros(batch * layer.pixels if pixel_order else 0, np.int64)
    first_slot = [0]
    for sample in range(0, batch, tiling.tile_samples):
        last_sample = min(sample + tiling.tile_samples, batch) - 1
        for row in range(0, height, tiling.tile_rows):
            last_row = min(row + tiling.tile_rows, height)
            for column in range(0, width, tiling.tile_columns):
                last_column = min(column + tiling.tile_columns, width)
                first = sample * layer.pixels + row * width + column
                end = last_sample * layer.pixels + (last_row - 1) * width + last_column
                pixels.append((first, end))
                samples.append(last_sample + 1 - sample)
                patch.append((*reach(layer, 0, row, last_row), *reach(layer, 1, column, last_column)))
                if pixel_order:
                    order = pixel_places(last_row - row, last_column - column, layout.width, pixel_order)
                    places = np.arange(samples[-1])[:, None] * len(order) + order
                    slot_of[first:end] = first_slot[-1] + places.ravel() // layout.width
                    first_slot.append(first_slot[-1] + -(-places.size // layout.width))
    starts = range(0, layout.column_folds, tiling.tile_folds)
    folds = [(first, min(first + tiling.tile_folds, layout.column_folds)) for first in starts]
    return Plan(
        np.array(pixels, np.int64),
        np.array(samples, np.int64),
        np.array(patch, np.int64),
        slot_of,
        np.array(first_slot, np.int64),
        np.array(folds, np.int64),
        np.array([layout.channel_range(*pair) for pair in folds], np.int64),
        np.array(_inputs(layer, layout, folds, tiling.loop_order), np.int64),
        LOOP_ORDERS[tiling.loop_order],
        tiling.chunk_folds,
        int(tiling.interleaved),
        layout_of(
            layer, layout, folds, tiling.loop_order, hardware, batch, output_cuts, residuals, result_channels
        ),
    )


def pixel_places(rows: int, columns: int, width: int, pixel_order: str) -> np.ndarray:
    """Place of each pixel of `rows` x `columns` when the array's columns are filled: int64 [rows x columns].

    The pixels are listed in raster order. `block`: bands of h rows walked column by column, h the largest
    divisor of `width` with h * h <= width, so that `width` neighbours in the order are a compact block.
    """
    height = max(h for h in range(1, width + 1) if width % h == 0 and h * h <= width)
    if pixel_order == "raster":
        height = 1
    y, x = np.divmod(np.arange(rows * columns), columns)
    band = y // height
    in_band = np.minimum(height, rows - band * height)
    return np.asarray(band * height * columns + x * in_band + y - band * height)


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
