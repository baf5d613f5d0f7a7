"""The sweep: traces x grid of hardware keys, one table."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim import __version__
from cgsim.errors import CgsimError
from cgsim.explore.executors import Executor
from cgsim.explore.grid import Point, grid_points
from cgsim.explore.runs import choose_executor, chosen_samples, cut_tasks, open_traces, outcomes
from cgsim.explore.tasks import row_key, run_task
from cgsim.hardware import Hardware, load_hardware
from cgsim.hardware.messages import fields, unit
from cgsim.results.derive import summary_units
from cgsim.results.files import check_folder, write_json, write_parquet
from cgsim.results.provenance import provenance
from cgsim.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

PARQUET_FILE = "sweep.parquet"
PROVENANCE_FILE = "sweep.json"
_SHAPE = ("array.rows", "array.cols")


def sweep(
    traces: Any,
    hw: str | os.PathLike[str] | Mapping[str, Any] | Hardware,
    grid: Mapping[str, Any],
    *,
    workers: int | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: bool = False,
    samples: int | Sequence[int] | None = None,
    check: bool = False,
    executor: Executor | None = None,
    command: str = "",
) -> pd.DataFrame:
    """Simulate every trace on every point of a grid of hardware keys.

    Args:
        traces: a trace or several, each as a path or an open Trace.
        hw: the accelerator that the grid changes, as `load_hardware` takes it.
        grid: dotted key to values, such as `{"array.rows": [8, 16, 32]}`; all combinations are run.
        workers: processes; all CPUs by default, 1 runs in this process.
        output: folder for `sweep.parquet` (the table) and `sweep.json` (provenance and units).
        progress: show a progress bar on the terminal.
        samples: the first so many samples of each trace, or the positions of those wanted; all by default.
        check: verify conservation of cycles, bytes and MACs in every run.
        executor: where the runs happen, instead of `workers` processes of this machine.
        command: the command line, for the provenance.

    Returns:
        One row for each trace and point, traces in the order given, the last key of the grid fastest, with
        the columns `row` (hash of all inputs), `trace`, `hardware`, `array.rows`, `array.cols`, the keys of
        the grid, and all figures of `Run.summary`.

    Raises:
        CgsimError: a trace or value is refused (all bad points are listed before the first run), a run fails
            (says which), or the output cannot be written. Nothing is written unless all runs end well.
    """
    base = load_hardware(hw)
    points = grid_points(base, grid)
    opened = open_traces(traces, "sweep")
    chosen = chosen_samples(opened, samples)
    folder = None if output is None else Path(output)
    if folder is not None:
        check_folder(folder)
    if executor is None:
        executor = choose_executor(workers, len(opened) * len(points), "sweep")
    rows: dict[str, dict[str, Any]] = {}
    places: dict[str, str] = {}
    keys: dict[str, list[str]] = {}
    for name, trace in opened.items():
        keys[name] = [row_key(trace, point.hardware, chosen) for point in points]
        for key, point in zip(keys[name], points, strict=True):
            if key in rows:
                raise CgsimError(f"sweep: {trace.path} is there twice, or has a twin with the same contents")
            rows[key] = _head(key, name, point)
            places[key] = f"trace {name}, {point}"
    variants = [point.hardware for point in points]
    tasks = list(cut_tasks(opened, variants, keys, chosen, check, executor.workers))
    found = outcomes(executor, run_task, tasks, len(rows), progress, "sweep", places.__getitem__)
    for key, summary in found:
        rows[key] |= summary
    table = _table(list(rows.values()))
    if folder is not None:
        _write(folder, table, opened, base, grid, chosen, command)
    return table


def _head(key: str, name: str, point: Point) -> dict[str, Any]:
    shape = {shown: point.hardware.get(shown) for shown in _SHAPE}
    return {"row": key, "trace": name, "hardware": point.hardware.name, **shape, **point.settings}


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows)
    for name in table.columns.intersection(list(summary_units())):
        table[name] = pd.to_numeric(table[name])  # a figure that no trace has is NaN, not None
    return table


def _write(
    folder: Path,
    table: pd.DataFrame,
    traces: Mapping[str, Trace],
    base: Hardware,
    grid: Mapping[str, Any],
    samples: tuple[int, ...] | None,
    command: str,
) -> None:
    units = {key: unit(field) for key, field in fields(Hardware)} | summary_units()
    units = {name: units.get(name, "") for name in table.columns}
    origin = {
        "traces": {name: provenance(trace, base)["trace"] for name, trace in traces.items()},
        "hardware": base.to_dict(),
        "grid": {key: list(dict.fromkeys(table[key])) for key in grid},
        "samples": samples,
        "cgsim": __version__,
        "command": command,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    columns = {name: table[name].to_numpy() for name in table.columns}
    write_parquet(folder / PARQUET_FILE, columns, units, {"provenance": origin})
    write_json(
        folder / PROVENANCE_FILE,
        {"table": PARQUET_FILE, "rows": len(table), "units": units, "provenance": origin},
    )
