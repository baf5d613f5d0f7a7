"""The unit of work of many runs: some accelerators for one trace. Plain data in, plain data out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgsim import __version__
from cgsim.errors import CgsimError
from cgsim.explore.opened import forget_trace, open_trace
from cgsim.hardware import Hardware, area, energy_costs
from cgsim.results import Run
from cgsim.results.derive import latency_cycles
from cgsim.simulation import simulate
from cgsim.trace import Trace

_ONE_AT_A_TIME = threading.Lock()
"""A worker of a cluster may have several threads; open traces and the simulator's caches take one."""


@dataclass(frozen=True)
class Task:
    """Points to simulate with one trace. Holds nothing but plain values, so that it can go anywhere."""

    trace: str
    """Path or fsspec address, which the worker opens."""
    checksum: str
    hardware: tuple[dict[str, Any], ...]
    keys: tuple[str, ...]
    """The key of each point's row (`row_key`), one for each entry of `hardware`."""
    samples: tuple[int, ...] | None = None
    check: bool = False
    piece: int | None = None
    """If `samples` are only some of a run's: the place of the first of them among the run's samples."""
    version: str = __version__
    """Of cgsim; a worker with another one must not take part."""

    def singles(self) -> Iterator[Task]:
        """Yield the same work as tasks of one point each."""
        for key, hardware in zip(self.keys, self.hardware, strict=True):
            yield dataclasses.replace(self, keys=(key,), hardware=(hardware,))


@dataclass(frozen=True)
class Outcome:
    """What became of one run: its figures, or why there are none."""

    key: str
    summary: dict[str, Any] | None
    """The figures of `Run.summary`; None if the run failed, or is only a piece of one."""
    error: str = ""
    samples: dict[str, np.ndarray] | None = None
    """Figures of each sample (`sample_figures`), int64 [S]."""
    checked: bool = False
    """Whether conservation of cycles, bytes and MACs was verified."""
    seconds: float = 0.0
    piece: int | None = None
    columns: dict[str, np.ndarray] | None = None
    """Of a piece: the counted columns of its run, an entry per sample and layer."""


def row_key(trace: Trace, hardware: Hardware, samples: Sequence[int] | None) -> str:
    """Return a hash of all that a row follows from: version, trace, hardware and samples (32 hex digits)."""
    inputs: dict[str, Any] = {
        "cgsim": __version__,
        "trace": trace.checksum,
        "metadata": dataclasses.asdict(trace.metadata),
        "hardware": hardware.to_dict(),
        "samples": None if samples is None else list(samples),
    }
    if hardware.costs.table is not None:  # a file, whose contents may change
        inputs["costs"] = [*vars(energy_costs(hardware)).values(), area(hardware).total_mm2]
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def run_task(task: Task) -> list[Outcome]:
    """Simulate every point of a task; keep totals and the figures of every sample, or why a point failed."""
    if task.piece is not None:
        return run_each(task, lambda run: {"summary": None, "columns": counted_columns(run)})
    return run_each(task, lambda run: {"summary": run.summary(), "samples": sample_figures(run)})


def run_each(task: Task, told: Callable[[Run], dict[str, Any]]) -> list[Outcome]:
    """Simulate every point of a task; `told` makes the fields of an outcome of each run.

    A point that fails, for whatever reason, has an outcome that says why; the others go on.
    """
    with _ONE_AT_A_TIME:
        return [
            _run_one(task, key, hardware, told)
            for key, hardware in zip(task.keys, task.hardware, strict=True)
        ]


def _run_one(
    task: Task, key: str, hardware: dict[str, Any], told: Callable[[Run], dict[str, Any]]
) -> Outcome:
    started = time.perf_counter()
    try:
        if task.version != __version__:
            raise CgsimError(f"the worker has cgsim {__version__}, expected {task.version}")
        trace = open_trace(task.trace, task.checksum)
        run = simulate(trace, Hardware.from_dict(hardware), samples=task.samples, check=task.check)
        fields = {"checked": task.check, "piece": task.piece} | told(run)
    except CgsimError as error:
        if str(error).startswith(task.trace):
            forget_trace(task.trace, task.checksum)  # the file may have changed under it
        return Outcome(key, None, str(error), piece=task.piece)
    except Exception as error:
        return Outcome(key, None, unexpected(error), piece=task.piece)
    return Outcome(key, seconds=time.perf_counter() - started, **fields)


def sample_figures(run: Run) -> dict[str, np.ndarray]:
    """Return the figures that are kept of each sample of a run, int64 [S], in the order of its samples.

    `sample` is its position in the trace. The cycles are its share of its batch's, the latency is that of
    the whole batch.
    """
    samples = run.by_sample()
    found = {"sample": samples["sample"]}
    for mode in ("dense", "gated"):
        found[f"{mode}_cycles"] = samples[f"{mode}_cycles"]
        found[f"{mode}_latency_cycles"] = latency_cycles(samples[f"{mode}_cycles"], run.batch)
        found[f"{mode}_macs"] = samples[f"{mode}_macs"]
        found[f"{mode}_offchip_bytes"] = samples[f"{mode}_offchip_bytes"]
    return {name: np.asarray(found[name], np.int64) for name in SAMPLE_FIGURES}


SAMPLE_FIGURES = (
    "sample",
    *(
        f"{mode}_{figure}"
        for figure in ("cycles", "latency_cycles", "macs", "offchip_bytes")
        for mode in ("dense", "gated")
    ),
)


def counted_columns(run: Run) -> dict[str, np.ndarray]:
    """Return what a run counted, an entry per sample and layer, without what follows from it."""
    from cgsim.engine.columns import COLUMNS

    columns = run.columns
    return {column.name: columns[column.name] for column in COLUMNS}


def unexpected(error: BaseException) -> str:
    """Return one line on an exception that is no CgsimError: its type, its text and where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if text else ''}{text[:500]}{place}"
