"""Layers of the vector unit: load, operate, store, tile by tile."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.engine.dram import Memory, arrival, renewed, settle, transfer
from cgsim.engine.journal import Journal, note
from cgsim.engine.machine import Machine
from cgsim.engine.pipeline import (
    ACTIVATION_LOAD,
    ACTIVATIONS_READ,
    ACTIVATIONS_WRITE,
    CYCLES,
    METRICS,
    STORE,
    TENSOR_COUNT,
    VECTOR,
)
from cgsim.mapping.layout import REGION_BITS

LOADED, OPERATIONS, STORED = range(3)

@njit(cache=True)
def run_vector(
    tiles: np.ndarray, machine: Machine, memory: Memory, journal: Journal
) -> tuple[np.ndarray, np.ndarray]:
    """Execute `tiles`, int64 [tiles, 3] of bytes loaded, lane operations, bytes stored.

    Returns what `run_pipeline` does. A part of the buffer is loaded again only when the results of its last
    tile are stored. Operands lie in DRAM in the order in which they are loaded, results behind them likewise.
    """
    out = np.zeros(METRICS, np.int64)
    memory = renewed(memory)
    done = np.zeros(len(tiles), np.int64)
    there = np.zeros(len(tiles), np.int64)
    store_done = np.zeros(len(tiles), np.int64)
    loads = np.cumsum(tiles[:, LOADED]) * 8
    outputs = -(-loads[-1] // REGION_BITS) * REGION_BITS
    stores = np.cumsum(tiles[:, STORED]) * 8 + outputs
    now, computed, stored = 0, 0, 0
    for turn in range(len(tiles) + machine.depth):
        while stored <= turn - machine.depth:
            while computed <= stored:
                arrived = arrival(memory, there[computed])
                note(journal, ACTIVATIONS_READ, computed, memory.begun[computed % _TAGS], arrived)
                note(journal, ACTIVATION_LOAD, computed, now, arrived)
                out[ACTIVATION_LOAD] += max(0, arrived - now)
                now = max(now, arrived)
                work = -(-tiles[computed, OPERATIONS] // machine.lanes)
                note(journal, VECTOR, computed, now, now + work)
                out[VECTOR] += work
                now += work
                done[computed] = now
                computed += 1
            store_done[stored], bursts = _move(
                memory, stores, tiles[stored, STORED], stored, done[stored], True
            )
            note(journal, ACTIVATIONS_WRITE, stored, memory.begun[-1], store_done[stored])
            out[ACTIVATIONS_WRITE] += tiles[stored, STORED]
            out[ACTIVATIONS_WRITE + TENSOR_COUNT] += bursts
            stored += 1
        if turn < len(tiles):
            free = store_done[turn - machine.depth] if turn >= machine.depth else 0
            there[turn], bursts = _move(memory, loads, tiles[turn, LOADED], turn, free, False)
            out[ACTIVATIONS_READ] += tiles[turn, LOADED]
            out[ACTIVATIONS_READ + TENSOR_COUNT] += bursts
    out[CYCLES] = max(now, store_done[-1])
    note(journal, STORE, len(tiles) - 1, now, out[CYCLES])
    out[STORE] += out[CYCLES] - now
    return out, settle(memory, out[CYCLES])


_TAGS = 8
"""More than there are parts of a buffer."""


@njit(cache=True)
def _move(memory: Memory, ends: np.ndarray, size: int, tile: int, ready: int, write: bool) -> tuple[int, int]:
    if size == 0:
        return ready, 0
    piece = np.array([[ends[tile] - size * 8, size * 8]])
    return transfer(memory, piece, size, ready, write, -1 if write else tile % _TAGS)
