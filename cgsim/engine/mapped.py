"""An operation mapped onto the accelerator: its slots, the tiling that takes the fewest cycles, its plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from cgsim.engine.bits import join
from cgsim.engine.dram import memory
from cgsim.engine.listener import heard, unheard
from cgsim.engine.machine import machine, workload
from cgsim.engine.metrics import BYTES, CYCLES
from cgsim.engine.replay import replay_dense, replay_gated
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.plan import Plan, plan
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import Tiling, candidates, whole_layer

CANDIDATES = 24
"""Tilings tried per layer and mode, of those that fit the buffers the ones with the best estimate."""
TOLERANCE = 1.02
"""Chosen is the tiling with the least traffic among those within this factor of the fewest cycles.
Without it a layer would move many times the bytes to save a cycle."""


@dataclass(frozen=True)
class Calibration:
    """Gates of one batch, on which the tilings of a gated operation are tried.

    `gates` uint64 [1, samples, N or 1, W]. `key` names them (a trace's checksum): equal keys mean equal
    gates.
    """

    key: str
    gates: np.ndarray = field(compare=False)
    density: float = field(compare=False)


class Mapped:
    """An operation ready to replay on `hardware` with `groups` feeds, dense if there is no calibration."""

    def __init__(
        self,
        operation: Operation,
        hardware: Hardware,
        groups: int,
        calibration: Calibration | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        """Choose the tiling (or take the one given); raises CgsimError if not even the smallest tile fits."""
        layer = operation.layer
        self.operation, self.hardware = operation, hardware
        self.memory = memory(hardware)
        self.machine = machine(hardware)
        self.layout = slots(layer, hardware.array.cols, groups)
        self.work = workload(operation, self.layout, hardware)
        self._plans: dict[tuple[Tiling, int], Plan] = {}
        with unheard():
            self.tiling = tiling or self._choose(calibration)

    def _choose(self, calibration: Calibration | None) -> Tiling:
        density = 1.0 if calibration is None else calibration.density
        layer, residuals = self.operation.layer, self.operation.residuals
        tried = candidates(layer, self.hardware, self.layout.groups, density, residuals, CANDIDATES)
        costs = [self._cost(tiling, calibration) for tiling in tried]
        enough = min(cycles for cycles, _ in costs) * TOLERANCE
        _, _, best = min((bytes_, cycles, i) for i, (cycles, bytes_) in enumerate(costs) if cycles <= enough)
        return tried[best]

    def _cost(self, tiling: Tiling, calibration: Calibration | None) -> tuple[int, int]:
        if calibration is None:
            result = self.dense(self.hardware.mapping.batch, tiling)
        else:
            result = self.gated(calibration.gates, tiling)[0]
        return int(result[CYCLES]), int(result[BYTES].sum())

    def _plan(self, tiling: Tiling, batch: int) -> Plan:
        key = (tiling, batch)
        if key not in self._plans:
            cuts = self.operation.output_cuts
            self._plans[key] = plan(
                self.operation.layer,
                self.layout,
                tiling,
                self.hardware,
                batch,
                cuts,
                self.operation.residuals,
            )
        return self._plans[key]

    def _whole(self, batch: int) -> Plan:
        return self._plan(whole_layer(self.operation.layer, self.layout, batch), batch)

    def dense(self, batch: int = 1, tiling: Tiling | None = None) -> np.ndarray:
        """Counts of the whole reduction for one batch of samples: int64 [RESULTS]."""
        tiles, whole = self._plan(tiling or self.tiling, batch), self._whole(batch)
        return heard(
            lambda memory, notes: replay_dense(tiles, whole, self.work, self.machine, memory, notes),
            self.memory,
            self.hardware,
        )

    def gated(self, gates: np.ndarray, tiling: Tiling | None = None) -> np.ndarray:
        """Counts per batch under `gates`, uint64 [batches, samples, N or 1, W]: int64 [batches, RESULTS]."""
        batch = gates.shape[1]
        joined = (
            np.stack([join(one, self.operation.layer.pixels) for one in gates]) if batch > 1 else gates[:, 0]
        )
        first, end = self.layout.first, self.layout.end
        tiles, whole = self._plan(tiling or self.tiling, batch), self._whole(batch)
        return heard(
            lambda memory, notes: replay_gated(
                joined, first, end, tiles, whole, self.work, self.machine, memory, notes
            ),
            self.memory,
            self.hardware,
        )

    def describe(self) -> dict[str, Any]:
        """The tiling, for the report."""
        tiling, batch = self.tiling, self.hardware.mapping.batch
        tiles = self._plan(tiling, batch)
        return {
            "tile_samples": tiling.tile_samples,
            "tile_rows": tiling.tile_rows,
            "tile_columns": tiling.tile_columns,
            "tile_channels": int(tiles.channels[0, 1]),
            "pixel_tiles": len(tiles.pixels),
            "channel_tiles": len(tiles.folds),
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
