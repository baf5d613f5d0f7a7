"""What figures are drawn of: results folders, tables, traces, each known by its files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import CgsimError, nearest
from cgsim.results.files import METADATA_KEY

if TYPE_CHECKING:
    import pandas as pd

FOLDERS = {
    "layers.parquet": "simulate",
    "sweep.parquet": "sweep",
    "compare.parquet": "compare",
    "trials.parquet": "optimize",
}
"""The table that tells whose results a folder holds."""
SAMPLES = "samples.parquet"
TRACE = ".trace.parquet"


@dataclass(frozen=True)
class Source:
    """One source.

    Attributes:
        name: as given.
        kind: simulate, sweep, compare, optimize (their folders), table or trace.
        table: its rows; empty for a trace.
        samples: a row per run and sample, where the folder has them.
        metadata: JSON object of the table's file: provenance and more; empty where there is none.
    """

    name: str
    kind: str
    table: pd.DataFrame
    samples: pd.DataFrame | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the table comes from; empty where that is not known."""
        found = self.metadata.get("provenance")
        return found if isinstance(found, dict) else {}


def read_source(path: str | os.PathLike[str]) -> Source:
    """Read a results folder, a table (Parquet or CSV), or note a trace.

    Raises:
        CgsimError: there is no such path, it is none of these, or damaged.
    """
    import pandas as pd

    name, place = os.fspath(path), Path(path)
    if name.endswith(TRACE) or "://" in name:
        return Source(name, "trace", pd.DataFrame())
    if place.is_dir():
        for file, kind in FOLDERS.items():
            if (place / file).is_file():
                table, metadata = _parquet(place / file)
                samples = _parquet(place / SAMPLES)[0] if (place / SAMPLES).is_file() else None
                return Source(name, kind, table, samples, metadata)
        raise CgsimError(f"{name}: no results in this folder, expected one of {', '.join(FOLDERS)}")
    if not place.is_file():
        raise CgsimError(f"{name}: no such file or folder")
    if place.suffix.lower() == ".csv":
        try:
            return Source(name, "table", pd.read_csv(place))
        except (ValueError, OSError) as error:
            raise CgsimError(f"{name}: damaged, or not a CSV file: {_short(error)}") from error
    if place.suffix.lower() != ".parquet":
        raise CgsimError(f"{name}: expected a results folder, a table (.parquet or .csv) or a trace")
    table, metadata = _parquet(place)
    return Source(name, "table", table, None, metadata)


def _parquet(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a table and the metadata that cgsim gave it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, memory_map=False)
        told = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CgsimError(f"{path}: damaged, or not a Parquet file: {_short(error)}") from error
    frame = table.to_pandas()
    for name in frame.columns:
        if frame[name].dtype.name == "category":  # text: comparisons and groups want it plain
            frame[name] = frame[name].astype(object)
    return frame, told if isinstance(told, dict) else {}


def kept(source: Source, where: Mapping[str, Sequence[str]]) -> Source:
    """Return a source with only the rows, and their samples, whose columns have one of the values.

    Args:
        source: what to choose from.
        where: column -> values as text; numbers are compared as numbers.

    Raises:
        CgsimError: no such column, or no row is left.
    """
    table, samples = source.table, source.samples
    for key, values in where.items():
        if key not in table.columns:
            near = nearest(
                key, [name for name in map(str, table.columns) if len(set(table[name].map(str))) > 1]
            )
            raise CgsimError(f"{source.name}: --where {key}: no such column{near}")
        found = _rows(table[key].to_numpy(), values)
        if not found.any():
            there = list(dict.fromkeys(f"{value}" for value in table[key]))
            more = f" and {len(there) - 8} more" if len(there) > 8 else ""
            told = f"{', '.join(there[:8])}{more}"
            raise CgsimError(f"{source.name}: --where {key}={','.join(values)}: no row, there are {told}")
        table = table[found]
    if samples is not None and "row" in samples.columns and "row" in table.columns:
        samples = samples[samples["row"].isin(table["row"])]
    return Source(source.name, source.kind, table, samples, source.metadata)


def _rows(own: np.ndarray, values: Sequence[str]) -> np.ndarray:
    if own.dtype.kind in "iuf":
        try:
            return np.isin(own.astype(float), [float(value) for value in values])
        except ValueError:
            return np.zeros(len(own), bool)
    return np.isin(own.astype(str), list(values))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
