"""An operation mapped onto the accelerator: its slots, the tiling that takes the fewest cycles, its plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from cgsim.engine.columns import TENSORS
from cgsim.engine.dram import dram
from cgsim.engine.machine import machine, workload
from cgsim.engine.pipeline import CYCLES, METRICS
from cgsim.engine.replay import replay_dense, replay_gated
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.plan import Plan, plan
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import candidates, whole_layer

CANDIDATES = 24
"""Tilings tried per layer and mode, of those that fit the buffers the ones with the best estimate."""
TOLERANCE = 1.02
"""Chosen is the tiling with the least traffic among those within this factor of the fewest cycles.
Without it a layer would move many times the bytes to save a cycle."""


@dataclass(frozen=True)
class Calibration:
    """Gates of one sample, uint64 [1, N or 1, W], on which the tilings of a gated operation are tried.

    `key` names them (a trace's checksum): equal keys mean equal gates.
    """

    key: str
    gates: np.ndarray = field(compare=False)
    density: float = field(compare=False)


class Mapped:
    """An operation ready to replay on `hardware` with `groups` feeds, dense if there is no calibration."""

    def __init__(
        self, operation: Operation, hardware: Hardware, groups: int, calibration: Calibration | None = None
    ) -> None:
        """Choose the tiling; raises CgsimError if not even the smallest tile fits the buffers."""
        layer = operation.layer
        self.memory = dram(hardware)
        self.machine = machine(hardware)
        self.layout = slots(layer, hardware.array.cols, groups)
        self.work = workload(operation, self.layout, hardware.array.rows)
        widths = self.layout.end - self.layout.first
        self.slot_bits = np.ones_like(widths) if layer.gate == "pixel" else widths
        self.whole = plan(layer, self.layout, whole_layer(layer, self.layout, hardware.array.rows))

        density = 1.0 if calibration is None else calibration.density
        tried = candidates(layer, hardware, groups, density, operation.residuals, CANDIDATES)
        costs = [self._cost(plan(layer, self.layout, tiling), calibration) for tiling in tried]
        enough = min(cycles for cycles, _ in costs) * TOLERANCE
        _, _, best = min((bytes_, cycles, i) for i, (cycles, bytes_) in enumerate(costs) if cycles <= enough)
        self.tiling = tried[best]
        self.plan = plan(layer, self.layout, self.tiling)

    def _cost(self, trial: Plan, calibration: Calibration | None) -> tuple[int, int]:
        result = self.dense(trial) if calibration is None else self.gated(calibration.gates, trial)[0]
        return int(result[CYCLES]), int(result[METRICS - len(TENSORS) : METRICS].sum())

    def dense(self, tiles: Plan | None = None) -> np.ndarray:
        """Counts of the whole reduction for one sample: int64 [RESULTS]."""
        return replay_dense(tiles or self.plan, self.whole, self.work, self.machine, self.memory)

    def gated(self, gates: np.ndarray, tiles: Plan | None = None) -> np.ndarray:
        """Counts per sample under `gates`, uint64 [S, N or 1, W]: int64 [S, RESULTS]."""
        first, end = self.layout.first, self.layout.end
        return replay_gated(
            gates,
            first,
            end,
            self.slot_bits,
            tiles or self.plan,
            self.whole,
            self.work,
            self.machine,
            self.memory,
        )

    def describe(self) -> dict[str, Any]:
        """The tiling, for the report."""
        tiling = self.tiling
        return {
            "tile_rows": tiling.tile_rows,
            "tile_columns": tiling.tile_columns,
            "tile_channels": int(self.plan.channels[0, 1]),
            "pixel_tiles": len(self.plan.pixels),
            "channel_tiles": len(self.plan.folds),
            "loop_order": tiling.loop_order,
            "chunk_folds": tiling.chunk_folds,
            "interleaved": tiling.interleaved,
        }


@lru_cache(maxsize=4096)
def mapped(
    operation: Operation, hardware: Hardware, groups: int, calibration: Calibration | None = None
) -> Mapped:
    """`Mapped`, done once for all layers, runs and sweeps that repeat it."""
    return Mapped(operation, hardware, groups, calibration)
