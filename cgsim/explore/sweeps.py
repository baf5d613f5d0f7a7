"""Sweeps: every trace on every point, in one table of runs and one of their samples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.explore.execution import Executed, execute
from cgsim.explore.executors import Executor
from cgsim.explore.experiment import Experiment
from cgsim.explore.grid import grid_points
from cgsim.explore.plan import Plan, Planned
from cgsim.explore.runs import choose_executor, chosen_samples, open_traces
from cgsim.explore.sweep_files import PARQUET_FILE, PROVENANCE_FILE, SAMPLES_FILE, write_sweep
from cgsim.hardware import Hardware, load_hardware
from cgsim.results.certainty import BOUNDS, ratio_bounds
from cgsim.results.derive import summary_units
from cgsim.results.files import check_folder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PARQUET_FILE", "PROVENANCE_FILE", "SAMPLES_FILE", "run_experiment", "run_plan", "sweep"]

_SHAPE = ("array.rows", "array.cols")


def sweep(
    traces: Any,
    hw: str | os.PathLike[str] | Mapping[str, Any] | Hardware,
    grid: Mapping[str, Any],
    *,
    samples: int | Sequence[int] | None = None,
    check: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Simulate every trace on every point of a grid of hardware keys.

    Args:
        traces: a trace or several, each as a path or an open Trace.
        hw: the accelerator that the grid changes, as `load_hardware` takes it.
        grid: dotted key to values, such as `{"array.rows": [8, 16, 32]}`; all combinations are run.
        samples: the first so many samples of each trace, or the positions of those wanted; all by default.
        check: verify conservation of cycles, bytes and MACs in every run.
        options: those of `run_experiment`: where the runs happen, where results go, progress.

    Returns:
        The table of `run_experiment`: traces in the order given, the last key of the grid fastest.

    Raises:
        CgsimError: a trace or value is refused (all bad points are listed before the first run), or the
            output cannot be written.
    """
    base = load_hardware(hw)
    points = grid_points(base, grid)
    opened = open_traces(traces, "sweep")
    plan = Plan("sweep", opened, points, chosen_samples(opened, samples))
    origin = {"hardware": base.to_dict(), "grid": _values(plan)}
    return run_plan(plan, origin, check=check, **options)


def run_experiment(
    experiment: Experiment | str | os.PathLike[str] | Mapping[str, Any], **options: Any
) -> pd.DataFrame:
    """Run an experiment, or what an earlier, interrupted run of it has left.

    Args:
        experiment: an Experiment, the path of its YAML file, or its keys.
        options: those of `run_plan`: `workers` (processes; all CPUs by default, 1 runs in this process) or
            `executor` (such as a `DaskExecutor`); `output` (the results folder; a run that it holds already
            is not repeated); `progress`; `retry_failed` (run again what failed there); `split_samples`
            (spread each run, about so many samples for each task); `command` (for the provenance).

    Returns:
        One row for each trace and point, with the columns `row` (hash of all inputs), `trace`, `hardware`,
        `array.rows`, `array.cols`, the keys that vary, all figures of `Run.summary`, and `speedup_low` and
        `speedup_high`, the bounds of the speedup's 95% confidence interval (docs/statistics.md; NaN for a
        single sample). Where a run failed its figures are missing, and the column `error`, which is there
        only then, says why.

    Raises:
        CgsimError: anything in the experiment is refused (all bad points are listed before the first run),
            or the output cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM; it says how many runs are done. The results folder keeps them.
    """
    if isinstance(experiment, Mapping):
        experiment = Experiment.from_dict(experiment)
    elif not isinstance(experiment, Experiment):
        experiment = Experiment.load(experiment)
    plan = experiment.plan()
    accelerators = {one.name: one.to_dict() for one in experiment.accelerators}
    origin = {
        "hardware": accelerators if len(accelerators) > 1 else next(iter(accelerators.values())),
        "grid": _values(plan),
        "experiment": dict(experiment.described or {}),
    }
    options.setdefault("check", experiment.check)
    return run_plan(plan, origin, **options)


def run_plan(
    plan: Plan,
    origin: Mapping[str, Any],
    *,
    workers: int | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: bool = False,
    check: bool = False,
    executor: Executor | None = None,
    retry_failed: bool = False,
    split_samples: int | None = None,
    command: str = "",
) -> pd.DataFrame:
    """Run a plan and write `sweep.parquet`, `samples.parquet` and `sweep.json` (see `run_experiment`).

    `origin` is put into the provenance.
    """
    folder = None if output is None else Path(output)
    if folder is not None:
        check_folder(folder)
    if executor is None:
        executor = choose_executor(workers, len(plan) * (2 if split_samples else 1), plan.name)
    done = execute(
        plan,
        folder,
        executor,
        progress=progress,
        check=check,
        retry_failed=retry_failed,
        split_samples=split_samples,
    )
    runs = list(plan.runs())
    heads = {run.key: _head(run) for run in runs}
    table = _table(runs, heads, done)
    if folder is not None:
        write_sweep(folder, plan, table, heads, done, origin, command)
    return table


def _values(plan: Plan) -> dict[str, list[Any]]:
    """The values that each key takes, in order of appearance."""
    keys = dict.fromkeys(key for point in plan.points for key in point.settings)
    return {key: list(dict.fromkeys(point.settings[key] for point in plan.points)) for key in keys}


def _head(run: Planned) -> dict[str, Any]:
    hardware = run.point.hardware
    shape = {shown: hardware.get(shown) for shown in _SHAPE}
    return {
        "row": run.key,
        "trace": run.trace,
        "hardware": hardware.name,
        **shape,
        **run.point.settings,
    }


def _table(runs: list[Planned], heads: Mapping[str, dict[str, Any]], done: Executed) -> pd.DataFrame:
    """Return the table of runs, made in one go: columns put in one by one would lie apart in memory."""
    import pandas as pd

    bounds = _bounds(runs, done)
    rows = [head | done.rows.get(key, {}) | bounds.get(key, {}) for key, head in heads.items()]
    figures = {*summary_units(), *BOUNDS}
    columns: dict[str, pd.Series] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = pd.Series([row.get(name) for row in rows])
        # A figure that no trace has is NaN, not None.
        columns[name] = pd.to_numeric(values) if name in figures else values
    if done.failed:
        columns["error"] = pd.Series([done.failed.get(key, "") for key in heads])
    return pd.DataFrame(columns)


def _bounds(runs: list[Planned], done: Executed) -> dict[str, dict[str, float]]:
    """Return the bounds of each run's speedup, by its key."""
    batches = {run.key: run.point.hardware.mapping.batch for run in runs}
    found = {key: figures for key, figures in done.samples.items() if figures}
    dense, gated = ([figures[f"{mode}_cycles"] for figures in found.values()] for mode in ("dense", "gated"))
    bounds = ratio_bounds(dense, gated, [batches[key] for key in found])
    return {
        key: dict(zip(BOUNDS, map(float, own), strict=True)) for key, *own in zip(found, *bounds, strict=True)
    }
