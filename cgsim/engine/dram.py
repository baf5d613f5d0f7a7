"""Off-chip memory as the pipeline sees it: transfers in order, and when the data of each are there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.counters import COUNTERS, TAGS
from cgsim.engine.pieces import BITS, FIRST_BIT
from cgsim.hardware import Hardware

RATE_UNIT = 256
"""Bandwidths are whole multiples of 1 / RATE_UNIT bytes per cycle, so that cycles are exact."""
CHANNEL_FREE, PORT_FREE = range(2)


class Memory(NamedTuple):
    """DMA and DRAM.

    `rate` (in 1 / RATE_UNIT bytes per cycle, 0 otherwise) and `latency` (cycles): `standard: ideal`. `port`: bytes per
    cycle into and out of the buffers, 0 unlimited. `burst`: bits of a burst. `state` int64 [2]: CHANNEL_FREE and
    PORT_FREE; `begun`, `through` int64 [TAGS]: when a transfer began, and was through the buffers' port.
    """

    rate: int
    latency: int
    port: int
    burst: int
    state: np.ndarray
    begun: np.ndarray
    through: np.ndarray


def memory(hardware: Hardware) -> Memory:
    """The memory of `hardware`, for the kernels."""
    port = hardware.buffers.bytes_per_cycle
    dram = hardware.dram
    ideal = dram.standard == "ideal"
    return Memory(
        round(hardware.dram_bytes_per_cycle * RATE_UNIT) if ideal else 0,
        dram.latency_cycles or 0,
        0 if port == "ideal" else int(port),
        hardware.dma.burst_bytes * 8,
        np.zeros(2, np.int64),
        np.zeros(TAGS, np.int64),
        np.zeros(TAGS, np.int64),
    )


@njit(cache=True)
def renewed(memory: Memory) -> Memory:
    """The same memory, idle, at cycle 0."""
    return Memory(
        memory.rate,
        memory.latency,
        memory.port,
        memory.burst,
        np.zeros(2, np.int64),
        np.zeros(TAGS, np.int64),
        np.zeros(TAGS, np.int64),
    )


@njit(cache=True)
def transfer(
    memory: Memory, pieces: np.ndarray, size: int, ready: int, write: bool, tag: int
) -> tuple[int, int]:
    """Move `size` bytes, `pieces` int64 [n, 2], behind all transfers before, not before cycle `ready`.

    Returns (the cycle at which a read's data are in the buffer, or a write's accepted by the memory; bursts).
    Where only the memory's further work will tell, the first is negative: ask `arrival`.
    """
    bursts, last = 0, -1
    for place in range(len(pieces)):
        first = pieces[place, FIRST_BIT] // memory.burst
        end = (pieces[place, FIRST_BIT] + pieces[place, BITS] - 1) // memory.burst + 1
        bursts += end - max(first, last + 1) if end > last else 0
        last = end - 1
    state = memory.state
    memory.begun[tag] = max(state[CHANNEL_FREE], ready)
    state[CHANNEL_FREE] = memory.begun[tag] + -(-size * RATE_UNIT // memory.rate)
    there = state[CHANNEL_FREE] if write else state[CHANNEL_FREE] + memory.latency
    if memory.port:
        state[PORT_FREE] = max(state[PORT_FREE], ready) + -(-size // memory.port)
        there = max(there, state[PORT_FREE])
    return there, bursts


@njit(cache=True)
def arrival(memory: Memory, there: int) -> int:
    """The cycle that `transfer` promised."""
    return there


@njit(cache=True)
def settle(memory: Memory, end: int) -> np.ndarray:
    """Let the memory finish and idle until cycle `end`; what it counted, int64 [COUNTERS]."""
    return np.zeros(COUNTERS, np.int64)


def dram_energy(counts: np.ndarray, hardware: Hardware) -> np.ndarray:
    """Energy of the DRAM devices in nJ, float [n], from what the memory counted, int64 [n, COUNTERS]."""
    return np.zeros(len(counts))
