"""What happened when: the events of one run of the pipeline, for the timeline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

KIND, TILE, START, END, LANE = range(5)
FIELDS = 5


class Journal(NamedTuple):
    """`events` int64 [capacity, FIELDS]: a metric of the pipeline, its tile, cycles [start, end), lane.

    `used` int64 [1] counts all, those that found no room too. No capacity: nothing is noted.
    """

    events: np.ndarray
    used: np.ndarray


def journal(capacity: int = 0) -> Journal:
    """Room for `capacity` events."""
    return Journal(np.zeros((capacity, FIELDS), np.int64), np.zeros(1, np.int64))


SILENT = journal()
"""Notes nothing."""


@njit(cache=True, inline="always")
def note(journal: Journal, kind: int, tile: int, start: int, end: int, lane: int = 0) -> None:
    """Note an event that takes time."""
    if len(journal.events) == 0 or end <= start:
        return
    at = journal.used[0]
    if at < len(journal.events):
        journal.events[at, KIND] = kind
        journal.events[at, TILE] = tile
        journal.events[at, START] = start
        journal.events[at, END] = end
        journal.events[at, LANE] = lane
    journal.used[0] = at + 1
