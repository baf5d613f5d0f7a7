"""Off-chip memory as the pipeline sees it: transfers in order, and when the data of each are there."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.controller import controller, drain, finish, renew, serve
from cgsim.dram.controller_state import Controller
from cgsim.dram.counters import COUNTERS, TAGS
from cgsim.dram.kernels import integer, kernel
from cgsim.dram.settings import Config
from cgsim.engine.pieces import BITS, FIRST_BIT
from cgsim.hardware import Hardware

RATE_UNIT = 256
"""Bandwidths are whole multiples of 1 / RATE_UNIT bytes per cycle, so that cycles are exact."""
CHANNEL_FREE, PORT_FREE = range(2)
_LATENCY_PS = 60_000
"""About what a read takes in an idle DRAM."""
STORE_TAG = TAGS - 1
"""The tag of all stores, which nobody waits for."""


class Memory(NamedTuple):
    """DMA and DRAM.

    `rate` (in 1 / RATE_UNIT bytes per cycle; 0: command-level) and `latency` (cycles): `standard: ideal`.
    `port`: bytes per cycle into and out of the buffers, 0 unlimited. `burst`: bits of a burst, `requests`
    that the controller makes of it. `cycle`, `clock`: ps of a machine cycle and of a DRAM clock; `crossing`:
    cycles of the receiving clock. `whole_bursts`: 1 if it is these that take time with `rate`. `state` int64
    [2]: CHANNEL_FREE and PORT_FREE; `begun`, `through`, `bursts` int64 [TAGS]: when a transfer could begin,
    when it was through the buffers' port, and its bursts.
    """

    rate: int
    latency: int
    port: int
    burst: int
    requests: int
    cycle: int
    clock: int
    crossing: int
    whole_bursts: int
    controller: Controller
    state: np.ndarray
    begun: np.ndarray
    through: np.ndarray
    bursts: np.ndarray


def memory(hardware: Hardware, log_capacity: int = 0) -> Memory:
    """The memory of `hardware`, for the kernels; it logs up to `log_capacity` commands of a layer."""
    dram, dma, port = hardware.dram, hardware.dma, hardware.buffers.bytes_per_cycle
    ideal = dram.standard == "ideal"
    config = _UNUSED if ideal else dram.controller(dma)
    return Memory(
        round(hardware.dram_bytes_per_cycle * RATE_UNIT) if ideal else 0,
        dram.latency_cycles or 0,
        0 if port == "ideal" else int(port),
        dma.burst_bytes * 8,
        dma.burst_bytes // config.request_bytes,
        round(hardware.cycle_ns * 1000),
        config.tck_ps,
        dram.crossing_cycles,
        0,
        _unused() if ideal else controller(config, log_capacity),
        np.zeros(2, np.int64),
        np.zeros(TAGS, np.int64),
        np.zeros(TAGS, np.int64),
        np.zeros(TAGS, np.int64),
    )


_UNUSED = Config("DDR4-2400")


@lru_cache(maxsize=1)
def _unused() -> Controller:
    return controller(_UNUSED)


def peak_memory(hardware: Hardware) -> Memory:
    """A memory without state of the same peak bandwidth, which moves whole bursts: for estimates."""
    own = memory(hardware)
    latency = round(_LATENCY_PS / own.cycle) + 2 * own.crossing
    return own._replace(
        rate=round(hardware.dram_bytes_per_cycle * RATE_UNIT), latency=latency, whole_bursts=1
    )


@njit(cache=True)
def renewed(memory: Memory) -> Memory:
    """The same memory, idle, at cycle 0."""
    return Memory(
        memory.rate,
        memory.latency,
        memory.port,
        memory.burst,
        memory.requests,
        memory.cycle,
        memory.clock,
        memory.crossing,
        memory.whole_bursts,
        memory.controller if memory.rate else renew(memory.controller),
        np.zeros(2, np.int64),
        np.zeros(TAGS, np.int64),
        np.zeros(TAGS, np.int64),
        np.zeros(TAGS, np.int64),
    )


@kernel
def transfer(
    memory: Memory, pieces: np.ndarray, size: int, ready: int, write: bool, tag: int
) -> tuple[int, int]:
    """Move `size` bytes, `pieces` int64 [n, 2], behind all transfers before, not before cycle `ready`.

    Returns (the cycle at which a read's data are in the buffer, or a write's accepted by the memory; bursts).
    Where only the memory's further work will tell, the first is negative: ask `arrival`.
    """
    state = memory.state
    if memory.port:
        state[PORT_FREE] = max(state[PORT_FREE], ready) + -(-size // memory.port)
    memory.begun[tag] = max(ready, state[CHANNEL_FREE])
    memory.through[tag] = state[PORT_FREE]
    bursts, accepted = _ask(memory, pieces, write, tag, ready)
    memory.bursts[tag] = bursts
    if memory.rate == 0:
        state[CHANNEL_FREE] = _cycle(memory, accepted)
        if not write:
            return -1 - tag, bursts
        return max(state[CHANNEL_FREE], state[PORT_FREE]), bursts
    moved = bursts * memory.burst // 8 if memory.whole_bursts else size
    state[CHANNEL_FREE] = memory.begun[tag] + -(-moved * RATE_UNIT // memory.rate)
    there = state[CHANNEL_FREE] if write else state[CHANNEL_FREE] + memory.latency
    return max(there, state[PORT_FREE]), bursts


@kernel
def _ask(memory: Memory, pieces: np.ndarray, write: bool, tag: int, ready: int) -> tuple[int, int]:
    """Offer the bursts of a transfer: (bursts, DRAM clock at which the last is accepted)."""
    at = -(-ready * memory.cycle // memory.clock) + memory.crossing
    bursts, first, end, accepted = 0, 0, 0, 0
    for place in range(len(pieces) + 1):
        begin = stop = -1  # none: what is left is asked for
        if place < len(pieces):
            begin = pieces[place, FIRST_BIT] // memory.burst
            stop = (pieces[place, FIRST_BIT] + pieces[place, BITS] - 1) // memory.burst + 1
            if end - 1 <= begin <= end and end > first:  # a burst that was just asked for, or the next
                end = max(end, stop)
                continue
        if end > first:
            bursts += end - first
            if memory.rate == 0:
                size = memory.burst // 8 // memory.requests
                start, count = first * (memory.burst // 8), (end - first) * memory.requests
                accepted = serve(memory.controller, start, size, count, write, tag, at)
        first, end = begin, stop
    return bursts, accepted


@kernel
def _cycle(memory: Memory, clock: int) -> int:
    """The cycle at which the machine sees what happens at a DRAM clock."""
    return -(-clock * memory.clock // memory.cycle) + memory.crossing


@kernel
def arrival(memory: Memory, there: int) -> int:
    """The cycle that `transfer` promised."""
    if there >= 0:
        return there
    tag = -1 - there
    return max(_cycle(memory, finish(memory.controller, tag)), memory.through[tag])


@njit(cache=True)
def settle(memory: Memory, end: int) -> np.ndarray:
    """Let the memory finish and idle until cycle `end`; what it counted, int64 [COUNTERS]."""
    if memory.rate:
        return np.zeros(COUNTERS, np.int64)
    none, read = integer(0), end < 0
    serve(memory.controller, none, none, none, read, none, -(-end * memory.cycle // memory.clock))
    drain(memory.controller)
    return memory.controller.counts.copy()
