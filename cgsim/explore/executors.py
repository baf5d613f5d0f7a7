"""Where tasks are done. One interface, so that a cluster can take the place of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from cgsim.explore.tasks import Outcome, Task

Function = Callable[[Task], list[Outcome]]
MOST_DEATHS = 3
"""Workers that a task may take with it before it is given up."""


class Executor(Protocol):
    """Does tasks. `workers` says how many at a time, for the size of the tasks."""

    workers: int

    def run(self, function: Function, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Yield the outcomes of each task, in any order, as soon as they are there.

        Tasks are taken when there is room for them, not all at once: `tasks` may be an iterator that cuts
        them as it goes. A task whose worker dies is done again; one that has killed `MOST_DEATHS` workers is
        cut into its runs, and one run that has is an outcome with an error. An exception in `function` comes
        through. Closing the iterator early, or an exception in it, ends what still runs.
        """
        ...


class SerialExecutor:
    """One task after another, in this process. A context manager as the others are, with nothing to end."""

    workers = 1

    def __enter__(self) -> SerialExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, function: Function, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Yield the outcomes in order."""
        for task in tasks:
            yield function(task)


def given_up(task: Task) -> list[Outcome]:
    """Return the outcomes of a task that has killed its workers."""
    error = "its worker process ended abruptly each time it was tried, perhaps for want of memory"
    return [Outcome(key, None, error, piece=task.piece) for key in task.keys]


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
