"""From a trace and a hardware configuration to the columns of the result, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgsim.dram.counters import COUNTS
from cgsim.engine.accesses import accesses
from cgsim.engine.checks import check_conservation
from cgsim.engine.columns import ACCESSES, COLUMNS, DRAM_COUNTS, MODES, PHASES, STALLS, TENSORS
from cgsim.engine.energy import dram_energy, energies
from cgsim.engine.gates import Gates
from cgsim.engine.gathers import Gather
from cgsim.engine.metrics import BURSTS, BYTES, CYCLES
from cgsim.engine.replay import ACTIVE, ARRAY_CYCLES, DRAM, RESULTS
from cgsim.engine.replays import (
    Channels,
    Gated,
    GateNetwork,
    Kept,
    Replay,
    Ungated,
    VectorLayer,
)
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware, energy_costs
from cgsim.mapping.capacity import require_fits
from cgsim.mapping.keep import NOTHING_KEPT
from cgsim.mapping.operations import WHOLE_CHANNELS, Operation, operations
from cgsim.mapping.residents import residencies

MAC_PATHS = ("base_macs", "conditional_macs", "deciding_macs")

PIECE = 64
"""Samples whose gates are read and replayed together."""


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

    Consecutive samples form batches of `mapping.batch` (the last may be smaller); what a batch takes is
    shared out over its samples. Gated tilings are chosen on the first batch of the trace, whichever samples
    are replayed. `progress` is called with the number of samples just finished. With `check`, conservation of
    cycles, bytes and MACs is verified. Raises CgsimError for samples that the trace does not have, for
    gates that are not modelled, and for layers that do not fit the buffers.
    """
    chosen = _samples(trace.n_samples, samples)
    if hardware.engines.pipeline:
        return _run_engines(trace, hardware, chosen, progress)
    todo = operations_of(trace, hardware)
    batch = min(hardware.mapping.batch, len(chosen))
    replays = replays_of(trace, hardware, todo)
    raw = {mode: np.zeros((len(chosen), len(todo), RESULTS), np.int64) for mode in MODES}
    used = {mode: np.zeros((len(ACCESSES), len(chosen), len(todo)), np.int64) for mode in MODES}
    density = np.zeros((len(chosen), len(todo)))
    piece = batch * max(1, PIECE // batch)
    for start in range(0, len(chosen), piece):
        own = chosen[start : start + piece]
        for index, replay in enumerate(replays):
            places = slice(start, start + len(own))
            for mode, found in (("dense", replay.dense(own, batch)), ("gated", replay.gated(own, batch))):
                raw[mode][places, index] = found.counts
                accessed = accesses(found.counts, found.work, replay.layer, hardware, batch)
                used[mode][:, places, index] = list(accessed.values())
            density[places, index] = found.density
        if progress is not None:
            progress(len(own))
    if hardware.array.pipelining == "scalesim":  # it counts its last cycle from 0
        for mode in MODES:
            raw[mode][..., ARRAY_CYCLES] -= raw[mode][..., ARRAY_CYCLES] > 0

    columns = _columns(chosen, todo, raw, used, density, hardware)
    if check:
        implied = np.stack([replay.implied_macs(chosen) for replay in replays], axis=1).ravel()
        stored = np.stack([replay.stored(chosen) for replay in replays], axis=1).ravel()
        check_conservation(columns, implied, stored, replays, batch)
    fused = {operation.layer.name: list(operation.fused) for operation in todo if operation.fused}
    mapping = [line for replay in replays for line in replay.describe()]
    return Counts(columns, fused, mapping)


def _run_engines(
    trace: Gates, hardware: Hardware, chosen: np.ndarray, progress: Callable[[int], object] | None
) -> Counts:
    """`run` on an accelerator of several engines."""
    from cgsim.engine.blocks import run_blocks

    layers = trace.network.layers
    raw = {mode: run_blocks(trace, hardware, chosen, mode == "gated") for mode in MODES}
    used = {mode: np.zeros((len(ACCESSES), len(chosen), len(layers)), np.int64) for mode in MODES}
    density = np.ones((len(chosen), len(layers)))
    for index, layer in enumerate(layers):
        macs = {"dense": layer.dense_macs, "gated": trace.gated_macs(layer.name)[chosen]}
        if layer.gate != "none":
            density[:, index] = trace.density(layer.name)[chosen]
        for mode in MODES:
            own = dict(zip(ACCESSES, used[mode][:, :, index], strict=True))
            own["base_macs"][:] = macs[mode]
            own["idle_pe_cycles"][:] = raw[mode][:, index, CYCLES] * hardware.array.pes - macs[mode]
    if progress is not None:
        progress(len(chosen))
    todo = tuple(Operation(layer) for layer in layers)
    return Counts(_columns(chosen, todo, raw, used, density, hardware), {}, [])


def operations_of(trace: Gates, hardware: Hardware) -> tuple[Operation, ...]:
    """What gated execution does, in order. Raises CgsimError for layers that do not fit the buffers."""
    skipped = WHOLE_CHANNELS if hardware.gate_unit.enabled else WHOLE_CHANNELS - {"channel"}
    todo = operations(trace.network, skipped)
    require_fits(todo, hardware)
    return todo


def replays_of(trace: Gates, hardware: Hardware, todo: Sequence[Operation]) -> list[Replay]:
    """The way in which each operation is replayed; dense execution fuses whatever the ungated network can."""
    dense = operations(trace.network, skipped=())
    dense_kept = residencies(trace.network, dense, hardware, False)
    of_dense = {own.layer.name: (own, kept) for own, kept in zip(dense, dense_kept, strict=True)}
    replays = []
    for operation, kept in zip(todo, residencies(trace.network, todo, hardware, True), strict=True):
        own, own_kept = of_dense.get(operation.layer.name, (None, NOTHING_KEPT))
        way = _way(trace, hardware, operation)
        replays.append(way(trace, hardware, operation, own, Kept(own_kept, kept)))
    return replays


def _samples(available: int, samples: Sequence[int] | None) -> np.ndarray:
    chosen = np.arange(available) if samples is None else np.asarray(samples, np.int64)
    if chosen.ndim != 1 or len(chosen) == 0:
        raise CgsimError("samples: expected at least one sample index")
    for index in chosen[(chosen < 0) | (chosen >= available)]:
        raise CgsimError(f"samples: {index} is not in the trace, which has samples 0 to {available - 1}")
    return chosen


def _way(trace: Gates, hardware: Hardware, operation: Operation) -> type[Replay]:
    """The way in which an operation is replayed."""
    layer, network = operation.layer, trace.network
    if layer.operator == "gate_network":
        return GateNetwork
    if layer.operator == "gather":
        return Gather
    if not layer.on_array:
        return VectorLayer
    sources = network.input_sources(layer)
    static = all(network.by_name[name].gate == "static" for name in sources)
    if not hardware.gate_unit.enabled and not (static and layer.gate in ("none", "static")):
        return Ungated
    if sources or layer.gate in ("channel", "static"):
        return Channels
    return Ungated if layer.gate == "none" else Gated


def _columns(
    chosen: np.ndarray,
    todo: tuple[Operation, ...],
    raw: dict[str, np.ndarray],
    used: dict[str, np.ndarray],
    density: np.ndarray,
    hardware: Hardware,
) -> dict[str, np.ndarray]:
    costs = energy_costs(hardware)
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
        accessed = dict(zip(ACCESSES, used[mode].reshape(len(ACCESSES), -1), strict=True))
        columns |= {f"{mode}_{name}": values for name, values in accessed.items()}
        columns[f"{mode}_macs"] = np.sum([accessed[name] for name in MAC_PATHS], axis=0)
        columns[f"{mode}_offchip_bytes"] = results[:, BYTES].sum(axis=1)
        for tensor, bursts in zip(TENSORS, results[:, BURSTS].T, strict=True):
            columns[f"{mode}_{tensor}_bursts"] = bursts
        columns[f"{mode}_offchip_bursts"] = results[:, BURSTS].sum(axis=1)
        counts = results[:, DRAM:ACTIVE]
        for name in DRAM_COUNTS:
            columns[f"{mode}_dram_{name}"] = counts[:, COUNTS.index(name)]
        moved = {what: columns[f"{mode}_{what}"] for what in ("cycles", "offchip_bytes")}
        spent = energies(accessed | moved, costs, hardware, dram_energy(counts, hardware))
        columns |= {f"{mode}_{name}_energy_pj": values for name, values in spent.items()}
        columns[f"{mode}_energy_pj"] = np.sum(list(spent.values()), axis=0)
    return {column.name: columns[column.name] for column in COLUMNS}
