"""From a trace and a hardware configuration to the columns of the result, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cgsim.engine.checks import check_conservation
from cgsim.engine.columns import COLUMNS, MODES, PHASES, STALLS, TENSORS
from cgsim.engine.dram import dram
from cgsim.engine.machine import machine
from cgsim.engine.mapped import Calibration, Mapped, mapped
from cgsim.engine.pipeline import CYCLES, METRICS
from cgsim.engine.replay import ARRAY_CYCLES, ON, RESULTS
from cgsim.engine.vector import run_vector
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.mapping.capacity import require_fits
from cgsim.mapping.operations import Operation, operations
from cgsim.mapping.vector import vector_tiles
from cgsim.trace.macs import executed_macs
from cgsim.trace.network import Layer, Network

REPLAYED = ("activation", "pixel", "none")
BLOCK_SAMPLES = 64


class Gates(Protocol):
    """What the engine reads of a trace (`cgsim.trace.Trace`)."""

    @property
    def network(self) -> Network:
        """The network that was traced."""

    @property
    def n_samples(self) -> int:
        """Samples of the trace."""

    @property
    def checksum(self) -> str:
        """Differs where the gates differ."""

    def gates(self, layer_name: str, samples: Any = None) -> np.ndarray:
        """Packed gates, uint64 [S, N, W] or [S, W]."""

    def blocks(self, max_samples: int | None = None) -> Iterator[slice]:
        """Samples that are read together."""

    def gated_macs(self, layer_name: str) -> np.ndarray:
        """Executed MACs per sample, int64 [n_samples]."""


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

    Gated tilings are chosen on the first sample of the trace, whichever samples are replayed. `progress`
    is called with the number of samples just finished. With `check`, conservation of cycles, bytes and
    MACs is verified. Raises CgsimError for samples that the trace does not have, for operators or gates that
    are not modelled, and for layers that do not fit the buffers.
    """
    chosen = _samples(trace.n_samples, samples)
    todo = operations(trace.network)
    for operation in todo:
        _refuse_unmodelled(operation.layer)
    gating = hardware.gate_unit.enabled
    require_fits(todo, hardware)
    raw = {mode: np.zeros((len(chosen), len(todo), RESULTS), np.int64) for mode in MODES}
    mapping: list[dict[str, Any]] = []
    replayed: dict[int, Mapped] = {}  # gated operations, by position

    for index, operation in enumerate(todo):
        layer = operation.layer
        if not layer.on_array:
            counts = run_vector(vector_tiles(layer, hardware), machine(hardware), dram(hardware))
            raw["dense"][:, index, :METRICS] = raw["gated"][:, index, :METRICS] = counts
            continue
        dense = mapped(operation.ungated(), hardware, 1)
        raw["dense"][:, index] = raw["gated"][:, index] = dense.dense()
        own = dense
        if gating and layer.gate != "none":
            own = mapped(operation, hardware, hardware.array.column_groups, _calibration(trace, layer))
            replayed[index] = own
        mapping.append({"layer": layer.name, "mode": "dense", **dense.describe()})
        mapping.append({"layer": layer.name, "mode": "gated", **own.describe()})

    for block in trace.blocks(BLOCK_SAMPLES):
        places = np.flatnonzero((chosen >= block.start) & (chosen < block.stop))
        if len(places) == 0:
            continue
        for index, own in replayed.items():
            raw["gated"][places, index] = own.gated(_gates(trace, todo[index].layer, chosen[places]))
        if progress is not None:
            progress(len(places))
    if hardware.array.pipelining == "scalesim":  # it counts its last cycle from 0
        for mode in MODES:
            raw[mode][..., ARRAY_CYCLES] -= raw[mode][..., ARRAY_CYCLES] > 0

    columns = _columns(chosen, todo, raw, set(replayed))
    if check:
        implied = [
            trace.gated_macs(o.layer.name)[chosen] if gating else np.full(len(chosen), o.layer.dense_macs)
            for o in todo
        ]
        check_conservation(columns, np.stack(implied, axis=1).ravel(), todo)
    fused = {operation.layer.name: list(operation.fused) for operation in todo if operation.fused}
    return Counts(columns, fused, mapping)


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


def _gates(trace: Gates, layer: Layer, samples: np.ndarray) -> np.ndarray:
    """Gates as uint64 [S, N or 1, W]."""
    gates = trace.gates(layer.name, samples)
    return np.ascontiguousarray(gates.reshape(gates.shape[0], -1, gates.shape[-1]))


def _calibration(trace: Gates, layer: Layer) -> Calibration:
    gates = _gates(trace, layer, np.arange(1))
    on = int(np.bitwise_count(gates).sum())
    return Calibration(f"{trace.checksum} {layer.name}", gates, on / (gates.shape[1] * layer.pixels))


def _columns(
    chosen: np.ndarray, todo: tuple[Operation, ...], raw: dict[str, np.ndarray], replayed: set[int]
) -> dict[str, np.ndarray]:
    shape = (len(chosen), len(todo))
    density = np.ones(shape)
    macs = {mode: np.tile(np.array([o.layer.dense_macs for o in todo]), (len(chosen), 1)) for mode in MODES}
    for index in replayed:
        layer, on = todo[index].layer, raw["gated"][:, index, ON]
        macs["gated"][:, index] = executed_macs(layer, on)
        density[:, index] = on / np.prod(layer.gate_shape)

    columns: dict[str, np.ndarray] = {
        "sample": np.repeat(chosen, len(todo)),
        "layer": np.tile([operation.layer.name for operation in todo], len(chosen)),
        "operator": np.tile([operation.layer.operator for operation in todo], len(chosen)),
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
