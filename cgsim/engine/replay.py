"""Kernels that replay one layer: dense once, or gated sample by sample."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.engine.bits import count_ranges, unite
from cgsim.engine.dram import Dram
from cgsim.engine.machine import Machine, Workload
from cgsim.engine.pipeline import METRICS, array_alone, run_pipeline
from cgsim.engine.steps import program
from cgsim.mapping.plan import Plan

ARRAY_CYCLES, ON = METRICS, METRICS + 1
"""Fields after those of the pipeline: cycles of the array alone, gates that are on."""
RESULTS = METRICS + 2


@njit(cache=True)
def replay_dense(plan: Plan, whole: Plan, work: Workload, machine: Machine, memory: Dram) -> np.ndarray:
    """A layer without conditional path: int64 [RESULTS]. `whole` is the plan of unlimited buffers."""
    none, counts = np.zeros(0, np.int64), np.zeros((1, 1), np.int64)
    united = np.zeros((0, 0), np.uint64)
    out = np.zeros(RESULTS, np.int64)
    steps = program(plan, work, machine, none, counts, counts, united)
    out[:METRICS] = run_pipeline(steps, plan, work, machine, memory)
    out[ARRAY_CYCLES] = array_alone(program(whole, work, machine, none, counts, counts, united), machine)
    return out


@njit(cache=True)
def replay_gated(
    gates: np.ndarray,
    slot_first: np.ndarray,
    slot_end: np.ndarray,
    slot_bits: np.ndarray,
    plan: Plan,
    whole: Plan,
    work: Workload,
    machine: Machine,
    memory: Dram,
) -> np.ndarray:
    """A gated layer, sample by sample: int64 [S, RESULTS].

    `gates` uint64 [S, N, W], or [S, 1, W] where all channels share the gate of a pixel. Slot s holds output
    channels [slot_first[s], slot_end[s]) and has slot_bits[s] gate bits per pixel.
    """
    out = np.zeros((gates.shape[0], RESULTS), np.int64)
    for sample in range(gates.shape[0]):
        own = gates[sample]
        united = unite(own, slot_first, slot_end)
        counts, needed = count_ranges(own, plan.pixels), count_ranges(united, plan.pixels)
        steps = program(plan, work, machine, slot_bits, needed, counts, united)
        out[sample, :METRICS] = run_pipeline(steps, plan, work, machine, memory)
        on = _sum_tiles(counts)
        steps = program(whole, work, machine, slot_bits, _sum_tiles(needed), on, united)
        out[sample, ARRAY_CYCLES] = array_alone(steps, machine)
        out[sample, ON] = on.sum()
    return out


@njit(cache=True)
def _sum_tiles(counts: np.ndarray) -> np.ndarray:
    """int64 [P, R] to [1, R]: the tiles of a layer as one."""
    total = np.zeros((1, counts.shape[1]), np.int64)
    for tile in range(counts.shape[0]):
        total[0] += counts[tile]
    return total
