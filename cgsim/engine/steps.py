"""A layer as a program of steps for the array: what each loads, how long it computes.

A step is the base phase of a tile, its conditional phase, or a chunk of either where weights are
streamed. Steps are listed in the order in which the array executes them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.engine.folds import RUN_FIELDS, base_run, conditional_run
from cgsim.engine.machine import Machine, Workload
from cgsim.mapping.plan import Plan

TILE, CONDITIONAL, LAST, WEIGHT_BYTES, ACTIVATION_BYTES, RESIDUAL_BYTES, OUTPUTS, RUN = range(8)
"""Fields of a step; from RUN on, the fields of its run of folds (`cgsim.engine.folds`)."""
STEP_FIELDS = RUN + RUN_FIELDS


@njit(cache=True, inline="always")
def size_in_bytes(values: int, bits: int) -> int:
    """Bytes of `values` packed values of `bits` bits."""
    return (values * bits + 7) // 8


@njit(cache=True)
def tile_at(tile: int, plan: Plan) -> tuple[int, int]:
    """(pixel tile, channel tile) of tile number `tile` in execution order."""
    if plan.loop_order == 0:
        pixel_tiles = plan.pixels.shape[0]
        return tile % pixel_tiles, tile // pixel_tiles
    channel_tiles = plan.folds.shape[0]
    return tile // channel_tiles, tile % channel_tiles


@njit(cache=True)
def chunks(folds: int, plan: Plan) -> int:
    """Steps that `folds` row folds take: one, unless weights are streamed in chunks."""
    if plan.loop_order != 1:
        return min(folds, 1)
    return -(-folds // plan.chunk_folds)


@njit(cache=True)
def program(
    plan: Plan,
    work: Workload,
    machine: Machine,
    slot_bits: np.ndarray,
    needed: np.ndarray,
    counts: np.ndarray,
    united: np.ndarray,
) -> np.ndarray:
    """Steps of one layer for one sample, int64 [steps, STEP_FIELDS].

    `slot_bits` int64 [slots]: gate bits per pixel that the scanner reads for a slot. `needed` int64
    [pixel tiles, slots], `counts` int64 [pixel tiles, N or 1]: gates that are on, per channel (one column
    where all channels share a gate). `united` uint64 [slots, W]. Layers without conditional path read
    none of them.
    """
    base_chunks = chunks(work.base_folds, plan)
    late_chunks = chunks(work.conditional_folds, plan)
    tiles = plan.pixels.shape[0] * plan.folds.shape[0]
    steps = np.zeros((tiles * (base_chunks + late_chunks), STEP_FIELDS), np.int64)
    row = 0
    here = np.zeros(plan.channels[-1, 1], np.bool_)  # channels whose conditional weights are in the buffer
    loaded = np.zeros((work.in_height, work.in_width), np.bool_)  # pixels whose conditional inputs are
    for turn in range(tiles + 1):
        if turn < tiles:
            row = _base_steps(steps, row, turn, base_chunks, late_chunks == 0, plan, work, machine)
        late = turn - 1 if plan.interleaved else turn
        if late_chunks and 0 <= late < tiles:
            row = _conditional_steps(
                steps,
                row,
                late,
                late_chunks,
                plan,
                work,
                machine,
                slot_bits,
                needed,
                counts,
                united,
                here,
                loaded,
            )
    return steps


@njit(cache=True)
def _base_steps(
    steps: np.ndarray,
    row: int,
    tile: int,
    count: int,
    final: bool,
    plan: Plan,
    work: Workload,
    machine: Machine,
) -> int:
    at_pixels, at_channels = tile_at(tile, plan)
    channels = plan.channels[at_channels, 1] - plan.channels[at_channels, 0]
    vectors = plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]
    column_folds = plan.folds[at_channels, 1] - plan.folds[at_channels, 0]
    for chunk in range(count):
        step = steps[row]
        folds, reduction = _chunk(chunk, count, work.base_folds, work.base_reduction, plan, machine)
        step[TILE] = tile
        if plan.loop_order == 1 or at_pixels == 0:
            step[WEIGHT_BYTES] = size_in_bytes(channels * reduction, work.weight_bits)
        if chunk == 0:
            step[ACTIVATION_BYTES] = size_in_bytes(
                plan.inputs[at_channels, 0] * _patch_area(plan.patch[at_pixels]), work.activation_bits
            )
        step[RUN:] = base_run(folds * column_folds, vectors, machine)
        if final and chunk == count - 1:
            _finish(step, vectors * channels, work)
        row += 1
    return row


@njit(cache=True)
def _conditional_steps(
    steps: np.ndarray,
    row: int,
    tile: int,
    count: int,
    plan: Plan,
    work: Workload,
    machine: Machine,
    slot_bits: np.ndarray,
    needed: np.ndarray,
    counts: np.ndarray,
    united: np.ndarray,
    here: np.ndarray,
    loaded: np.ndarray,
) -> int:
    at_pixels, at_channels = tile_at(tile, plan)
    first, end = plan.channels[at_channels]
    pixels = plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]
    first_slot = plan.folds[at_channels, 0] * work.column_groups
    end_slot = min(plan.folds[at_channels, 1] * work.column_groups, united.shape[0])
    own = needed[at_pixels, first_slot:end_slot]
    scans = -(-slot_bits[first_slot:end_slot] * pixels // machine.scan_bits)

    kept = plan.loop_order != 1  # fetched weights stay for the pixel tiles that follow
    wanted = _wanted_channels(first, end, counts[at_pixels], here, kept, machine.on_demand == 1)
    if plan.loop_order == 0 or at_channels == 0:
        loaded[:] = False
    late_pixels = 0
    if plan.inputs[at_channels, 1] > 0:
        if machine.on_demand:
            late_pixels = _fetch_pixels(united[first_slot:end_slot], plan.pixels[at_pixels], work, loaded)
        elif plan.loop_order == 0 or at_channels == 0:
            late_pixels = _patch_area(plan.patch[at_pixels])
    for chunk in range(count):
        step = steps[row]
        folds, reduction = _chunk(
            chunk, count, work.conditional_folds, work.conditional_reduction, plan, machine
        )
        step[TILE] = tile
        step[CONDITIONAL] = 1
        step[WEIGHT_BYTES] = size_in_bytes(wanted * reduction, work.weight_bits)
        if chunk == 0:
            step[ACTIVATION_BYTES] = size_in_bytes(
                late_pixels * plan.inputs[at_channels, 1], work.activation_bits
            )
        step[RUN:] = conditional_run(own, scans, work.column_groups, folds, machine)
        if chunk == count - 1:
            _finish(step, pixels * (end - first), work)
        row += 1
    return row


@njit(cache=True)
def _chunk(
    chunk: int, count: int, folds: int, reduction: int, plan: Plan, machine: Machine
) -> tuple[int, int]:
    """(row folds, reduction length) of a chunk; the last one takes what is left."""
    if count == 1:
        return folds, reduction
    first = chunk * plan.chunk_folds
    end = min(first + plan.chunk_folds, folds)
    return end - first, min(end * machine.rows, reduction) - first * machine.rows


@njit(cache=True)
def _finish(step: np.ndarray, outputs: int, work: Workload) -> None:
    step[LAST] = 1
    step[OUTPUTS] = outputs
    step[RESIDUAL_BYTES] = size_in_bytes(outputs * work.residuals, work.activation_bits)


@njit(cache=True, inline="always")
def _patch_area(patch: np.ndarray) -> int:
    return (patch[1] - patch[0]) * (patch[3] - patch[2])


@njit(cache=True)
def _wanted_channels(
    first: int, end: int, counts: np.ndarray, here: np.ndarray, kept: bool, on_demand: bool
) -> int:
    """Channels of [first, end) whose conditional weights a step fetches; marks them as fetched if kept."""
    wanted = 0
    for channel in range(first, end):
        at = channel if len(counts) > 1 else 0
        if (on_demand and counts[at] == 0) or (kept and here[channel]):
            continue
        wanted += 1
        here[channel] = True
    return wanted


@njit(cache=True)
def _fetch_pixels(united: np.ndarray, pixels: np.ndarray, work: Workload, loaded: np.ndarray) -> int:
    """Input pixels that needed outputs of the tile read and that are not in the buffer yet; marks them."""
    fetched = 0
    for pixel in range(pixels[0], pixels[1]):
        wanted = False
        for slot in range(united.shape[0]):
            if (united[slot, pixel >> 6] >> np.uint64(pixel & 63)) & np.uint64(1):
                wanted = True
                break
        if not wanted:
            continue
        top = pixel // work.out_width * work.stride[0] - work.padding[0]
        left = pixel % work.out_width * work.stride[1] - work.padding[1]
        for down in range(work.kernel[0]):
            y = top + down * work.dilation[0]
            if y < 0 or y >= work.in_height:
                continue
            for across in range(work.kernel[1]):
                x = left + across * work.dilation[1]
                if 0 <= x < work.in_width and not loaded[y, x]:
                    loaded[y, x] = True
                    fetched += 1
    return fetched
