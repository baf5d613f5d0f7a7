"""What a comparison found: savings against the ungated network, latency of every sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cgsim.engine.columns import Column
from cgsim.results.certainty import BOUND_COLUMNS
from cgsim.results.derive import ratio
from cgsim.results.static import STATIC_COLUMNS

_PER_IMAGE = "per image, mean over the samples"

COLUMNS: tuple[Column, ...] = (
    Column("row", "hash", "of all inputs: trace, hardware, samples, version"),
    Column("trace", "name", "name of the trace"),
    Column("dataset", "name", "data set of the trace"),
    Column("model", "name", "model of the trace"),
    Column("method", "name", "method of the trace"),
    Column("gates", "name", "granularities of its gates; empty: a network without gates"),
    Column("hardware", "name", "accelerator, with the values of `--set` that vary"),
    Column("baseline", "name", "trace whose network, without gates, is the ungated one"),
    Column("samples", "images", "samples simulated"),
    Column("macs", "MACs", f"executed, gate networks included: {_PER_IMAGE}"),
    Column("cycles", "cycles", _PER_IMAGE),
    Column("offchip_bytes", "bytes", f"read and written off-chip: {_PER_IMAGE}"),
    Column("offchip_bursts", "bursts", f"read and written off-chip: {_PER_IMAGE}"),
    Column("energy_pj", "pJ", f"of chip and DRAM (NaN where a cost is not known): {_PER_IMAGE}"),
    Column("dram_energy_pj", "pJ", f"of the DRAM devices: {_PER_IMAGE}"),
    Column("utilization", "1", "macs / (cycles x rows x cols)"),
    Column("images_per_second", "1/s", "images one after another"),
    Column("latency_ms_mean", "ms", "mean over the samples"),
    Column("latency_ms_median", "ms", "median over the samples"),
    Column("latency_ms_p99", "ms", "99th percentile over the samples"),
    Column("latency_ms_max", "ms", "slowest sample"),
    Column("latency_spread", "1", "latency_ms_p99 / latency_ms_median"),
    Column("baseline_macs", "MACs", "of the ungated network, per image"),
    Column("baseline_cycles", "cycles", "of the ungated network, per image"),
    Column("baseline_offchip_bytes", "bytes", "of the ungated network, per image"),
    Column("baseline_offchip_bursts", "bursts", "of the ungated network, per image"),
    Column("baseline_energy_pj", "pJ", "of the ungated network, per image"),
    Column("baseline_dram_energy_pj", "pJ", "of the ungated network, per image"),
    Column("baseline_latency_ms_mean", "ms", "of the ungated network"),
    Column("flop_reduction", "1", "baseline_macs / macs"),
    Column("speedup", "1", "baseline_cycles / cycles"),
    Column("efficiency", "1", "speedup / flop_reduction: the share of the saving that the hardware keeps"),
    Column("offchip_reduction", "1", "baseline_offchip_bytes / offchip_bytes"),
    Column("burst_reduction", "1", "baseline_offchip_bursts / offchip_bursts"),
    Column("energy_reduction", "1", "baseline_energy_pj / energy_pj"),
    Column("dram_energy_reduction", "1", "baseline_dram_energy_pj / dram_energy_pj"),
    Column("speedup_p99", "1", "baseline_latency_ms_mean / latency_ms_p99: what 99 of 100 images get"),
    *BOUND_COLUMNS,
    *STATIC_COLUMNS,
    Column("accuracy", "1", "of this network, whole test set, from the trace"),
    Column("baseline_accuracy", "1", "of the ungated network, whole test set"),
)
"""Of `compare.parquet`: one row per trace and accelerator; values of swept keys stand behind `hardware`."""

SAMPLE_COLUMNS: tuple[Column, ...] = (
    Column("row", "hash", "the row of compare.parquet"),
    Column("trace", "name", "name of the trace"),
    Column("hardware", "name", "accelerator"),
    Column("sample", "index", "position of the sample in the trace"),
    Column("id", "name", "name of the sample in its data set"),
    Column("macs", "MACs", "executed"),
    Column("latency_cycles", "cycles", "from the start of the sample's batch to its end"),
    Column("offchip_bytes", "bytes", "read and written off-chip"),
    Column("flop_reduction", "1", "baseline_macs / macs"),
    Column("speedup", "1", "baseline's mean latency / latency"),
    Column("offchip_reduction", "1", "baseline_offchip_bytes / offchip_bytes"),
)
"""Of `samples.parquet`: one row per trace, accelerator and sample."""

UNITS: dict[str, str] = {column.name: column.unit for column in (*COLUMNS, *SAMPLE_COLUMNS)}
DESCRIPTIONS: dict[str, str] = {column.name: column.description for column in COLUMNS}
SAMPLE_DESCRIPTIONS: dict[str, str] = {column.name: column.description for column in SAMPLE_COLUMNS}


@dataclass
class Compared:
    """The figures of a comparison; what tables and plots are made of."""

    rows: list[dict[str, Any]]
    """One per trace and accelerator, with the keys of COLUMNS and of the swept keys."""
    samples: dict[str, np.ndarray]
    """The columns SAMPLE_COLUMNS; the samples of a row stand together, rows in the same order."""
    notes: list[str] = field(default_factory=list)
    """Remarks for whoever reads the figures."""
    units: dict[str, str] = field(default_factory=lambda: dict(UNITS))
    provenance: dict[str, Any] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)
    """What has no row, as its run or that of its baseline failed: `row`, `trace`, `hardware`, `error`."""

    def samples_of(self, row: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the figures of the samples of a row, each [S]."""
        own = self._places[row["row"]]
        return {name: values[own] for name, values in self.samples.items()}

    @cached_property
    def _places(self) -> dict[str, slice]:
        """Where the samples of each row stand."""
        keys = [str(row["row"]) for row in self.rows]
        ends = np.cumsum([0, *(int(row["samples"]) for row in self.rows)])
        return {key: slice(ends[i], ends[i + 1]) for i, key in enumerate(keys)}


def row_figures(own: Mapping[str, Any], baseline: Mapping[str, Any], baseline_macs: int) -> dict[str, Any]:
    """Return the figures of a row, from the summaries of its run and of its baseline's.

    `baseline` is the summary of the ungated network, `baseline_macs` are its MACs of one sample.
    """
    count, others = own["samples"], baseline["samples"]
    found: dict[str, Any] = {"samples": count}
    found["macs"] = own["gated_macs"] / count
    found["cycles"] = own["gated_cycles_per_image"]
    for name in _TRAFFIC:
        found[name] = own[f"gated_{name}"] / count
    found["utilization"] = own["utilization"]
    found["images_per_second"] = own["gated_images_per_second"]
    for name in ("mean", "median", "p99", "max"):
        found[f"latency_ms_{name}"] = own[f"gated_latency_ms_{name}"]
    found["latency_spread"] = _over(found["latency_ms_p99"], found["latency_ms_median"])
    found["baseline_macs"] = float(baseline_macs)
    found["baseline_cycles"] = baseline["dense_cycles_per_image"]
    for name in _TRAFFIC:
        found[f"baseline_{name}"] = baseline[f"dense_{name}"] / others
    found["baseline_latency_ms_mean"] = baseline["dense_latency_ms_mean"]
    found["flop_reduction"] = _over(baseline_macs, found["macs"])
    found["speedup"] = _over(found["baseline_cycles"], found["cycles"])
    found["efficiency"] = _over(found["speedup"], found["flop_reduction"])
    for name, reduction in _TRAFFIC.items():
        found[reduction] = _over(found[f"baseline_{name}"], found[name])
    found["speedup_p99"] = _over(found["baseline_latency_ms_mean"], found["latency_ms_p99"])
    return found | {column.name: own[column.name] for column in STATIC_COLUMNS}


_TRAFFIC = {
    "offchip_bytes": "offchip_reduction",
    "offchip_bursts": "burst_reduction",
    "energy_pj": "energy_reduction",
    "dram_energy_pj": "dram_energy_reduction",
}


def sample_figures(
    own: Mapping[str, np.ndarray], row: Mapping[str, Any], clock_mhz: float
) -> dict[str, np.ndarray]:
    """Return the reductions of single samples, [S], from their counts and the row they belong to.

    `own` has `macs`, `latency_cycles` and `offchip_bytes`, int64 [S].
    """
    return {
        **own,
        "flop_reduction": ratio(row["baseline_macs"], own["macs"]),
        "speedup": ratio(row["baseline_latency_ms_mean"] * clock_mhz * 1e3, own["latency_cycles"]),
        "offchip_reduction": ratio(row["baseline_offchip_bytes"], own["offchip_bytes"]),
    }


def _over(dividend: float, divisor: float) -> float:
    return float(ratio(dividend, divisor))
