"""How a layer is cut into tiles, and what a tile needs in the buffers."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal, get_args

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.slots import Slots
from cgsim.trace.network import Layer

LoopOrder = Literal["weights_outer", "activations_outer", "weights_resident"]
WEIGHTS_OUTER, ACTIVATIONS_OUTER, WEIGHTS_RESIDENT = range(3)
ORDERS: tuple[LoopOrder, ...] = get_args(LoopOrder)
ACCUMULATOR_BYTES = 4


@dataclass(frozen=True)
class Tiling:
    """How one layer is cut for the buffers.

    A tile is `tile_rows` x `tile_columns` output pixels of `tile_samples` samples (more than one only where
    it covers the whole plane) times the channels of `tile_folds` column folds of output channels.

    loop_order
        `weights_outer`: the weights of a channel tile stay while all pixel tiles pass; activations are
        read again for every channel tile. `activations_outer`: the activations of a pixel tile stay
        while all channel tiles pass; weights are streamed again for every pixel tile, in chunks of
        `chunk_folds` row folds. `weights_resident`: all weights of the layer stay, and activations too
        while the channel tiles of a pixel tile pass, so that each is read once.
    interleaved
        the base phase of the next tile runs before the conditional phase of this one, which hides the
        decision and, with `on_demand`, the fetch of conditional data; it holds three tiles at once.
    """

    tile_rows: int
    tile_columns: int
    tile_folds: int
    chunk_folds: int
    loop_order: LoopOrder
    interleaved: bool
    tile_samples: int = 1

    def pixel_tiles(self, layer: Layer, batch: int = 1) -> int:
        """Number of pixel tiles."""
        _, height, width = layer.out_shape
        cuts = ceil(height / self.tile_rows) * ceil(width / self.tile_columns)
        return ceil(batch / self.tile_samples) * cuts

    @property
    def tile_pixels(self) -> int:
        """Output pixels of a whole tile."""
        return self.tile_rows * self.tile_columns * self.tile_samples


@dataclass(frozen=True)
class Tilings:
    """Many tilings at once: the fields of `Tiling`, int64 [tilings]; `order` counts through ORDERS."""

    rows: np.ndarray
    columns: np.ndarray
    samples: np.ndarray
    folds: np.ndarray
    chunk: np.ndarray
    order: np.ndarray
    interleaved: np.ndarray

    @staticmethod
    def of(*tilings: Tiling) -> Tilings:
        """These tilings."""
        values = [
            (t.tile_rows, t.tile_columns, t.tile_samples, t.tile_folds, t.chunk_folds,
             ORDERS.index(t.loop_order), t.interleaved) for t in tilings
        ]  # fmt: skip
        return Tilings(*np.array(values, np.int64).T)

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, chosen: np.ndarray) -> Tilings:
        """Those that `chosen` selects."""
        return Tilings(*(field[chosen] for field in vars(self).values()))

    def tiling(self, index: int) -> Tiling:
        """One of them."""
        rows, columns, samples, folds, chunk, order, interleaved = (
            int(field[index]) for field in vars(self).values()
        )
        return Tiling(rows, columns, folds, chunk, ORDERS[order], bool(interleaved), samples)

    def pixels(self) -> np.ndarray:
        """Output pixels of a whole tile."""
        return self.rows * self.columns * self.samples

    def pixel_tiles(self, layer: Layer, batch: int) -> np.ndarray:
        """Number of pixel tiles."""
        _, height, width = layer.out_shape
        return -(-height // self.rows) * -(-width // self.columns) * -(-batch // self.samples)


@dataclass(frozen=True)
class Need:
    """Bytes that a tiling needs in each buffer, all its parts together."""

    activation: int
    weight: int
    accumulator: int
    gate: int


def whole_layer(layer: Layer, layout: Slots, batch: int = 1) -> Tiling:
    """The tiling of an accelerator with unlimited buffers: one tile."""
    _, height, width = layer.out_shape
    return Tiling(height, width, layout.column_folds, 1, "weights_resident", False, batch)


def need(
    layer: Layer,
    layout: Slots,
    hardware: Hardware,
    tiling: Tiling,
    residuals: int,
    gated: bool,
    residency: Residency = NOTHING_KEPT,
) -> Need:
    """Bytes needed in each buffer.

    Double buffering holds two parts of what changes from tile to tile; interleaved execution holds three
    of activations and accumulators (a tile in its base phase, one that waits for its conditional
    phase, one that is being loaded or stored) and two of gates. What is kept on chip for other layers is
    part of the activations.
    """
    every = needs(layer, layout, hardware, Tilings.of(tiling), residuals, gated, residency)
    return Need(*(int(size) for size in every[0]))


def needs(
    layer: Layer,
    layout: Slots,
    hardware: Hardware,
    tilings: Tilings,
    residuals: int,
    gated: bool,
    residency: Residency = NOTHING_KEPT,
) -> np.ndarray:
    """`need` of many tilings: int64 [tilings, 4], the fields of `Need`."""
    outer, streamed = tilings.order == WEIGHTS_OUTER, tilings.order == ACTIVATIONS_OUTER
    pixel_tiles = tilings.pixel_tiles(layer, hardware.mapping.batch)
    channel_tiles = -(-layout.column_folds // tilings.folds)
    tiles = pixel_tiles * channel_tiles
    double = 2 if hardware.buffers.double_buffered else 1
    depth = np.where(tilings.interleaved, 3, double)
    pixels = tilings.pixels()
    channels = np.minimum(tilings.folds * layout.groups * layout.width, layer.out_channels)

    end_block = layout.blocks_of(tilings.folds)
    groups = -(-end_block // layer.base_groups) + (channel_tiles > 1)
    per_group = layer.in_shape[0] // layer.groups
    in_channels = np.where(outer, np.minimum(per_group * groups, layer.in_shape[0]), layer.in_shape[0])
    activation_parts = np.minimum(depth, np.where(outer, tiles, pixel_tiles))
    weight_parts = np.where(outer, np.minimum(double, channel_tiles), np.where(streamed, double, 1))
    chunk = np.minimum(tilings.chunk * hardware.array.rows, layer.reduction)
    weights = np.where(
        outer,
        channels * layer.reduction,
        np.where(streamed, channels * chunk, layer.out_channels * layer.reduction),
    )
    patch = patch_size(layer, tilings.rows, tilings.columns) * tilings.samples
    values = 0 if residency.input_kept else patch * in_channels * activation_parts
    values = values + pixels * channels * (residuals - residency.operands_kept) * np.minimum(depth, tiles)
    return np.stack(
        [
            (values * layer.activation_bits + 7) // 8 + residency.reserved_bytes,
            (weights * layer.weight_bits + 7) // 8 * weight_parts,
            pixels * channels * ACCUMULATOR_BYTES * np.minimum(depth, tiles),
            (pixels * channels * np.where(tilings.interleaved, 2, 1) + 7) // 8 * gated,
        ],
        axis=1,
    )


def patch_size(layer: Layer, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Input pixels that `rows` x `columns` output pixels read at most, padding left out."""
    size = np.ones_like(rows)
    for axis, count in enumerate((rows, columns)):
        span = (count - 1) * layer.stride[axis] + layer.dilation[axis] * (layer.kernel[axis] - 1) + 1
        size = size * np.minimum(span, layer.in_shape[1 + axis])
    return size


def fits(needed: np.ndarray, hardware: Hardware) -> np.ndarray:
    """Which of the `needs` the buffers hold, bool [tilings]."""
    buffers = hardware.buffers
    sizes = [buffers.activation_bytes, buffers.weight_bytes, buffers.accumulator_bytes, buffers.gate_bytes]
    return np.asarray((needed <= sizes).all(axis=1))
