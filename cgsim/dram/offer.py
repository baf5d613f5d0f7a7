"""Offers runs to a controller, one function for each policy: Numba calls no function that it is handed."""

from __future__ import annotations

from numba import njit

from cgsim.dram import controller, dramsim, ramulator


@njit(cache=True)
def default(c, first, step, length, write):  # type: ignore[no-untyped-def]
    """Offer runs to the default policy."""
    for i in range(len(first)):
        controller.serve(c, first[i], step[i], length[i], write[i] == 1, -1, 0)


@njit(cache=True)
def ramulator2(c, first, step, length, write):  # type: ignore[no-untyped-def]
    """Offer runs to Ramulator 2.1's policy."""
    for i in range(len(first)):
        ramulator.serve(c, first[i], step[i], length[i], write[i], -1, 0)


@njit(cache=True)
def dramsim3(c, first, step, length, write):  # type: ignore[no-untyped-def]
    """Offer runs to DRAMsim3's policy."""
    for i in range(len(first)):
        dramsim.serve(c, first[i], step[i], length[i], write[i], -1, 0)
