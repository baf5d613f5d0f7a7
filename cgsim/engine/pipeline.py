"""The tile pipeline: loads, array, vector unit and stores of one layer, overlapped as far as buffers allow.

The DMA serves requests in program order: the loads of a step, then the stores of tiles that the array
finished two steps earlier (sooner if the step waits for their accumulator). A buffer part is loaded again
only when the last step that reads it is done.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.engine import folds, steps
from cgsim.engine.dram import Dram, transfer
from cgsim.engine.folds import RUN_FIELDS
from cgsim.engine.machine import IS, OS, WS, Machine, Workload
from cgsim.engine.steps import (
    ACTIVATION_BYTES,
    CONDITIONAL,
    LAST,
    OUTPUTS,
    RESIDUAL_BYTES,
    TILE,
    WEIGHT_BYTES,
    size_in_bytes,
)
from cgsim.mapping.plan import Plan

CYCLES = 0
LOAD_WEIGHTS, BASE, DECISION, CONDITIONAL_PHASE, DRAIN, VECTOR = range(1, 7)
ACTIVATION_LOAD, WEIGHT_LOAD, STORE, GATE_UNIT, BANK_CONFLICT, GROUP_IMBALANCE = range(7, 13)
BASE_WEIGHTS_READ, CONDITIONAL_WEIGHTS_READ, ACTIVATIONS_READ, RESIDUAL_READ, ACTIVATIONS_WRITE = range(
    13, 18
)
METRICS = 18
_NEVER = -(1 << 60)
"""What a run of the pipeline counts: end-to-end cycles, phases, stalls (their sum is the cycles), bytes."""


@njit(cache=True)
def run_pipeline(
    program: np.ndarray, plan: Plan, work: Workload, machine: Machine, memory: Dram
) -> np.ndarray:
    """Execute `program` (int64 [steps, RUN + lanes * RUN_FIELDS]): int64 [METRICS]."""
    out = np.zeros(METRICS, np.int64)
    pixel_tiles, channel_tiles = plan.pixels.shape[0], plan.folds.shape[0]
    tiles = pixel_tiles * channel_tiles
    depth = machine.depth + plan.interleaved
    streamed, outer = plan.loop_order == 1, plan.loop_order == 0
    activation_versions = tiles if outer else pixel_tiles
    weight_versions = len(program) if streamed else channel_tiles if outer else 1
    activation_done = np.zeros(activation_versions, np.int64)
    weight_done = np.zeros(weight_versions, np.int64)
    finished_at = np.full(tiles, len(program), np.int64)  # step that ends the tile
    vector_done = np.zeros(tiles, np.int64)
    store_done = np.zeros(tiles, np.int64)
    stored = 0  # tiles whose stores are issued
    channel_free, vector_free, residual_there, activations_there = 0, 0, 0, 0

    lanes = steps.lanes_of(work, machine)
    clocks = _clocks(lanes, tiles)
    spent = np.zeros((lanes, METRICS), np.int64)
    for index in range(len(program)):
        step = program[index]
        tile = step[TILE]
        at_pixels, at_channels = steps.tile_at(tile, plan)
        activations = tile if outer else at_pixels
        weights = index if streamed else at_channels if outer else 0
        asked = clocks.decided[tile].max() if step[CONDITIONAL] and machine.on_demand else 0

        weights_there = 0
        if (
            index == 0
            or tile != program[index - 1, TILE]
            or step[CONDITIONAL] != program[index - 1, CONDITIONAL]
        ):
            activations_there = 0  # those of a phase come with its first chunk
        if step[WEIGHT_BYTES]:
            free = weight_done[weights - machine.depth] if weights >= machine.depth else 0
            channel_free, weights_there = transfer(
                memory, channel_free, max(asked, free), step[WEIGHT_BYTES], False
            )
            kind = CONDITIONAL_WEIGHTS_READ if step[CONDITIONAL] else BASE_WEIGHTS_READ
            out[kind] += step[WEIGHT_BYTES]
        if step[ACTIVATION_BYTES]:
            free = activation_done[activations - depth] if activations >= depth else 0
            channel_free, activations_there = transfer(
                memory, channel_free, max(asked, free), step[ACTIVATION_BYTES], False
            )
            out[ACTIVATIONS_READ] += step[ACTIVATION_BYTES]
        if step[RESIDUAL_BYTES]:
            free = vector_done[tile - depth] if tile >= depth else 0
            channel_free, residual_there = transfer(memory, channel_free, free, step[RESIDUAL_BYTES], False)
            out[RESIDUAL_READ] += step[RESIDUAL_BYTES]
        while stored < tiles and (finished_at[stored] <= index - 2 or stored <= tile - depth):
            channel_free = _store(stored, channel_free, vector_done, store_done, plan, work, memory, out)
            stored += 1

        emptied = store_done[tile - depth] if tile >= depth else 0
        done = max(weights_there, activations_there if step[ACTIVATION_BYTES] else 0)
        for lane in range(lanes):
            _advance(lane, step, clocks, weights_there, activations_there, emptied, machine, spent[lane])
            done = max(done, clocks.now[lane])
        weight_done[weights] = max(weight_done[weights], done)
        activation_done[activations] = max(activation_done[activations], done)
        if step[LAST]:
            results = max(clocks.now.max(), clocks.left[tile], residual_there)
            if step[CONDITIONAL]:
                results = max(results, clocks.decided[tile].max())
            operations = step[OUTPUTS] * (1 + work.residuals)
            vector_free = max(results, vector_free) + -(-operations // machine.lanes)
            vector_done[tile] = vector_free
            finished_at[tile] = index
    while stored < tiles:
        channel_free = _store(stored, channel_free, vector_done, store_done, plan, work, memory, out)
        stored += 1

    last = np.argmax(clocks.now)  # the lane that ends last is the one that is accounted for
    own = spent[last]
    if lanes > 1:
        for phase in (BASE, CONDITIONAL_PHASE):
            mean = min(-(-spent[:, phase].sum() // _lanes_with_slots(plan, work, machine)), own[phase])
            own[GROUP_IMBALANCE] += own[phase] - mean
            own[phase] = mean
    now = clocks.now[last]
    now = _wait(now, clocks.left.max(), DRAIN, own)
    now = _wait(now, residual_there, ACTIVATION_LOAD, own)
    now = _wait(now, vector_free, VECTOR, own)
    out += own
    out[CYCLES] = _wait(now, store_done.max(), STORE, out)
    return out


class Clocks(NamedTuple):
    """Where the array is, in cycles; all int64.

    Per lane: `now`; `free`, when the next load may begin; `ended`, the end of the last stream. `decided`
    [tiles, lanes]: the gates of the tile are known. `left` [tiles]: its last result has left.
    """

    now: np.ndarray
    free: np.ndarray
    ended: np.ndarray
    decided: np.ndarray
    left: np.ndarray


@njit(cache=True)
def _clocks(lanes: int, tiles: int) -> Clocks:
    return Clocks(
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.full(lanes, _NEVER, np.int64),
        np.zeros((tiles, lanes), np.int64),
        np.zeros(tiles, np.int64),
    )


@njit(cache=True)
def _advance(
    lane: int,
    step: np.ndarray,
    clocks: Clocks,
    weights_there: int,
    activations_there: int,
    emptied: int,
    machine: Machine,
    out: np.ndarray,
) -> None:
    """Let a lane execute its part of a step. `emptied`: its accumulators have been stored."""
    run = step[steps.RUN + lane * RUN_FIELDS : steps.RUN + (lane + 1) * RUN_FIELDS]
    now, tile = clocks.now[lane], step[TILE]
    if run[folds.DURATION] > 0:
        load = 0 if machine.dataflow == OS and not step[CONDITIONAL] else machine.rows
        now = _wait(now, clocks.free[lane] + load, LOAD_WEIGHTS, out)
        now = _wait(now, clocks.ended[lane] + run[folds.LEAD], DRAIN, out)
        if step[CONDITIONAL]:  # which operands to shift in is known when the decisions are
            now = _wait(now, clocks.decided[tile, lane] + load, DECISION, out)
        if step[WEIGHT_BYTES]:
            written = machine.rows if machine.dataflow == WS else 0
            now = _wait(now, weights_there + written, WEIGHT_LOAD, out)
        if activations_there > 0:
            written = machine.rows if machine.dataflow == IS else 0
            now = _wait(now, activations_there + written, ACTIVATION_LOAD, out)
        now = _wait(now, emptied, STORE, out)
        now += run[folds.DURATION]
        clocks.free[lane] = now + run[folds.FREE]
        clocks.ended[lane] = now
        clocks.left[tile] = max(clocks.left[tile], now + machine.exit)
        out[CONDITIONAL_PHASE if step[CONDITIONAL] else BASE] += run[folds.BUSY]
        out[LOAD_WEIGHTS] += run[folds.WEIGHTS]
        out[DRAIN] += run[folds.DRAIN]
        out[GATE_UNIT] += run[folds.GATE]
        out[BANK_CONFLICT] += run[folds.BANK]
        out[GROUP_IMBALANCE] += run[folds.IMBALANCE]
    elif step[CONDITIONAL]:
        now = _wait(now, clocks.decided[tile, lane], DECISION, out)
    if not step[CONDITIONAL] and run[folds.DURATION] > 0:
        clocks.decided[tile, lane] = now + machine.exit + machine.compare_latency
    clocks.now[lane] = now


@njit(cache=True)
def _lanes_with_slots(plan: Plan, work: Workload, machine: Machine) -> int:
    most = 0
    if machine.dataflow == IS:
        for tile in range(plan.pixels.shape[0]):
            most = max(most, -(-(plan.pixels[tile, 1] - plan.pixels[tile, 0]) // work.width))
    else:
        for tile in range(plan.folds.shape[0]):
            end = min(plan.folds[tile, 1] * work.column_groups, len(work.slot_block))
            most = max(most, end - plan.folds[tile, 0] * work.column_groups)
    return min(work.column_groups, most)


@njit(cache=True, inline="always")
def _wait(now: int, until: int, cause: int, out: np.ndarray) -> int:
    if until > now:
        out[cause] += until - now
        return until
    return now


@njit(cache=True)
def _store(
    tile: int,
    channel_free: int,
    vector_done: np.ndarray,
    store_done: np.ndarray,
    plan: Plan,
    work: Workload,
    memory: Dram,
    out: np.ndarray,
) -> int:
    at_pixels, at_channels = steps.tile_at(tile, plan)
    pixels = plan.pixels[at_pixels, 1] - plan.pixels[at_pixels, 0]
    channels = plan.channels[at_channels, 1] - plan.channels[at_channels, 0]
    size = size_in_bytes(pixels * channels, work.activation_bits)
    out[ACTIVATIONS_WRITE] += size
    channel_free, store_done[tile] = transfer(memory, channel_free, vector_done[tile], size, True)
    return channel_free


@njit(cache=True)
def array_alone(program: np.ndarray, plan: Plan, work: Workload, machine: Machine) -> int:
    """Cycles of `program` if memory, vector unit and stores never held the array up."""
    lanes = steps.lanes_of(work, machine)
    clocks = _clocks(lanes, plan.pixels.shape[0] * plan.folds.shape[0])
    unused = np.zeros(METRICS, np.int64)
    for index in range(len(program)):
        for lane in range(lanes):
            _advance(lane, program[index], clocks, _NEVER, _NEVER, 0, machine, unused)
    return max(clocks.left.max(), clocks.now.max())
