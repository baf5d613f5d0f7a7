"""Kernels that replay one layer: dense once, or gated sample by sample."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.counters import COUNTERS
from cgsim.dram.kernels import kernel
from cgsim.engine.activity import ACTIVITY, count_activity
from cgsim.engine.bits import count_all, filters_of, unite
from cgsim.engine.clocks import array_alone
from cgsim.engine.dram import Memory
from cgsim.engine.journal import Journal
from cgsim.engine.machine import IS, Machine, Workload
from cgsim.engine.metrics import METRICS
from cgsim.engine.pipeline import run_pipeline
from cgsim.engine.steps import outline, program
from cgsim.mapping.plan import Plan

ARRAY_CYCLES, ON, DRAM = METRICS, METRICS + 1, METRICS + 2
ACTIVE = DRAM + COUNTERS
"""Fields after those of the pipeline: cycles of the array alone, gates that are on, what the DRAM counted,
and the activity of the array (`cgsim.engine.activity`)."""
RESULTS = ACTIVE + ACTIVITY


@njit(cache=True)
def replay_dense(
    plan: Plan, whole: Plan, work: Workload, machine: Machine, memory: Memory, journal: Journal
) -> np.ndarray:
    """A layer without conditional path, for one batch: int64 [RESULTS].

    `whole`: the plan of unlimited buffers.
    """
    out = np.zeros(RESULTS, np.int64)
    steps = outline(plan, work, machine)
    out[:METRICS], out[DRAM:ACTIVE] = run_pipeline(steps, plan, work, machine, memory, journal)
    count_activity(steps, work, machine, out[ACTIVE:])
    if not one_tile(plan):
        steps = outline(whole, work, machine)
    out[ARRAY_CYCLES] = array_alone(steps, whole, work, machine)
    return out


@njit(cache=True)
def replay_gated(
    gates: np.ndarray,
    slot_first: np.ndarray,
    slot_end: np.ndarray,
    plan: Plan,
    whole: Plan,
    work: Workload,
    machine: Machine,
    memory: Memory,
    journal: Journal,
) -> np.ndarray:
    """A gated layer, batch by batch: int64 [B, RESULTS].

    `gates` uint64 [B, N, W] of all pixels of a batch, or [B, 1, W] where all channels share the gate of a
    pixel. Slot s holds output channels [slot_first[s], slot_end[s]).
    """
    out = np.zeros((gates.shape[0], RESULTS), np.int64)
    moved = len(gates) > 0  # no constant: `program` would be compiled for each
    base, base_alone = outline(plan, work, machine), outline(whole, work, machine)
    for batch in range(gates.shape[0]):
        own = gates[batch]
        united = unite(own, slot_first, slot_end)
        filters = _filters(own, plan, work, machine)
        steps = program(base, plan, work, machine, own, united, filters, moved)
        counted = run_pipeline(steps, plan, work, machine, memory, journal)
        out[batch, :METRICS], out[batch, DRAM:ACTIVE] = counted
        count_activity(steps, work, machine, out[batch, ACTIVE:])
        if not one_tile(plan):
            filters = _filters(own, whole, work, machine)
            steps = program(base_alone, whole, work, machine, own, united, filters, not moved)
        out[batch, ARRAY_CYCLES] = array_alone(steps, whole, work, machine)
        out[batch, ON] = count_all(own)
    return out


@njit(cache=True)
def replay_array(
    gates: np.ndarray,
    slot_first: np.ndarray,
    slot_end: np.ndarray,
    whole: Plan,
    work: Workload,
    machine: Machine,
) -> int:
    """Cycles of the array alone for one batch; `gates` uint64 [N or 1, W]."""
    united = unite(gates, slot_first, slot_end)
    steps = program(
        outline(whole, work, machine),
        whole,
        work,
        machine,
        gates,
        united,
        _filters(gates, whole, work, machine),
        len(gates) == 0,
    )
    return array_alone(steps, whole, work, machine)


@njit(cache=True)
def _filters(gates: np.ndarray, plan: Plan, work: Workload, machine: Machine) -> np.ndarray:
    if machine.dataflow != IS or work.pixel_gates:
        return np.zeros((0, 0), np.uint64)
    return filters_of(gates, plan.slot_of, plan.first_slot[-1])


@kernel
def one_tile(plan: Plan) -> bool:
    """True if the plan is that of unlimited buffers."""
    return plan.pixels.shape[0] == 1 and plan.folds.shape[0] == 1 and plan.loop_order != 1
