"""Off-chip memory as the pipeline sees it: requests in order, and when the data of each are there."""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

from cgsim.hardware import Hardware

RATE_UNIT = 256
"""Bandwidths are whole multiples of 1 / RATE_UNIT bytes per cycle, so that cycles are exact."""


class Dram(NamedTuple):
    """`standard: ideal`: fixed bandwidth (in 1 / RATE_UNIT bytes per cycle) and latency (cycles)."""

    rate: int
    latency: int


def dram(hardware: Hardware) -> Dram:
    """The memory of `hardware`, for the kernels."""
    return Dram(round(hardware.dram.bytes_per_cycle * RATE_UNIT), hardware.dram.latency_cycles)


@njit(cache=True, inline="always")
def transfer(memory: Dram, free: int, ready: int, size: int, write: bool) -> tuple[int, int]:
    """One request of `size` bytes, offered at cycle `ready` to a channel that is busy until `free`.

    Returns (cycle at which the channel is free again, cycle at which the data are in the buffer or,
    for a write, accepted by the memory). Latency overlaps with the requests that follow.
    """
    end = max(free, ready) + -(-size * RATE_UNIT // memory.rate)
    return end, end if write else end + memory.latency
