"""Runs become tasks: large enough that sending them costs little, small enough that workers end together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from cgsim.engine.mapped import dense_of
from cgsim.explore.plan import Plan, Planned
from cgsim.explore.tasks import Outcome, Task

SECONDS_PER_TASK = 0.25
MOST_PER_TASK = 64
TOGETHER = 4
"""Slow runs in a task at most, if all execute the dense network alike: it is mapped and replayed once."""
_TASKS_PER_WORKER = 4


class Cutter:
    """Cuts runs into tasks as they are asked for, by what the runs so far have taken.

    The first tasks have one run each. Results are on disk when their task ends, so that a task of many slow
    runs would risk them all; tasks of one short run each would wait for messages more than they compute.
    """

    def __init__(self, plan: Plan, runs: Sequence[Planned], workers: int, check: bool) -> None:
        self._plan, self._runs, self._check = plan, runs, check
        self._workers = max(1, workers)
        self._seconds = self._seen = 0.0

    def note(self, outcome: Outcome) -> None:
        """Learn from an outcome."""
        # Recent runs count for more: the first of a worker compiles, or opens the trace.
        self._seconds = 0.9 * self._seconds + outcome.seconds
        self._seen = 0.9 * self._seen + 1

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks, each of one trace, in the order of the runs."""
        start = 0
        while start < len(self._runs):
            left = len(self._runs) - start
            size, first = self._size(left), self._runs[start]
            most = max(size, min(TOGETHER, left // self._workers))
            stop = start + 1
            while stop < min(start + most, len(self._runs)) and self._runs[stop].trace == first.trace:
                if stop - start >= size and not _same_dense(first, self._runs[stop]):
                    break
                stop += 1
            yield make_task(self._plan, self._runs[start:stop], self._check, self._plan.samples)
            start = stop

    def _size(self, left: int) -> int:
        if not self._seen:
            return 1
        wanted = SECONDS_PER_TASK * self._seen / max(self._seconds, 1e-9)
        return max(1, min(int(wanted), MOST_PER_TASK, left // (_TASKS_PER_WORKER * self._workers)))


def _same_dense(one: Planned, other: Planned) -> bool:
    return dense_of(one.point.hardware) == dense_of(other.point.hardware)


def make_task(
    plan: Plan,
    runs: Sequence[Planned],
    check: bool,
    samples: tuple[int, ...] | None,
    piece: int | None = None,
) -> Task:
    """Return the task of some runs of one trace, on `samples` of it."""
    trace = plan.traces[runs[0].trace]
    return Task(
        trace=address(trace.path),
        checksum=trace.checksum,
        hardware=tuple(run.point.hardware.to_dict() for run in runs),
        keys=tuple(run.key for run in runs),
        samples=samples,
        check=check,
        piece=piece,
    )


def address(path: str) -> str:
    """Return a trace's path as a worker with another working folder finds it."""
    return path if "://" in path else os.path.abspath(path)
