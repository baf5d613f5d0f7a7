"""Feeds that share the banks of the activation buffer, cycle by cycle (docs/machine-model.md, Gate unit)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.engine.bits import count_range
from cgsim.engine.machine import OS, WS, Machine
from cgsim.engine.rounds import LOAD, NEEDED, REPEAT, ROW, WORD, Rounds
from cgsim.engine.scan import Scanner


@njit(cache=True)
def banked_cycles(
    rounds: Rounds, begin: int, stop: int, repeated: bool, busy: int, machine: Machine, scanner: Scanner
) -> tuple[int, int]:
    """Rounds [begin, stop), each group for itself: (cycles to the last vector, cycle of the next load).

    Each round once, or with `repeated` as often as it is run. `os`: the drain chains are `busy` at first.
    """
    scanned = len(rounds.words) > 0 and machine.dataflow == WS
    groups = rounds.folds.shape[1]
    position = np.full(groups, begin, np.int64)
    again = np.zeros(groups, np.int64)  # repeats of the position that are done
    start = np.zeros(groups, np.int64)  # of the fold; before it, its operands are written
    chain = np.full(groups, busy, np.int64)  # when the drain chain takes the next results
    gone = np.zeros(groups, np.int64)  # vectors of the fold that have entered
    index = np.zeros(groups, np.int64)  # next candidate to look for, of the fold
    window = np.zeros(groups, np.int64)  # first candidate of the scanner's window
    known = np.zeros(groups, np.int64)  # cycle in which the window is known
    pending = np.full(
        groups, -1, np.int64
    )  # needed candidates of the window not pushed yet; -1: not known yet
    queued = np.zeros(groups, np.int64)
    taken = np.full((machine.banks, 3), -1, np.int64)  # cycle, word, index
    running = 0
    for group in range(groups):
        _skip(rounds, position, group, stop)
        if position[group] < stop:
            running += 1
            if repeated:  # a single round starts when all have loaded
                start[group] = max(0, rounds.folds[position[group], group, LOAD] - machine.rows)
            known[group] = start[group] + scanner.window_cycles - 1
    now, last, free = 0, 0, 0
    while running:
        for group in range(groups):
            at = position[group]
            if at >= stop or now < start[group]:
                continue
            if scanned:
                _scan(
                    rounds, rounds.folds[at, group, ROW], group, now, scanner, window, known, pending, queued
                )
                if queued[group] == 0:
                    continue
                wanted = (
                    _next(rounds.words[rounds.folds[at, group, ROW]], rounds.first + index[group])
                    - rounds.first
                )
            else:
                wanted = index[group]
            ends = gone[group] + 1 == rounds.folds[at, group, NEEDED]
            if ends and machine.dataflow == OS and not machine.serial and now + 1 < chain[group]:
                continue
            bank, word = wanted % machine.banks, rounds.folds[at, group, WORD] + again[group] * (1 << 32)
            if taken[bank, 0] == now and (taken[bank, 1] != word or taken[bank, 2] != wanted):
                continue
            taken[bank, 0], taken[bank, 1], taken[bank, 2] = now, word, wanted
            gone[group] += 1
            index[group] = wanted + 1
            queued[group] -= 1
            if not ends:
                continue
            last = max(last, now + 1)
            free = max(free, now + 1 + machine.exit if machine.serial else start[group])
            chain[group] = now + 1 + machine.rows
            again[group] += 1
            if not repeated or again[group] == rounds.rounds[at, REPEAT]:
                again[group] = 0
                position[group] += 1
                _skip(rounds, position, group, stop)
            if position[group] == stop:
                running -= 1
                continue
            load = rounds.folds[position[group], group, LOAD]
            start[group] = (
                now + 1 + machine.exit + load if machine.serial else max(now + 1, start[group] + load)
            )
            gone[group] = index[group] = window[group] = queued[group] = 0
            known[group] = start[group] + scanner.window_cycles - 1
            pending[group] = -1
        now += 1
    return last, free


@kernel
def _skip(rounds: Rounds, position: np.ndarray, group: int, stop: int) -> None:
    while position[group] < stop and (
        rounds.folds[position[group], group, NEEDED] == 0 or rounds.rounds[position[group], REPEAT] == 0
    ):
        position[group] += 1


@kernel
def _scan(
    rounds: Rounds,
    row: int,
    group: int,
    now: int,
    scanner: Scanner,
    window: np.ndarray,
    known: np.ndarray,
    pending: np.ndarray,
    queued: np.ndarray,
) -> None:
    """One cycle of a group's scanner: push what its window holds and the FIFO takes."""
    first = rounds.first + window[group]
    if first >= rounds.end or now < known[group]:
        return
    if pending[group] < 0:
        end = min(first + scanner.window, rounds.end)
        pending[group] = count_range(rounds.words[row], first, end)
    pushed = min(pending[group], scanner.depth - queued[group])
    queued[group] += pushed
    pending[group] -= pushed
    if pending[group] == 0:
        window[group] += scanner.window
        known[group] = now + scanner.window_cycles
        pending[group] = -1


@kernel
def _next(words: np.ndarray, position: int) -> int:
    """The first set bit at or after `position`; there is one."""
    while not (words[position >> 6] >> np.uint64(position & 63)) & np.uint64(1):
        position += 1
    return position
