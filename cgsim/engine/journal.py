"""What happened when: the events of one run of the pipeline, for the timeline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.engine.events import (
    AMOUNTS,
    BURSTS_MOVED,
    BYTES_MOVED,
    COMMAND_FIELDS,
    END,
    FIELDS,
    KIND,
    LANE,
    START,
    TILE,
)
from cgsim.engine.folds import BANK, BUSY, DRAIN, GATE, IMBALANCE, WEIGHTS


class Journal(NamedTuple):
    """`events` int64 [capacity, FIELDS] (`cgsim.engine.events`), `commands` int64 [capacity, COMMAND_FIELDS].

    `used` int64 [1] counts all events, those that found no room too. No capacity: nothing is noted.
    `commands` receives the DRAM's command log, if its memory keeps one of that length.
    """

    events: np.ndarray
    used: np.ndarray
    commands: np.ndarray


def journal(events: int = 0, commands: int = 0) -> Journal:
    """Room for so many events, and for so many commands of the DRAM."""
    return Journal(
        np.zeros((events, FIELDS), np.int64),
        np.zeros(1, np.int64),
        np.zeros((commands, COMMAND_FIELDS), np.int64),
    )


SILENT = journal()
"""Notes nothing."""


@kernel
def note(journal: Journal, kind: int, tile: int, start: int, end: int, lane: int) -> int:
    """Note an event that takes time; its place among the events, -1 if it has none."""
    if len(journal.events) == 0 or end <= start:
        return -1
    at = journal.used[0]
    journal.used[0] = at + 1
    if at >= len(journal.events):
        return -1
    journal.events[at, KIND] = kind
    journal.events[at, TILE] = tile
    journal.events[at, START] = start
    journal.events[at, END] = end
    journal.events[at, LANE] = lane
    return at


@kernel
def note_transfer(
    journal: Journal, kind: int, tile: int, start: int, end: int, size: int, bursts: int
) -> None:
    """Note a transfer of `size` bytes."""
    at = note(journal, kind, tile, start, end, np.int64(0))
    if at >= 0:
        journal.events[at, BYTES_MOVED] = size
        journal.events[at, BURSTS_MOVED] = bursts


@kernel
def note_split(journal: Journal, at: int, run: np.ndarray) -> None:
    """Say what the time of the phase noted at place `at` went to: that of a run of rounds."""
    if at >= 0:
        for index, field in enumerate((BUSY, WEIGHTS, DRAIN, GATE, BANK, IMBALANCE)):
            journal.events[at, AMOUNTS + index] = run[field]


@njit(cache=True)
def keep_commands(journal: Journal, log: np.ndarray) -> None:
    """Keep the DRAM's command log."""
    if len(journal.commands) > 0:
        journal.commands[:] = log


@njit(cache=True)
def silent() -> Journal:
    """A journal that notes nothing."""
    return Journal(
        np.zeros((0, FIELDS), np.int64), np.zeros(1, np.int64), np.zeros((0, COMMAND_FIELDS), np.int64)
    )
