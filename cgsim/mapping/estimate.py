"""About what tilings cost: no bound and no count, but it tells which to try first."""

from __future__ import annotations

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.parts import END, FIRST, LENGTH, SKIP_END, SKIP_FIRST, parts, row_folds
from cgsim.mapping.slots import Slots
from cgsim.mapping.tiling import ORDERS, Tilings, patch_size
from cgsim.trace.network import Layer

_LATENCY_NS = 60
"""About what a read takes in an idle DRAM that is simulated command by command."""


def estimate(
    layer: Layer, layout: Slots, hardware: Hardware, found: Tilings, density: float, batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """(cycles, off-chip bytes) of each tiling, roughly: float [tilings].

    Array and DRAM overlap; the first load and the last store do not. `density`: share of conditional work.
    """
    rows, array_ = hardware.array.rows, hardware.array
    pixel_tiles = found.pixel_tiles(layer, batch)
    channel_tiles = -(-layout.column_folds // found.folds)
    needed = 1 - (1 - density) ** layout.width
    skew = rows + array_.cols
    phases = parts(layer, array_.dataflow)
    gated = len(phases[1]) > 0
    folds, array = np.zeros(len(found)), np.zeros(len(found))
    for phase, share in zip(phases, (1.0, needed), strict=True):
        count, vectors = _folds(layer, layout, hardware, found, phase, share)
        folds += count * pixel_tiles
        array += count * pixel_tiles * np.maximum(vectors, rows)
    if array_.pipelining != "overlapped":
        array += folds * (rows + skew)
    elif gated:
        waits = pixel_tiles * channel_tiles * (skew + hardware.gate_unit.compare_latency)
        array += np.where(found.interleaved, 0, waits)

    patch_bytes = patch_size(layer, found.rows, found.columns) * found.samples * layer.activation_bits / 8
    patch_bytes = patch_bytes * layer.in_shape[0]
    outer, streamed = (found.order == ORDERS.index(name) for name in ("weights_outer", "activations_outer"))
    weights = (
        layer.out_channels * layer.reduction * layer.weight_bits / 8 * np.where(streamed, pixel_tiles, 1)
    )
    outputs = layer.out_channels * layer.pixels * batch * layer.activation_bits / 8
    again = channel_tiles / np.maximum(1, np.minimum(layer.groups, channel_tiles))
    activations = patch_bytes * pixel_tiles * np.where(outer, again, 1)
    traffic = weights + activations + outputs
    rate = hardware.dram_bytes_per_cycle
    latency = hardware.dram.latency_cycles
    if latency is None:
        latency = round(_LATENCY_NS / hardware.cycle_ns)
    tiles = pixel_tiles * channel_tiles
    chunks = sum(-(-row_folds(phase, rows) // found.chunk) for phase in phases)
    fills = np.where(streamed, tiles, channel_tiles)
    exposed = (patch_bytes + weights / fills / chunks + outputs / tiles) / rate + latency
    if gated and hardware.dma.conditional_fetch == "on_demand":  # fetched while the array waits
        late = weights * layer.conditional_reduction / layer.reduction / rate + fills * latency
        exposed += np.where(found.interleaved, 0, late)
    if not hardware.buffers.double_buffered:
        return array + traffic / rate + tiles * latency, traffic
    return np.maximum(array, traffic / rate) + exposed, traffic


def _folds(
    layer: Layer, layout: Slots, hardware: Hardware, found: Tilings, phase: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """(folds of a phase for a pixel tile and all channels, vectors of a fold); `share` of them are needed."""
    pixels, array = found.pixels(), hardware.array
    count = row_folds(phase, array.rows)
    if array.dataflow == "ws":
        return np.full(len(found), float(layout.column_folds * count)), pixels * share
    if array.dataflow == "os":
        row_tiles = np.ceil(pixels * share / array.rows) * (count > 0)
        return layout.column_folds * row_tiles, np.full(len(found), float(phase[:, LENGTH].sum()))
    using = phase[:, END] - phase[:, FIRST] - (phase[:, SKIP_END] - phase[:, SKIP_FIRST])
    users = float(using.mean()) if len(phase) else 0.0
    channel_tiles = -(-layout.column_folds // found.folds)
    split = np.maximum(1.0, channel_tiles * users / layer.out_channels)  # channel tiles that use a part
    return np.ceil(pixels / array.cols) * count * split, users * share / split
