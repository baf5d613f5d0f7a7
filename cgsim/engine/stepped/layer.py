"""A gated convolution on the stepped array: numbers, decisions and cycles, from the layer's own values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgsim.engine.stepped.array import Feed, Fold, run_feeds
from cgsim.hardware import Hardware
from cgsim.trace.network import Layer


@dataclass(frozen=True)
class SteppedLayer:
    """What a layer did: outputs int64 [N, M], gates bool [N, M] (None if ungated) and its array cycles."""

    outputs: np.ndarray
    gates: np.ndarray | None
    cycles: int


def run_layer(
    layer: Layer, hardware: Hardware, inputs: np.ndarray, weights: np.ndarray, thresholds: np.ndarray | None
) -> SteppedLayer:
    """Compute `layer` on the array alone.

    `inputs` int [Cin, H, W], `weights` int [N, Cin / groups, kh, kw], `thresholds` int [N] for a layer with a
    conditional path: an output is completed where its base sum exceeds the threshold. Without thresholds
    the array has one feed, as in dense execution.
    """
    rows, array = hardware.array.rows, hardware.array
    feeds_count = array.column_groups if thresholds is not None else 1
    width = array.cols // feeds_count
    overlapped = array.pipelining == "overlapped"
    feeds = [Feed(rows, width, overlapped, array.cols - width) for _ in range(feeds_count)]
    slots = _slots(layer, width)
    paths = [_paths(layer, channels[0]) for channels in slots]  # (base, conditional) taps of each slot

    base: list[list[Fold]] = [[] for _ in feeds]
    for slot, channels in enumerate(slots):
        pixels = list(range(layer.pixels))
        base[slot % feeds_count] += _folds(
            layer, rows, width, inputs, weights, channels, paths[slot][0], pixels
        )
    short = max(len(folds) for folds in base)
    for folds in base:  # feeds without a slot in the last column fold stream the vectors all the same
        while len(folds) < short:
            idle = [(pixel, [0] * rows) for pixel in range(layer.pixels)]
            folds.append(Fold([[0] * width] * rows, idle, [-1 - c for c in range(width)]))

    gates: np.ndarray | None = None

    def sums() -> np.ndarray:
        out = np.zeros((layer.out_channels, layer.pixels), np.int64)
        for feed in feeds:
            for (pixel, channel), value in feed.results.items():
                if channel >= 0:
                    out[channel, pixel] = value
        return out

    def decide() -> list[list[Fold | None]]:
        nonlocal gates
        assert thresholds is not None
        gates = sums() > thresholds[:, None]
        late: list[list[Fold | None]] = [[] for _ in feeds]
        for slot, channels in enumerate(slots):
            pixels = [int(p) for p in np.flatnonzero(gates[channels].any(axis=0))]
            folds = _folds(layer, rows, width, inputs, weights, channels, paths[slot][1], pixels)
            late[slot % feeds_count] += folds if pixels else [None] * len(folds)
        longest = max(len(folds) for folds in late)
        return [folds + [None] * (longest - len(folds)) for folds in late]

    together = hardware.gate_unit.group_sync == "fold"
    latency = hardware.gate_unit.compare_latency
    cycles = run_feeds(feeds, base, decide if thresholds is not None else None, latency, together)
    outputs = sums()
    if gates is not None:  # a shared vector computes channels that are off, too: their sums are not kept
        outputs = np.where(gates, outputs, _direct(layer, inputs, weights, base_only=True))
    return SteppedLayer(outputs, gates, cycles)


def direct(
    layer: Layer, inputs: np.ndarray, weights: np.ndarray, thresholds: np.ndarray | None
) -> SteppedLayer:
    """The same outputs and gates from the definition, without an array (cycles 0)."""
    full = _direct(layer, inputs, weights, base_only=False)
    if thresholds is None:
        return SteppedLayer(full, None, 0)
    base = _direct(layer, inputs, weights, base_only=True)
    gates = base > thresholds[:, None]
    return SteppedLayer(np.where(gates, full, base), gates, 0)


def _direct(layer: Layer, inputs: np.ndarray, weights: np.ndarray, base_only: bool) -> np.ndarray:
    out = np.zeros((layer.out_channels, layer.pixels), np.int64)
    for channel in range(layer.out_channels):
        base, late = _paths(layer, channel)
        for pixel in range(layer.pixels):
            for tap in base if base_only else base + late:
                out[channel, pixel] += _activation(layer, inputs, tap, pixel) * _weight(
                    layer, weights, channel, tap
                )
    return out


def _slots(layer: Layer, width: int) -> list[list[int]]:
    """Output channels by slot: up to `width` neighbours of the same group and base group."""
    block = layer.out_channels // layer.groups // layer.base_groups
    return [
        list(range(first, min(first + width, start + block)))
        for start in range(0, layer.out_channels, block)
        for first in range(start, start + block, width)
    ]


Tap = tuple[int, int, int]  # input channel, kernel row, kernel column


def _paths(layer: Layer, channel: int) -> tuple[list[Tap], list[Tap]]:
    """(base, conditional) taps of the reduction of an output channel."""
    inputs, outputs = layer.in_shape[0] // layer.groups, layer.out_channels // layer.groups
    group, within = divmod(channel, outputs)
    part = within // (outputs // layer.base_groups)
    first, end = part * layer.base_channels, (part + 1) * layer.base_channels
    base: list[Tap] = []
    late: list[Tap] = []
    for i in range(inputs):
        for y in range(layer.kernel[0]):
            for x in range(layer.kernel[1]):
                is_base = layer.base_channels == 0 or first <= i < end
                (base if is_base else late).append((group * inputs + i, y, x))
    return base, late


def _activation(layer: Layer, inputs: np.ndarray, tap: Tap, pixel: int) -> int:
    channel, down, across = tap
    y = pixel // layer.out_shape[2] * layer.stride[0] - layer.padding[0] + down * layer.dilation[0]
    x = pixel % layer.out_shape[2] * layer.stride[1] - layer.padding[1] + across * layer.dilation[1]
    inside = 0 <= y < layer.in_shape[1] and 0 <= x < layer.in_shape[2]
    return int(inputs[channel, y, x]) if inside else 0


def _weight(layer: Layer, weights: np.ndarray, channel: int, tap: Tap) -> int:
    return int(weights[channel, tap[0] % (layer.in_shape[0] // layer.groups), tap[1], tap[2]])


def _folds(
    layer: Layer,
    rows: int,
    width: int,
    inputs: np.ndarray,
    weights: np.ndarray,
    channels: list[int],
    taps: list[Tap],
    pixels: list[int],
) -> list[Fold]:
    """Row folds of a slot: its taps cut into slices of `rows`, unused rows and columns filled with zeros."""
    folds = []
    for first in range(0, len(taps), rows):
        part = taps[first : first + rows]
        blank = [0] * (rows - len(part))
        grid = [
            [_weight(layer, weights, n, tap) for n in channels] + [0] * (width - len(channels))
            for tap in part
        ] + [[0] * width for _ in blank]
        vectors = [
            (pixel, [_activation(layer, inputs, tap, pixel) for tap in part] + blank) for pixel in pixels
        ]
        names = channels + [-1 - c for c in range(width - len(channels))]
        folds.append(Fold(grid, vectors, names))
    return folds
