"""Tiles on the vector unit alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cgsim.engine import vector
from cgsim.engine.activity import FINISHED, OPERATIONS
from cgsim.engine.dram import Memory, memory
from cgsim.engine.journal import Journal
from cgsim.engine.listener import heard
from cgsim.engine.machine import machine
from cgsim.engine.metrics import METRICS
from cgsim.engine.replay import ACTIVE, DRAM, RESULTS
from cgsim.engine.vector import LOADED, run_vector
from cgsim.hardware import Hardware
from cgsim.mapping.layout import whole_regions


class Reads(NamedTuple):
    """Where in DRAM the operands of tiles lie, in bits.

    Tile i loads `pieces` int64 [n, 2] (first bit, bits) from `of[i]` to `of[i + 1]`; the tensor that they
    are part of ends before bit `end`.
    """

    pieces: np.ndarray
    of: np.ndarray
    end: int


def in_order(tiles: np.ndarray) -> Reads:
    """Operands that lie in DRAM in the order in which `tiles` load them."""
    bits = tiles[:, LOADED] * 8
    ends = np.cumsum(bits)
    return Reads(np.stack([ends - bits, bits], axis=1), np.arange(len(tiles) + 1), int(ends[-1]))


def on_vector_unit(
    tiles: np.ndarray, hardware: Hardware, what: str = "", reads: Reads | None = None, finished: int = 0
) -> np.ndarray:
    """Counts of `tiles` (`cgsim.mapping.vector`): int64 [RESULTS]. `what` they are part of, for timelines.

    `finished`: activations that they compute.
    Without `reads` operands lie as they are loaded. Results lie behind the operands, as they are stored.
    """
    own_reads = in_order(tiles) if reads is None else reads
    results = whole_regions(own_reads.end)

    def run(own: Memory, notes: Journal) -> np.ndarray:
        counts = np.zeros(RESULTS, np.int64)
        counts[ACTIVE + FINISHED] = finished
        counts[ACTIVE + OPERATIONS] = tiles[:, vector.OPERATIONS].sum()
        counts[:METRICS], counts[DRAM:ACTIVE] = run_vector(
            tiles, own_reads.pieces, own_reads.of, results, machine(hardware), own, notes
        )
        return counts

    return heard(run, memory(hardware), hardware, what)
