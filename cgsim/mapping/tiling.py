"""Tile sizes and loop order of a layer: enumerated, held against the buffers, ranked by an estimate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Literal, NamedTuple

from cgsim.hardware import Hardware
from cgsim.mapping.parts import END, FIRST, LENGTH, SKIP_END, SKIP_FIRST, parts, row_folds
from cgsim.mapping.slots import Slots, slots
from cgsim.trace.network import Layer

LoopOrder = Literal["weights_outer", "activations_outer", "weights_resident"]
ACCUMULATOR_BYTES = 4
NEAR = 1.05
"""Times within this factor of the best count as near it when traffic is compared."""


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
class Need:
    """Bytes that a tiling needs in each buffer, all its parts together."""

    activation: int
    weight: int
    accumulator: int
    gate: int


def patch_size(layer: Layer, rows: int, columns: int) -> int:
    """Input pixels that `rows` x `columns` output pixels read at most, padding left out."""
    size = 1
    for axis, count in enumerate((rows, columns)):
        span = (count - 1) * layer.stride[axis] + layer.dilation[axis] * (layer.kernel[axis] - 1) + 1
        size *= min(span, layer.in_shape[1 + axis])
    return size


def whole_layer(layer: Layer, layout: Slots, batch: int = 1) -> Tiling:
    """The tiling of an accelerator with unlimited buffers: one tile."""
    _, height, width = layer.out_shape
    return Tiling(height, width, layout.column_folds, 1, "weights_resident", False, batch)


def need(
    layer: Layer, layout: Slots, hardware: Hardware, tiling: Tiling, residuals: int, gated: bool
) -> Need:
    """Bytes needed in each buffer.

    Double buffering holds two parts of what changes from tile to tile; interleaved execution holds three
    of activations and accumulators (a tile in its base phase, one that waits for its conditional
    phase, one that is being loaded or stored) and two of gates.
    """
    pixel_tiles = tiling.pixel_tiles(layer, hardware.mapping.batch)
    channel_tiles = ceil(layout.column_folds / tiling.tile_folds)
    tiles = pixel_tiles * channel_tiles
    depth = 3 if tiling.interleaved else 2 if hardware.buffers.double_buffered else 1
    pixels = tiling.tile_pixels
    channels = min(tiling.tile_folds * layout.groups * layout.width, layer.out_channels)

    in_channels = layer.in_shape[0]
    if tiling.loop_order == "weights_outer":
        first, end = layout.block_range(0, tiling.tile_folds)
        groups = ceil(end / layer.base_groups) - first // layer.base_groups
        in_channels = min(in_channels, layer.in_shape[0] // layer.groups * (groups + (channel_tiles > 1)))
        activation_parts, weight_parts = min(depth, tiles), min(2 if depth > 1 else 1, channel_tiles)
        weights = channels * layer.reduction
    else:
        activation_parts, weight_parts = min(depth, pixel_tiles), 1
        weights = layer.out_channels * layer.reduction
        if tiling.loop_order == "activations_outer":
            weight_parts = 2 if depth > 1 else 1
            weights = channels * min(tiling.chunk_folds * hardware.array.rows, layer.reduction)
    patch = patch_size(layer, tiling.tile_rows, tiling.tile_columns) * tiling.tile_samples
    values = patch * in_channels * activation_parts + pixels * channels * residuals * min(depth, tiles)
    return Need(
        activation=(values * layer.activation_bits + 7) // 8,
        weight=(weights * layer.weight_bits + 7) // 8 * weight_parts,
        accumulator=pixels * channels * ACCUMULATOR_BYTES * min(depth, tiles),
        gate=(pixels * channels * (2 if tiling.interleaved else 1) + 7) // 8 if gated else 0,
    )


def candidates(
    layer: Layer, hardware: Hardware, column_groups: int, density: float, residuals: int, limit: int
) -> tuple[Tiling, ...]:
    """Tilings that fit the buffers: half of `limit` of least estimated time, half of least traffic near it.

    `density` is the expected share of conditional work (1 for dense execution, whose layer has no
    conditional path). The estimate is no cycle count: whoever can count chooses among the candidates.
    There is at least one if `cgsim.mapping.capacity.require_fits` does not complain.
    """
    anonymous = dataclasses.replace(layer, name="", producers=(), gate_network_macs=0)
    return _best(anonymous, hardware, column_groups, round(density, 2), residuals, limit)


@lru_cache(maxsize=4096)
def _best(
    layer: Layer, hardware: Hardware, column_groups: int, density: float, residuals: int, limit: int
) -> tuple[Tiling, ...]:
    layout = slots(layer, hardware.array.cols, column_groups)
    gated = layer.conditional_reduction > 0
    phases = _phases(layer, hardware)
    costs = {
        tiling: _estimate(layer, layout, hardware, tiling, density, phases)
        for tiling in _candidates(layer, layout, hardware, gated, max(phase.row_folds for phase in phases))
        if _fits(need(layer, layout, hardware, tiling, residuals, gated), hardware)
    }
    fastest = sorted(costs, key=costs.__getitem__)
    near = [tiling for tiling in fastest if costs[tiling][0] <= NEAR * costs[fastest[0]][0]]
    frugal = sorted(near, key=lambda tiling: (costs[tiling][1], costs[tiling][0]))
    return tuple(dict.fromkeys(fastest[: limit // 2] + frugal[: limit // 2]))


def _candidates(
    layer: Layer, layout: Slots, hardware: Hardware, gated: bool, folds_of_phase: int
) -> Iterator[Tiling]:
    _, height, width = layer.out_shape
    shapes = [(height, width, samples) for samples in _cuts(hardware.mapping.batch) if samples > 1]
    shapes += [(rows, width, 1) for rows in _cuts(height)]
    shapes += [(1, columns, 1) for columns in _cuts(width)[1:]]
    interleavings = (False, True) if gated and hardware.buffers.double_buffered else (False,)
    for rows, columns, samples in shapes:
        for folds in _cuts(layout.column_folds):
            for interleaved in interleavings:
                yield Tiling(rows, columns, folds, folds_of_phase, "weights_resident", interleaved, samples)
                yield Tiling(rows, columns, folds, folds_of_phase, "weights_outer", interleaved, samples)
                chunk = _chunk(layer, layout, hardware, folds, folds_of_phase)
                yield Tiling(rows, columns, folds, chunk, "activations_outer", interleaved, samples)


def _cuts(size: int) -> list[int]:
    """Sizes that cut `size` into 1, 2, 3 ... nearly equal pieces: few, and none wasteful."""
    return sorted(
        {ceil(size / pieces) for pieces in (*range(1, 9), 12, 16, 24, 32, 64, 128, size)}, reverse=True
    )


def _chunk(layer: Layer, layout: Slots, hardware: Hardware, folds: int, row_folds: int) -> int:
    """Row folds per weight chunk: an eighth of the longer phase, less if the buffer wants it.

    Large chunks let the array and the loads wait for each other.
    """
    channels = min(folds * layout.groups * layout.width, layer.out_channels)
    parts = 2 if hardware.buffers.double_buffered else 1
    fold_bytes = channels * hardware.array.rows * layer.weight_bits / 8
    fit = int(hardware.buffers.weight_bytes / parts / fold_bytes)
    pieces = max(min(8, row_folds), ceil(row_folds / max(fit, 1)))
    return ceil(row_folds / pieces)


def _fits(needed: Need, hardware: Hardware) -> bool:
    buffers = hardware.buffers
    return (
        needed.activation <= buffers.activation_bytes
        and needed.weight <= buffers.weight_bytes
        and needed.accumulator <= buffers.accumulator_bytes
        and needed.gate <= buffers.gate_bytes
    )


class _Phase(NamedTuple):
    """What the estimate needs of a phase: its row folds, its reduction, and the mean users of a part."""

    row_folds: int
    reduction: int
    users: float


def _phases(layer: Layer, hardware: Hardware) -> list[_Phase]:
    found = []
    for phase in parts(layer, hardware.array.dataflow):
        users = phase[:, END] - phase[:, FIRST] - (phase[:, SKIP_END] - phase[:, SKIP_FIRST])
        mean = float(users.mean()) if len(phase) else 0.0
        found.append(_Phase(row_folds(phase, hardware.array.rows), int(phase[:, LENGTH].sum()), mean))
    return found


def _estimate(
    layer: Layer,
    layout: Slots,
    hardware: Hardware,
    tiling: Tiling,
    density: float,
    phases: list[_Phase],
) -> tuple[float, int]:
    """(cycles, bytes), roughly: array and DRAM overlap, the first load and the last store do not."""
    rows = hardware.array.rows
    pixel_tiles = tiling.pixel_tiles(layer, hardware.mapping.batch)
    channel_tiles = ceil(layout.column_folds / tiling.tile_folds)
    needed = 1 - (1 - density) ** layout.width
    skew = rows + hardware.array.cols
    folds, array = 0.0, 0.0
    gated = phases[1].row_folds > 0
    for phase, share in zip(phases, (1.0, needed), strict=True):
        count, vectors = _folds(layer, layout, hardware, tiling, phase, share)
        folds += count * pixel_tiles
        array += count * pixel_tiles * max(vectors, rows)
    if hardware.array.pipelining != "overlapped":
        array += folds * (rows + skew)
    elif gated and not tiling.interleaved:
        array += pixel_tiles * channel_tiles * (skew + hardware.gate_unit.compare_latency)

    patch = patch_size(layer, tiling.tile_rows, tiling.tile_columns) * tiling.tile_samples
    patch_bytes = patch * layer.activation_bits / 8
    weights = layer.out_channels * layer.reduction * layer.weight_bits / 8
    outputs = layer.out_channels * layer.pixels * hardware.mapping.batch * layer.activation_bits / 8
    activations = patch_bytes * layer.in_shape[0] * pixel_tiles
    if tiling.loop_order == "weights_outer":
        activations *= channel_tiles / max(1, min(layer.groups, channel_tiles))
    elif tiling.loop_order == "activations_outer":
        weights *= pixel_tiles
    traffic = weights + activations + outputs
    rate = float(hardware.dram.bytes_per_cycle)
    tiles = pixel_tiles * channel_tiles
    chunks = sum(ceil(phase.row_folds / tiling.chunk_folds) for phase in phases)
    fills = tiles if tiling.loop_order == "activations_outer" else channel_tiles
    first = (patch_bytes * layer.in_shape[0] + weights / fills / chunks) / rate
    exposed = first + outputs / tiles / rate + hardware.dram.latency_cycles
    if gated and hardware.dma.conditional_fetch == "on_demand" and not tiling.interleaved:
        late = weights * layer.conditional_reduction / layer.reduction  # fetched while the array waits
        exposed += late / rate + fills * hardware.dram.latency_cycles
    if not hardware.buffers.double_buffered:
        return array + traffic / rate + tiles * hardware.dram.latency_cycles, int(traffic)
    return max(array, traffic / rate) + exposed, int(traffic)


def _folds(
    layer: Layer, layout: Slots, hardware: Hardware, tiling: Tiling, phase: _Phase, share: float
) -> tuple[float, float]:
    """(folds of a phase for a pixel tile and all channels, vectors of a fold); `share` of them are needed."""
    pixels = tiling.tile_pixels
    if hardware.array.dataflow == "ws":
        return layout.column_folds * phase.row_folds, pixels * share
    if hardware.array.dataflow == "os":
        row_tiles = ceil(pixels * share / hardware.array.rows) if phase.row_folds else 0
        return layout.column_folds * row_tiles, phase.reduction
    channel_tiles = ceil(layout.column_folds / tiling.tile_folds)
    split = max(1.0, channel_tiles * phase.users / layer.out_channels)  # channel tiles that use a part
    return ceil(pixels / hardware.array.cols) * phase.row_folds * split, phase.users * share / split
