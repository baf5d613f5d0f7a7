"""Layers of the vector unit: load, operate, store, tile by tile."""

from __future__ import annotations

import numpy as np
from numba import njit

from cgsim.engine.dram import Dram, transfer
from cgsim.engine.machine import Machine
from cgsim.engine.pipeline import (
    ACTIVATION_LOAD,
    ACTIVATIONS_READ,
    ACTIVATIONS_WRITE,
    CYCLES,
    METRICS,
    STORE,
    VECTOR,
)


@njit(cache=True)
def run_vector(tiles: np.ndarray, machine: Machine, memory: Dram) -> np.ndarray:
    """Execute `tiles`, int64 [tiles, 3] of bytes loaded, lane operations, bytes stored: int64 [METRICS].

    A part of the buffer is loaded again only when the results of its last tile are stored.
    """
    out = np.zeros(METRICS, np.int64)
    done = np.zeros(len(tiles), np.int64)
    store_done = np.zeros(len(tiles), np.int64)
    channel_free, now, stored = 0, 0, 0
    for tile in range(len(tiles)):
        free = 0
        while stored <= tile - machine.depth:
            channel_free, store_done[stored] = transfer(
                memory, channel_free, done[stored], tiles[stored, 2], True
            )
            stored += 1
        if tile >= machine.depth:
            free = store_done[tile - machine.depth]
        channel_free, there = transfer(memory, channel_free, free, tiles[tile, 0], False)
        if there > now:
            out[ACTIVATION_LOAD] += there - now
            now = there
        work = -(-tiles[tile, 1] // machine.lanes)
        out[VECTOR] += work
        now += work
        done[tile] = now
        out[ACTIVATIONS_READ] += tiles[tile, 0]
        out[ACTIVATIONS_WRITE] += tiles[tile, 2]
    while stored < len(tiles):
        channel_free, store_done[stored] = transfer(
            memory, channel_free, done[stored], tiles[stored, 2], True
        )
        stored += 1
    out[CYCLES] = max(now, store_done[-1])
    out[STORE] += out[CYCLES] - now
    return out
