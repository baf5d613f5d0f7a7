"""Runs made by hand: columns as the engine fills them, without an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from cgsim.engine.columns import ACCESSES, COLUMNS, DRAM_COUNTS, ENERGIES, MODES, PHASES, STALLS, TENSORS
from cgsim.results import Run

HARDWARE: dict[str, Any] = {
    "name": "asic-28nm",
    "clock_mhz": 800.0,
    "array": {"rows": 16, "cols": 16, "dataflow": "ws", "pipelining": "overlapped", "column_groups": 16},
    "dram": {"standard": "ideal", "bytes_per_cycle": 16.0, "latency_cycles": 60},
}
PROVENANCE: dict[str, Any] = {
    "trace": {
        "path": "traces/resnet20-cgnet.trace.parquet",
        "name": "resnet20-cgnet",
        "checksum": "00" * 32,
        "network": "resnet20",
        "samples": 64,
        "metadata": {
            "method": "cgnet",
            "dataset": "CIFAR-10 (JPEG copy)",
            "accuracy_gated": 0.853,
            "accuracy_ungated": 0.861,
        },
    },
    "hardware": HARDWARE,
    "cgsim": "0.1.0",
    "command": "cgsim simulate",
    "created": "2026-01-01T00:00:00+00:00",
}
RESNET20 = [
    "conv1",
    *(f"layer{s}.{b}.conv{c}" for s in (1, 2, 3) for b in (0, 1, 2) for c in (1, 2)),
    "pool",
    "fc",
]


def make_columns(names: Sequence[str] = RESNET20, samples: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = len(names) * samples
    array = np.tile(["pool" not in name for name in names], samples)
    gated = np.tile(["pool" not in name and name not in ("conv1", "fc") for name in names], samples)
    size = np.tile(rng.integers(2_000, 40_000, len(names)), samples)
    size = np.where(np.tile([name == "fc" for name in names], samples), 40, size)
    columns: dict[str, np.ndarray] = {
        "sample": np.repeat(np.arange(samples, dtype=np.int32), len(names)),
        "layer": np.tile(np.array(names, dtype=object), samples),
        "operator": np.where(array, "conv2d", "global_pool").astype(object),
        "density": np.where(gated, rng.uniform(0.1, 0.3, rows), 1.0),
    }
    keep = np.where(gated, 0.25 + 0.75 * columns["density"], 1.0)
    columns["dense_macs"] = np.where(array, size * 200, 0).astype(np.int64)
    columns["gated_macs"] = (columns["dense_macs"] * keep).astype(np.int64)
    for mode in MODES:
        part = 1.0 if mode == "dense" else keep
        for name in PHASES:
            share = {"base": 0.8, "conditional": 0.25, "load_weights": 0.04, "decision": 0.02}.get(name, 0.01)
            share = 0.0 if name in ("conditional", "decision") and mode == "dense" else share
            columns[f"{mode}_{name}_cycles"] = (size * share * part).astype(np.int64)
        for name in STALLS:
            share = {"weight_load": 0.15, "group_imbalance": 0.1}.get(name, 0.02)
            share = 0.0 if name in ("gate_unit", "group_imbalance") and mode == "dense" else share
            columns[f"{mode}_{name}_stall_cycles"] = (size * share * rng.uniform(0.5, 1, rows)).astype(
                np.int64
            )
        parts = [f"{mode}_{n}_cycles" for n in PHASES] + [f"{mode}_{n}_stall_cycles" for n in STALLS]
        columns[f"{mode}_cycles"] = sum(columns[n] for n in parts)  # type: ignore[assignment]
        columns[f"{mode}_array_cycles"] = sum(columns[n] for n in parts[: len(PHASES)])  # type: ignore[assignment]
        for name in TENSORS:
            columns[f"{mode}_{name}_bytes"] = (size * rng.uniform(0.1, 1, rows) * part).astype(np.int64)
        columns[f"{mode}_offchip_bytes"] = sum(columns[f"{mode}_{n}_bytes"] for n in TENSORS)  # type: ignore[assignment]
        for name in TENSORS:
            columns[f"{mode}_{name}_bursts"] = -(-columns[f"{mode}_{name}_bytes"] // 64)
        columns[f"{mode}_offchip_bursts"] = sum(columns[f"{mode}_{n}_bursts"] for n in TENSORS)  # type: ignore[assignment]
        for name in DRAM_COUNTS:
            columns[f"{mode}_dram_{name}"] = np.zeros(rows, np.int64)
        for name in ACCESSES:
            columns[f"{mode}_{name}"] = (size * rng.uniform(1, 5, rows) * part).astype(np.int64)
        for name in ENERGIES:
            columns[f"{mode}_{name}_energy_pj"] = size * rng.uniform(1, 5, rows) * part
        columns[f"{mode}_energy_pj"] = sum(columns[f"{mode}_{name}_energy_pj"] for name in ENERGIES)  # type: ignore[assignment]
    return {column.name: columns[column.name] for column in COLUMNS}


def with_dram(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As a command-level DRAM would have counted."""
    made = dict(columns)
    for mode in MODES:
        bursts = made[f"{mode}_offchip_bursts"]
        counts = {"row_hits": bursts * 9 // 10, "activates": bursts // 10, "data_cycles": bursts * 4}
        counts |= {"row_misses": bursts // 20, "lost_refresh": bursts // 2, "lost_no_request": bursts * 3}
        counts["row_conflicts"] = bursts - counts["row_hits"] - counts["row_misses"]
        counts["clock"] = counts["data_cycles"] + counts["lost_refresh"] + counts["lost_no_request"]
        made |= {f"{mode}_dram_{name}": values for name, values in counts.items()}
        made[f"{mode}_dram_energy_pj"] = bursts * 1500.0
    return made


@pytest.fixture
def columns() -> Callable[..., dict[str, np.ndarray]]:
    return make_columns


@pytest.fixture
def run() -> Run:
    return Run(make_columns(), provenance=PROVENANCE, fused={"conv1": []})


@pytest.fixture
def make_run() -> Callable[..., Run]:
    def make(columns: dict[str, np.ndarray] | None = None, **changes: Any) -> Run:
        origin = PROVENANCE | changes
        return Run(make_columns() if columns is None else columns, provenance=origin)

    return make
