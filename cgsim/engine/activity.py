"""What the array and its gate unit do besides taking time: the counts that energy is computed from.

Counted per step when its rounds are known: nothing here depends on memory or on a clock. What each count
stands for, and what is made of it: `cgsim.engine.accesses`, docs/energy.md.
"""

from __future__ import annotations

import numpy as np

from cgsim.dram.kernels import kernel
from cgsim.engine.machine import OS, Machine, Workload
from cgsim.engine.program import (
    CONDITIONAL,
    ELEMENTS,
    LAST,
    OUTPUTS,
    READS,
    SCANNED,
    STATIONARY,
    VECTORS,
    Program,
)
from cgsim.engine.rounds import CANDIDATES, NEEDED, PART, PIXELS, REPEAT, WORD, Rounds, Slices

BASE_VECTORS, BASE_ELEMENTS, BASE_STATIONARY, BASE_READS = range(4)
LATE_VECTORS, LATE_ELEMENTS, LATE_STATIONARY, LATE_READS = range(4, 8)
SCANNED_BITS, SLOTS, OPERATIONS, FINISHED = range(8, 12)
"""Of the base and of the conditional phase: VECTORS that enter a column group; ELEMENTS of these, without the
rows that the reduction leaves empty (`os`: pixels that wait in the rows, a reduction step each); STATIONARY
elements of a column (`os`: pixels of row tiles); READS, the elements that are read once and broadcast to all
groups of a round that want the same. Gate bits that scanners read; PE-cycles in which a vector passes; what
the vector unit does: element operations, and activations that it has finished."""
ACTIVITY = 12


@kernel
def count_alike(
    step: np.ndarray, slots: tuple[int, int], folds: int, vectors: int, reduction: int, machine: Machine
) -> None:
    """Fill a step whose groups are all alike: `slots` of `slots_of`, `folds` and `vectors` of `alike`."""
    own, shared = slots
    times = -(-vectors // machine.rows) * reduction if machine.dataflow == OS else folds * vectors
    step[VECTORS] = own * times
    step[ELEMENTS] = own * vectors * reduction
    step[STATIONARY] = own * (vectors if machine.dataflow == OS else reduction)
    step[READS] = shared * vectors * reduction


@kernel
def count_rounds(
    step: np.ndarray, found: Rounds, slices: Slices, reduction: int, work: Workload, machine: Machine
) -> None:
    """Fill a step with what its rounds, restricted by `cut`, do."""
    bits = 1 if work.pixel_gates else work.width
    for position in range(len(found.rounds)):
        turn = found.rounds[position]
        length = reduction if machine.dataflow == OS else slices.length[turn[PART]]
        before = np.int64(-1)  # word of the last group that takes part; words ascend
        for group in range(found.folds.shape[1]):
            own = found.folds[position, group]
            step[SCANNED] += turn[REPEAT] * own[CANDIDATES] * bits
            if own[NEEDED] == 0 or turn[REPEAT] == 0:
                continue
            elements = (own[PIXELS] if machine.dataflow == OS else own[NEEDED]) * length
            step[VECTORS] += turn[REPEAT] * own[NEEDED]
            step[ELEMENTS] += elements
            step[STATIONARY] += own[PIXELS] if machine.dataflow == OS else length
            if step[CONDITIONAL] or own[WORD] != before:
                step[READS] += elements
            before = own[WORD]


@kernel
def count_activity(program: Program, work: Workload, machine: Machine, out: np.ndarray) -> None:
    """Add up the steps of a program in `out`, zeros, int64 [ACTIVITY]."""
    for index in range(len(program.steps)):
        step = program.steps[index]
        first = LATE_VECTORS if step[CONDITIONAL] else BASE_VECTORS
        for field in range(4):
            out[first + field] += step[VECTORS + field]
        out[SCANNED_BITS] += step[SCANNED]
        out[SLOTS] += step[VECTORS] * machine.rows * work.width
        if step[LAST]:
            out[OPERATIONS] += step[OUTPUTS] * (1 + work.residuals)
            out[FINISHED] += step[OUTPUTS]
