"""A layer as a program of steps for the array: what each loads, how long it computes.

A step is the base phase of a tile, its conditional phase, or a chunk of either where weights are
streamed. Steps are listed in the order in which the array executes them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.engine.activity import count_alike, count_rounds
from cgsim.engine.addresses import known_pieces, late_pieces
from cgsim.engine.bits import any_in_range
from cgsim.engine.folds import RUN_FIELDS, run_alike, run_rounds
from cgsim.engine.machine import OS, Machine, Workload
from cgsim.engine.program import (
    ACTIVATION_BYTES,
    CHUNK,
    CONDITIONAL,
    LAST,
    OUTPUTS,
    RESIDUAL_BYTES,
    RUN,
    STORE_BYTES,
    TILE,
    VECTORS,
    WEIGHT_BYTES,
    Program,
    chunks,
    lanes_of,
    patch_area,
    row_folds,
    size_in_bytes,
    tile_at,
)
from cgsim.engine.rounds import (
    Rounds,
    Slices,
    alike,
    base_rounds,
    count_wanted,
    cut,
    late_rounds,
    slices_of,
    slots_of,
    take,
    users,
    weights_of,
)
from cgsim.mapping.plan import Plan


@njit(cache=True)
def outline(plan: Plan, work: Workload, machine: Machine) -> Program:
    """The program of one layer for one batch as far as no gate matters.

    Steps of the base path are complete; those of the conditional path wait for `program`.
    """
    pixel_tiles, channel_tiles = plan.pixels.shape[0], plan.folds.shape[0]
    base_slices, late_slices = slices_of(work.base_parts), slices_of(work.late_parts)
    count = 0
    for tile in range(channel_tiles):
        count += chunks(work.base_parts, base_slices, tile, plan, machine.rows)
        count += chunks(work.late_parts, late_slices, tile, plan, machine.rows)
    steps = np.zeros((count * pixel_tiles, RUN + lanes_of(work, machine) * RUN_FIELDS), np.int64)
    row = 0
    gated = len(work.late_parts) > 0
    tiles = pixel_tiles * channel_tiles
    for turn in range(tiles + 1):
        if turn < tiles:
            row = _base_steps(steps, row, turn, not gated, plan, work, machine, base_slices)
        late = turn - 1 if plan.interleaved else turn
        if gated and 0 <= late < tiles:
            at_pixels, at_channels = tile_at(late, plan)
            end = row + chunks(work.late_parts, late_slices, at_channels, plan, machine.rows)
            steps[row:end, TILE] = late
            steps[row:end, CONDITIONAL] = 1
            steps[row:end, CHUNK] = np.arange(end - row)
            _finish(steps[end - 1], at_pixels, plan.channels[at_channels], plan, work)
            row = end
    pieces, used = known_pieces(steps, plan, work, machine)
    return Program(steps, pieces, used)


@njit(cache=True)
def program(
    base: Program,
    plan: Plan,
    work: Workload,
    machine: Machine,
    gates: np.ndarray,
    united: np.ndarray,
    filters: np.ndarray,
    moved: bool,
) -> Program:
    """The program of `outline`, `base`, completed with what the gates of a batch ask for.

    `gates` uint64 [N or 1, W] of all the batch's pixels (one row where all channels share a gate). `united`
    uint64 [slots, W]: pixels that a slot needs. `filters` uint64 [slots of pixels, N / 64]: channels that a
    slot of pixels needs (`is` only). Pieces are listed only if anything is `moved`.
    """
    steps = base.steps.copy()
    pieces, used = base.pieces.copy(), base.used
    here = np.zeros(plan.channels[-1, 1], np.bool_)  # channels whose conditional weights are in the buffer
    tracked = machine.on_demand == 1 and plan.inputs[:, 1].max() > 0
    samples = plan.pixels[-1, 1] // work.pixels if tracked else 0
    loaded = np.zeros((samples, work.in_height, work.in_width), np.int32)  # tile + 1 that loaded its inputs
    slices = slices_of(work.late_parts)
    row = 0
    while row < len(steps):
        end = row + 1
        if steps[row, CONDITIONAL]:
            while end < len(steps) and steps[end, CONDITIONAL] and steps[end, TILE] == steps[row, TILE]:
                end += 1
            late = steps[row:end]
            wanted = _late_steps(late, plan, work, machine, slices, gates, united, filters, here, loaded)
            if moved:
                pieces, used = late_pieces(late, pieces, used, wanted, loaded, plan, work, machine, slices)
        row = end
    return Program(steps, pieces, used)


@njit(cache=True)
def _base_steps(
    steps: np.ndarray,
    row: int,
    tile: int,
    final: bool,
    plan: Plan,
    work: Workload,
    machine: Machine,
    slices: Slices,
) -> int:
    at_pixels, at_channels = tile_at(tile, plan)
    channels = plan.channels[at_channels]
    count = chunks(work.base_parts, slices, at_channels, plan, machine.rows)
    if count == 0:
        return row
    times, vectors = alike(at_pixels, at_channels, plan, work, machine)
    for part in range(len(work.base_parts)):
        slices.wanted[part] = users(work.base_parts[part], channels[0], channels[1])
    for chunk in range(count):
        step = steps[row]
        first, end = row_folds(chunk, count, plan)
        folds, reduction = take(slices, work.base_parts, channels, machine.rows, first, end)
        step[TILE] = tile
        step[CHUNK] = chunk
        if plan.loop_order == 1 or at_pixels == 0:
            step[WEIGHT_BYTES] = size_in_bytes(weights_of(slices), work.weight_bits)
        if chunk == 0:
            values = plan.inputs[at_channels, 0] * patch_area(at_pixels, plan)
            step[ACTIVATION_BYTES] = work.reads * size_in_bytes(values, work.activation_bits)
        if times == 0:
            rounds = base_rounds(at_pixels, at_channels, plan, work, machine)
            _run(step, rounds, slices, reduction, work, machine)
        else:
            if machine.dataflow == OS:
                run_alike(step[RUN:], times, reduction, 0, machine)
            else:
                run_alike(step[RUN:], times * folds, vectors, machine.rows, machine)
            found = slots_of(at_pixels, at_channels, plan, work, machine)
            count_alike(step, found, folds, vectors, reduction, machine)
        if final and chunk == count - 1:
            _finish(step, at_pixels, channels, plan, work)
        row += 1
    return row


@njit(cache=True)
def _late_steps(
    steps: np.ndarray,
    plan: Plan,
    work: Workload,
    machine: Machine,
    slices: Slices,
    gates: np.ndarray,
    united: np.ndarray,
    filters: np.ndarray,
    here: np.ndarray,
    loaded: np.ndarray,
) -> np.ndarray:
    """Complete a tile's conditional steps, but for pieces; the channels whose weights they fetch, bool [N].

    Marks what is fetched in `here` and `loaded`.
    """
    at_pixels, at_channels = tile_at(steps[0, TILE], plan)
    channels, pixels = plan.channels[at_channels], plan.pixels[at_pixels]
    kept = plan.loop_order != 1  # fetched weights stay for the pixel tiles that follow
    wanted = _wanted_channels(channels, gates, pixels, here, kept, machine.on_demand == 1)
    count_wanted(slices, work.late_parts, channels, wanted)
    if plan.loop_order == 0 or at_channels == 0:
        loaded[:] = 0
    late_pixels = 0
    if plan.inputs[at_channels, 1] > 0:
        if machine.on_demand:
            first_slot = plan.folds[at_channels, 0] * work.column_groups
            end_slot = min(plan.folds[at_channels, 1] * work.column_groups, united.shape[0])
            late_pixels = _fetch_pixels(united[first_slot:end_slot], pixels, work, loaded, steps[0, TILE] + 1)
        elif plan.loop_order == 0 or at_channels == 0:
            late_pixels = patch_area(at_pixels, plan)
    steps[0, ACTIVATION_BYTES] = work.reads * size_in_bytes(
        late_pixels * plan.inputs[at_channels, 1], work.activation_bits
    )
    rounds = late_rounds(at_pixels, at_channels, plan, work, machine, united, filters)
    reduction = 0
    for chunk in range(len(steps)):
        first, end = row_folds(chunk, len(steps), plan)
        before = reduction
        _, reduction = take(slices, work.late_parts, channels, machine.rows, first, end)
        steps[chunk, WEIGHT_BYTES] = size_in_bytes(weights_of(slices), work.weight_bits)
        if reduction == before and len(work.late_parts) == 1:
            steps[chunk, VECTORS:] = steps[chunk - 1, VECTORS:]  # as long as the chunk before
        else:
            _run(steps[chunk], rounds, slices, reduction, work, machine)
    return wanted


@njit(cache=True)
def _run(
    step: np.ndarray, rounds: Rounds, slices: Slices, reduction: int, work: Workload, machine: Machine
) -> None:
    cut(rounds, slices, reduction, machine)
    count_rounds(step, rounds, slices, reduction, work, machine)
    lanes = lanes_of(work, machine)
    for lane in range(lanes):
        run = step[RUN + lane * RUN_FIELDS : RUN + (lane + 1) * RUN_FIELDS]
        run_rounds(run, rounds, lane if lanes > 1 else -1, machine, work.scanner)


@kernel
def _finish(step: np.ndarray, at_pixels: int, channels: np.ndarray, plan: Plan, work: Workload) -> None:
    pixels = plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]
    step[LAST] = 1
    step[OUTPUTS] = pixels * (channels[1] - channels[0])
    step[RESIDUAL_BYTES] = size_in_bytes(step[OUTPUTS] * work.residual_reads, work.activation_bits)
    step[STORE_BYTES] = work.writes * size_in_bytes(step[OUTPUTS], work.activation_bits)


@njit(cache=True)
def _wanted_channels(
    channels: np.ndarray, gates: np.ndarray, pixels: np.ndarray, here: np.ndarray, kept: bool, on_demand: bool
) -> np.ndarray:
    """Channels of a tile whose conditional weights a step fetches, bool [N]; marks them if they are kept."""
    wanted = np.zeros(channels[1], np.bool_)
    for channel in range(channels[0], channels[1]):
        if kept and here[channel]:
            continue
        if on_demand and not any_in_range(gates[channel if len(gates) > 1 else 0], pixels[0], pixels[1]):
            continue
        wanted[channel] = here[channel] = True
    return wanted


@kernel
def _fetch_pixels(
    united: np.ndarray, pixels: np.ndarray, work: Workload, loaded: np.ndarray, stamp: int
) -> int:
    """Input pixels that needed outputs of the tile read and that are not in the buffer yet; `stamp`s them."""
    fetched = 0
    for pixel in range(pixels[0], pixels[1]):
        wanted = False
        for slot in range(united.shape[0]):
            if (united[slot, pixel >> 6] >> np.uint64(pixel & 63)) & np.uint64(1):
                wanted = True
                break
        if not wanted:
            continue
        sample, place = pixel // work.pixels, pixel % work.pixels
        top = place // work.out_width * work.stride[0] - work.padding[0]
        left = place % work.out_width * work.stride[1] - work.padding[1]
        for down in range(work.kernel[0]):
            y = top + down * work.dilation[0]
            if y < 0 or y >= work.in_height:
                continue
            for across in range(work.kernel[1]):
                x = left + across * work.dilation[1]
                if 0 <= x < work.in_width and loaded[sample, y, x] == 0:
                    loaded[sample, y, x] = stamp
                    fetched += 1
    return fetched
