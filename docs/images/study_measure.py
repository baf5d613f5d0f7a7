"""What docs/images/study.py measures: replays of the shipped traces, taken apart by cause.

The machine of the study is an array with memory that never stalls it (`ALONE`), so that what is lost is
lost by the array and its gate unit. Images of the second half of a trace are replayed; what is learned is
learned from the first half.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import cgsim
from cgsim.mapping.channel_order import channel_order
from cgsim.mapping.plan import pixel_places
from cgsim.mapping.slots import slots
from cgsim.trace import Layer, Metadata, Sample, TraceWriter

ROOT = Path(__file__).resolve().parents[2]
TRACES = {"ResNet-20": "resnet20-cgnet", "ResNet-18": "resnet18-synthetic"}
ALONE: dict[str, Any] = {
    "vector_unit.lanes": 65536,
    "buffers.activation_kib": 1 << 20,
    "buffers.weight_kib": 1 << 20,
    "buffers.accumulator_kib": 1 << 20,
    "buffers.gate_kib": 1 << 20,
    "buffers.double_buffered": False,
    "dma.conditional_fetch": "eager",
    "dram.bytes_per_cycle": 65536,
    "dram.latency_cycles": 0,
}
"""Changes to asic-28nm that leave the array and its gate unit: unlimited buffers, memory and vector unit."""
PARTS = (
    "executed MACs",
    "folds partly filled",
    "vectors for neighbours",
    "group imbalance",
    "load floor",
    "gate unit",
    "decision, drain",
)


@dataclass(frozen=True)
class Measured:
    """`parts`: gated cycles by cause, over dense cycles; they add up. `cycles`: gated, per image."""

    speedup: float
    reduction: float
    cycles: float
    parts: dict[str, float]

    @property
    def kept(self) -> float:
        """Speedup / FLOP reduction."""
        return self.speedup / self.reduction


@cache
def trace_of(name: str) -> cgsim.Trace:
    """A shipped trace."""
    return cgsim.load_trace(ROOT / "traces" / f"{TRACES[name]}.trace.parquet")


@cache
def all_on(name: str) -> cgsim.Trace:
    """One image with every gate on, for the folds that a layer takes at most."""
    path = Path(tempfile.mkdtemp(prefix="cgsim-study-")) / "on.trace.parquet"
    trace = trace_of(name)
    with TraceWriter(path, trace.network, Metadata(name, "user")) as writer:
        writer.append(Sample("0"), {x.name: np.ones(x.gate_shape, bool) for x in trace.gated_layers})
    return cgsim.load_trace(path)


def machine(size: int, width: int, changes: Mapping[str, Any]) -> cgsim.Hardware:
    """A size x size array in groups of `width` columns."""
    array = {"array.rows": size, "array.cols": size, "array.column_groups": size // width}
    return cgsim.load_hardware("asic-28nm", {**ALONE, **array, **changes})


def measure(
    name: str, size: int, width: int, changes: Mapping[str, Any] | None = None, part: int = 1
) -> Measured:
    """Replay one half of a trace (part 0: the first, 1: the second)."""
    return _measure(name, size, width, tuple(sorted((changes or {}).items())), part)


@cache
def _measure(name: str, size: int, width: int, changes: tuple[tuple[str, Any], ...], part: int) -> Measured:
    trace, hardware = trace_of(name), machine(size, width, dict(changes))
    half = trace.n_samples // 2
    samples = list(range(half)) if part == 0 else list(range(half, trace.n_samples))
    run = cgsim.simulate(trace, hardware, samples=samples)
    layers = run.layers.groupby("layer", sort=False).sum(numeric_only=True)
    plain = {**dict(changes), "mapping.batch": 1, "mapping.channel_order": "natural"}
    full = cgsim.simulate(all_on(name), machine(size, width, plain)).layers.set_index("layer")
    dense, gated = float(layers["dense_cycles"].sum()), float(layers["gated_cycles"].sum())
    parts = dict.fromkeys(PARTS, 0.0)
    for layer in trace.network.layers:
        if layer.on_array:
            row = {key: float(value) for key, value in layers.loc[layer.name].items()}
            conditional = float(full.loc[layer.name]["gated_conditional_cycles"]) * len(samples)
            for key, value in _parts(layer, row, conditional).items():
                parts[key] += value / dense
    parts["decision, drain"] += gated / dense - sum(parts.values())
    reduction = float(layers["dense_macs"].sum() / layers["gated_macs"].sum())
    return Measured(dense / gated, reduction, gated / len(samples), parts)


def _parts(layer: Layer, row: Mapping[str, float], all_conditional: float) -> dict[str, float]:
    """Gated cycles of one layer by cause, without the last; `all_conditional`: with every gate on."""
    stream, share = row["dense_base_cycles"], layer.conditional_reduction / layer.reduction
    executed = row["gated_macs"] / row["dense_macs"]
    on = stream * (executed - 1 + share)  # what the gates of the conditional path ask for
    filled = all_conditional / (stream * share) if share else 1.0
    return {
        "executed MACs": stream * executed,
        "folds partly filled": row["gated_base_cycles"] - stream * (1 - share) + on * (filled - 1),
        "vectors for neighbours": row["gated_conditional_cycles"] - on * filled,
        "group imbalance": row["gated_group_imbalance_stall_cycles"],
        "load floor": row["gated_load_weights_cycles"],
        "gate unit": row["gated_gate_unit_stall_cycles"] + row["gated_bank_conflict_stall_cycles"],
    }


def waste(name: str, width: int, kind: str) -> float:
    """MACs that groups of `width` columns stream for each that is on: conditional paths, second half.

    `channels` and `clustered` (learned from the first half): channels of a block share a stream, folds that
    are partly filled not counted. `raster` and `block`: neighbouring pixels do.
    """
    trace = trace_of(name)
    half = trace.n_samples // 2
    streamed = on = 0.0
    for layer in trace.gated_layers:
        bits = trace.bits(layer.name, slice(half, trace.n_samples))
        if kind in ("raster", "block"):
            places = pixel_places(*layer.out_shape[1:], width, kind)
            ordered = np.empty_like(bits)
            ordered[:, :, places] = bits
            starts = np.arange(0, layer.pixels, width)
            needed = np.add.reduceat(ordered, starts, axis=2, dtype=np.int32) > 0
            sizes = np.diff([*starts, layer.pixels])
        else:
            layout = slots(layer, width, 1)
            order = np.arange(layer.out_channels)
            if kind == "clustered":
                order = channel_order(layer, trace.gates(layer.name, slice(0, half)), width, 1, "tile")
            needed = np.add.reduceat(bits[:, order], layout.first, axis=1, dtype=np.int32) > 0
            sizes = (layout.end - layout.first)[:, None]
        streamed += layer.conditional_reduction * float((needed * sizes).sum())
        on += layer.conditional_reduction * float(bits.sum())
    return streamed / on
