"""Where the tensors of a layer lie in DRAM: bit addresses, ready for the kernels (docs/machine-model.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.slots import Slots
from cgsim.trace.network import Layer

REGION_BITS = 8 << 20
"""Every tensor begins at a multiple of this: timing then does not depend on where a layer lies."""

Range = tuple[int, int]


class Layout(NamedTuple):
    """Addresses in bits; arrays int64. C channel tiles.

    `in_blocks`, `out_blocks` [blocks, 3]: channels [first, end) of a block and its place in a sample; in a
    block activations lie pixel by pixel. `in_sample`, `out_sample`: size of a sample. `base_ranges`,
    `late_ranges` [ranges, 2]: input channels [first, end); channel tile c loads the ranges
    [base_of[c, 0], base_of[c, 1]) with its base phase, and of `late_of` with its conditional phase.
    The fields after them tell where the tensors begin.
    """

    in_blocks: np.ndarray
    out_blocks: np.ndarray
    in_sample: int
    out_sample: int
    base_ranges: np.ndarray
    base_of: np.ndarray
    late_ranges: np.ndarray
    late_of: np.ndarray
    base_weights: int
    late_weights: int
    inputs: int
    residuals: int
    outputs: int


def layout_of(
    layer: Layer,
    slots: Slots,
    folds: Sequence[Range],
    loop_order: str,
    hardware: Hardware,
    batch: int,
    output_cuts: tuple[int, ...] = (),
    residuals: int = 0,
    result_channels: int = 0,
) -> Layout:
    """The layout of `layer` whose channel tiles hold the column `folds`, for `batch` samples.

    `residuals` operands of a fused addition have a tensor each. `output_cuts`: channels at which its reader's
    base channels begin or end. `result_channels`: those of the tensor of whose channels the outputs, and the
    operands, are the first (0: there are no others).
    """
    split = [_tile_ranges(layer, slots, folds, tile, loop_order) for tile in range(len(folds))]
    base_ranges, base_of = _joined([base for base, _ in split])
    late_ranges, late_of = _joined([late for _, late in split])
    in_blocks, in_sample = blocks_of(layer.in_shape, input_cuts(layer), layer.activation_bits, hardware)
    result = (result_channels or layer.out_channels, *layer.out_shape[1:])
    out_blocks, out_sample = blocks_of(result, output_cuts, layer.activation_bits, hardware)
    late_weights = whole_regions(layer.out_channels * layer.base_reduction * layer.weight_bits)
    inputs = late_weights + whole_regions(
        layer.out_channels * layer.conditional_reduction * layer.weight_bits
    )
    operands = inputs + whole_regions(in_sample * batch)
    outputs = operands + whole_regions(residuals * out_sample * batch)
    return Layout(
        in_blocks,
        out_blocks,
        in_sample,
        out_sample,
        base_ranges,
        base_of,
        late_ranges,
        late_of,
        0,
        late_weights,
        inputs,
        operands,
        outputs,
    )


def input_cuts(layer: Layer) -> tuple[int, ...]:
    """Input channels at which the base channels of a base group begin or end."""
    if not (layer.base_reduction and layer.conditional_reduction):
        return ()
    return tuple(sorted({end for block in range(layer.groups * layer.base_groups)
                         for end in _base_range(layer, block)}))  # fmt: skip


def _tile_ranges(
    layer: Layer, slots: Slots, folds: Sequence[Range], tile: int, loop_order: str
) -> tuple[list[Range], list[Range]]:
    """Input channels that a channel tile reads with its base phase; those only its conditional phase reads.

    Where activations stay for all channel tiles of a pixel tile, a channel tile lists what no earlier one has
    read (of the conditional ones those that it may fetch).
    """
    every = [(0, layer.in_shape[0])]
    if loop_order == "weights_outer" or len(folds) == 1:
        return _fold_ranges(layer, slots, *folds[tile])
    if slots.blocks == 1:
        base, late = _fold_ranges(layer, slots, 0, 1)
        return base if tile == 0 else [], late
    if tile > 0:
        return [], []
    return (every, []) if layer.base_reduction else ([], every)


def _fold_ranges(layer: Layer, slots: Slots, first: int, end: int) -> tuple[list[Range], list[Range]]:
    first_block, end_block = slots.block_range(first, end)
    per_group = layer.in_shape[0] // layer.groups
    low = first_block // layer.base_groups * per_group
    high = ((end_block - 1) // layer.base_groups + 1) * per_group
    if not layer.conditional_reduction:
        return [(low, high)], []
    base = [_base_range(layer, block) for block in range(first_block, end_block) if layer.base_channels]
    edges = [low, *(edge for pair in base for edge in pair), high]
    late = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
    return _merged(base), late


def _base_range(layer: Layer, block: int) -> Range:
    group, place = divmod(block, layer.base_groups)
    first = group * (layer.in_shape[0] // layer.groups) + place * layer.base_channels
    return first, first + layer.base_channels


def _merged(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for first, end in ranges:
        if merged and merged[-1][1] == first:
            first = merged.pop()[0]
        merged.append((first, end))
    return merged


def _joined(lists: Sequence[Sequence[Range]]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([0, *map(len, lists)])
    flat = np.array([pair for own in lists for pair in own], np.int64).reshape(-1, 2)
    return flat, np.stack([ends[:-1], ends[1:]], axis=1).astype(np.int64)


def blocks_of(
    shape: tuple[int, int, int], cuts: tuple[int, ...], bits: int, hardware: Hardware
) -> tuple[np.ndarray, int]:
    """Blocks of channels of a tensor (`Layout.in_blocks`), and the size of a sample."""
    channels, height, width = shape
    most = 1
    if hardware.mapping.activation_layout == "pixel_major":
        most = max(1, hardware.dma.burst_bytes * 8 // bits)
    edges = sorted({0, channels, *cuts})
    firsts = [at for low, high in pairwise(edges) for at in range(low, high, most)]
    ends = [*firsts[1:], channels]
    size = height * width * bits
    blocks = [(first, end, first * size) for first, end in zip(firsts, ends, strict=True)]
    return np.array(blocks, np.int64).reshape(-1, 3), channels * size


def whole_regions(bits: int) -> int:
    """`bits` rounded up to whole regions."""
    return -(-bits // REGION_BITS) * REGION_BITS
