"""Tasks on the processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from cgsim.errors import CgsimError
from cgsim.explore.executors import MOST_DEATHS, Function, available_cpus, given_up
from cgsim.explore.tasks import Outcome, Task

_STILLBORN = (
    "worker processes end as soon as they start, perhaps for want of memory; try fewer workers (a script "
    "that runs simulations needs `if __name__ == '__main__':` around the call)"
)


class ProcessExecutor:
    """Tasks on processes of this machine, each a pool of its own, so that one that dies takes no other along.

    The processes are spawned, not forked: the libraries used here run threads, which a fork would break. They
    end with each `run`; as a context manager, the executor keeps them from one to the next, until the block
    ends.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cpus()
        self._kept: list[_Worker] | None = None
        self._before: set[BaseProcess] = set()

    def __enter__(self) -> ProcessExecutor:
        self._kept, self._before = [], set(multiprocessing.active_children())
        return self

    def __exit__(self, *_: object) -> None:
        kept, self._kept = self._kept, None
        for worker in kept or ():
            worker.end()

    def run(self, function: Function, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Yield the outcomes as they come. On Ctrl-C, or when closed early, the processes are ended.

        Raises:
            CgsimError: processes cannot be started.
        """
        before = set(multiprocessing.active_children()) if self._kept is None else self._before
        queue = _Queue(tasks)
        idle: list[_Worker] = list(self._kept or ())
        busy: dict[Future[list[Outcome]], tuple[_Worker, _Job]] = {}
        finished = False
        stillborn = 0
        try:
            while True:
                while len(busy) < self.workers and (job := queue.take()) is not None:
                    worker = idle.pop() if idle else _Worker()
                    try:
                        busy[worker.submit(function, job.task)] = worker, job
                    except BrokenProcessPool:  # it died while it had nothing to do
                        worker.end()
                        queue.again(job)
                if not busy:
                    break
                done, _ = wait(busy, return_when=FIRST_COMPLETED)
                for future in done:
                    worker, job = busy.pop(future)
                    try:
                        found = future.result()
                    except BrokenProcessPool:
                        if worker.bury():
                            found = queue.died(job)
                        else:
                            stillborn += 1
                            if stillborn >= MOST_DEATHS:
                                raise CgsimError(_STILLBORN) from None
                            queue.again(job)
                            found = []
                    else:
                        idle.append(worker)
                        stillborn = 0
                    if found:
                        yield found
            finished = True
        finally:
            if not finished:
                for process in set(multiprocessing.active_children()) - before:
                    process.terminate()
            if finished and self._kept is not None:
                self._kept = idle
            else:
                for worker in [*idle, *(worker for worker, _ in busy.values())]:
                    worker.end()
                self._kept = None if self._kept is None else []


@dataclass
class _Job:
    """A task, and how many workers died over it."""

    task: Task
    deaths: int = 0


class _Queue:
    """Tasks to do: those that lost their worker first, then those not yet begun."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._again: deque[_Job] = deque()

    def take(self) -> _Job | None:
        """Return the next job, None if there is none (now; a job may come back)."""
        if self._again:
            return self._again.popleft()
        task = next(self._tasks, None)
        return None if task is None else _Job(task)

    def again(self, job: _Job) -> None:
        """Put a job back that was not begun."""
        self._again.append(job)

    def died(self, job: _Job) -> list[Outcome]:
        """Note that a worker died over a job; return its outcomes if it is given up."""
        job.deaths += 1
        if job.deaths < MOST_DEATHS:
            self._again.append(job)
        elif len(job.task.keys) > 1:
            self._again.extend(_Job(single) for single in job.task.singles())
        else:
            return given_up(job.task)
        return []


class _Worker:
    """One process."""

    def __init__(self) -> None:
        self.pool = ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
        )
        self._sign: Future[int] | None = None

    def submit(self, function: Function, task: Task) -> Future[list[Outcome]]:
        """Send a task, after the first of them a sign of life is asked for."""
        if self._sign is None:
            self._sign = self.pool.submit(os.getpid)
        return self.pool.submit(function, task)

    def end(self) -> None:
        """End the process, when it has done what it does."""
        self.pool.shutdown(wait=True, cancel_futures=True)

    def bury(self) -> bool:
        """Clear away what is left of a process that died; return whether it ever gave a sign of life."""
        self.pool.shutdown(wait=True)
        return self._sign is None or self._sign.exception() is None


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which ends its workers itself; end if the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
