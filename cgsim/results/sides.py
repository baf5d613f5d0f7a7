"""The sides of a paired comparison, read from the folders of `cgsim simulate` and `cgsim sweep`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cgsim.errors import CgsimError
from cgsim.results import files
from cgsim.results.derive import latency_cycles
from cgsim.results.paired import Side, data_of, images_of, side_of_run
from cgsim.results.run import LAYERS_FILE, Run
from cgsim.results.statistics import COUNTS

SAMPLES_FILE = "samples.parquet"
TABLE_FILE = "sweep.parquet"


def load_side(source: str | os.PathLike[str]) -> Side:
    """Return a side of a comparison from files.

    Args:
        source: folder of `cgsim simulate -o`, or FOLDER:ROW with a folder of `cgsim sweep -o`, ROW the
            beginning of a row's key, or its number in the table, from 0.

    Raises:
        CgsimError: there is no such folder or row, or its files are damaged.
    """
    text = os.fspath(source)
    folder, _, row = text.rpartition(":") if ":" in text and not Path(text).exists() else (text, "", "")
    place = Path(folder)
    if not place.is_dir():
        raise CgsimError(
            f"{text}: no such folder, expected one of cgsim simulate, or FOLDER:ROW of cgsim sweep"
        )
    if not row:
        if (place / SAMPLES_FILE).is_file() and not (place / LAYERS_FILE).is_file():
            raise CgsimError(
                f"{text}: expected {text}:ROW, with a row of the sweep: its number from 0, or its key"
            )
        return side_of_run(Run.load(place), text.rstrip("/"))
    return _side_of_row(place / SAMPLES_FILE, row, text)


def _side_of_row(path: Path, row: str, name: str) -> Side:
    """Return one run of a sweep's `samples.parquet`."""
    columns, metadata = files.read_parquet(path)
    needed = ("row", "sample", *COUNTS)
    missing = [column for column in needed if column not in columns]
    if missing:
        raise CgsimError(f"{path}: column {missing[0]!r} is missing, expected samples of cgsim sweep")
    own = columns["row"].astype(str)
    keys = list(dict.fromkeys(own.tolist()))
    table = path.parent / TABLE_FILE
    if table.is_file():  # it has the runs that failed, too, which have no samples
        keys = [str(key) for key in files.read_parquet(table)[0].get("row", keys)]
    found = [key for key in keys if key.startswith(row)]
    if row.isdecimal() and row == str(int(row)) and int(row) < len(keys):
        found = [keys[int(row)]]
    if len(found) != 1:
        problem = f"{len(found)} rows begin with {row!r}" if found else f"no row {row!r}"
        raise CgsimError(f"{path}: {problem}, expected 0 to {len(keys) - 1} or the beginning of a key")
    rows = np.flatnonzero(own == found[0])
    if not len(rows):
        raise CgsimError(f"{path}: row {row!r} has no samples: its run failed")
    counts = {column: columns[column][rows] for column in needed if column != "row"}
    trace: Mapping[str, Any] = {}
    if "trace" in columns:
        named = str(columns["trace"][rows[0]])
        trace = metadata.get("provenance", {}).get("traces", {}).get(named, {"checksum": named})
    return Side(name, counts, _batch(counts), data_of(trace), **images_of(trace))


def _batch(counts: Mapping[str, np.ndarray]) -> int:
    """Return how many samples ran together: latencies are sums of cycles over that many of them."""
    cycles, latency = counts["gated_cycles"], counts["gated_latency_cycles"]
    fitting = np.flatnonzero(np.cumsum(cycles) == latency[0]) + 1
    return next((int(n) for n in fitting if (latency_cycles(cycles, int(n)) == latency).all()), 1)
