"""How long rounds of folds occupy the array, and what the time goes to (docs/machine-model.md)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.engine.banks import banked_cycles
from cgsim.engine.machine import IS, OS, TILE, Machine
from cgsim.engine.rounds import LOAD, NEEDED, PRESENT, REPEAT, STREAM, Rounds
from cgsim.engine.scan import Scanner

DURATION, FREE, LEAD, BUSY, WEIGHTS, DRAIN, GATE, IMBALANCE, BANK, _LAST, _HELD, _FOLDS = range(12)
"""Fields of a run of rounds. Cycles from its start (the first load being done if it takes `rows`) to the end
of its last stream; when, counted from that end, the next load may begin; cycles that must lie between the
end of the run before and its start (`os`: the drain chain); how the duration splits; the last stream,
how long its last step was held back (`os`: until the drain chain was free), and the number of folds."""
RUN_FIELDS = 12


@kernel
def run_alike(run: np.ndarray, folds: int, vectors: int, load: int, machine: Machine) -> None:
    """Fill `run` (zeros, int64 [RUN_FIELDS]) with `folds` folds of `vectors` vectors, all groups alike."""
    if folds > 0:
        _append(run, folds, vectors, load, machine)
        run[BUSY] = folds * vectors
        _finish(run, vectors, machine)


@njit(cache=True)
def run_rounds(run: np.ndarray, rounds: Rounds, lane: int, machine: Machine, scanner: Scanner) -> None:
    """Fill `run` (zeros, int64 [RUN_FIELDS]) with the rounds of all groups; of one, `lane`, if it is >= 0."""
    groups = rounds.folds.shape[1]
    conflicts = machine.banks > 0 and groups > 1 and machine.dataflow != IS
    if lane >= 0:
        _group(run, rounds, lane, machine)
    elif machine.sync == TILE and groups > 1:
        _free_groups(run, rounds, conflicts, machine, scanner)
    elif conflicts and machine.dataflow == OS:
        _held_rounds(run, rounds, machine, scanner)
    else:
        _rounds_together(run, rounds, conflicts, machine, scanner)


@njit(cache=True)
def _rounds_together(
    run: np.ndarray, rounds: Rounds, conflicts: bool, machine: Machine, scanner: Scanner
) -> None:
    """Groups start every round together."""
    longest = 0
    for position in range(len(rounds.rounds)):
        most, total, stream, load = 0, 0, 0, 0
        for group in range(rounds.folds.shape[1]):
            own = rounds.folds[position, group]
            if own[STREAM] > 0:
                total += own[NEEDED]
                most = max(most, own[NEEDED])
                stream = max(stream, own[STREAM])
                load = max(load, own[LOAD])
        repeat = rounds.rounds[position, REPEAT]
        if stream == 0 or repeat == 0:
            continue
        mean = -(-total // rounds.rounds[position, PRESENT])
        banked = stream
        if conflicts:
            banked, _ = banked_cycles(rounds, position, position + 1, False, 0, machine, scanner)
        _append(run, repeat, banked, load, machine)
        run[BUSY] += repeat * mean
        run[IMBALANCE] += repeat * (most - mean)
        run[GATE] += repeat * (stream - most)
        run[BANK] += repeat * (banked - stream)
        longest = max(longest, most)
    _finish(run, longest, machine)


@njit(cache=True)
def _held_rounds(run: np.ndarray, rounds: Rounds, machine: Machine, scanner: Scanner) -> None:
    """`os` rounds with bank conflicts: last steps that are held back ask for their banks together."""
    start, end, held, stream, longest = 0, 0, 0, 0, 0
    for position in range(len(rounds.rounds)):
        steps = rounds.folds[position, :, NEEDED].max()
        if steps == 0:
            continue
        load = rounds.folds[position, :, LOAD].max()
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
        mean = -(-rounds.folds[position, :, NEEDED].sum() // rounds.rounds[position, PRESENT])
        run[BUSY] += mean
        run[IMBALANCE] += steps - mean
        run[BANK] += stream - steps
        run[_FOLDS] += 1
        longest = max(longest, steps)
    run[DRAIN] += held
    run[DURATION] = end
    run[_LAST], run[_HELD] = stream, held
    _finish(run, longest, machine)


@kernel
def _group(run: np.ndarray, rounds: Rounds, group: int, machine: Machine) -> None:
    """The rounds of one group that waits for nobody."""
    longest = 0
    for position in range(len(rounds.rounds)):
        own, repeat = rounds.folds[position, group], rounds.rounds[position, REPEAT]
        if own[STREAM] == 0 or repeat == 0:
            continue
        _append(run, repeat, own[STREAM], own[LOAD], machine)
        run[BUSY] += repeat * own[NEEDED]
        run[GATE] += repeat * (own[STREAM] - own[NEEDED])
        longest = max(longest, own[NEEDED])
    _finish(run, longest, machine)


@njit(cache=True)
def _free_groups(
    run: np.ndarray, rounds: Rounds, conflicts: bool, machine: Machine, scanner: Scanner
) -> None:
    """The rounds where each group goes through its own folds and waits at the end only."""
    total, free, present = 0, -machine.rows, 0
    own = np.zeros(RUN_FIELDS, np.int64)
    for group in range(rounds.folds.shape[1]):
        own[:] = 0
        _group(own, rounds, group, machine)
        total += own[BUSY]
        if own[DURATION] > 0:
            free = max(free, own[DURATION] + own[FREE])
        if own[DURATION] > run[DURATION]:
            run[:] = own
    if run[DURATION] == 0:
        return
    for position in range(len(rounds.rounds)):
        present = max(present, rounds.rounds[position, PRESENT])
    most = run[BUSY]
    run[BUSY] = min(-(-total // present), most)
    run[IMBALANCE] = most - run[BUSY]
    run[FREE] = free - run[DURATION]
    if conflicts:
        duration, free = banked_cycles(rounds, 0, len(rounds.rounds), True, 0, machine, scanner)
        run[BANK] = duration - run[DURATION]
        run[DURATION], run[FREE] = duration, free - duration


@njit(cache=True, inline="always")
def _finish(run: np.ndarray, longest: int, machine: Machine) -> None:
    if run[_FOLDS] == 0:
        return
    run[FREE] = machine.exit if machine.serial else -run[_LAST] - run[_HELD]
    if machine.dataflow == OS and not machine.serial:
        run[LEAD] = max(0, machine.rows - longest)


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
