"""The sweep: traces x grid of hardware keys, one table."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim import __version__
from cgsim.errors import CgsimError
from cgsim.explore.executors import Executor, ProcessExecutor, SerialExecutor, available_cpus
from cgsim.explore.grid import Point, grid_points
from cgsim.explore.tasks import Outcome, Task, open_trace, row_key, run_task
from cgsim.hardware import Hardware, load_hardware
from cgsim.hardware.messages import fields, unit
from cgsim.results.derive import summary_units
from cgsim.results.files import check_folder, write_json, write_parquet
from cgsim.results.provenance import provenance, trace_name
from cgsim.simulation import sample_positions
from cgsim.trace import Trace, load_trace

if TYPE_CHECKING:
    import pandas as pd

PARQUET_FILE = "sweep.parquet"
PROVENANCE_FILE = "sweep.json"
_TASKS_PER_WORKER = 4
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
    opened = _open(traces)
    chosen = _positions(opened, samples)
    folder = None if output is None else Path(output)
    if folder is not None:
        check_folder(folder)
    if executor is None:
        executor = _executor(workers, len(opened) * len(points))
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
    tasks = list(_tasks(opened, points, keys, chosen, check, executor.workers))
    for outcome in _outcomes(executor, tasks, len(rows), progress):
        if outcome.summary is None:
            raise CgsimError(f"sweep: {places[outcome.key]}: {outcome.error}")
        rows[outcome.key] |= outcome.summary
    table = _table(list(rows.values()))
    if folder is not None:
        _write(folder, table, opened, base, grid, chosen, command)
    return table


def _open(traces: Any) -> dict[str, Trace]:
    """Return the traces by the name that the table shows: the file's, or the path where names are alike."""
    single = isinstance(traces, (str, os.PathLike, Trace))
    if not single and not isinstance(traces, Iterable):
        raise CgsimError(f"sweep: expected traces or their paths, got {type(traces).__name__}")
    opened = [t if isinstance(t, Trace) else load_trace(t) for t in ([traces] if single else traces)]
    if not opened:
        raise CgsimError("sweep: expected at least one trace")
    names = [trace_name(trace.path) for trace in opened]
    result: dict[str, Trace] = {}
    for name, trace in zip(names, opened, strict=True):
        shown = name if names.count(name) == 1 else trace.path
        if shown in result:
            raise CgsimError(f"sweep: {trace.path} is there twice")
        result[shown] = trace
    return result


def _positions(traces: Mapping[str, Trace], samples: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """Return the positions of the samples wanted; raises CgsimError, before any run, if a trace lacks one."""
    shortest = min(traces.values(), key=lambda trace: trace.n_samples)
    positions = sample_positions(shortest, samples)
    return None if positions is None else tuple(positions)


def _executor(workers: Any, runs: int) -> Executor:
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise CgsimError(f"sweep: workers: expected an integer of 1 or more, got {workers!r}")
    count = min(available_cpus() if workers is None else workers, runs)
    return ProcessExecutor(count) if count > 1 else SerialExecutor()


def _tasks(
    traces: Mapping[str, Trace],
    points: Sequence[Point],
    keys: Mapping[str, Sequence[str]],
    samples: tuple[int, ...] | None,
    check: bool,
    workers: int,
) -> Iterator[Task]:
    """Cut the runs into tasks of one trace each, a few for each worker: few openings, little waiting."""
    runs = len(traces) * len(points)
    size = 1 if workers == 1 else max(1, runs // (_TASKS_PER_WORKER * workers))
    for name, trace in traces.items():
        for start in range(0, len(points), size):
            part = slice(start, start + size)
            yield Task(
                trace=trace.path,
                checksum=trace.checksum,
                hardware=tuple(point.hardware.to_dict() for point in points[part]),
                keys=tuple(keys[name][part]),
                samples=samples,
                check=check,
            )


def _outcomes(executor: Executor, tasks: list[Task], runs: int, progress: bool) -> Iterator[Outcome]:
    from tqdm import tqdm

    open_trace.cache_clear()
    with (
        tqdm(total=runs, disable=not progress, unit="run", desc="sweep", dynamic_ncols=True) as bar,
        closing(executor.run(run_task, tasks)) as results,  # type: ignore[type-var]
    ):
        for outcomes in results:
            yield from outcomes
            bar.update(len(outcomes))


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
