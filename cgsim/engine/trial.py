"""What a tiling costs: its program through the pipeline, once; and what no tiling can beat."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.engine.bits import filters_of, unite
from cgsim.engine.dram import Memory
from cgsim.engine.journal import SILENT, Journal
from cgsim.engine.machine import IS, LAYER, OS, TILE, Machine, Workload
from cgsim.engine.metrics import BYTES, CYCLES
from cgsim.engine.pipeline import run_pipeline
from cgsim.engine.steps import outline, program
from cgsim.mapping.bounds import Late
from cgsim.mapping.parts import END, FIRST, LENGTH, SKIP_END, SKIP_FIRST
from cgsim.mapping.plan import Plan
from cgsim.mapping.slots import Slots


class Trial:
    """Tries tilings of one operation on one batch."""

    def __init__(
        self, layout: Slots, work: Workload, machine: Machine, memory: Memory, gates: np.ndarray | None
    ) -> None:
        """`gates` uint64 [N or 1, W] of all pixels of the batch; None: dense."""
        self._work, self._machine, self._memory = work, machine, memory
        self._gates = np.zeros((0, 0), np.uint64) if gates is None else np.ascontiguousarray(gates)
        self._united = self._gates if gates is None else unite(self._gates, layout.first, layout.end)

    def cost(self, plan: Plan) -> tuple[int, int]:
        """(cycles, off-chip bytes)."""
        counts = _counts(plan, self._work, self._machine, self._memory, self._gates, self._united, SILENT)
        return int(counts[CYCLES]), int(counts[BYTES].sum())

    def late(self) -> Late:
        """What the gates ask for at least, however the layer is cut."""
        work, machine = self._work, self._machine
        if not len(self._gates):
            return Late()
        parts, last = work.late_parts, int(work.late_parts[:, END].max())
        on = np.bitwise_count(self._gates).sum(axis=1).astype(np.int64)
        users = np.arange(last)[:, None]
        used = (users >= parts[:, FIRST]) & (users < parts[:, END])
        used &= ~((users >= parts[:, SKIP_FIRST]) & (users < parts[:, SKIP_END]))
        channels = int(np.count_nonzero(on)) if len(on) > 1 else last * int(on[0] > 0)
        folds = -(-parts[:, LENGTH] // machine.rows)
        if machine.dataflow == IS:
            vectors = int((on * (used * folds).sum(axis=1)).sum())
            return Late(
                0 if machine.sync == LAYER else vectors // (work.width * work.column_groups), channels
            )
        needed = np.bitwise_count(self._united).sum(axis=1).astype(np.int64)
        each = needed * folds[0]
        if machine.dataflow == OS:
            each = -(-needed // machine.rows) * parts[0, LENGTH]
        rest = np.zeros(-len(each) % work.column_groups, np.int64)
        lanes = np.concatenate([each, rest]).reshape(-1, work.column_groups)
        if machine.sync == LAYER:
            return Late(int(lanes[:, 0].sum()), channels)
        return Late(
            int(lanes.sum(axis=0).max() if machine.sync == TILE else lanes.max(axis=1).sum()), channels
        )


@njit(cache=True)
def _counts(
    plan: Plan,
    work: Workload,
    machine: Machine,
    memory: Memory,
    gates: np.ndarray,
    united: np.ndarray,
    journal: Journal,
) -> np.ndarray:
    steps = outline(plan, work, machine)
    listed = memory.rate == 0 or memory.whole_bursts > 0
    if len(gates):
        filters = np.zeros((0, 0), np.uint64)
        if machine.dataflow == IS and not work.pixel_gates:
            filters = filters_of(gates, plan.slot_of, plan.first_slot[-1])
        steps = program(steps, plan, work, machine, gates, united, filters, listed)
    return run_pipeline(steps, plan, work, machine, memory, journal)[0]
