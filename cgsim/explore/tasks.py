"""The unit of work of many runs: some accelerators for one trace. Plain data in, plain data out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cgsim import __version__
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.results import Run
from cgsim.simulation import simulate
from cgsim.trace import Trace, load_trace


@dataclass(frozen=True)
class Task:
    """Points to simulate with one trace. Holds nothing but plain values, so that it can go anywhere."""

    trace: str
    checksum: str
    hardware: tuple[dict[str, Any], ...]
    keys: tuple[str, ...]
    """The key of each point's row (`row_key`), one for each entry of `hardware`."""
    samples: tuple[int, ...] | None = None
    check: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one point: the figures of its run, or why there are none."""

    key: str
    summary: dict[str, Any] | None
    error: str = ""


def row_key(trace: Trace, hardware: Hardware, samples: Sequence[int] | None) -> str:
    """Return a hash of all that a row follows from: version, trace, hardware and samples (32 hex digits)."""
    inputs = {
        "cgsim": __version__,
        "trace": trace.checksum,
        "metadata": dataclasses.asdict(trace.metadata),
        "hardware": hardware.to_dict(),
        "samples": None if samples is None else list(samples),
    }
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def run_task(task: Task) -> list[Outcome]:
    """Simulate every point of a task, up to the first that fails, and keep the summaries."""
    return run_each(task, Run.summary)


def run_each(task: Task, told: Callable[[Run], dict[str, Any]]) -> list[Outcome]:
    """Simulate every point of a task, up to the first that fails, and keep what `told` makes of each run.

    The trace is opened once.
    """
    outcomes: list[Outcome] = []
    try:
        trace = open_trace(task.trace, task.checksum)
    except CgsimError as error:
        return [Outcome(task.keys[0], None, str(error))]
    for key, values in zip(task.keys, task.hardware, strict=True):
        try:
            run = simulate(trace, Hardware.from_dict(values), samples=task.samples, check=task.check)
            outcomes.append(Outcome(key, told(run)))
        except CgsimError as error:
            return [*outcomes, Outcome(key, None, str(error))]
        except Exception as error:
            error.add_note(f"with trace {task.trace} and hardware {values}")
            raise
    return outcomes


@lru_cache(maxsize=1)
def open_trace(path: str, checksum: str) -> Trace:
    """Open a trace; kept until another one is asked for, as the tasks of a trace come one after another.

    Raises:
        CgsimError: the trace is not the one that the runs began with.
    """
    trace = load_trace(path)
    if trace.checksum != checksum:
        raise CgsimError(f"{path}: changed since the runs began")
    return trace
