"""How long a plan will take, before it is run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from cgsim.engine.mapped import forget
from cgsim.explore.plan import Plan, Planned
from cgsim.explore.store import done_runs
from cgsim.explore.tasks import Outcome
from cgsim.hardware import Hardware
from cgsim.simulation import simulate
from cgsim.trace import Trace


@dataclass(frozen=True)
class Forecast:
    """What is left to do of a plan, and about how long that takes."""

    runs: int
    done: int
    """Runs that the results folder holds already."""
    failed: int
    """Runs that failed there."""
    seconds: float
    """Estimate for what is left, on `workers` processes; kernels are compiled by then."""
    workers: int
    basis: str
    """What the estimate is made from."""

    @property
    def left(self) -> int:
        """Runs to do; those that failed are not done again unless asked for."""
        return self.runs - self.done - self.failed


def forecast(plan: Plan, folder: Path | None, workers: int) -> Forecast:
    """Return what a plan would take. Simulates up to three samples of each trace, unless runs are known.

    Raises CgsimError if the runs of the folder cannot be read.
    """
    runs = list(plan.runs())
    known = {} if folder is None else done_runs(folder, [run.key for run in runs])
    done = [outcome for outcome in known.values() if outcome.summary is not None]
    left = [run for run in runs if run.key not in known]
    seconds, basis = _seconds(plan, left, runs, done)
    return Forecast(len(runs), len(done), len(known) - len(done), seconds / workers, workers, basis)


def _seconds(
    plan: Plan, left: Sequence[Planned], runs: Sequence[Planned], done: Sequence[Outcome]
) -> tuple[float, str]:
    if not left:
        return 0.0, "nothing is left to do"
    trace_of = {run.key: run.trace for run in runs}
    taken: dict[str, list[float]] = {}
    for outcome in done:
        taken.setdefault(trace_of[outcome.key], []).append(outcome.seconds)
    rates = {name: fmean(seconds) for name, seconds in taken.items()}
    probed = {run.trace: run.point.hardware for run in left if run.trace not in rates}
    rates |= {name: _probe(plan, name, hardware) for name, hardware in _first(left, probed).items()}
    told = []
    if done:
        told.append("the runs that are done")
    if probed:
        told.append("the first accelerator on a few samples of each trace")
    return sum(rates[run.trace] for run in left), " and ".join(told)


def _first(left: Sequence[Planned], wanted: Mapping[str, Hardware]) -> dict[str, Hardware]:
    return {run.trace: run.point.hardware for run in reversed(left) if run.trace in wanted}


def _probe(plan: Plan, name: str, hardware: Hardware) -> float:
    """Seconds of one run: its mapping once, and its samples."""
    trace = plan.traces[name]
    count = trace.n_samples if plan.samples is None else len(plan.samples)
    batch = min(count, hardware.mapping.batch)
    few = min(count, 2 * batch)
    _timed(trace, hardware, batch)  # compiles
    forget()
    first = _timed(trace, hardware, batch)
    second = _timed(trace, hardware, few)
    return first + second / few * max(0, count - batch)


def _timed(trace: Trace, hardware: Hardware, samples: int) -> float:
    start = time.perf_counter()
    simulate(trace, hardware, samples=samples)
    return time.perf_counter() - start
