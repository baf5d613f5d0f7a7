"""Where tasks are done. One interface, so that a cluster can take the place of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from cgsim.errors import CgsimError
from cgsim.explore.tasks import Outcome, Task

Function = Callable[[Task], list[Outcome]]


class Executor(Protocol):
    """Runs tasks. `workers` says how many at a time, for the size of the tasks."""

    workers: int

    def run(self, function: Function, tasks: Sequence[Task]) -> Iterator[list[Outcome]]:
        """Yield the result of each task, in any order, as soon as it is there.

        Closing the iterator early, or an exception in it, ends what still runs.
        """
        ...


class SerialExecutor:
    """One task after another, in this process."""

    workers = 1

    def run(self, function: Function, tasks: Sequence[Task]) -> Iterator[list[Outcome]]:
        """Yield the results in order."""
        for task in tasks:
            yield function(task)


class ProcessExecutor:
    """Tasks on a pool of processes of this machine.

    The processes are spawned, not forked: the libraries used here run threads, which a fork would break.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cpus()

    def run(self, function: Function, tasks: Sequence[Task]) -> Iterator[list[Outcome]]:
        """Yield the results as they come. On Ctrl-C, or when closed early, the processes are ended.

        Raises:
            CgsimError: a process died.
        """
        before = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(
            min(self.workers, max(1, len(tasks))),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        )
        finished = False
        try:
            pending: set[Future[list[Outcome]]] = {pool.submit(function, task) for task in tasks}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
            finished = True
        except BrokenProcessPool:
            raise CgsimError(
                "a worker process ended abruptly, perhaps for want of memory; try fewer workers (a script "
                "that runs simulations needs `if __name__ == '__main__':` around the call)"
            ) from None
        finally:
            if not finished:
                for process in set(multiprocessing.active_children()) - before:
                    process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which ends its workers itself; end if the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
