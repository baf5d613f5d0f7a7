"""Tiles on the vector unit alone."""

from __future__ import annotations

import numpy as np

from cgsim.engine.dram import Memory, memory
from cgsim.engine.journal import Journal
from cgsim.engine.listener import heard
from cgsim.engine.machine import machine
from cgsim.engine.metrics import METRICS
from cgsim.engine.replay import DRAM, RESULTS
from cgsim.engine.vector import run_vector
from cgsim.hardware import Hardware


def on_vector_unit(tiles: np.ndarray, hardware: Hardware, what: str = "") -> np.ndarray:
    """Counts of `tiles` (`cgsim.mapping.vector`): int64 [RESULTS]. `what` they are part of, for timelines."""

    def run(own: Memory, notes: Journal) -> np.ndarray:
        counts = np.zeros(RESULTS, np.int64)
        counts[:METRICS], counts[DRAM:] = run_vector(tiles, machine(hardware), own, notes)
        return counts

    return heard(run, memory(hardware), hardware, what)
