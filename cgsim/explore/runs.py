"""What many runs need: traces by name, samples, tasks, an executor, results as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from cgsim.errors import CgsimError
from cgsim.explore.cutting import address
from cgsim.explore.executors import Executor, Function, SerialExecutor, available_cpus
from cgsim.explore.opened import forget_traces
from cgsim.explore.process_executor import ProcessExecutor
from cgsim.explore.tasks import Outcome, Task
from cgsim.hardware import Hardware
from cgsim.results.provenance import trace_name
from cgsim.simulation import sample_positions
from cgsim.trace import Trace, load_trace

_TASKS_PER_WORKER = 4


def open_traces(traces: Any, command: str) -> dict[str, Trace]:
    """Return the traces by the name that the table shows: the file's, or the path where names are alike.

    Raises CgsimError, which `command` begins, on what is no trace, on none at all and on one given twice.
    """
    single = isinstance(traces, (str, os.PathLike, Trace))
    if not single and not isinstance(traces, Iterable):
        raise CgsimError(f"{command}: expected traces or their paths, got {type(traces).__name__}")
    opened = [t if isinstance(t, Trace) else load_trace(t) for t in ([traces] if single else traces)]
    if not opened:
        raise CgsimError(f"{command}: expected at least one trace")
    names = [trace_name(trace.path) for trace in opened]
    result: dict[str, Trace] = {}
    for name, trace in zip(names, opened, strict=True):
        shown = name if names.count(name) == 1 else trace.path
        if shown in result:
            raise CgsimError(f"{command}: {trace.path} is there twice")
        result[shown] = trace
    return result


def chosen_samples(
    traces: Mapping[str, Trace], samples: int | Sequence[int] | None
) -> tuple[int, ...] | None:
    """Return the positions of the samples wanted; raises CgsimError, before any run, if a trace lacks one."""
    shortest = min(traces.values(), key=lambda trace: trace.n_samples)
    positions = sample_positions(shortest, samples)
    return None if positions is None else tuple(positions)


def choose_executor(workers: Any, runs: int, command: str) -> Executor:
    """Return where `runs` runs happen: `workers` processes (default: all CPUs), or this one for a single."""
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise CgsimError(f"{command}: workers: expected an integer of 1 or more, got {workers!r}")
    count = min(available_cpus() if workers is None else workers, runs)
    return ProcessExecutor(count) if count > 1 else SerialExecutor()


def cut_tasks(
    traces: Mapping[str, Trace],
    hardware: Sequence[Hardware],
    keys: Mapping[str, Sequence[str]],
    samples: tuple[int, ...] | None,
    check: bool,
    workers: int,
) -> Iterator[Task]:
    """Cut the runs into tasks of one trace each, a few for each worker: few openings, little waiting."""
    runs = len(traces) * len(hardware)
    size = 1 if workers == 1 else max(1, runs // (_TASKS_PER_WORKER * workers))
    for name, trace in traces.items():
        for start in range(0, len(hardware), size):
            part = slice(start, start + size)
            yield Task(
                trace=address(trace.path),
                checksum=trace.checksum,
                hardware=tuple(one.to_dict() for one in hardware[part]),
                keys=tuple(keys[name][part]),
                samples=samples,
                check=check,
            )


def outcomes(
    executor: Executor,
    function: Function,
    tasks: Sequence[Task],
    runs: int,
    progress: bool,
    command: str,
    place: Callable[[str], str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and figures of every run as it ends, in any order.

    Raises CgsimError on the first run that fails; `place` names a run by its key.
    """
    from tqdm import tqdm

    forget_traces()
    with (
        tqdm(total=runs, disable=not progress, unit="run", desc=command, dynamic_ncols=True) as bar,
        closing(executor.run(function, tasks)) as results,  # type: ignore[type-var]
    ):
        for found in results:
            yield from (_figures(outcome, command, place) for outcome in found)
            bar.update(len(found))


def _figures(outcome: Outcome, command: str, place: Callable[[str], str]) -> tuple[str, dict[str, Any]]:
    if outcome.summary is None:
        raise CgsimError(f"{command}: {place(outcome.key)}: {outcome.error}")
    return outcome.key, outcome.summary
