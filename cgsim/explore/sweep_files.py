"""The files of a finished sweep: the table of runs, the table of their samples, and where they come from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim import __version__
from cgsim.explore.execution import Executed
from cgsim.explore.plan import Plan
from cgsim.hardware import Hardware
from cgsim.hardware.messages import fields, unit
from cgsim.results.certainty import BOUND_COLUMNS
from cgsim.results.derive import UNITS, summary_units
from cgsim.results.files import write_json, write_parquet
from cgsim.results.provenance import provenance

if TYPE_CHECKING:
    import pandas as pd

PARQUET_FILE = "sweep.parquet"
SAMPLES_FILE = "samples.parquet"
PROVENANCE_FILE = "sweep.json"
_OF_SAMPLES = {"sample": "", "dense_latency_cycles": "cycles", "gated_latency_cycles": "cycles"}


def write_sweep(
    folder: Path,
    plan: Plan,
    table: pd.DataFrame,
    heads: Mapping[str, dict[str, Any]],
    done: Executed,
    origin: Mapping[str, Any],
    command: str,
) -> None:
    """Write `sweep.parquet` (a row per run), `samples.parquet` (per run and sample) and `sweep.json`."""
    known = {key: unit(field) for key, field in fields(Hardware)} | UNITS | _OF_SAMPLES | summary_units()
    known |= {column.name: column.unit for column in BOUND_COLUMNS}
    first = plan.points[0].hardware
    about = {
        "name": plan.name,
        "traces": {name: provenance(trace, first)["trace"] for name, trace in plan.traces.items()},
        **origin,
        "samples": plan.samples,
        "cgsim": __version__,
        "command": command,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    columns = {name: table[name].to_numpy() for name in table.columns}
    units = {name: known.get(name, "") for name in columns}
    write_parquet(folder / PARQUET_FILE, columns, units, {"provenance": about})
    of_samples = _samples(heads, done)
    if of_samples:
        write_parquet(
            folder / SAMPLES_FILE,
            of_samples,
            {name: known.get(name, "") for name in of_samples},
            {"provenance": about},
        )
    write_json(
        folder / PROVENANCE_FILE,
        {
            "table": PARQUET_FILE,
            "rows": len(table),
            "failed": done.failed,
            "units": units,
            "provenance": about,
        },
    )


def _samples(heads: Mapping[str, dict[str, Any]], done: Executed) -> dict[str, np.ndarray | list[Any]]:
    """Columns of the table of samples: what a run is told by, repeated, and its samples' figures."""
    found = [(heads[key], figures) for key, figures in done.samples.items() if figures]
    if not found:
        return {}
    lengths = [len(figures["sample"]) for _, figures in found]
    columns: dict[str, np.ndarray | list[Any]] = {}
    for name in found[0][0]:
        pairs = zip(found, lengths, strict=True)
        columns[name] = [head[name] for (head, _), length in pairs for _ in range(length)]
    for name in found[0][1]:
        columns[name] = np.concatenate([figures[name] for _, figures in found])
    return columns
