"""What a tiled layer loads, computes and stores, step by step, with the loaded values as sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.tiling import Tiling
from cgsim.trace.network import Layer

Cell = tuple[int, int, int]  # input channel, row, column
Feeds = list[tuple[int, int] | None]  # per feed: vectors needed, cycles to stream them; None: skips


@dataclass(frozen=True)
class Step:
    """A base or conditional phase of a tile, or a chunk of one.

    `folds` [fold][feed]: (vectors needed, cycles to stream them), None where a feed skips the fold.
    `present` [fold]: feeds that hold channels, whether they skip or not.
    """

    tile: int
    pixel_tile: int
    channel_tile: int
    conditional: bool
    last: bool
    weight_bytes: int
    activation_bytes: int
    residual_bytes: int
    output_bytes: int
    outputs: int
    folds: list[Feeds]
    present: list[int]


def steps(
    operation: Operation, hardware: Hardware, tiling: Tiling, feeds: int, gates: np.ndarray | None
) -> list[Step]:
    """Steps in execution order. `gates` bool [N, M], or [1, M] where channels share them, or None."""
    layer = operation.layer
    tiles = _Tiles(layer, hardware, tiling, feeds)
    base, late = [], []
    held: dict[str, set[Cell]] = {"inputs": set()}
    fetched: set[int] = set()
    for number, (pixel_tile, channel_tile) in enumerate(tiles.order()):
        if tiling.loop_order == "weights_outer" or channel_tile == 0:
            held["inputs"] = set()
        context = (number, pixel_tile, channel_tile)
        base.append(list(_base(operation, hardware, tiling, tiles, context, held["inputs"])))
        late.append(list(_late(operation, hardware, tiling, tiles, context, held["inputs"], fetched, gates)))
    program: list[Step] = []
    for number in range(len(base) + 1):
        program += base[number] if number < len(base) else []
        turn = number - 1 if tiling.interleaved else number
        program += late[turn] if 0 <= turn < len(late) else []
    return program


class _Tiles:
    """Pixel tiles and channel tiles of a layer as lists."""

    def __init__(self, layer: Layer, hardware: Hardware, tiling: Tiling, feeds: int) -> None:
        width = hardware.array.cols // feeds
        block = layer.out_channels // layer.groups // layer.base_groups
        self.layer, self.tiling, self.feeds = layer, tiling, feeds
        slots = [
            list(range(first, min(first + width, start + block)))
            for start in range(0, layer.out_channels, block)
            for first in range(start, start + block, width)
        ]
        column_folds = [slots[i : i + feeds] for i in range(0, len(slots), feeds)]
        size = tiling.tile_folds
        self.channels = [column_folds[i : i + size] for i in range(0, len(column_folds), size)]
        _, height, wide = layer.out_shape
        self.pixels = [
            [y * wide + x for y in range(row, min(row + tiling.tile_rows, height)) for x in xs]
            for row in range(0, height, tiling.tile_rows)
            for xs in (
                range(col, min(col + tiling.tile_columns, wide))
                for col in range(0, wide, tiling.tile_columns)
            )
        ]

    def order(self) -> Iterator[tuple[int, int]]:
        """(pixel tile, channel tile) in execution order."""
        if self.tiling.loop_order == "weights_outer":
            yield from ((p, c) for c in range(len(self.channels)) for p in range(len(self.pixels)))
        else:
            yield from ((p, c) for p in range(len(self.pixels)) for c in range(len(self.channels)))

    def outputs(self, channel_tile: int) -> list[int]:
        """Output channels of a channel tile."""
        return [n for fold in self.channels[channel_tile] for slot in fold for n in slot]

    def inputs(self, channel_tile: int) -> tuple[set[int], set[int]]:
        """Input channels that the channel tile reads in its base phase, and in all."""
        layer = self.layer
        base: set[int] = set()
        every: set[int] = set()
        per_group, out_group = layer.in_shape[0] // layer.groups, layer.out_channels // layer.groups
        for n in self.outputs(channel_tile):
            group, within = divmod(n, out_group)
            part = within // (out_group // layer.base_groups)
            own = range(group * per_group, (group + 1) * per_group)
            every.update(own)
            if layer.gate == "pixel":
                continue
            size = layer.base_channels or per_group
            base.update(own[part * size : (part + 1) * size])
        return base, every

    def patch(self, pixel_tile: int) -> set[tuple[int, int]]:
        """The rectangle of input positions between the first and the last one that a pixel tile reads."""
        cells = reads(self.layer, self.pixels[pixel_tile])
        corners = []
        for axis in (0, 1):
            size, kernel = self.layer.in_shape[1 + axis], self.layer.kernel[axis]
            at = [divmod(p, self.layer.out_shape[2])[axis] for p in self.pixels[pixel_tile]]
            low = min(at) * self.layer.stride[axis] - self.layer.padding[axis]
            high = max(at) * self.layer.stride[axis] - self.layer.padding[axis]
            high += self.layer.dilation[axis] * (kernel - 1)
            corners.append(range(max(low, 0), min(high, size - 1) + 1))
        rectangle = {(y, x) for y in corners[0] for x in corners[1]}
        assert cells <= rectangle
        return rectangle


def reads(layer: Layer, pixels: list[int]) -> set[tuple[int, int]]:
    """Input positions that output pixels read."""
    found = set()
    for pixel in pixels:
        top, left = divmod(pixel, layer.out_shape[2])
        for i in range(layer.kernel[0]):
            for j in range(layer.kernel[1]):
                y = top * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
                x = left * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
                if 0 <= y < layer.in_shape[1] and 0 <= x < layer.in_shape[2]:
                    found.add((y, x))
    return found


def packed(values: int, bits: int) -> int:
    """Bytes of packed values."""
    return ceil(values * bits / 8)


def _chunks(reduction: int, hardware: Hardware, tiling: Tiling) -> list[tuple[int, int]]:
    """(row folds, reduction length) of each step of a phase."""
    rows = hardware.array.rows
    slices = [min(rows, reduction - k) for k in range(0, reduction, rows)]
    if not slices:
        return []
    size = tiling.chunk_folds if tiling.loop_order == "activations_outer" else len(slices)
    parts = [slices[i : i + size] for i in range(0, len(slices), size)]
    return [(len(part), sum(part)) for part in parts]


def _whole(layer: Layer, tiling: Tiling, tiles: _Tiles) -> bool:
    """True if the first channel tile of a pixel tile fetches the input channels of all.

    So it is where activations stay for several channel tiles which do not read the same channels.
    """
    staying = tiling.loop_order != "weights_outer" and len(tiles.channels) > 1
    return staying and layer.groups * layer.base_groups > 1


def _base(
    operation: Operation,
    hardware: Hardware,
    tiling: Tiling,
    tiles: _Tiles,
    context: tuple[int, int, int],
    held: set[Cell],
) -> Iterator[Step]:
    layer = operation.layer
    _, pixel_tile, channel_tile = context
    if not layer.base_reduction:
        return
    base_channels, _ = tiles.inputs(channel_tile)
    if _whole(layer, tiling, tiles):
        base_channels = set(range(layer.in_shape[0]))
    wanted = {(c, y, x) for c in base_channels for y, x in tiles.patch(pixel_tile)} - held
    held |= wanted
    loads_weights = tiling.loop_order == "activations_outer" or pixel_tile == 0
    weights = len(tiles.outputs(channel_tile)) if loads_weights else 0
    vectors = len(tiles.pixels[pixel_tile])
    folds: list[Feeds] = [
        [(vectors, vectors) if f < len(fold) else None for f in range(tiles.feeds)]
        for fold in tiles.channels[channel_tile]
    ]
    chunks = _chunks(layer.base_reduction, hardware, tiling)
    yield from _phase(operation, tiles, context, False, chunks, weights, len(wanted), folds)


def _late(
    operation: Operation,
    hardware: Hardware,
    tiling: Tiling,
    tiles: _Tiles,
    context: tuple[int, int, int],
    held: set[Cell],
    fetched: set[int],
    gates: np.ndarray | None,
) -> Iterator[Step]:
    layer = operation.layer
    if gates is None or not layer.conditional_reduction:
        return
    _, pixel_tile, channel_tile = context
    pixels, outputs = tiles.pixels[pixel_tile], tiles.outputs(channel_tile)
    on_demand = hardware.dma.conditional_fetch == "on_demand"

    def gate(n: int, p: int) -> bool:
        return bool(gates[n if len(gates) > 1 else 0, p])

    _, every = tiles.inputs(channel_tile)
    if _whole(layer, tiling, tiles):
        every = set(range(layer.in_shape[0]))
    positions = reads(layer, [p for p in pixels if any(gate(n, p) for n in outputs)])
    wanted = {
        (c, y, x) for c in every for y, x in (positions if on_demand else tiles.patch(pixel_tile))
    } - held
    held |= wanted
    asked = {n for n in outputs if not on_demand or any(gate(n, p) for p in pixels)}
    if tiling.loop_order != "activations_outer":
        asked -= fetched
        fetched |= asked
    folds: list[Feeds] = []
    for fold in tiles.channels[channel_tile]:
        feeds: Feeds = [None] * tiles.feeds
        for f, slot in enumerate(fold):
            needed = sum(any(gate(n, p) for n in slot) for p in pixels)
            bits = len(pixels) * (1 if layer.gate == "pixel" else len(slot))
            scan = ceil(bits / hardware.gate_unit.scan_bits_per_cycle)
            feeds[f] = (needed, max(needed, scan)) if needed else None
        folds.append(feeds)
    chunks = _chunks(layer.conditional_reduction, hardware, tiling)
    yield from _phase(operation, tiles, context, True, chunks, len(asked), len(wanted), folds)


def _phase(
    operation: Operation,
    tiles: _Tiles,
    context: tuple[int, int, int],
    conditional: bool,
    chunks: list[tuple[int, int]],
    channels: int,
    inputs: int,
    folds: list[Feeds],
) -> Iterator[Step]:
    """One step per chunk: the weights of `channels` channels each, `inputs` values with the first."""
    layer = operation.layer
    number, pixel_tile, channel_tile = context
    size = len(tiles.pixels[pixel_tile]) * len(tiles.outputs(channel_tile))
    ends_tile = conditional or not layer.conditional_reduction
    for position, (count, reduction) in enumerate(chunks):
        last = ends_tile and position == len(chunks) - 1
        yield Step(
            tile=number,
            pixel_tile=pixel_tile,
            channel_tile=channel_tile,
            conditional=conditional,
            last=last,
            weight_bytes=packed(channels * reduction, layer.weight_bits),
            activation_bytes=packed(inputs, layer.activation_bits) if position == 0 else 0,
            residual_bytes=packed(size * operation.residuals, layer.activation_bits) if last else 0,
            output_bytes=packed(size, layer.activation_bits),
            outputs=size,
            folds=[feeds for feeds in folds for _ in range(count)],
            present=[len(fold) for fold in tiles.channels[channel_tile] for _ in range(count)],
        )
