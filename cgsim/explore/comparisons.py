"""The comparison: traces of any methods on any accelerators, all against the ungated network."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgsim import __version__
from cgsim.errors import CgsimError
from cgsim.explore.baselines import Baseline, choose_baselines
from cgsim.explore.executors import Executor
from cgsim.explore.grid import Point, describe, grid_points
from cgsim.explore.runs import choose_executor, chosen_samples, cut_tasks, open_traces, outcomes
from cgsim.explore.tasks import Outcome, Task, row_key, run_each
from cgsim.hardware import Hardware, load_hardware
from cgsim.hardware.messages import fields, unit
from cgsim.results import Run
from cgsim.results.compare import Comparison
from cgsim.results.compared import UNITS, row_figures, sample_figures
from cgsim.results.derive import latency_cycles
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
        output: folder for `compare.parquet`, `samples.parquet` and `compare.json`.
        progress: show a progress bar on the terminal.
        samples: the first so many samples of each trace, or the positions of those wanted; all by default.
        check: verify conservation of cycles, bytes and MACs in every run.
        executor: where the runs happen, instead of `workers` processes of this machine.
        command: the command line, for the provenance.

    Raises:
        CgsimError: a trace, accelerator, value or baseline is refused, a run fails (says which), or the
            output cannot be written. Nothing is written unless all runs end well.
    """
    points = _points(hardware, grid or {})
    opened, given = _open(traces, baselines)
    chosen, notes = choose_baselines(opened, given)
    positions = chosen_samples(opened, samples)
    folder = None if output is None else Path(output)
    if folder is not None:
        check_folder(folder)
    if executor is None:
        executor = choose_executor(workers, len(opened) * len(points), "compare")
    keys, places = _keys(opened, points, positions)
    variants = [point.hardware for point in points.values()]
    tasks = list(cut_tasks(opened, variants, keys, positions, check, executor.workers))
    found = dict(
        outcomes(executor, run_compared, tasks, len(places), progress, "compare", places.__getitem__)
    )
    result = _result(opened, points, chosen, keys, found)
    result.notes = [*notes, *_accuracy_notes(result.rows)]
    result.units = UNITS | {key: unit(f) for key, f in fields(Hardware) if key in (grid or {})}
    result.provenance = _provenance(opened, points, chosen, positions, command)
    if folder is not None:
        result.save(folder)
    return result


def run_compared(task: Task) -> list[Outcome]:
    """Simulate every accelerator of a task; keep totals and the figures of every sample."""
    return run_each(task, lambda run: {"summary": _told(run)})


def _told(run: Run) -> dict[str, Any]:
    samples = run.by_sample()
    figures = {
        "macs": samples["gated_macs"],
        "latency_cycles": latency_cycles(samples["gated_cycles"], run.batch),
        "offchip_bytes": samples["gated_offchip_bytes"],
    }
    return {
        "summary": run.summary(),
        "sample": samples["sample"],
        "figures": figures,
    }


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


def _keys(
    traces: Mapping[str, Trace], points: Mapping[str, Point], samples: tuple[int, ...] | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the keys of each trace's rows, and what each of them stands for."""
    keys: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for name, trace in traces.items():
        keys[name] = []
        for label, point in points.items():
            key = row_key(trace, point.hardware, samples)
            if key in places:
                raise CgsimError(
                    f"compare: {trace.path} is there twice, or has a twin with the same contents"
                )
            keys[name].append(key)
            places[key] = f"trace {name}, {label}"
    return keys, places


def _result(
    traces: Mapping[str, Trace],
    points: Mapping[str, Point],
    baselines: Mapping[str, Baseline],
    keys: Mapping[str, Sequence[str]],
    found: Mapping[str, Mapping[str, Any]],
) -> Comparison:
    rows: list[dict[str, Any]] = []
    parts: list[dict[str, np.ndarray]] = []
    for name, trace in traces.items():
        baseline = baselines[name]
        for index, (label, point) in enumerate(points.items()):
            key = keys[name][index]
            told = found[key]
            row = _head(key, name, trace, label, point) | {"baseline": baseline.name}
            reference = found[keys[baseline.name][index]]["summary"]
            row |= row_figures(told["summary"], reference, baseline.macs)
            row |= _accuracies(trace, traces[baseline.name])
            rows.append(row)
            parts.append(_samples(row, trace, told, point.hardware.clock_mhz))
    columns = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    return Comparison(rows, columns)


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
    row: Mapping[str, Any], trace: Trace, told: Mapping[str, Any], clock_mhz: float
) -> dict[str, np.ndarray]:
    positions = told["sample"]
    count = len(positions)
    return {
        **{name: np.full(count, row[name], dtype=object) for name in ("row", "trace", "hardware")},
        "sample": positions.astype(np.int32),
        "id": np.array([trace.samples[position].id for position in positions], dtype=object),
        **sample_figures(told["figures"], row, clock_mhz),
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
