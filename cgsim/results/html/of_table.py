"""The section of a sweep, a comparison or a search: a table, and plots of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.results import style
from cgsim.results.figures.sources import FOLDERS, Source
from cgsim.results.html.of_run import curve, latency_plot
from cgsim.results.html.parts import Block, Column, Explorer, Plot, Section, Table

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = {
    "sweep": (
        "speedup", "speedup_low", "speedup_high", "flop_reduction", "efficiency", "gated_cycles_per_image",
        "gated_latency_ms_mean", "gated_latency_ms_p99", "utilization", "gated_offchip_bytes",
        "gated_energy_uj_per_image", "energy_reduction", "area_mm2", "gating_area_overhead", "dsp", "lut",
        "bram36", "accuracy_gated", "error",
    ),
    "compare": (
        "method", "speedup", "speedup_low", "speedup_high", "flop_reduction", "efficiency", "cycles",
        "latency_ms_mean", "latency_ms_p99", "offchip_reduction", "energy_reduction", "area_mm2", "lut",
        "accuracy", "baseline_accuracy",
    ),
}  # fmt: skip
_TITLES = {"sweep": "sweep", "compare": "comparison", "optimize": "search"}
_MOST_CURVES = 24


def section_of(source: Source, title: str) -> Section:
    """Return the section of a folder of `cgsim sweep`, `compare` or `optimize`, without its provenance."""
    table = _table(source)
    x, y, colour = _axes(source)
    caption = "Each point is a row of the table; rows that the table's filters hide are not drawn"
    blocks: list[Block] = [Explorer(table, x, y, colour, caption)]
    if source.samples is not None and len(source.samples):
        blocks += _latencies(source)
    blocks.append(table)
    count = len(source.table)
    kind = _TITLES[source.kind]
    return Section(title, f"{kind} of {count} {'trials' if kind == 'search' else 'runs'}", blocks)


def keys_of(table: pd.DataFrame) -> list[str]:
    """Return the columns that say a row is of: trace, hardware, dotted keys; first those that differ."""
    keys = [name for name in map(str, table.columns) if name in ("trace", "hardware", "state") or "." in name]
    return sorted(keys, key=lambda name: table[name].nunique() < 2)


def _table(source: Source) -> Table:
    """All columns: keys and the figures that matter first, the others hidden."""
    table, notes = source.table, _notes(source)
    keys = keys_of(table)
    varied = [key for key in keys if table[key].nunique() > 1]
    wanted = _SHOWN.get(source.kind, [str(name) for name in table.columns if name != "trial"])
    first = [name for name in ("trial", *keys, *wanted) if name in table.columns]
    names = list(dict.fromkeys([*first, *map(str, table.columns)]))
    columns = []
    for name in names:
        empty = table[name].isna().all() or (table[name].astype(str) == "").all()
        shown = not empty and (name in varied or name in wanted or name == "trial")
        if name in keys and name not in varied and len(table) > 1:
            shown = False
        unit, told = notes.get(name, ("", ""))
        columns.append(Column(name, table[name].tolist(), unit, told, shown))
    return Table(columns, f"All {len(table)} rows; hidden columns are behind “Columns”")


def _notes(source: Source) -> dict[str, tuple[str, str]]:
    """Return unit and description of each column, which the Parquet file tells with its fields."""
    import pyarrow.parquet as pq

    file = next(name for name, kind in FOLDERS.items() if kind == source.kind)
    found = {}
    for field in pq.read_schema(Path(source.name) / file):
        told = field.metadata or {}
        found[field.name] = (told.get(b"unit", b"").decode(), told.get(b"description", b"").decode())
    return found


def _axes(source: Source) -> tuple[str, str, str]:
    """Return the columns that are drawn at first: across, up, colours."""
    table = source.table
    if source.kind == "optimize":
        objectives = list(source.provenance.get("objectives", {})) or ["trial"]
        return (
            (objectives[0], objectives[1], "state")
            if len(objectives) > 1
            else ("trial", objectives[0], "state")
        )
    keys = [key for key in keys_of(table) if table[key].nunique() > 1]
    colours = ["method"] if source.kind == "compare" else keys
    colour = next((key for key in colours if 1 < table[key].nunique() <= len(style.LINES)), "")
    return "flop_reduction", "speedup", colour


def _latencies(source: Source) -> list[Plot]:
    """Return the latency curves of the rows, in cycles, if they are few enough to be told apart."""
    samples, table = source.samples, source.table
    column = "gated_latency_cycles" if source.kind == "sweep" else "latency_cycles"
    if samples is None or column not in samples or "row" not in samples or len(table) > _MOST_CURVES:
        return []
    varied = [key for key in keys_of(table) if table[key].nunique() > 1]
    groups = dict(iter(samples.groupby("row", sort=False)))
    data: list[dict[str, Any]] = []
    for number, row in enumerate(table.to_dict("records")):
        if row["row"] not in groups:
            continue
        name = ", ".join(f"{key.rsplit('.', 1)[-1]}={row[key]}" for key in varied) or str(row["trace"])
        values = np.sort(groups[row["row"]][column].to_numpy(float))
        one = curve(values, name, style.LINES[number % len(style.LINES)])
        one["line"]["dash"] = _DASHES[number // len(style.LINES) % len(_DASHES)]
        data.append(one)
    return [latency_plot(data, "cycles")] if data else []


_DASHES: Sequence[str] = ("solid", "dash", "dot", "dashdot")
