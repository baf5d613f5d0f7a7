"""What many runs need: traces by name, samples, an executor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cgsim.errors import CgsimError
from cgsim.explore.executors import Executor, SerialExecutor, available_cpus
from cgsim.explore.process_executor import ProcessExecutor
from cgsim.results.provenance import trace_name
from cgsim.simulation import sample_positions
from cgsim.trace import Trace, load_trace


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
