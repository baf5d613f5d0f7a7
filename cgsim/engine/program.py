"""The program of a layer: its steps, their fields, and what each transfer of theirs moves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.dram.kernels import kernel
from cgsim.engine.machine import LAYER, Machine, Workload
from cgsim.engine.rounds import Slices, take
from cgsim.mapping.plan import Plan

TILE, CONDITIONAL, LAST, CHUNK, OUTPUTS = range(5)
WEIGHT_BYTES, ACTIVATION_BYTES, RESIDUAL_BYTES, STORE_BYTES = range(5, 17, 3)
VECTORS, ELEMENTS, STATIONARY, READS, SCANNED = range(17, 22)
RUN = 22
"""Fields of a step. A transfer has three: its bytes, then its pieces [first, end). The last step of a tile
has the residual operands and the store. VECTORS to SCANNED: what the array does (`cgsim.engine.activity`).
From RUN on, for each lane the fields of its run of rounds (`cgsim.engine.folds`)."""
ALL = 1 << 40


class Program(NamedTuple):
    """`steps` int64 [steps, RUN + lanes * RUN_FIELDS]; `pieces` int64 [>= used, 2] that they move."""

    steps: np.ndarray
    pieces: np.ndarray
    used: int


@njit(cache=True, inline="always")
def lanes_of(work: Workload, machine: Machine) -> int:
    """Clocks of a layer: one, or one per column group where groups wait only at the end of the layer."""
    return work.column_groups if machine.sync == LAYER else 1


@njit(cache=True, inline="always")
def size_in_bytes(values: int, bits: int) -> int:
    """Bytes of `values` packed values of `bits` bits."""
    return (values * bits + 7) // 8


@kernel
def tile_at(tile: int, plan: Plan) -> tuple[int, int]:
    """(pixel tile, channel tile) of tile number `tile` in execution order."""
    if plan.loop_order == 0:
        pixel_tiles = plan.pixels.shape[0]
        return tile % pixel_tiles, tile // pixel_tiles
    channel_tiles = plan.folds.shape[0]
    return tile // channel_tiles, tile % channel_tiles


@kernel
def chunks(phase: np.ndarray, slices: Slices, at_channels: int, plan: Plan, rows: int) -> int:
    """Steps that a phase of a tile takes: one, unless weights are streamed in chunks."""
    if len(phase) == 0:
        return 0
    if plan.loop_order != 1:
        return 1
    folds, _ = take(slices, phase, plan.channels[at_channels], rows, 0, ALL)
    return -(-folds // plan.chunk_folds)


@njit(cache=True, inline="always")
def row_folds(chunk: int, count: int, plan: Plan) -> tuple[int, int]:
    """Row folds [first, end) of a chunk; one that is not chunked takes all."""
    if count == 1:
        return 0, ALL
    return chunk * plan.chunk_folds, (chunk + 1) * plan.chunk_folds


@njit(cache=True, inline="always")
def patch_area(at_pixels: int, plan: Plan) -> int:
    """Input pixels that a pixel tile reads."""
    patch = plan.patch[at_pixels]
    return plan.samples[at_pixels] * (patch[1] - patch[0]) * (patch[3] - patch[2])
