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

from cgsim.dram.kernels import inlined, kernel
from cgsim.engine.clocks import (
    ACCUMULATORS,
    ACTIVATIONS,
    WEIGHTS,
    Clocks,
    advance,
    clocks_of,
    latest,
    wait,
)
from cgsim.engine.dram import STORE_TAG, Memory, arrival, renewed, settle, transfer
from cgsim.engine.events import UNIT
from cgsim.engine.journal import Journal, keep_commands, note, note_transfer
from cgsim.engine.machine import IS, Machine, Workload
from cgsim.engine.metrics import (
    ACTIVATION_LOAD,
    BASE,
    BASE_WEIGHTS_READ,
    CONDITIONAL_PHASE,
    CYCLES,
    DRAIN,
    GROUP_IMBALANCE,
    METRICS,
    STORE,
    TENSOR_COUNT,
    VECTOR,
)
from cgsim.engine.program import (
    CHUNK,
    CONDITIONAL,
    LAST,
    OUTPUTS,
    STORE_BYTES,
    TILE,
    WEIGHT_BYTES,
    Program,
    lanes_of,
    tile_at,
)
from cgsim.mapping.plan import Plan

RESIDUAL, OUTPUT = 2, 3
"""Tensors of a step, after WEIGHTS and ACTIVATIONS: the fields of its transfers, in their order."""
_AHEAD = 20
"""Steps that the DMA looks ahead: a step's loads wait until the step _AHEAD + 1 before it is over."""
NEXT, VECTOR_FREE, RESIDUAL_THERE, ACTIVATIONS_THERE, STORED, ARRIVED = range(6)


class Run(NamedTuple):
    """A layer's execution. S steps, T tiles, F fillings of a buffer; all arrays int64, in cycles or steps.

    `there` [3, S]: when a step's loads are (see `transfer`). `done` [2, F]: when a filling of the weight and
    of the activation buffer is used for the last time, `user` [2, F]: by the last of its steps issued so far.
    `decided_at`, `finished_at` [T]: the steps after which a tile's gates are known, and that end it.
    `vector_done`, `store_done` [T]. `at` [6]: the NEXT step to compute, tiles STORED, and the cycles of the
    others of its fields. `step_there` [3]: see `advance`. `spent` [lanes, METRICS] and `out` [METRICS]: what
    is counted.
    """

    program: Program
    plan: Plan
    work: Workload
    machine: Machine
    memory: Memory
    journal: Journal
    clocks: Clocks
    there: np.ndarray
    done: np.ndarray
    user: np.ndarray
    decided_at: np.ndarray
    finished_at: np.ndarray
    vector_done: np.ndarray
    store_done: np.ndarray
    at: np.ndarray
    step_there: np.ndarray
    spent: np.ndarray
    out: np.ndarray


@njit(cache=True)
def run_pipeline(
    program: Program, plan: Plan, work: Workload, machine: Machine, memory: Memory, journal: Journal
) -> tuple[np.ndarray, np.ndarray]:
    """Execute `program`: what it counts, int64 [METRICS], and what the DRAM counted, int64 [COUNTERS]."""
    run = _start(program, plan, work, machine, renewed(memory), journal)
    steps, tiles = program.steps, len(run.finished_at)
    for index in range(len(steps)):
        _computed(run, index - _AHEAD - 1)
        for tensor in range(OUTPUT):
            if steps[index, WEIGHT_BYTES + 3 * tensor]:
                ready = _ready(run, index, tensor)
                run.there[tensor, index] = _move(run, index, tensor, ready)
        weights, activations = _fillings(index, steps[index], plan)
        run.user[WEIGHTS, weights] = run.user[ACTIVATIONS, activations] = index
        _store(run, index - 2, steps[index, TILE] - _depth(run))
    _store(run, len(steps), tiles)
    _computed(run, len(steps) - 1)

    out, clocks = run.out, run.clocks
    last = np.argmax(clocks.now)  # the lane that ends last is the one that is accounted for
    own = run.spent[last]
    if len(clocks.now) > 1:
        for phase in (BASE, CONDITIONAL_PHASE):
            mean = min(-(-run.spent[:, phase].sum() // _lanes_with_slots(plan, work, machine)), own[phase])
            own[GROUP_IMBALANCE] += own[phase] - mean
            own[phase] = mean
    now = clocks.now[last]
    for until, cause in (
        (clocks.left.max(), DRAIN),
        (run.at[RESIDUAL_THERE], ACTIVATION_LOAD),
        (run.at[VECTOR_FREE], VECTOR),
        (run.store_done.max(), STORE),
    ):
        now = wait(now, until, cause, own, journal, tiles - 1, last)
    out += own
    out[CYCLES] = now
    counted = settle(run.memory, now)
    keep_commands(journal, run.memory.controller.log)
    return out, counted


@njit(cache=True)
def _start(
    program: Program, plan: Plan, work: Workload, machine: Machine, memory: Memory, journal: Journal
) -> Run:
    steps, tiles = program.steps, plan.pixels.shape[0] * plan.folds.shape[0]
    lanes, fillings = lanes_of(work, machine), max(tiles, len(steps))
    run = Run(
        program,
        plan,
        work,
        machine,
        memory,
        journal,
        clocks_of(lanes, tiles),
        np.zeros((3, len(steps)), np.int64),
        np.zeros((2, fillings), np.int64),
        np.full((2, fillings), -1, np.int64),
        np.full(tiles, -1, np.int64),
        np.full(tiles, len(steps), np.int64),
        np.zeros(tiles, np.int64),
        np.zeros(tiles, np.int64),
        np.zeros(6, np.int64),
        np.zeros(3, np.int64),
        np.zeros((lanes, METRICS), np.int64),
        np.zeros(METRICS, np.int64),
    )
    for index in range(len(steps)):
        tile = steps[index, TILE]
        if not steps[index, CONDITIONAL]:
            run.decided_at[tile] = index
        if steps[index, LAST]:
            run.finished_at[tile] = index
    return run


@inlined
def _depth(run: Run) -> int:
    """Tiles that the activation and the accumulator buffer hold."""
    return run.machine.depth + run.plan.interleaved


@inlined
def _fillings(index: int, step: np.ndarray, plan: Plan) -> tuple[int, int]:
    """Which filling of the weight and of the activation buffer a step uses."""
    at_pixels, at_channels = tile_at(step[TILE], plan)
    if plan.loop_order == 1:
        return index, at_pixels
    if plan.loop_order == 0:
        return at_channels, step[TILE]
    return 0, at_pixels


@kernel
def _ready(run: Run, index: int, tensor: int) -> int:
    """When a load may begin: its buffer part is free and, `on_demand`, the gates that want it are known."""
    step = run.program.steps[index]
    tile = step[TILE]
    if tensor == RESIDUAL:
        old = tile - _depth(run)
        if old < 0:
            return 0
        _computed(run, run.finished_at[old])
        return run.vector_done[old]
    ready = 0
    if step[CONDITIONAL] and run.machine.on_demand:
        _computed(run, run.decided_at[tile])
        ready = latest(run.clocks.decided[tile])
    weights, activations = _fillings(index, step, run.plan)
    old = weights - run.machine.depth if tensor == WEIGHTS else activations - _depth(run)
    if old >= 0:
        _computed(run, run.user[tensor, old])
        ready = max(ready, run.done[tensor, old])
    return ready


@kernel
def _move(run: Run, index: int, tensor: int, ready: int) -> int:
    """Issue a transfer of a step; when its data are there (see `transfer`).

    A step is over when all lanes are done with it and its own loads have arrived, needed or not; steps are
    over in order, and nothing that depends on one is issued before.
    """
    ready = max(ready, run.at[ARRIVED])
    step = run.program.steps[index]
    field = WEIGHT_BYTES + 3 * tensor
    pieces = run.program.pieces[step[field + 1] : step[field + 2]]
    write = tensor == OUTPUT
    tag = STORE_TAG if write else _tag(index, tensor)
    there, bursts = transfer(run.memory, pieces, step[field], ready, write, tag)
    metric = _metric(step, tensor)
    run.out[metric] += step[field]
    run.out[metric + TENSOR_COUNT] += bursts
    return there


@inlined
def _tag(index: int, tensor: int) -> int:
    return 3 * (index % (_AHEAD + 1)) + tensor


@inlined
def _metric(step: np.ndarray, tensor: int) -> int:
    late = tensor > WEIGHTS or step[CONDITIONAL]
    return BASE_WEIGHTS_READ + tensor + 1 if late else BASE_WEIGHTS_READ


@kernel
def _store(run: Run, finished: int, tile: int) -> None:
    """Store the tiles that a step up to `finished` ends, and those up to `tile`, in order."""
    at, steps = run.at, run.program.steps
    while at[STORED] < len(run.finished_at):
        own = at[STORED]
        last = run.finished_at[own]
        if last > finished and own > tile:
            return
        if steps[last, STORE_BYTES]:
            _computed(run, last)
            output = np.int64(OUTPUT)  # no constant: it would be compiled for it
            run.store_done[own] = _move(run, last, output, run.vector_done[own])
            _note(run, last, output, run.store_done[own])
        at[STORED] += 1


@kernel
def _note(run: Run, index: int, tensor: int, there: int) -> None:
    step, memory = run.program.steps[index], run.memory
    tag = STORE_TAG if tensor == OUTPUT else _tag(index, tensor)
    size = step[WEIGHT_BYTES + 3 * tensor]
    metric = _metric(step, tensor)
    note_transfer(run.journal, metric, step[TILE], memory.begun[tag], there, size, memory.bursts[tag])


@kernel
def _arrived(run: Run, index: int, tensor: int) -> int:
    there = arrival(run.memory, run.there[tensor, index])
    run.at[ARRIVED] = max(run.at[ARRIVED], there)
    _note(run, index, tensor, there)
    return there


@inlined
def _computed(run: Run, last: int) -> None:
    """Array and vector unit have executed all steps up to `last`."""
    if run.at[NEXT] <= last:
        _compute(run, last)


@kernel
def _compute(run: Run, last: int) -> None:
    """Let array and vector unit execute all steps up to `last`."""
    at, clocks, there = run.at, run.clocks, run.step_there
    while at[NEXT] <= last:
        index = at[NEXT]
        step = run.program.steps[index]
        tile = step[TILE]
        at[NEXT] += 1
        if step[CHUNK] == 0:
            at[ACTIVATIONS_THERE] = 0  # those of a phase come with its first chunk
        done = there[WEIGHTS] = 0
        for tensor in range(OUTPUT):
            if step[WEIGHT_BYTES + 3 * tensor]:
                arrived = _arrived(run, index, tensor)
                if tensor == RESIDUAL:
                    at[RESIDUAL_THERE] = arrived
                    continue
                done = max(done, arrived)
                if tensor == WEIGHTS:
                    there[WEIGHTS] = arrived
                else:
                    at[ACTIVATIONS_THERE] = arrived
        there[ACTIVATIONS] = at[ACTIVATIONS_THERE]
        old = tile - _depth(run)
        there[ACCUMULATORS] = run.store_done[old] if old >= 0 else 0
        for lane in range(len(clocks.now)):
            advance(lane, step, clocks, there, run.machine, run.spent[lane], run.journal)
            done = max(done, clocks.now[lane])
        weights, activations = _fillings(index, step, run.plan)
        run.done[WEIGHTS, weights] = max(run.done[WEIGHTS, weights], done)
        run.done[ACTIVATIONS, activations] = max(run.done[ACTIVATIONS, activations], done)
        at[ARRIVED] = max(at[ARRIVED], latest(clocks.now))
        if step[LAST]:
            begun = max(latest(clocks.now), clocks.left[tile], at[RESIDUAL_THERE], at[VECTOR_FREE])
            if step[CONDITIONAL]:
                begun = max(begun, latest(clocks.decided[tile]))
            operations = step[OUTPUTS] * (1 + run.work.residuals)
            at[VECTOR_FREE] = run.vector_done[tile] = begun + -(-operations // run.machine.lanes)
            note(run.journal, VECTOR, tile, begun, at[VECTOR_FREE], UNIT)
            if step[STORE_BYTES] == 0:
                run.store_done[tile] = at[VECTOR_FREE]


@kernel
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
