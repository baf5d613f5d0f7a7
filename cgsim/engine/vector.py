"""Layers of the vector unit: load, operate, store, tile by tile."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.engine.clocks import wait
from cgsim.engine.dram import STORE_TAG, Memory, arrival, renewed, settle, transfer
from cgsim.engine.events import UNIT
from cgsim.engine.journal import Journal, keep_commands, note, note_transfer
from cgsim.engine.machine import Machine
from cgsim.engine.metrics import (
    ACTIVATION_LOAD,
    ACTIVATIONS_READ,
    ACTIVATIONS_WRITE,
    CYCLES,
    METRICS,
    STORE,
    TENSOR_COUNT,
    VECTOR,
)

LOADED, OPERATIONS, STORED = range(3)
_TAGS = 8
"""More than there are parts of a buffer."""


@njit(cache=True)
def run_vector(
    tiles: np.ndarray,
    reads: np.ndarray,
    of: np.ndarray,
    results: int,
    machine: Machine,
    memory: Memory,
    journal: Journal,
) -> tuple[np.ndarray, np.ndarray]:
    """Execute `tiles`, int64 [tiles, 3] of bytes loaded, lane operations, bytes stored.

    Returns what `run_pipeline` does. A part of the buffer is loaded again only when the results of its last
    tile are stored. Tile i loads the pieces `reads` int64 [n, 2] from `of[i]` to `of[i + 1]`, int64
    [tiles + 1]; results lie from bit `results` on in the order in which they are stored.
    """
    out = np.zeros(METRICS, np.int64)
    memory = renewed(memory)
    ends = np.cumsum(tiles[:, STORED]) * 8 + results  # of the results of a tile, in bits
    there = np.zeros((3, len(tiles)), np.int64)
    piece = np.zeros((1, 2), np.int64)
    now = 0
    for turn in range(len(tiles) + machine.depth):
        tile = turn - machine.depth
        for field in (STORED, LOADED):
            if field == LOADED:
                tile = turn
            if not 0 <= tile < len(tiles):
                continue
            ready = there[STORED, tile - machine.depth] if field == LOADED and tile >= machine.depth else 0
            if field == STORED:
                now = ready = _execute(tiles, tile, now, there, machine, memory, journal, out)
            if field == STORED:
                piece[0, 1] = tiles[tile, STORED] * 8
                piece[0, 0] = ends[tile] - piece[0, 1]
                moved = piece
            else:
                moved = reads[of[tile] : of[tile + 1]]
            there[field, tile] = _transfer(tiles, tile, field, ready, moved, memory, journal, out)
    out[CYCLES] = wait(now, there[STORED, -1], STORE, out, journal, len(tiles) - 1, np.int64(0))
    counted = settle(memory, out[CYCLES])
    keep_commands(journal, memory.controller.log)
    return out, counted


@kernel
def _execute(
    tiles: np.ndarray,
    tile: int,
    now: int,
    there: np.ndarray,
    machine: Machine,
    memory: Memory,
    journal: Journal,
    out: np.ndarray,
) -> int:
    """Let the vector unit execute a tile as soon as its operands are there; when it is done."""
    arrived, size = arrival(memory, there[LOADED, tile]), tiles[tile, LOADED]
    if size:
        tag = tile % _TAGS
        note_transfer(journal, ACTIVATIONS_READ, tile, memory.begun[tag], arrived, size, memory.bursts[tag])
    now = wait(now, arrived, ACTIVATION_LOAD, out, journal, tile, np.int64(0))
    end = now + -(-tiles[tile, OPERATIONS] // machine.lanes)
    out[VECTOR] += end - now
    note(journal, VECTOR, tile, now, end, np.int64(0))
    note(journal, VECTOR, tile, now, end, np.int64(UNIT))
    return end


@kernel
def _transfer(
    tiles: np.ndarray,
    tile: int,
    field: int,
    ready: int,
    pieces: np.ndarray,
    memory: Memory,
    journal: Journal,
    out: np.ndarray,
) -> int:
    """Load or store a tile; when the data are there (see `transfer`)."""
    size = tiles[tile, field]
    if size == 0:
        return ready
    write = field == STORED
    metric, tag = ACTIVATIONS_WRITE if write else ACTIVATIONS_READ, STORE_TAG if write else tile % _TAGS
    there, bursts = transfer(memory, pieces, size, ready, write, tag)
    out[metric] += size
    out[metric + TENSOR_COUNT] += bursts
    if write:
        note_transfer(journal, metric, tile, memory.begun[tag], there, size, bursts)
    return there
