"""How long runs of folds occupy a weight-stationary array (docs/machine-model.md, Array and Gate unit)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.engine.machine import Machine

DURATION, GAP, BUSY, WEIGHTS, DRAIN, GATE, IMBALANCE = range(7)
"""Fields of a run: cycles from its first vector's entry to the end of its last fold's stream; cycles until
the next fold may start; and how the duration splits."""
RUN_FIELDS = 7


@njit(cache=True, inline="always")
def gap_after(vectors: int, machine: Machine) -> int:
    """Cycles between the end of a fold's stream of `vectors` and the next fold's first vector.

    Overlapped, the next fold's weights are shifted in (one row per cycle) while this one streams;
    serial, they are shifted in when this fold's last result has left the array.
    """
    if machine.serial:
        return machine.drain + machine.rows
    return max(0, machine.rows - vectors)


@njit(cache=True)
def base_run(folds: int, vectors: int, machine: Machine) -> np.ndarray:
    """`folds` folds of `vectors` vectors each, all column groups alike: int64 [RUN_FIELDS]."""
    run = np.zeros(RUN_FIELDS, np.int64)
    _append(run, folds, vectors, machine)
    run[BUSY] = folds * vectors
    return run


@njit(cache=True)
def conditional_run(
    needed: np.ndarray, scans: np.ndarray, groups: int, folds: int, machine: Machine
) -> np.ndarray:
    """The conditional phase of a tile, or of a chunk of its row folds: int64 [RUN_FIELDS].

    `needed` int64 [slots]: vectors that each slot of the tile needs; `scans` int64 [slots]: cycles in
    which the index scanner finds them. `groups` slots side by side make a column fold, each streamed `folds`
    times. A slot that needs nothing is skipped. A duration of 0 means that no fold runs.
    """
    if machine.free_groups:
        return _free_groups(needed, scans, groups, folds, machine)
    run = np.zeros(RUN_FIELDS, np.int64)
    for first in range(0, len(needed), groups):
        end = min(first + groups, len(needed))
        most, total, stream = 0, 0, 0
        for slot in range(first, end):
            total += needed[slot]
            most = max(most, needed[slot])
            if needed[slot] > 0:
                stream = max(stream, needed[slot], scans[slot])
        if most == 0:
            continue
        mean = -(-total // (end - first))
        _append(run, folds, stream, machine)
        run[BUSY] += folds * mean
        run[IMBALANCE] += folds * (most - mean)
        run[GATE] += folds * (stream - most)
    return run


@njit(cache=True)
def _free_groups(
    needed: np.ndarray, scans: np.ndarray, groups: int, folds: int, machine: Machine
) -> np.ndarray:
    """`conditional_run` where each group goes through its own slots and waits at the end only."""
    run = np.zeros(RUN_FIELDS, np.int64)
    present = min(groups, len(needed))
    most, total, ready = 0, 0, 0
    for group in range(present):
        own = np.zeros(RUN_FIELDS, np.int64)
        vectors = 0
        for slot in range(group, len(needed), groups):
            if needed[slot] == 0:
                continue
            stream = max(needed[slot], scans[slot])
            _append(own, folds, stream, machine)
            own[GATE] += folds * (stream - needed[slot])
            vectors += folds * needed[slot]
        total += vectors
        ready = max(ready, own[DURATION] + own[GAP])
        if own[DURATION] > run[DURATION]:
            run[:] = own
            most = vectors
    run[BUSY] = min(-(-total // present), most)
    run[IMBALANCE] = most - run[BUSY]
    run[GAP] = ready - run[DURATION]
    return run


@njit(cache=True, inline="always")
def _append(run: np.ndarray, folds: int, stream: int, machine: Machine) -> None:
    """Let `folds` folds of `stream` cycles follow what `run` holds, and account for the gaps before them."""
    gap = gap_after(stream, machine)
    gaps = run[GAP] + (folds - 1) * gap
    if machine.serial:
        drains = (folds - 1 + (run[GAP] > 0)) * machine.drain
        run[DRAIN] += drains
        run[WEIGHTS] += gaps - drains
    else:
        run[WEIGHTS] += gaps
    run[DURATION] += folds * stream + gaps
    run[GAP] = gap
