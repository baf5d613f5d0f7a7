"""Where in DRAM the transfers of a layer's steps go: the pieces of each (docs/machine-model.md, DRAM)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.kernels import integer, kernel
from cgsim.engine.machine import Machine, Workload
from cgsim.engine.pieces import add, add_pixels, add_weights, add_window, no_pieces, room
from cgsim.engine.program import (
    ACTIVATION_BYTES,
    CHUNK,
    CONDITIONAL,
    LAST,
    RESIDUAL_BYTES,
    STORE_BYTES,
    TILE,
    WEIGHT_BYTES,
    chunks,
    row_folds,
    tile_at,
)
from cgsim.engine.rounds import Slices, slices_of, take, users
from cgsim.mapping.parts import LENGTH
from cgsim.mapping.plan import Plan

FROM, TO = 1, 2
"""After a transfer's bytes: its pieces [from, to)."""


@njit(cache=True)
def known_pieces(steps: np.ndarray, plan: Plan, work: Workload, machine: Machine) -> tuple[np.ndarray, int]:
    """Pieces of all transfers that no gate decides; sets the steps' fields. Returns (pieces, used)."""
    pieces, used = no_pieces(), 0
    slices = slices_of(work.base_parts)
    everyone = np.ones(plan.channels[-1, 1], np.bool_)
    samples = plan.pixels[-1, 1] // work.pixels
    count = first = integer(0)
    for row in range(len(steps)):
        step = steps[row]
        at_pixels, at_channels = tile_at(step[TILE], plan)
        if not step[CONDITIONAL]:
            if step[WEIGHT_BYTES]:
                if step[CHUNK] == 0:
                    count = chunks(work.base_parts, slices, at_channels, plan, machine.rows)
                    base = plan.layout.base_weights
                    first = _tile_weights(work.base_parts, base, at_channels, plan, work)
                start = used
                pieces, used, first = _weights(
                    step[CHUNK], count, pieces, used, everyone, first, work.base_parts, slices, at_channels,
                    plan, work, machine,
                )  # fmt: skip
                _set(step, WEIGHT_BYTES, start, used)
            if step[ACTIVATION_BYTES]:
                start = used
                of = plan.layout.base_of[at_channels]
                ranges = plan.layout.base_ranges[of[0] : of[1]]
                pieces, used = _patch(pieces, used, at_pixels, ranges, plan, work)
                _set(step, ACTIVATION_BYTES, start, used)
        if step[LAST]:
            if step[RESIDUAL_BYTES]:
                start = used
                for operand in range(work.residual_reads):
                    operands = plan.layout.residuals + operand * samples * plan.layout.out_sample
                    pieces, used = _outputs(pieces, used, operands, at_pixels, at_channels, plan, work)
                _set(step, RESIDUAL_BYTES, start, used)
            if step[STORE_BYTES]:
                start = used
                pieces, used = _outputs(pieces, used, plan.layout.outputs, at_pixels, at_channels, plan, work)
                _set(step, STORE_BYTES, start, used)
    return pieces, used


@njit(cache=True)
def late_pieces(
    steps: np.ndarray,
    pieces: np.ndarray,
    used: int,
    wanted: np.ndarray,
    loaded: np.ndarray,
    plan: Plan,
    work: Workload,
    machine: Machine,
    slices: Slices,
) -> tuple[np.ndarray, int]:
    """Pieces of a tile's conditional `steps`, which fetch the weights of the `wanted` channels, bool [N].

    `loaded` int32 [samples, height, width]: for `on_demand`, the tile + 1 that fetched an input pixel.
    """
    at_pixels, at_channels = tile_at(steps[0, TILE], plan)
    first = _tile_weights(work.late_parts, plan.layout.late_weights, at_channels, plan, work)
    for chunk in range(len(steps)):
        start = used
        pieces, used, first = _weights(
            chunk, len(steps), pieces, used, wanted, first, work.late_parts, slices, at_channels, plan, work,
            machine,
        )  # fmt: skip
        _set(steps[chunk], WEIGHT_BYTES, start, used)
    if steps[0, ACTIVATION_BYTES]:
        start = used
        of = plan.layout.late_of[at_channels]
        ranges = plan.layout.late_ranges[of[0] : of[1]]
        if machine.on_demand:
            stamp = steps[0, TILE] + 1
            pieces, used = _needed(pieces, used, at_pixels, ranges, loaded, stamp, plan, work)
        else:
            pieces, used = _patch(pieces, used, at_pixels, ranges, plan, work)
        _set(steps[0], ACTIVATION_BYTES, start, used)
    return pieces, used


@njit(cache=True, inline="always")
def _set(step: np.ndarray, transfer: int, first: int, end: int) -> None:
    step[transfer + FROM] = first
    step[transfer + TO] = end


@kernel
def _tile_weights(parts: np.ndarray, first: int, at_channels: int, plan: Plan, work: Workload) -> int:
    """The bit at which a channel tile's weights begin, if those of all parts begin at bit `first`."""
    for part in range(len(parts)):
        before = users(parts[part], 0, plan.channels[at_channels, 0])
        first += before * parts[part, LENGTH] * work.weight_bits
    return first


@njit(cache=True)
def _weights(
    chunk: int,
    count: int,
    pieces: np.ndarray,
    used: int,
    wanted: np.ndarray,
    first: int,
    parts: np.ndarray,
    slices: Slices,
    at_channels: int,
    plan: Plan,
    work: Workload,
    machine: Machine,
) -> tuple[np.ndarray, int, int]:
    """Weights of the `wanted` channels in a chunk of a tile's phase; the chunk begins at bit `first`.

    Returns (pieces, used, end of the chunk).
    """
    channels = plan.channels[at_channels]
    low, high = row_folds(chunk, count, plan)
    take(slices, parts, channels, machine.rows, low, high)
    start = used
    pieces = room(pieces, used, len(parts) * (channels[1] - channels[0]))
    for part in range(len(parts)):
        each = slices.length[part] * work.weight_bits
        used, first = add_weights(pieces, start, used, first, each, parts[part], channels, wanted)
    return pieces, used, first


@njit(cache=True)
def _patch(
    pieces: np.ndarray, used: int, at_pixels: int, ranges: np.ndarray, plan: Plan, work: Workload
) -> tuple[np.ndarray, int]:
    """Input channels `ranges` of what a pixel tile reads."""
    start, layout, patch = used, plan.layout, plan.patch[at_pixels]
    pixels = (patch[1] - patch[0]) * (patch[3] - patch[2])
    first_sample = plan.pixels[at_pixels, 0] // work.pixels
    for sample in range(first_sample, first_sample + plan.samples[at_pixels]):
        at = layout.inputs + sample * layout.in_sample
        for own in range(len(ranges)):
            for number in range(len(layout.in_blocks)):
                block = layout.in_blocks[number]
                first, end = max(block[0], ranges[own, 0]), min(block[1], ranges[own, 1])
                if end > first:
                    pieces = room(pieces, used, pixels)
                    used = add_window(
                        pieces,
                        start,
                        used,
                        at,
                        block,
                        first,
                        end,
                        patch,
                        work.in_width,
                        work.activation_bits,
                    )
    return pieces, used


@njit(cache=True)
def _needed(
    pieces: np.ndarray,
    used: int,
    at_pixels: int,
    ranges: np.ndarray,
    loaded: np.ndarray,
    stamp: int,
    plan: Plan,
    work: Workload,
) -> tuple[np.ndarray, int]:
    """Like `_patch`, but only the pixels that are stamped."""
    start, layout, patch = used, plan.layout, plan.patch[at_pixels]
    pixels = (patch[1] - patch[0]) * (patch[3] - patch[2])
    first_sample = plan.pixels[at_pixels, 0] // work.pixels
    for sample in range(first_sample, first_sample + plan.samples[at_pixels]):
        at = layout.inputs + sample * layout.in_sample
        for own in range(len(ranges)):
            for number in range(len(layout.in_blocks)):
                block = layout.in_blocks[number]
                first, end = max(block[0], ranges[own, 0]), min(block[1], ranges[own, 1])
                if end > first:
                    pieces = room(pieces, used, pixels)
                    used = add_pixels(
                        pieces,
                        start,
                        used,
                        at,
                        block,
                        first,
                        end,
                        patch,
                        loaded[sample],
                        stamp,
                        work.activation_bits,
                    )
    return pieces, used


@njit(cache=True)
def _outputs(
    pieces: np.ndarray,
    used: int,
    at: int,
    at_pixels: int,
    at_channels: int,
    plan: Plan,
    work: Workload,
) -> tuple[np.ndarray, int]:
    """A tile of a tensor of the output's shape that begins at bit `at`."""
    start, layout, bits = used, plan.layout, work.activation_bits
    low, high = plan.channels[at_channels]
    pixel, last = plan.pixels[at_pixels]
    while pixel < last:
        sample, place = pixel // work.pixels, pixel % work.pixels
        count = min(last - pixel, work.pixels - place)
        for number in range(len(layout.out_blocks)):
            block = layout.out_blocks[number]
            first, end = max(block[0], low), min(block[1], high)
            if end <= first:
                continue
            each = (block[1] - block[0]) * bits
            there = at + sample * layout.out_sample + block[2] + place * each + (first - block[0]) * bits
            pieces = room(pieces, used, count)
            if end - first == block[1] - block[0]:
                used = add(pieces, start, used, there, count * each)
            else:
                for _ in range(count):
                    used = add(pieces, start, used, there, (end - first) * bits)
                    there += each
        pixel += count
    return pieces, used
