"""Figures that follow from what the engine counted: ratios, totals and distributions over samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgsim.engine.columns import COLUMNS, MODES, Column
from cgsim.errors import CgsimError
from cgsim.results.static import STATIC_COLUMNS, static_figures

Columns = Mapping[str, np.ndarray]

DERIVED: tuple[Column, ...] = (
    Column("speedup", "1", "dense_cycles / gated_cycles"),
    Column("flop_reduction", "1", "dense_macs / gated_macs"),
    Column("efficiency", "1", "speedup / flop_reduction: the share of the saving that the hardware keeps"),
    Column("offchip_reduction", "1", "dense_offchip_bytes / gated_offchip_bytes"),
    Column("burst_reduction", "1", "dense_offchip_bursts / gated_offchip_bursts"),
    Column("energy_reduction", "1", "dense_energy_pj / gated_energy_pj"),
    Column("dram_energy_reduction", "1", "dense_dram_energy_pj / gated_dram_energy_pj"),
    Column("dense_utilization", "1", "dense_macs / (dense_cycles x rows x cols)"),
    Column("utilization", "1", "gated_macs / (gated_cycles x rows x cols)"),
    *(
        column
        for mode in MODES
        for column in (
            Column(f"{mode}_row_hit_rate", "1", f"{mode}, DRAM: row_hits / (row_hits + misses + conflicts)"),
            Column(f"{mode}_bus_utilization", "1", f"{mode}, DRAM: data_cycles / clock"),
        )
    ),
)
"""Ratios of counted columns. NaN where both sides are 0, infinite where only the divisor is."""

ADDITIVE: tuple[str, ...] = tuple(
    c.name for c in COLUMNS if c.name not in ("sample", "layer", "operator", "density")
)
"""Columns that may be summed over layers and samples."""

ALL_COLUMNS: tuple[Column, ...] = COLUMNS + DERIVED
UNITS: dict[str, str] = {column.name: column.unit for column in ALL_COLUMNS}
DESCRIPTIONS: dict[str, str] = {column.name: column.description for column in ALL_COLUMNS}

_LATENCY = {
    "mean": "mean over the samples",
    "median": "median over the samples",
    "p99": "99th percentile over the samples",
    "max": "slowest sample",
}
"""Of the time from the start of a sample's batch to its end."""


def _summary_columns() -> tuple[Column, ...]:
    columns = [
        Column("samples", "images", "samples simulated"),
        Column("layers", "layers", "layers with a row of their own"),
    ]
    for mode in MODES:
        columns.append(Column(f"{mode}_cycles_per_image", "cycles", f"{mode}: mean over the samples"))
        columns += [Column(f"{mode}_latency_ms_{k}", "ms", f"{mode}: {v}") for k, v in _LATENCY.items()]
        text = f"{mode}: batches one after another, samples / time of all of them"
        columns.append(Column(f"{mode}_images_per_second", "1/s", text))
        columns.append(Column(f"{mode}_energy_uj_per_image", "uJ", f"{mode}: mean over the samples"))
        columns.append(Column(f"{mode}_power_mw", "mW", f"{mode}: energy / time of all batches"))
    for name in ("min", "median", "max"):
        text = f"speedup of single samples (of their batch), by latency: {name}"
        columns.append(Column(f"speedup_{name}", "1", text))
    columns.append(Column("accuracy_ungated", "1", "of the ungated model, whole test set, from the trace"))
    columns.append(Column("accuracy_gated", "1", "of the gated model, whole test set, from the trace"))
    return (*columns, *STATIC_COLUMNS)


SUMMARY_COLUMNS = _summary_columns()
"""What a summary holds besides the totals of the result columns."""


def ratio(dividend: Any, divisor: Any) -> np.ndarray:
    """Divide as floats; 0 / 0 is NaN and x / 0 is infinite, without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.true_divide(dividend, divisor), dtype=np.float64)


def derived(counted: Columns, processing_elements: int) -> dict[str, np.ndarray]:
    """Return the DERIVED columns for counted columns of any equal shape."""
    speedup = ratio(counted["dense_cycles"], counted["gated_cycles"])
    flop_reduction = ratio(counted["dense_macs"], counted["gated_macs"])
    peak = float(processing_elements)
    bursts, energy, dram_energy = (
        ratio(counted[f"dense_{what}"], counted[f"gated_{what}"])
        for what in ("offchip_bursts", "energy_pj", "dram_energy_pj")
    )
    found = {
        "speedup": speedup,
        "flop_reduction": flop_reduction,
        "efficiency": ratio(speedup, flop_reduction),
        "offchip_reduction": ratio(counted["dense_offchip_bytes"], counted["gated_offchip_bytes"]),
        "burst_reduction": bursts,
        "energy_reduction": energy,
        "dram_energy_reduction": dram_energy,
        "dense_utilization": ratio(counted["dense_macs"], counted["dense_cycles"] * peak),
        "utilization": ratio(counted["gated_macs"], counted["gated_cycles"] * peak),
    }
    for mode in MODES:
        dram = f"{mode}_dram"
        hits = counted[f"{dram}_row_hits"]
        accesses = hits + counted[f"{dram}_row_misses"] + counted[f"{dram}_row_conflicts"]
        found[f"{mode}_row_hit_rate"] = ratio(hits, accesses)
        found[f"{mode}_bus_utilization"] = ratio(counted[f"{dram}_data_cycles"], counted[f"{dram}_clock"])
    return found


def check_columns(columns: Columns) -> int:
    """Return the number of layers per sample.

    Raises CgsimError unless every column is there with one length, sample-major, the same layers in the
    same order for every sample.
    """
    missing = [column.name for column in COLUMNS if column.name not in columns]
    if missing:
        raise CgsimError(f"result: column {missing[0]!r} is missing")
    sample = columns["sample"]
    rows = len(sample)
    for column in COLUMNS:
        if len(columns[column.name]) != rows:
            length = len(columns[column.name])
            raise CgsimError(f"result: column {column.name!r} has {length} rows, expected {rows}")
    return layers_per_sample(sample, columns["layer"])


def layers_per_sample(sample: np.ndarray, layer: np.ndarray) -> int:
    """Return the number of layers of a sample, from two columns of a table of layers.

    Raises CgsimError unless rows go sample by sample, the same layers in the same order for each of them.
    """
    rows = len(sample)
    if rows == 0:
        raise CgsimError("result: it holds no samples")
    change = np.flatnonzero(sample != sample[0])
    layers = int(change[0]) if len(change) else rows
    names = np.asarray(layer).astype(str)
    if (
        rows % layers
        or (sample.reshape(-1, layers) != sample[::layers, None]).any()
        or (names.reshape(-1, layers) != names[:layers]).any()
    ):
        raise CgsimError("result: rows must go sample by sample, with the same layers for each of them")
    return layers


def by_layer(columns: Columns, layers: int, processing_elements: int) -> dict[str, np.ndarray]:
    """Sum over the samples; one entry per layer.

    `density` is the mean over the samples. Ratios are those of the sums.
    """
    out: dict[str, np.ndarray] = {
        "layer": np.asarray(columns["layer"])[:layers],
        "operator": np.asarray(columns["operator"])[:layers],
    }
    for name in ADDITIVE:
        out[name] = columns[name].reshape(-1, layers).sum(axis=0)
    out["density"] = columns["density"].reshape(-1, layers).mean(axis=0)
    return out | derived(out, processing_elements)


def by_sample(columns: Columns, layers: int, processing_elements: int) -> dict[str, np.ndarray]:
    """Sum over the layers; one entry per sample. Ratios are those of the sums."""
    out: dict[str, np.ndarray] = {"sample": np.asarray(columns["sample"])[::layers]}
    for name in ADDITIVE:
        out[name] = columns[name].reshape(-1, layers).sum(axis=1)
    return out | derived(out, processing_elements)


def latency_cycles(cycles: np.ndarray, batch: int) -> np.ndarray:
    """Return the latency of each sample, int64 [S], from its share of cycles; `batch` samples run together.

    Batches are consecutive samples, the last may be smaller. A sample takes as long as its whole batch.
    """
    starts = np.arange(0, len(cycles), batch)
    return np.repeat(np.add.reduceat(cycles, starts), np.diff([*starts, len(cycles)]))


def summary(
    columns: Columns,
    layers: int,
    hardware: Mapping[str, Any],
    metadata: Mapping[str, Any],
    batch: int = 1,
) -> dict[str, Any]:
    """Return the totals of a run (docs/columns.md).

    Counted columns are summed over layers and samples, ratios are those of the sums; `density` is the mean
    over layers and samples weighted by dense MACs. Latencies take the layers of a sample, or of the `batch`
    samples that run together, one after another at the clock of `hardware`, a dict as results hold it.
    """
    processing_elements = hardware["array"]["rows"] * hardware["array"]["cols"]
    clock_mhz = float(hardware["clock_mhz"])
    samples = by_sample(columns, layers, processing_elements)
    count = len(samples["sample"])
    out: dict[str, Any] = {"samples": count, "layers": layers}
    totals = {name: np.asarray(samples[name].sum()) for name in ADDITIVE}
    out |= {name: value.item() for name, value in totals.items()}
    out |= {name: float(value) for name, value in derived(totals, processing_elements).items()}
    out["density"] = float(ratio((columns["density"] * columns["dense_macs"]).sum(), totals["dense_macs"]))
    latencies = {mode: latency_cycles(samples[f"{mode}_cycles"], batch) for mode in MODES}
    for mode in MODES:
        cycles = samples[f"{mode}_cycles"]
        latency = latencies[mode] / (clock_mhz * 1e3)
        out[f"{mode}_cycles_per_image"] = float(cycles.mean())
        out[f"{mode}_latency_ms_mean"] = float(latency.mean())
        out[f"{mode}_latency_ms_median"] = float(np.median(latency))
        out[f"{mode}_latency_ms_p99"] = float(np.percentile(latency, 99))
        out[f"{mode}_latency_ms_max"] = float(latency.max())
        out[f"{mode}_images_per_second"] = float(ratio(clock_mhz * 1e6, cycles.mean()))
        energy = totals[f"{mode}_energy_pj"]
        out[f"{mode}_energy_uj_per_image"] = float(energy / count / 1e6)
        out[f"{mode}_power_mw"] = float(ratio(energy, cycles.sum() / clock_mhz * 1e3))
    speedup = ratio(latencies["dense"], latencies["gated"])
    out["speedup_min"] = float(speedup.min())
    out["speedup_median"] = float(np.median(speedup))
    out["speedup_max"] = float(speedup.max())
    out["accuracy_ungated"] = metadata.get("accuracy_ungated")
    out["accuracy_gated"] = metadata.get("accuracy_gated")
    return out | static_figures(hardware)


def summary_units() -> dict[str, str]:
    """Return the unit of every figure of a summary."""
    return {c.name: c.unit for c in (*SUMMARY_COLUMNS, *ALL_COLUMNS) if c.name not in _ROW_NAMES}


_ROW_NAMES = ("sample", "layer", "operator")
