"""How long rounds of folds occupy the array, and what the time goes to (docs/machine-model.md, Array, Gate unit)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.engine.banks import banked_cycles
from cgsim.engine.machine import IS, OS, TILE, Machine
from cgsim.engine.rounds import Rounds
from cgsim.engine.scan import Scanner

DURATION, FREE, LEAD, BUSY, WEIGHTS, DRAIN, GATE, IMBALANCE, BANK, _LAST, _HELD, _FOLDS = range(12)
"""Fields of a run of rounds. Cycles from its start (the first load being done if it takes `rows`) to the end of its
last stream; when, counted from that end, the next load may begin; cycles that must lie between the end
of the run before and its start (`os`: the drain chain); how the duration splits; the last stream,
how long its last step was held back (`os`: until the drain chain was free), and the number of folds."""
RUN_FIELDS = 12


@njit(cache=True)
def run_rounds(rounds: Rounds, lane: int, machine: Machine, scanner: Scanner) -> np.ndarray:
    """The rounds of all groups, or with `lane` >= 0 of that group alone: int64 [RUN_FIELDS]."""
    if lane >= 0:
        return _group(rounds, lane, machine)
    groups = rounds.needed.shape[1]
    conflicts = machine.banks > 0 and groups > 1 and machine.dataflow != IS
    if machine.sync == TILE and groups > 1:
        return _free_groups(rounds, conflicts, machine, scanner)
    if conflicts and machine.dataflow == OS:
        return _held_rounds(rounds, machine, scanner)
    run = np.zeros(RUN_FIELDS, np.int64)
    for position in range(rounds.needed.shape[0]):
        most, total, stream, load = 0, 0, 0, 0
        for group in range(groups):
            if rounds.stream[position, group] > 0:
                total += rounds.needed[position, group]
                most = max(most, rounds.needed[position, group])
                stream = max(stream, rounds.stream[position, group])
                load = max(load, rounds.load[position, group])
        repeat = rounds.repeat[position]
        if stream == 0 or repeat == 0:
            continue
        mean = -(-total // rounds.present[position])
        banked = stream
        if conflicts:
            banked, _ = banked_cycles(rounds, position, position + 1, False, 0, machine, scanner)
        _append(run, repeat, banked, load, machine)
        run[BUSY] += repeat * mean
        run[IMBALANCE] += repeat * (most - mean)
        run[GATE] += repeat * (stream - most)
        run[BANK] += repeat * (banked - stream)
    _finish(run, rounds, machine)
    return run


@njit(cache=True)
def _held_rounds(rounds: Rounds, machine: Machine, scanner: Scanner) -> np.ndarray:
    """Output-stationary rounds with bank conflicts: last steps that are held back ask for their banks together."""
    run = np.zeros(RUN_FIELDS, np.int64)
    start, end, held, stream = 0, 0, 0, 0
    for position in range(rounds.needed.shape[0]):
        steps = rounds.needed[position].max()
        if steps == 0:
            continue
        load = rounds.load[position].max()
        excess = max(0, load - machine.rows)
        first = run[_FOLDS] == 0
        chain = 0  # when the drain chain is free, from the start of the round
        if first:
            start = excess
            run[GATE] += excess
        elif machine.serial:
            start = end + machine.exit + load
            run[DRAIN] += machine.exit
            run[WEIGHTS] += load - excess
            run[GATE] += excess
        else:
            start = max(end, start + load)
            chain = end + machine.rows - start
            weights, wait = max(0, load - excess - stream), max(0, load - stream)
            run[WEIGHTS] += weights
            run[GATE] += wait - weights
            run[DRAIN] += max(0, held - wait)
        cycles, _ = banked_cycles(rounds, position, position + 1, False, chain, machine, scanner)
        held = max(0, chain - steps)
        end, stream = start + cycles, cycles - held
        mean = -(-rounds.needed[position].sum() // rounds.present[position])
        run[BUSY] += mean
        run[IMBALANCE] += steps - mean
        run[BANK] += stream - steps
        run[_FOLDS] += 1
    run[DRAIN] += held
    run[DURATION] = end
    run[_LAST], run[_HELD] = stream, held
    _finish(run, rounds, machine)
    return run


@njit(cache=True)
def _group(rounds: Rounds, group: int, machine: Machine) -> np.ndarray:
    """The rounds of one group that waits for nobody."""
    run = np.zeros(RUN_FIELDS, np.int64)
    for position in range(rounds.needed.shape[0]):
        stream = rounds.stream[position, group]
        repeat, needed = rounds.repeat[position], rounds.needed[position, group]
        if stream == 0 or repeat == 0:
            continue
        _append(run, repeat, stream, rounds.load[position, group], machine)
        run[BUSY] += repeat * needed
        run[GATE] += repeat * (stream - needed)
    _finish(run, rounds, machine)
    return run


@njit(cache=True)
def _free_groups(rounds: Rounds, conflicts: bool, machine: Machine, scanner: Scanner) -> np.ndarray:
    """The rounds where each group goes through its own folds and waits at the end only."""
    critical = np.zeros(RUN_FIELDS, np.int64)
    total, free = 0, -machine.rows
    for group in range(rounds.needed.shape[1]):
        own = _group(rounds, group, machine)
        total += own[BUSY]
        if own[DURATION] > 0:
            free = max(free, own[DURATION] + own[FREE])
        if own[DURATION] > critical[DURATION]:
            critical = own
    if critical[DURATION] == 0:
        return critical
    mean = -(-total // rounds.present.max())
    most = critical[BUSY]
    critical[BUSY] = min(mean, most)
    critical[IMBALANCE] = most - critical[BUSY]
    critical[FREE] = free - critical[DURATION]
    if conflicts:
        duration, free = banked_cycles(rounds, 0, len(rounds.repeat), True, 0, machine, scanner)
        critical[BANK] = duration - critical[DURATION]
        critical[DURATION], critical[FREE] = duration, free - duration
    return critical


@njit(cache=True)
def _finish(run: np.ndarray, rounds: Rounds, machine: Machine) -> None:
    if run[_FOLDS] == 0:
        return
    run[FREE] = machine.exit if machine.serial else -run[_LAST] - run[_HELD]
    if machine.dataflow == OS and not machine.serial:
        run[LEAD] = max(0, machine.rows - rounds.needed.max())


@njit(cache=True, inline="always")
def _append(run: np.ndarray, repeat: int, stream: int, load: int, machine: Machine) -> None:
    """Let `repeat` folds of `stream` cycles follow what `run` holds."""
    if run[_FOLDS] == 0:
        run[GATE] += max(0, load - machine.rows)
        run[DURATION] += max(0, load - machine.rows)
    else:
        _gap(run, 1, run[_LAST], stream, load, machine)
    if repeat > 1:
        _gap(run, repeat - 1, stream, stream, load, machine)
    run[DURATION] += repeat * stream
    run[_LAST] = stream
    run[_FOLDS] += repeat


@njit(cache=True, inline="always")
def _gap(run: np.ndarray, times: int, before: int, stream: int, load: int, machine: Machine) -> None:
    """Cycles between two streams, the first of `before` and the second of `stream` cycles, `times` times.

    Overlapped, the next load runs while a fold streams; serial, it begins when the results have left.
    """
    if machine.serial:
        drain, weights, gate = machine.exit, min(load, machine.rows), max(0, load - machine.rows)
    else:
        weights = max(0, min(load, machine.rows) - before)
        gate = max(0, load - before) - weights
        drain = max(0, machine.rows - stream - weights - gate) if machine.dataflow == OS else 0
        run[_HELD] = drain
    run[WEIGHTS] += times * weights
    run[GATE] += times * gate
    run[DRAIN] += times * drain
    run[DURATION] += times * (weights + gate + drain)
