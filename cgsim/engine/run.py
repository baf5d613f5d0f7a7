"""From a trace and a hardware configuration to the columns of the result, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from cgsim.engine.checks import check_conservation
from cgsim.engine.columns import COLUMNS, MODES, PHASES, STALLS, TENSORS
from cgsim.engine.dram import dram
from cgsim.engine.machine import Workload, machine, workload
from cgsim.engine.pipeline import CYCLES, METRICS
from cgsim.engine.replay import ARRAY_CYCLES, ON, RESULTS, replay_dense, replay_gated
from cgsim.engine.vector import run_vector
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation, operations
from cgsim.mapping.plan import Plan, plan
from cgsim.mapping.slots import Slots, slots
from cgsim.mapping.tiling import Tiling, candidates, whole_layer
from cgsim.mapping.vector import vector_tiles
from cgsim.trace.macs import executed_macs
from cgsim.trace.network import Layer, Network

REPLAYED = ("activation", "pixel", "none")
BLOCK_BYTES = 64 << 20
CANDIDATES = 24
"""Tilings tried per layer and mode; gated ones on the first sample of the trace."""


class Gates(Protocol):
    """What the engine reads of a trace (`cgsim.trace.Trace`)."""

    @property
    def network(self) -> Network: ...

    @property
    def n_samples(self) -> int: ...

    def gates(self, layer_name: str, samples: Any = None) -> np.ndarray: ...

    def density(self, layer_name: str) -> np.ndarray: ...

    def gated_macs(self, layer_name: str) -> np.ndarray: ...


@dataclass(frozen=True)
class Counts:
    """What a run counted: `columns` by name, each of length samples x operations, sample-major.

    `fused` lists, per layer, the additions executed with it; `mapping` the tiling chosen per layer and mode.
    """

    columns: dict[str, np.ndarray]
    fused: dict[str, list[str]]
    mapping: list[dict[str, Any]]


def run(
    trace: Gates,
    hardware: Hardware,
    samples: Sequence[int] | None = None,
    *,
    check: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Counts:
    """Replay `samples` (all by default) of `trace` on `hardware`, gated and dense.

    `progress` is called with the number of layers just finished. With `check`, conservation of cycles, bytes and
    MACs is verified. Raises CgsimError for samples that the trace does not have, for operators or gates
    that are not modelled, and for layers that do not fit the buffers.
    """
    chosen = _samples(trace.n_samples, samples)
    todo = operations(trace.network)
    for operation in todo:
        _refuse_unmodelled(operation.layer)
    memory = dram(hardware)
    shape = (len(chosen), len(todo))
    raw = {mode: np.zeros((*shape, RESULTS), np.int64) for mode in MODES}
    macs = {mode: np.zeros(shape, np.int64) for mode in MODES}
    density = np.ones(shape)
    mapping: list[dict[str, Any]] = []
    groups = hardware.array.column_groups if hardware.gate_unit.enabled else 1

    for index, operation in enumerate(todo):
        layer = operation.layer
        macs["dense"][:, index] = macs["gated"][:, index] = layer.dense_macs
        if not layer.on_array:
            tiles = vector_tiles(layer, hardware)
            result = run_vector(tiles, machine(hardware, 1), memory)
            raw["dense"][:, index, :METRICS] = raw["gated"][:, index, :METRICS] = result
            continue
        plain = operation.ungated()
        ungated = _ungated(plain, hardware, 1)
        mapping.append({"layer": layer.name, "mode": "dense", **ungated.describe()})
        raw["dense"][:, index] = ungated.dense()
        if layer.gate == "none" or not hardware.gate_unit.enabled:
            own = _ungated(plain, hardware, groups)
            raw["gated"][:, index] = own.dense()
        else:
            _, first = next(_gate_blocks(trace, layer, np.arange(1)))
            own = Mapped(operation, hardware, groups, float(trace.density(layer.name).mean()), first)
            for part, gates in _gate_blocks(trace, layer, chosen):
                raw["gated"][part, index] = own.gated(gates)
            on = raw["gated"][:, index, ON]
            macs["gated"][:, index] = executed_macs(layer, on)
            gates_per_sample = int(np.prod(layer.gate_shape))
            density[:, index] = on / gates_per_sample
        mapping.append({"layer": layer.name, "mode": "gated", **own.describe()})
        if progress is not None:
            progress(1)
    if hardware.array.pipelining == "scalesim":  # it counts its last cycle from 0
        for mode in MODES:
            raw[mode][..., ARRAY_CYCLES] -= raw[mode][..., ARRAY_CYCLES] > 0
    columns = _columns(chosen, todo, raw, macs, density)
    if check:
        enabled = hardware.gate_unit.enabled
        counted = [trace.gated_macs(o.layer.name)[chosen] for o in todo] if enabled else list(macs["dense"].T)
        check_conservation(columns, np.stack(counted, axis=1).ravel(), todo)
    fused = {operation.layer.name: list(operation.fused) for operation in todo if operation.fused}
    return Counts(columns, fused, mapping)


class Mapped:
    """An operation with its slots and the tiling that takes the fewest cycles, ready to replay.

    Gated, the tilings are tried on `gates`, uint64 [S, N or 1, W].
    """

    def __init__(
        self, operation: Operation, hardware: Hardware, groups: int, density: float = 1.0, gates: np.ndarray | None = None
    ) -> None:
        self.layer = layer = operation.layer
        self.memory = dram(hardware)
        self.machine = machine(hardware, groups)
        self.work: Workload = workload(operation, slots(layer, hardware.array.cols, groups), hardware.array.rows)
        self.layout: Slots = slots(layer, hardware.array.cols, groups)
        widths = self.layout.end - self.layout.first
        self.slot_bits = np.ones_like(widths) if layer.gate == "pixel" else widths
        self.whole: Plan = plan(layer, self.layout, whole_layer(layer, self.layout, hardware.array.rows))

        tried = candidates(layer, hardware, groups, density, operation.residuals, CANDIDATES)
        costs = [self._cost(plan(layer, self.layout, tiling), gates) for tiling in tried]
        self.tiling: Tiling = tried[costs.index(min(costs))]
        self.plan: Plan = plan(layer, self.layout, self.tiling)

    def _cost(self, trial: Plan, gates: np.ndarray | None) -> tuple[int, int]:
        results = self.dense(trial)[None] if gates is None else self.gated(gates, trial)
        return int(results[:, CYCLES].sum()), int(results[:, METRICS - len(TENSORS) : METRICS].sum())

    def dense(self, tiles: Plan | None = None) -> np.ndarray:
        return replay_dense(tiles or self.plan, self.whole, self.work, self.machine, self.memory)

    def gated(self, gates: np.ndarray, tiles: Plan | None = None) -> np.ndarray:
        first, end = self.layout.first, self.layout.end
        return replay_gated(
            gates, first, end, self.slot_bits, tiles or self.plan, self.whole, self.work, self.machine, self.memory
        )

    def describe(self) -> dict[str, Any]:
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
def _ungated(operation: Operation, hardware: Hardware, groups: int) -> Mapped:
    """An operation without gates, mapped once for all the layers, traces and runs that repeat it."""
    return Mapped(operation, hardware, groups)


def _samples(available: int, samples: Sequence[int] | None) -> np.ndarray:
    chosen = np.arange(available) if samples is None else np.asarray(samples, np.int64)
    if chosen.ndim != 1 or len(chosen) == 0:
        raise CgsimError("samples: expected at least one sample index")
    for index in chosen[(chosen < 0) | (chosen >= available)]:
        raise CgsimError(f"samples: {index} is not in the trace, which has samples 0 to {available - 1}")
    return chosen


def _refuse_unmodelled(layer: Layer) -> None:
    if layer.operator == "gate_network":
        raise CgsimError(f"layer {layer.name!r}: operator 'gate_network' is not replayed")
    if layer.gate not in REPLAYED:
        raise CgsimError(
            f"layer {layer.name!r}: gates of granularity {layer.gate!r} are not replayed "
            f"(replayed: {', '.join(REPLAYED)})"
        )


def _gate_blocks(trace: Gates, layer: Layer, chosen: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Gates as uint64 [S, N or 1, W], a few samples at a time."""
    step = max(1, BLOCK_BYTES // max(1, layer.packed_bytes))
    for first in range(0, len(chosen), step):
        part = slice(first, min(first + step, len(chosen)))
        gates = trace.gates(layer.name, chosen[part])
        yield part, np.ascontiguousarray(gates.reshape(gates.shape[0], -1, gates.shape[-1]))


def _columns(
    chosen: np.ndarray,
    todo: tuple[Operation, ...],
    raw: dict[str, np.ndarray],
    macs: dict[str, np.ndarray],
    density: np.ndarray,
) -> dict[str, np.ndarray]:
    count = len(chosen)
    columns: dict[str, np.ndarray] = {
        "sample": np.repeat(chosen, len(todo)),
        "layer": np.tile([operation.layer.name for operation in todo], count),
        "operator": np.tile([operation.layer.operator for operation in todo], count),
        "density": density.ravel(),
    }
    names = [f"{phase}_cycles" for phase in PHASES] + [f"{cause}_stall_cycles" for cause in STALLS]
    names += [f"{tensor}_bytes" for tensor in TENSORS]
    for mode in MODES:
        results = raw[mode].reshape(-1, RESULTS)
        columns[f"{mode}_cycles"] = results[:, CYCLES]
        columns[f"{mode}_array_cycles"] = results[:, ARRAY_CYCLES]
        for position, name in enumerate(names, start=1):
            columns[f"{mode}_{name}"] = results[:, position]
        columns[f"{mode}_macs"] = macs[mode].ravel()
        columns[f"{mode}_offchip_bytes"] = results[:, METRICS - len(TENSORS) : METRICS].sum(axis=1)
    return {column.name: columns[column.name] for column in COLUMNS}
