"""The tile pipeline: loads, array, vector unit and stores of one layer, overlapped as far as buffers allow.

The DMA serves transfers in program order: the loads of a step, then the stores of tiles that the array
finished two steps earlier (sooner if the step waits for their accumulator). A buffer part is loaded again
only when the last step that reads it is done.

A transfer is offered to the memory as soon as it is known when it may begin. When its data are there is asked
only when something depends on it, so that the memory meanwhile sees the transfers behind it: the array's
steps are computed as late as that allows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.engine import folds
from cgsim.engine.dram import Memory, arrival, renewed, settle, transfer
from cgsim.engine.folds import RUN_FIELDS
from cgsim.engine.journal import FIELDS, Journal, note
from cgsim.engine.machine import IS, OS, WS, Machine, Workload
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
    WEIGHT_BYTES,
    Program,
    lanes_of,
    tile_at,
)
from cgsim.mapping.plan import Plan

CYCLES = 0
LOAD_WEIGHTS, BASE, DECISION, CONDITIONAL_PHASE, DRAIN, VECTOR = range(1, 7)
ACTIVATION_LOAD, WEIGHT_LOAD, STORE, GATE_UNIT, BANK_CONFLICT, GROUP_IMBALANCE = range(7, 13)
BASE_WEIGHTS_READ, CONDITIONAL_WEIGHTS_READ, ACTIVATIONS_READ, RESIDUAL_READ, ACTIVATIONS_WRITE = range(
    13, 18
)
TENSOR_COUNT = 5
METRICS = 18 + TENSOR_COUNT
"""What a run of the pipeline counts: end-to-end cycles, phases and stalls (their sum is the cycles), bytes
and bursts of each tensor."""
PARTS, BYTES, BURSTS = slice(1, 13), slice(13, 18), slice(18, 23)
_NEVER = -(1 << 60)


class State(NamedTuple):
    """Where a layer's execution is; all int64.

    Per step: `weights`, `activations`: when its loads are there (see `transfer`). Per tile: `residual`
    likewise, `finished_at` (the step that ends it), `decided_at` (the step after which its gates are known),
    `vector_done`, `store_done`. Per filling of a buffer: `weight_done`, `activation_done` and the last step
    issued that uses it, `weight_user`, `activation_user`. `at`: the NEXT step to compute, and the cycles of
    the others of its fields.
    """

    weights: np.ndarray
    activations: np.ndarray
    residual: np.ndarray
    finished_at: np.ndarray
    vector_done: np.ndarray
    store_done: np.ndarray
    weight_done: np.ndarray
    activation_done: np.ndarray
    weight_user: np.ndarray
    activation_user: np.ndarray
    decided_at: np.ndarray
    at: np.ndarray


_AHEAD = 20
"""Steps whose loads may be under way at the same time."""


@njit(cache=True, inline="always")
def tag_of(index: int, tensor: int) -> int:
    """The tag of a step's load of weights (0), activations (1) or residual operands (2)."""
    return 3 * (index % (_AHEAD + 1)) + tensor


NEXT, VECTOR_FREE, RESIDUAL_THERE, ACTIVATIONS_THERE = range(4)


@njit(cache=True)
def run_pipeline(
    program: Program, plan: Plan, work: Workload, machine: Machine, memory: Memory, journal: Journal
) -> tuple[np.ndarray, np.ndarray]:
    """Execute `program`: what it counts, int64 [METRICS], and what the DRAM counted, int64 [COUNTERS]."""
    out = np.zeros(METRICS, np.int64)
    steps = program.steps
    tiles = plan.pixels.shape[0] * plan.folds.shape[0]
    depth = machine.depth + plan.interleaved
    memory = renewed(memory)
    state = _start(steps, tiles, plan)
    lanes = lanes_of(work, machine)
    clocks = _clocks(lanes, tiles)
    spent = np.zeros((lanes, METRICS), np.int64)
    stored = 0  # tiles whose stores are issued
    for index in range(len(steps)):
        step = steps[index]
        tile = step[TILE]
        weights, activations = _fillings(index, step, plan)
        _compute(index - _AHEAD - 1, steps, clocks, spent, state, plan, work, machine, memory, journal)
        asked = 0
        if step[CONDITIONAL] and machine.on_demand and (step[WEIGHT_BYTES] or step[ACTIVATION_BYTES]):
            _compute(
                state.decided_at[tile], steps, clocks, spent, state, plan, work, machine, memory, journal
            )
            asked = clocks.decided[tile].max()
        if step[WEIGHT_BYTES]:
            free, old = 0, weights - machine.depth
            if old >= 0:
                _compute(
                    state.weight_user[old], steps, clocks, spent, state, plan, work, machine, memory, journal
                )
                free = state.weight_done[old]
            kind = CONDITIONAL_WEIGHTS_READ if step[CONDITIONAL] else BASE_WEIGHTS_READ
            state.weights[index] = _move(
                step, WEIGHT_BYTES, max(asked, free), tag_of(index, 0), kind, program, memory, out
            )
        if step[ACTIVATION_BYTES]:
            free, old = 0, activations - depth
            if old >= 0:
                _compute(
                    state.activation_user[old],
                    steps,
                    clocks,
                    spent,
                    state,
                    plan,
                    work,
                    machine,
                    memory,
                    journal,
                )
                free = state.activation_done[old]
            state.activations[index] = _move(
                step, ACTIVATION_BYTES, max(asked, free), tag_of(index, 1), ACTIVATIONS_READ, program, memory, out,
            )  # fmt: skip
        if step[RESIDUAL_BYTES]:
            free = 0
            if tile >= depth:
                _compute(
                    state.finished_at[tile - depth], steps, clocks, spent, state, plan, work, machine, memory,
                    journal,
                )  # fmt: skip
                free = state.vector_done[tile - depth]
            state.residual[tile] = _move(
                step, RESIDUAL_BYTES, free, tag_of(index, 2), RESIDUAL_READ, program, memory, out
            )
        state.weight_user[weights] = state.activation_user[activations] = index
        while stored < tiles and (state.finished_at[stored] <= index - 2 or stored <= tile - depth):
            _compute(
                state.finished_at[stored], steps, clocks, spent, state, plan, work, machine, memory, journal
            )
            _store(stored, program, state, memory, journal, out)
            stored += 1
    last_step = len(steps) - 1
    while stored < tiles:
        _compute(state.finished_at[stored], steps, clocks, spent, state, plan, work, machine, memory, journal)
        _store(stored, program, state, memory, journal, out)
        stored += 1
    _compute(last_step, steps, clocks, spent, state, plan, work, machine, memory, journal)

    last = np.argmax(clocks.now)  # the lane that ends last is the one that is accounted for
    own = spent[last]
    if lanes > 1:
        for phase in (BASE, CONDITIONAL_PHASE):
            mean = min(-(-spent[:, phase].sum() // _lanes_with_slots(plan, work, machine)), own[phase])
            own[GROUP_IMBALANCE] += own[phase] - mean
            own[phase] = mean
    now = clocks.now[last]
    now = _wait(now, clocks.left.max(), DRAIN, own)
    now = _wait(now, state.at[RESIDUAL_THERE], ACTIVATION_LOAD, own)
    now = _wait(now, state.at[VECTOR_FREE], VECTOR, own)
    out += own
    out[CYCLES] = _wait(now, state.store_done.max(), STORE, out)
    return out, settle(memory, out[CYCLES])


@njit(cache=True)
def _start(steps: np.ndarray, tiles: int, plan: Plan) -> State:
    streamed, outer = plan.loop_order == 1, plan.loop_order == 0
    activation_fillings = tiles if outer else plan.pixels.shape[0]
    weight_fillings = len(steps) if streamed else plan.folds.shape[0] if outer else 1
    state = State(
        np.zeros(len(steps), np.int64),
        np.zeros(len(steps), np.int64),
        np.zeros(tiles, np.int64),
        np.full(tiles, len(steps), np.int64),
        np.zeros(tiles, np.int64),
        np.zeros(tiles, np.int64),
        np.zeros(weight_fillings, np.int64),
        np.zeros(activation_fillings, np.int64),
        np.full(weight_fillings, -1, np.int64),
        np.full(activation_fillings, -1, np.int64),
        np.full(tiles, -1, np.int64),
        np.zeros(4, np.int64),
    )
    for index in range(len(steps)):
        tile = steps[index, TILE]
        if not steps[index, CONDITIONAL]:
            state.decided_at[tile] = index
        if steps[index, LAST]:
            state.finished_at[tile] = index
    return state


@njit(cache=True, inline="always")
def _fillings(index: int, step: np.ndarray, plan: Plan) -> tuple[int, int]:
    """Which filling of the weight and of the activation buffer a step uses."""
    at_pixels, at_channels = tile_at(step[TILE], plan)
    if plan.loop_order == 1:
        return index, at_pixels
    if plan.loop_order == 0:
        return at_channels, step[TILE]
    return 0, at_pixels


@njit(cache=True)
def _move(
    step: np.ndarray,
    field: int,
    ready: int,
    tag: int,
    kind: int,
    program: Program,
    memory: Memory,
    out: np.ndarray,
) -> int:
    """Issue a transfer of a step; when its data are there (see `transfer`)."""
    out[kind] += step[field]
    pieces = program.pieces[step[field + 1] : step[field + 2]]
    there, bursts = transfer(memory, pieces, step[field], ready, field == STORE_BYTES, tag)
    out[kind + TENSOR_COUNT] += bursts
    return there


@njit(cache=True)
def _store(
    tile: int, program: Program, state: State, memory: Memory, journal: Journal, out: np.ndarray
) -> None:
    step = program.steps[state.finished_at[tile]]
    ready = state.vector_done[tile]
    state.store_done[tile] = ready
    if step[STORE_BYTES]:
        state.store_done[tile] = _move(step, STORE_BYTES, ready, -1, ACTIVATIONS_WRITE, program, memory, out)
        note(journal, ACTIVATIONS_WRITE, tile, memory.begun[-1], state.store_done[tile])


@njit(cache=True)
def _compute(
    last: int,
    steps: np.ndarray,
    clocks: Clocks,
    spent: np.ndarray,
    state: State,
    plan: Plan,
    work: Workload,
    machine: Machine,
    memory: Memory,
    journal: Journal,
) -> None:
    """Let array and vector unit execute all steps up to `last`."""
    at = state.at
    depth = machine.depth + plan.interleaved
    while at[NEXT] <= last:
        index = at[NEXT]
        step = steps[index]
        tile = step[TILE]
        weights, activations = _fillings(index, step, plan)
        weights_there = arrival(memory, state.weights[index])
        if step[WEIGHT_BYTES]:
            kind = CONDITIONAL_WEIGHTS_READ if step[CONDITIONAL] else BASE_WEIGHTS_READ
            note(journal, kind, tile, memory.begun[tag_of(index, 0)], weights_there)
        if step[CHUNK] == 0:
            at[ACTIVATIONS_THERE] = 0  # those of a phase come with its first chunk
        if step[ACTIVATION_BYTES]:
            at[ACTIVATIONS_THERE] = arrival(memory, state.activations[index])
            begun = memory.begun[tag_of(index, 1)]
            note(journal, ACTIVATIONS_READ, tile, begun, at[ACTIVATIONS_THERE])
        emptied = state.store_done[tile - depth] if tile >= depth else 0
        done = max(weights_there, at[ACTIVATIONS_THERE] if step[ACTIVATION_BYTES] else 0)
        for lane in range(len(clocks.now)):
            _advance(
                lane,
                step,
                clocks,
                weights_there,
                at[ACTIVATIONS_THERE],
                emptied,
                machine,
                spent[lane],
                journal,
            )
            done = max(done, clocks.now[lane])
        state.weight_done[weights] = max(state.weight_done[weights], done)
        state.activation_done[activations] = max(state.activation_done[activations], done)
        if step[LAST]:
            if step[RESIDUAL_BYTES]:
                at[RESIDUAL_THERE] = arrival(memory, state.residual[tile])
                begun = memory.begun[tag_of(index, 2)]
                note(journal, RESIDUAL_READ, tile, begun, at[RESIDUAL_THERE])
            results = max(clocks.now.max(), clocks.left[tile], at[RESIDUAL_THERE])
            if step[CONDITIONAL]:
                results = max(results, clocks.decided[tile].max())
            operations = step[OUTPUTS] * (1 + work.residuals)
            begun = max(results, at[VECTOR_FREE])
            at[VECTOR_FREE] = begun + -(-operations // machine.lanes)
            state.vector_done[tile] = at[VECTOR_FREE]
            note(journal, VECTOR, tile, begun, at[VECTOR_FREE])
        at[NEXT] += 1


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
    journal: Journal,
) -> None:
    """Let a lane execute its part of a step. `emptied`: its accumulators have been stored."""
    run = step[RUN + lane * RUN_FIELDS : RUN + (lane + 1) * RUN_FIELDS]
    now, tile = clocks.now[lane], step[TILE]
    if run[folds.DURATION] > 0:
        load = 0 if machine.dataflow == OS and not step[CONDITIONAL] else machine.rows
        now = _wait_for(now, clocks.free[lane] + load, LOAD_WEIGHTS, out, journal, tile, lane)
        now = _wait_for(now, clocks.ended[lane] + run[folds.LEAD], DRAIN, out, journal, tile, lane)
        if step[CONDITIONAL]:  # which operands to shift in is known when the decisions are
            now = _wait_for(now, clocks.decided[tile, lane] + load, DECISION, out, journal, tile, lane)
        if step[WEIGHT_BYTES]:
            written = machine.rows if machine.dataflow == WS else 0
            now = _wait_for(now, weights_there + written, WEIGHT_LOAD, out, journal, tile, lane)
        if activations_there > 0:
            written = machine.rows if machine.dataflow == IS else 0
            now = _wait_for(now, activations_there + written, ACTIVATION_LOAD, out, journal, tile, lane)
        now = _wait_for(now, emptied, STORE, out, journal, tile, lane)
        phase = CONDITIONAL_PHASE if step[CONDITIONAL] else BASE
        note(journal, phase, tile, now, now + run[folds.DURATION], lane)
        now += run[folds.DURATION]
        clocks.free[lane] = now + run[folds.FREE]
        clocks.ended[lane] = now
        clocks.left[tile] = max(clocks.left[tile], now + machine.exit)
        out[phase] += run[folds.BUSY]
        out[LOAD_WEIGHTS] += run[folds.WEIGHTS]
        out[DRAIN] += run[folds.DRAIN]
        out[GATE_UNIT] += run[folds.GATE]
        out[BANK_CONFLICT] += run[folds.BANK]
        out[GROUP_IMBALANCE] += run[folds.IMBALANCE]
    elif step[CONDITIONAL]:
        now = _wait_for(now, clocks.decided[tile, lane], DECISION, out, journal, tile, lane)
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


@njit(cache=True, inline="always")
def _wait_for(
    now: int, until: int, cause: int, out: np.ndarray, journal: Journal, tile: int, lane: int
) -> int:
    note(journal, cause, tile, now, until, lane)
    return _wait(now, until, cause, out)


@njit(cache=True)
def array_alone(program: Program, plan: Plan, work: Workload, machine: Machine) -> int:
    """Cycles of `program` if memory, vector unit and stores never held the array up."""
    lanes = lanes_of(work, machine)
    clocks = _clocks(lanes, plan.pixels.shape[0] * plan.folds.shape[0])
    unused = np.zeros(METRICS, np.int64)
    journal = Journal(np.zeros((0, FIELDS), np.int64), np.zeros(1, np.int64))
    for index in range(len(program.steps)):
        for lane in range(lanes):
            _advance(lane, program.steps[index], clocks, _NEVER, _NEVER, 0, machine, unused, journal)
    return max(clocks.left.max(), clocks.now.max())
