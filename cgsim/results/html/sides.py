"""Several results beside each other: where their configurations differ, and what became of the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cgsim.results.derive import summary_units
from cgsim.results.figures.sources import Source
from cgsim.results.html.flat import flat, short, told
from cgsim.results.html.parts import Section, Sides
from cgsim.results.run import Run

_FIGURES = (
    "speedup", "flop_reduction", "efficiency", "gated_cycles_per_image", "dense_cycles_per_image",
    "gated_latency_ms_mean", "gated_latency_ms_p99", "gated_images_per_second", "utilization",
    "gated_macs", "gated_offchip_bytes", "offchip_reduction", "energy_reduction", "gated_energy_uj_per_image",
    "gated_power_mw", "area_mm2", "gating_area_overhead", "dsp", "lut", "ff", "bram36", "uram",
    "accuracy_gated",
)  # fmt: skip
_OWN = "its "
"""Before keys that only some results have."""
_PER_IMAGE = ("gated_macs", "gated_offchip_bytes")


def sides_of(sources: Sequence[Source], titles: Sequence[str], runs: Sequence[Run]) -> Section:
    """Return the comparison of two or more results; figures of runs only if all are runs (`simulate`)."""
    blocks = [_configurations(sources, titles)]
    if len(runs) == len(sources):
        blocks.insert(0, _figures(runs, titles))
    return Section("Side by side", f"{len(sources)} results", list(blocks))


def _configurations(sources: Sequence[Source], titles: Sequence[str]) -> Sides:
    """A row for each key of traces and hardware that is not the same in all results."""
    flats = [flat(_told(source.provenance)) for source in sources]
    every = dict.fromkeys(key for one in flats for key in one)
    keys = [key for key in every if key.startswith(_OWN) or all(key in one for one in flats)]
    rows = {key: [one.get(key, "–") for one in flats] for key in keys}
    differ = {key: cells for key, cells in rows.items() if len(set(cells)) > 1}
    same = len(rows) - len(differ)
    return Sides(f"Configuration where it differs ({same} other keys are the same)", titles, differ)


def _told(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may differ: traces, the accelerator's keys, and how a sweep or search varies them."""
    found: dict[str, Any] = {}
    trace, traces = provenance.get("trace"), provenance.get("traces")
    if isinstance(trace, dict):
        metadata = trace.get("metadata", {})
        plain = {key: one for key, one in metadata.items() if not isinstance(one, (dict, list, tuple))}
        found["traces"] = trace.get("name")
        found["trace"] = {key: trace.get(key) for key in ("checksum", "samples")} | plain
    elif traces:
        found["traces"] = ", ".join(map(str, traces))
    hardware = provenance.get("hardware")
    if isinstance(hardware, dict) and len(hardware) == 1:  # of a comparison, by their names
        hardware = next(iter(hardware.values()))
    if isinstance(hardware, dict) and "array" in hardware:
        found["hardware"] = hardware
    elif hardware:
        found["hardware"] = {"name": ", ".join(map(str, hardware))}
    found["cgsim"] = provenance.get("cgsim")
    for key in ("grid", "vary", "objectives", "constraints", "samples"):
        if provenance.get(key):
            found[f"{_OWN}{key}"] = told(provenance[key])
    return found


def _figures(runs: Sequence[Run], titles: Sequence[str]) -> Sides:
    """A row for each figure; from the second result on with its ratio to the first."""
    units, rows = summary_units(), {}
    summaries = [run.summary() for run in runs]
    for name in _FIGURES:
        values = []
        for run, summary in zip(runs, summaries, strict=True):
            value = summary.get(name)
            share = run.samples if name in _PER_IMAGE else 1
            values.append(float("nan") if value is None else float(value) / share)
        if not any(value == value and value != 0 for value in values):
            continue
        cells = [short(value) for value in values]
        for place, value in enumerate(values[1:], start=1):
            if values[0] and cells[place] != cells[0] and value == value:
                cells[place] += f"  ({value / values[0]:.3f}×)"
        unit = units.get(name, "")
        per = ", per image" if name in _PER_IMAGE else ""
        rows[f"{name}{per}{f' [{unit}]' if unit not in ('', '1') else ''}"] = cells
    return Sides("Figures, in brackets the ratio to the first", titles, rows)
