"""What a run of a sweep costs beside its simulation: sending it to a worker, and keeping its outcome.

    python benchmarks/explore.py [--runs 2000] [--workers 2] [--address tcp://127.0.0.1:8786]

Sending: tasks of one run each, whose function does nothing and returns the outcome of a run of 64 samples.
Keeping: `execute` with a results folder, on outcomes that are there already; and the start of a second
`execute` that finds all of them. With --address, sending is measured on that Dask cluster, too. Wall-clock
milliseconds per run; start of the processes left out. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import cgsim
from cgsim.explore import Outcome, Plan, ProcessExecutor, Task, execute, grid_points, run_task
from cgsim.explore.cutting import Cutter
from cgsim.trace import synthesize, tiny_network

SAMPLES = 64


class Canned:
    """A function that does nothing: its outcomes are made beforehand."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def __call__(self, task: Task) -> list[Outcome]:
        """Return the outcomes of a task."""
        return [dataclasses.replace(self.outcome, key=key) for key in task.keys]


class There:
    """An executor whose outcomes are there at once."""

    workers = 1

    def __init__(self, function: Canned) -> None:
        self.function = function

    def run(self, _: Any, tasks: Any) -> Any:
        """Yield them."""
        yield from map(self.function, tasks)


def plan_of(folder: Path, runs: int) -> Plan:
    """Return a plan of so many runs."""
    path = synthesize(tiny_network(), folder / "tiny.trace.parquet", samples=SAMPLES, density=0.3)
    axes = {"array.rows": list(range(1, 101)), "clock_mhz": list(range(100, max(1, runs // 100) + 100))}
    points = grid_points(cgsim.load_hardware("asic-28nm"), axes)
    return Plan("benchmark", {"tiny": cgsim.load_trace(path)}, points)


def sending(executor: Any, function: Canned, tasks: list[Task]) -> float:
    """Return seconds per task, from the first outcome of each worker on."""
    results = executor.run(function, iter(tasks))
    for _ in range(4 * executor.workers):
        next(results)
    start = time.perf_counter()
    count = sum(1 for _ in results)
    return (time.perf_counter() - start) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--address")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = plan_of(folder, arguments.runs)
        tasks = list(Cutter(plan, list(plan.runs()), 1, False).tasks())  # of one run each
        (outcome,) = run_task(tasks[0])
        function = Canned(dataclasses.replace(outcome, seconds=0.001))
        told = {}
        told["local processes, sending"] = sending(ProcessExecutor(arguments.workers), function, tasks)
        if arguments.address:
            from cgsim.explore.dask_executor import DaskExecutor

            with DaskExecutor(arguments.address) as executor:
                told["Dask, sending"] = sending(executor, function, tasks)
        for what in ("keeping", "finding what is kept"):
            start = time.perf_counter()
            execute(plan, folder / "results", There(function))
            told[what] = (time.perf_counter() - start) / len(plan)
    for what, seconds in told.items():
        print(f"{what:28} {1e3 * seconds:8.3f} ms per run")


if __name__ == "__main__":
    main()
