"""The comparison: traces of any methods on any accelerators, all against the ungated network."""

from __future__ import annotations

import datetime as dt
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgsim import __version__
from cgsim.errors import CgsimError
from cgsim.explore.baselines import Baseline, choose_baselines
from cgsim.explore.execution import Executed, execute
from cgsim.explore.executors import Executor
from cgsim.explore.grid import Point, describe, grid_points
from cgsim.explore.plan import Plan
from cgsim.explore.runs import choose_executor, chosen_samples, open_traces
from cgsim.hardware import Hardware, load_hardware
from cgsim.hardware.messages import fields, unit
from cgsim.results.certainty import BOUNDS, ratio_bounds
from cgsim.results.compare import Comparison
from cgsim.results.compared import UNITS, row_figures, sample_figures
from cgsim.results.files import check_folder
from cgsim.results.provenance import provenance
from cgsim.trace import Trace


def compare(
    traces: Any,
    hardware: Any,
    grid: Mapping[str, Any] | None = None,
    *,
    baselines: Any = (),
    workers: int | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: bool = False,
    samples: int | Sequence[int] | None = None,
    check: bool = False,
    executor: Executor | None = None,
    retry_failed: bool = False,
    split_samples: int | None = None,
    command: str = "",
) -> Comparison:
    """Simulate every trace on every accelerator; give savings against the ungated network, and latencies.

    Args:
        traces: a trace or several, each as a path or an open Trace; of any methods, models and data sets.
        hardware: an accelerator or several, each as `load_hardware` takes it.
        grid: dotted key to a value or values for each accelerator, such as `{"array.rows": [16, 32]}`.
        baselines: traces whose network, without gates, is the ungated one of their model and data set; they
            are compared, too. By default a trace of method `dense` among `traces`, else each trace's own.
        workers: processes; all CPUs by default, 1 runs in this process.
        output: results folder for `compare.parquet`, `samples.parquet` and `compare.json`. Every run is kept
            there as it ends; one that it holds already is not repeated.
        progress: show a progress bar on the terminal.
        samples: the first so many samples of each trace, or the positions of those wanted; all by default.
        check: verify conservation of cycles, bytes and MACs in every run.
        executor: where the runs happen, instead of `workers` processes of this machine.
        retry_failed: run again what failed in the results folder.
        split_samples: spread each run, about so many samples for each task.
        command: the command line, for the provenance.

    Returns:
        The comparison. A run that failed, or whose baseline did, has no row: `Comparison.failed` tells why.

    Raises:
        CgsimError: a trace, accelerator, value or baseline is refused, every run fails (says why the first
            did), or the output cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM; it says how many runs are done. The results folder keeps them.
    """
    points = _points(hardware, grid or {})
    opened, given = _open(traces, baselines)
    chosen, notes = choose_baselines(opened, given)
    positions = chosen_samples(opened, samples)
    folder = None if output is None else Path(output)
    if folder is not None:
        check_folder(folder)
    plan = Plan("compare", opened, list(points.values()), positions)
    keys = _keys(plan, points)
    if executor is None:
        executor = choose_executor(workers, len(plan) * (2 if split_samples else 1), "compare")
    done = execute(
        plan,
        folder,
        executor,
        progress=progress,
        check=check,
        retry_failed=retry_failed,
        split_samples=split_samples,
    )
    result = _result(opened, points, chosen, keys, done)
    result.notes = [*notes, *_accuracy_notes(result.rows)]
    result.units = UNITS | {key: unit(f) for key, f in fields(Hardware) if key in (grid or {})}
    result.provenance = _provenance(opened, points, chosen, positions, command)
    if folder is not None:
        result.save(folder)
    return result


def _points(hardware: Any, grid: Mapping[str, Any]) -> dict[str, Point]:
    """Return the accelerators by the name that tables and plots show."""
    single = isinstance(hardware, (str, os.PathLike, Mapping, Hardware))
    loaded = [load_hardware(one) for one in ([hardware] if single else hardware)]
    if not loaded:
        raise CgsimError("compare: expected at least one accelerator")
    points: dict[str, Point] = {}
    for base in loaded:
        made = grid_points(base, grid, "compare")
        varied = [key for key in grid if len({str(point.settings[key]) for point in made}) > 1]
        for point in made:
            name = ", ".join(
                filter(None, [base.name, describe({key: point.settings[key] for key in varied})])
            )
            if name in points:
                same = points[name].hardware == point.hardware
                told = "is there twice" if same else "is the name of two accelerators; change `name` in one"
                raise CgsimError(f"compare: hardware {name!r} {told}")
            points[name] = point
    return points


def _open(traces: Any, baselines: Any) -> tuple[dict[str, Trace], dict[str, Trace]]:
    """Return all traces by name, and those of them that are given as baselines."""
    own = list(open_traces(traces, "compare").values())
    extra: list[Trace] = []
    if not _empty(baselines):
        extra = list(open_traces(baselines, "compare: --baseline").values())
    contents = {_content(trace) for trace in own}
    opened = open_traces([*own, *(trace for trace in extra if _content(trace) not in contents)], "compare")
    wanted = {_content(trace) for trace in extra}
    return opened, {name: trace for name, trace in opened.items() if _content(trace) in wanted}


def _empty(traces: Any) -> bool:
    return traces is None or (not isinstance(traces, (str, os.PathLike, Trace)) and not list(traces))


def _content(trace: Trace) -> str:
    """What tells two traces apart: gates and provenance."""
    return f"{trace.checksum} {trace.metadata!r}"


def _keys(plan: Plan, points: Mapping[str, Point]) -> dict[tuple[str, str], str]:
    """Return the key of the run of each trace and accelerator, by their names."""
    places = itertools.product(plan.traces, points)  # in the order of `Plan.runs`
    return {place: run.key for place, run in zip(places, plan.runs(), strict=True)}


def _result(
    traces: Mapping[str, Trace],
    points: Mapping[str, Point],
    baselines: Mapping[str, Baseline],
    keys: Mapping[tuple[str, str], str],
    done: Executed,
) -> Comparison:
    failed = _failed(baselines, keys, done)
    places = [place for place, key in keys.items() if key not in failed]
    if not places:
        first = next(iter(failed.values()))
        raise CgsimError(
            f"compare: every run failed: trace {first['trace']}, {first['hardware']}: {first['error']}"
        )
    bounds = _bounds(traces, points, baselines, keys, done, places)
    rows: list[dict[str, Any]] = []
    parts: list[dict[str, np.ndarray]] = []
    for place, own_bounds in zip(places, bounds, strict=True):
        (name, label), key = place, keys[place]
        trace, baseline, point = traces[name], baselines[name], points[label]
        row = _head(key, name, trace, label, point) | {"baseline": baseline.name}
        reference = done.rows[keys[baseline.name, label]]
        row |= row_figures(done.rows[key], reference, baseline.macs) | own_bounds
        row |= _accuracies(trace, traces[baseline.name])
        rows.append(row)
        parts.append(_samples(row, trace, done.samples[key], point.hardware.clock_mhz))
    columns = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    return Comparison(rows, columns, failed=list(failed.values()))


def _failed(
    baselines: Mapping[str, Baseline], keys: Mapping[tuple[str, str], str], done: Executed
) -> dict[str, dict[str, str]]:
    """Return what has no row, by its key: what failed, and what has nothing to be measured against."""
    failed: dict[str, dict[str, str]] = {}
    for (name, label), key in keys.items():
        baseline = baselines[name].name
        error = done.failed.get(key, "")
        if not error and keys[baseline, label] in done.failed:
            error = f"its baseline {baseline} failed: {done.failed[keys[baseline, label]]}"
        if error:
            failed[key] = {"row": key, "trace": name, "hardware": label, "error": error}
    return failed


def _bounds(
    traces: Mapping[str, Trace],
    points: Mapping[str, Point],
    baselines: Mapping[str, Baseline],
    keys: Mapping[tuple[str, str], str],
    done: Executed,
    places: Sequence[tuple[str, str]],
) -> list[dict[str, float]]:
    """Return the bounds of the speedup of each of `places`, a trace on an accelerator."""
    dense: list[np.ndarray] = []
    gated: list[np.ndarray] = []
    for name, label in places:
        baseline = baselines[name].name
        own, other = done.samples[keys[name, label]], done.samples[keys[baseline, label]]
        gated.append(own["gated_cycles"])
        same = _ids(traces[name], own) == _ids(traces[baseline], other)
        dense.append(other["dense_cycles"] if same else _constant(other["dense_cycles"], len(gated[-1])))
    batches = [points[label].hardware.mapping.batch for _, label in places]
    return [
        dict(zip(BOUNDS, map(float, own), strict=True))
        for own in zip(*ratio_bounds(dense, gated, batches), strict=True)
    ]


def _ids(trace: Trace, samples: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of a run's samples."""
    return [trace.samples[position].id for position in samples["sample"]]


def _constant(cycles: np.ndarray, count: int) -> np.ndarray:
    """Return what every image takes, for `count` others; NaN if images differ: they cannot be paired."""
    return np.full(count, cycles[0] if (cycles == cycles[0]).all() else np.nan)


def _head(key: str, name: str, trace: Trace, label: str, point: Point) -> dict[str, Any]:
    metadata = trace.metadata
    return {
        "row": key,
        "trace": name,
        "dataset": metadata.dataset,
        "model": metadata.model,
        "method": metadata.method,
        "gates": ", ".join(sorted({layer.gate for layer in trace.gated_layers})),
        "hardware": label,
        **point.settings,
    }


def _samples(
    row: Mapping[str, Any], trace: Trace, own: Mapping[str, np.ndarray], clock_mhz: float
) -> dict[str, np.ndarray]:
    count = len(own["sample"])
    figures = {name: own[f"gated_{name}"] for name in ("macs", "latency_cycles", "offchip_bytes")}
    return {
        **{name: np.full(count, row[name], dtype=object) for name in ("row", "trace", "hardware")},
        "sample": own["sample"].astype(np.int32),
        "id": np.array(_ids(trace, own), dtype=object),
        **sample_figures(figures, row, clock_mhz),
    }


def _accuracies(trace: Trace, baseline: Trace) -> dict[str, float | None]:
    """Accuracy of a trace's network and of the ungated one, which its own trace knows best."""
    own, other = trace.metadata, baseline.metadata
    reference = other.accuracy_gated if not baseline.gated_layers else None
    for value in (other.accuracy_ungated, own.accuracy_ungated):
        reference = value if reference is None else reference
    accuracy = own.accuracy_gated
    if accuracy is None and not trace.gated_layers and own.method == "dense":
        accuracy = own.accuracy_ungated
    return {"accuracy": accuracy, "baseline_accuracy": reference}


def _accuracy_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    missing = list(dict.fromkeys(str(row["trace"]) for row in rows if row["accuracy"] is None))
    if not missing:
        return []
    return [f"no accuracy is known of {', '.join(missing)}: not in the plot of accuracy"]


def _provenance(
    traces: Mapping[str, Trace],
    points: Mapping[str, Point],
    baselines: Mapping[str, Baseline],
    samples: tuple[int, ...] | None,
    command: str,
) -> dict[str, Any]:
    first = next(iter(points.values())).hardware
    return {
        "traces": {name: provenance(trace, first)["trace"] for name, trace in traces.items()},
        "hardware": {label: point.hardware.to_dict() for label, point in points.items()},
        "baselines": {name: baseline.name for name, baseline in baselines.items()},
        "samples": samples,
        "cgsim": __version__,
        "command": command,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
