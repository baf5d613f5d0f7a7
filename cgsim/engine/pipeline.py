"""The tile pipeline: loads, array, vector unit and stores of one layer, overlapped as far as buffers allow.

The DMA serves requests in program order: the loads of a step, then the stores of tiles that the array
finished two steps earlier (sooner if the step waits for their accumulator). A buffer part is loaded again
only when the last step that reads it is done.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.engine import folds, steps
from cgsim.engine.dram import Dram, transfer
from cgsim.engine.machine import Machine, Workload
from cgsim.engine.steps import (
    ACTIVATION_BYTES,
    CONDITIONAL,
    LAST,
    OUTPUTS,
    RESIDUAL_BYTES,
    RUN,
    TILE,
    WEIGHT_BYTES,
    size_in_bytes,
)
from cgsim.mapping.plan import Plan

CYCLES = 0
LOAD_WEIGHTS, BASE, DECISION, CONDITIONAL_PHASE, DRAIN, VECTOR = range(1, 7)
ACTIVATION_LOAD, WEIGHT_LOAD, STORE, GATE_UNIT, GROUP_IMBALANCE = range(7, 12)
BASE_WEIGHTS_READ, CONDITIONAL_WEIGHTS_READ, ACTIVATIONS_READ, RESIDUAL_READ, ACTIVATIONS_WRITE = range(
    12, 17
)
METRICS = 17
"""What a run of the pipeline counts: end-to-end cycles, phases, stalls (their sum is the cycles), bytes."""


@njit(cache=True)
def run_pipeline(
    program: np.ndarray, plan: Plan, work: Workload, machine: Machine, memory: Dram
) -> np.ndarray:
    """Execute `program` (int64 [steps, STEP_FIELDS]): int64 [METRICS]."""
    out = np.zeros(METRICS, np.int64)
    pixel_tiles, channel_tiles = plan.pixels.shape[0], plan.folds.shape[0]
    tiles = pixel_tiles * channel_tiles
    depth = machine.depth + plan.interleaved
    streamed, outer = plan.loop_order == 1, plan.loop_order == 0
    activation_versions = tiles if outer else pixel_tiles
    weight_versions = len(program) if streamed else channel_tiles if outer else 1
    activation_done = np.zeros(activation_versions, np.int64)
    weight_done = np.zeros(weight_versions, np.int64)
    decided = np.zeros(tiles, np.int64)  # decisions of the tile are made
    left = np.zeros(tiles, np.int64)  # last result of the tile has left the array
    finished_at = np.full(tiles, len(program), np.int64)  # step that ends the tile
    vector_done = np.zeros(tiles, np.int64)
    store_done = np.zeros(tiles, np.int64)
    stored = 0  # tiles whose stores are issued
    channel_free, vector_free, residual_there, now = 0, 0, 0, 0
    ready = machine.rows  # earliest start of the next fold, its weights being on chip

    for index in range(len(program)):
        step = program[index]
        tile = step[TILE]
        run = step[RUN:]
        at_pixels, at_channels = steps.tile_at(tile, plan)
        activations = tile if outer else at_pixels
        weights = index if streamed else at_channels if outer else 0
        asked = decided[tile] if step[CONDITIONAL] and machine.on_demand else 0

        weights_there, activations_there = 0, 0
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

        if run[folds.DURATION] > 0:
            now = _wait(now, ready, LOAD_WEIGHTS, out)
            if step[CONDITIONAL]:  # which weights to shift in is known when the decisions are
                now = _wait(now, decided[tile] + machine.rows, DECISION, out)
            if step[WEIGHT_BYTES]:
                now = _wait(now, weights_there + machine.rows, WEIGHT_LOAD, out)
            now = _wait(now, activations_there, ACTIVATION_LOAD, out)
            if tile >= depth:
                now = _wait(now, store_done[tile - depth], STORE, out)
            now += run[folds.DURATION]
            ready = now + run[folds.GAP]
            left[tile] = max(left[tile], now + machine.drain)
            out[CONDITIONAL_PHASE if step[CONDITIONAL] else BASE] += run[folds.BUSY]
            out[LOAD_WEIGHTS] += run[folds.WEIGHTS]
            out[DRAIN] += run[folds.DRAIN]
            out[GATE_UNIT] += run[folds.GATE]
            out[GROUP_IMBALANCE] += run[folds.IMBALANCE]
        elif step[CONDITIONAL]:
            now = _wait(now, decided[tile], DECISION, out)
        if not step[CONDITIONAL]:
            decided[tile] = now + machine.drain + machine.compare_latency
        done = max(now, weights_there, activations_there)
        weight_done[weights] = max(weight_done[weights], done)
        activation_done[activations] = max(activation_done[activations], done)
        if step[LAST]:
            results = max(now, left[tile], decided[tile] if step[CONDITIONAL] else 0, residual_there)
            operations = step[OUTPUTS] * (1 + work.residuals)
            vector_free = max(results, vector_free) + -(-operations // machine.lanes)
            vector_done[tile] = vector_free
            finished_at[tile] = index
    while stored < tiles:
        channel_free = _store(stored, channel_free, vector_done, store_done, plan, work, memory, out)
        stored += 1

    now = _wait(now, left.max(), DRAIN, out)
    now = _wait(now, residual_there, ACTIVATION_LOAD, out)
    now = _wait(now, vector_free, VECTOR, out)
    out[CYCLES] = _wait(now, store_done.max(), STORE, out)
    return out


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
def array_alone(program: np.ndarray, machine: Machine) -> int:
    """Cycles of `program` if memory, vector unit and stores never held the array up."""
    now, ready, decided, left = 0, machine.rows, 0, 0
    for index in range(len(program)):
        step = program[index]
        run = step[RUN:]
        if run[folds.DURATION] > 0:
            shifted = decided + machine.rows if step[CONDITIONAL] else 0
            now = max(now, ready, shifted) + run[folds.DURATION]
            ready = now + run[folds.GAP]
            left = now + machine.drain
        elif step[CONDITIONAL]:
            now = max(now, decided)
        if not step[CONDITIONAL]:
            decided = now + machine.drain + machine.compare_latency
    return max(left, now)
