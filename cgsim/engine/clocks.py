"""The array's side of the pipeline: when each lane executes each step, and what its time goes to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.engine import folds
from cgsim.engine.folds import RUN_FIELDS
from cgsim.engine.journal import Journal, note, note_split, silent
from cgsim.engine.machine import IS, OS, WS, Machine, Workload
from cgsim.engine.metrics import (
    ACTIVATION_LOAD,
    BANK_CONFLICT,
    BASE,
    CONDITIONAL_PHASE,
    DECISION,
    DRAIN,
    GATE_UNIT,
    GROUP_IMBALANCE,
    LOAD_WEIGHTS,
    METRICS,
    STORE,
    WEIGHT_LOAD,
)
from cgsim.engine.program import CONDITIONAL, RUN, TILE, WEIGHT_BYTES, Program, lanes_of
from cgsim.mapping.plan import Plan

WEIGHTS, ACTIVATIONS, ACCUMULATORS = range(3)

NEVER = -(1 << 60)
"""Before everything."""


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
def clocks_of(lanes: int, tiles: int) -> Clocks:
    """All idle at cycle 0."""
    return Clocks(
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.full(lanes, NEVER, np.int64),
        np.zeros((tiles, lanes), np.int64),
        np.zeros(tiles, np.int64),
    )


@kernel
def advance(
    lane: int,
    step: np.ndarray,
    clocks: Clocks,
    there: np.ndarray,
    machine: Machine,
    out: np.ndarray,
    journal: Journal,
) -> None:
    """Let a lane execute its part of a step.

    `there` int64 [3]: when its weights, its activations and its accumulators are (NEVER: they always are).
    """
    run = step[RUN + lane * RUN_FIELDS : RUN + (lane + 1) * RUN_FIELDS]
    now, tile = clocks.now[lane], step[TILE]
    if run[folds.DURATION] > 0:
        load = 0 if machine.dataflow == OS and not step[CONDITIONAL] else machine.rows
        now = wait(now, clocks.free[lane] + load, LOAD_WEIGHTS, out, journal, tile, lane)
        now = wait(now, clocks.ended[lane] + run[folds.LEAD], DRAIN, out, journal, tile, lane)
        if step[CONDITIONAL]:  # which operands to shift in is known when the decisions are
            now = wait(now, clocks.decided[tile, lane] + load, DECISION, out, journal, tile, lane)
        if step[WEIGHT_BYTES]:
            written = machine.rows if machine.dataflow == WS else 0
            now = wait(now, there[WEIGHTS] + written, WEIGHT_LOAD, out, journal, tile, lane)
        if there[ACTIVATIONS] > 0:
            written = machine.rows if machine.dataflow == IS else 0
            now = wait(now, there[ACTIVATIONS] + written, ACTIVATION_LOAD, out, journal, tile, lane)
        now = wait(now, there[ACCUMULATORS], STORE, out, journal, tile, lane)
        phase = CONDITIONAL_PHASE if step[CONDITIONAL] else BASE
        at = note(journal, phase, tile, now, now + run[folds.DURATION], lane)
        note_split(journal, at, run)
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
        now = wait(now, clocks.decided[tile, lane], DECISION, out, journal, tile, lane)
    if not step[CONDITIONAL] and run[folds.DURATION] > 0:
        clocks.decided[tile, lane] = now + machine.exit + machine.compare_latency
    clocks.now[lane] = now


@kernel
def latest(cycles: np.ndarray) -> int:
    """The largest of `cycles` (Numba's max() needs the reference counts that these kernels do without)."""
    found = cycles[0]
    for cycle in cycles:
        found = max(found, cycle)
    return found


@kernel
def wait(now: int, until: int, cause: int, out: np.ndarray, journal: Journal, tile: int, lane: int) -> int:
    """The later of `now` and `until`; the difference is counted, and noted, for `cause`."""
    if until <= now:
        return now
    out[cause] += until - now
    note(journal, cause, tile, now, until, lane)
    return until


@njit(cache=True)
def array_alone(program: Program, plan: Plan, work: Workload, machine: Machine) -> int:
    """Cycles of `program` if memory, vector unit and stores never held the array up."""
    lanes = lanes_of(work, machine)
    clocks = clocks_of(lanes, plan.pixels.shape[0] * plan.folds.shape[0])
    unused = np.zeros(METRICS, np.int64)
    there = np.array([NEVER, NEVER, 0])
    for index in range(len(program.steps)):
        for lane in range(lanes):
            advance(lane, program.steps[index], clocks, there, machine, unused, silent())
    return max(clocks.left.max(), clocks.now.max())
