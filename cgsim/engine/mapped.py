"""An operation mapped onto the accelerator: its slots, the tiling that suits the objective, its plans."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from cgsim.engine.bits import join
from cgsim.engine.dram import Memory, memory, peak_memory
from cgsim.engine.listener import heard
from cgsim.engine.machine import machine, workload
from cgsim.engine.replay import replay_dense, replay_gated
from cgsim.engine.search import Search
from cgsim.engine.trial import Trial
from cgsim.errors import CgsimError
from cgsim.hardware import Costs, Engines, Fpga, Hardware, Host
from cgsim.mapping.bounds import Bounds
from cgsim.mapping.candidates import candidates
from cgsim.mapping.estimate import estimate
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.plan import Plan, plan
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import Tiling, Tilings, whole_layer

BUDGET = 10_000
"""Effort of a search per sample of a batch: steps of programs (and bursts, on a command-level DRAM)."""

FAVOURITES, NEAR = 12, 1.05
"""How many tilings are tried first, twice; estimates within this factor are near each other."""

FINALISTS = 6
"""Tilings that are run on a command-level DRAM, the best on a memory of its peak bandwidth."""


@dataclass(frozen=True)
class Calibration:
    """Gates of one batch, on which the tilings of a gated operation are tried.

    `gates` uint64 [1, samples, N or 1, W], channels in the order in which they fill the columns. `key` names
    them; equal gates are equal calibrations.
    """

    key: str = field(compare=False)
    gates: np.ndarray = field(compare=False)
    density: float = field(compare=False)
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        found = hashlib.blake2b(np.ascontiguousarray(self.gates).tobytes(), digest_size=16)
        found.update(repr(self.gates.shape).encode())
        object.__setattr__(self, "digest", found.digest())


class Mapped:
    """An operation ready to replay on `hardware` with `groups` feeds, dense if there is no calibration."""

    def __init__(
        self,
        operation: Operation,
        hardware: Hardware,
        groups: int,
        calibration: Calibration | None = None,
        tiling: Tiling | None = None,
        residency: Residency = NOTHING_KEPT,
    ) -> None:
        """Choose the tiling (or take the one given); raises CgsimError if nothing fits."""
        layer = operation.layer
        self.operation, self.hardware, self.residency = operation, hardware, residency
        self.memory = memory(hardware)
        self.machine = machine(hardware)
        self.layout = slots(layer, hardware.array.cols, groups)
        self.work = workload(operation, self.layout, hardware, residency)
        self._plans: dict[tuple[Tiling, int], Plan] = {}
        self.tiling = tiling or self._choose(calibration)

    def _choose(self, calibration: Calibration | None) -> Tiling:
        """The best tiling.

        Where a command-level DRAM would take too long with all candidates, it runs the best few of those
        tried on a memory of its peak bandwidth.
        """
        objective = self.hardware.mapping.objective
        found, search = self.search(calibration)
        if self.hardware.dram.standard == "ideal" or search.affordable:
            return found.tiling(search.best(objective, self.favourites(found, calibration)))
        _, proxy = self.search(calibration, memory=peak_memory(self.hardware))
        proxy.best(objective, self.favourites(found, calibration))
        return found.tiling(search.best_of(objective, proxy.leaders(FINALISTS)))

    def favourites(self, found: Tilings, calibration: Calibration | None) -> list[int]:
        """Tilings to try before all others."""
        density = 1.0 if calibration is None else calibration.density
        batch = self.hardware.mapping.batch
        return leading(*estimate(self.operation.layer, self.layout, self.hardware, found, density, batch))

    def search(
        self, calibration: Calibration | None, budget: int = BUDGET, memory: Memory | None = None
    ) -> tuple[Tilings, Search]:
        """All tilings that fit, and the search for the best of them; raises CgsimError if there is none.

        They run on `memory`, if it is given, in place of that of the hardware.
        """
        layer, residuals, kept = self.operation.layer, self.operation.residuals, self.residency
        hardware = self.hardware
        batch, gates = hardware.mapping.batch, None
        if calibration is not None:
            batch, gates = calibration.gates.shape[1], join(calibration.gates[0], layer.pixels)
        found = candidates(layer, self.layout, hardware, residuals, kept)
        if not len(found):
            raise CgsimError(f"hardware {hardware.name!r}: no tile of layer {layer.name!r} fits the buffers")
        trial = Trial(self.layout, self.work, self.machine, memory or self.memory, gates)
        least = Bounds(layer, self.layout, hardware, found, residuals, batch, trial.late(), kept)

        def cost(index: int) -> tuple[int, int]:
            return trial.cost(self._spell_out(found.tiling(index), batch))

        effort = least.steps
        if hardware.dram.standard != "ideal" and memory is None:
            effort = effort + least.bytes // hardware.dma.burst_bytes
        return found, Search(least.cycles, least.bytes, effort, budget * batch, cost)

    def _plan(self, tiling: Tiling, batch: int) -> Plan:
        key = (tiling, batch)
        if key not in self._plans:
            self._plans[key] = self._spell_out(tiling, batch)
        return self._plans[key]

    def _spell_out(self, tiling: Tiling, batch: int) -> Plan:
        own = self.operation
        return plan(
            own.layer,
            self.layout,
            tiling,
            self.hardware,
            batch,
            own.output_cuts,
            own.residuals,
            own.result_channels,
        )

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


def mapped(
    operation: Operation,
    hardware: Hardware,
    groups: int,
    calibration: Calibration | None = None,
    residency: Residency = NOTHING_KEPT,
) -> Mapped:
    """`Mapped`, done once for all layers, runs and sweeps in which nothing differs that matters to it."""
    layer = replace(operation.layer, name="", producers=(), gate_network_macs=0)
    same = replace(operation, layer=layer, fused=())
    return _mapped(same, essential(hardware, calibration is not None), groups, calibration, residency)


@lru_cache(maxsize=4096)
def _mapped(
    operation: Operation,
    hardware: Hardware,
    groups: int,
    calibration: Calibration | None,
    residency: Residency,
) -> Mapped:
    return Mapped(operation, hardware, groups, calibration, residency=residency)


def leading(cycles: np.ndarray, bytes_: np.ndarray) -> list[int]:
    """Tilings to try before all others, by estimates: of least cycles, and of least bytes near them."""
    fast = np.argsort(cycles, kind="stable")
    near = fast[cycles[fast] <= cycles[fast[0]] * NEAR]
    frugal = near[np.argsort(bytes_[near], kind="stable")]
    return list(dict.fromkeys([*fast[:FAVOURITES].tolist(), *frugal[:FAVOURITES].tolist()]))


def forget() -> None:
    """Search anew from now on."""
    _mapped.cache_clear()


def dense_of(hardware: Hardware) -> Hardware:
    """`hardware` as far as the dense network depends on it."""
    return essential(hardware, gated=False)


def essential(hardware: Hardware, gated: bool) -> Hardware:
    """`hardware` with everything levelled that no mapping, gated or dense, depends on."""
    buffers: dict[str, Any] = {"keep_on_chip": False}
    dma: dict[str, Any] = {}
    options: dict[str, Any] = {"channel_order": "natural"}
    changes: dict[str, Any] = {"name": "any", "description": "", "style": "asic", "technology": None}
    if hardware.dram.standard == "ideal":
        changes["clock_mhz"] = 1000.0
        dma["max_outstanding"] = 1
    if not gated or hardware.array.dataflow != "is":
        options["pixel_order"] = "raster"
    if not gated:
        unit = {"enabled": True, "group_sync": "fold", "scan_bits_per_cycle": 1, "compare_latency": 0}
        changes["gate_unit"] = hardware.gate_unit.model_copy(
            update={**unit, "fifo_depth": 1, "activation_banks": "ideal"}
        )
        changes["array"] = hardware.array.model_copy(update={"column_groups": 1})
        buffers["gate_kib"] = 1.0
        dma["conditional_fetch"] = "eager"
    changes |= {"fpga": Fpga(), "engines": Engines(), "host": Host(), "costs": Costs()}
    changes["buffers"] = hardware.buffers.model_copy(update=buffers)
    changes["dma"] = hardware.dma.model_copy(update=dma)
    changes["mapping"] = hardware.mapping.model_copy(update=options)
    return hardware.model_copy(update=changes)
