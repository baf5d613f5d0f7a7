"""Tasks on the workers of a Dask cluster."""

from __future__ import annotations

import itertools
import logging
import queue
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from cgsim import __version__
from cgsim.errors import CgsimError
from cgsim.explore.executors import Function, given_up
from cgsim.explore.tasks import Outcome, Task

_TASKS_PER_THREAD = 2
"""On the way at once: one that is done, and one that waits beside it."""
_LOOK_AGAIN = 2.0
"""Seconds between looks at how many workers there are."""


class DaskExecutor:
    """Tasks on a Dask cluster: any scheduler address, any number of workers, which may come and go.

    The workers need the same cgsim, and must reach the traces under their paths or addresses. A task whose
    worker dies is done again by another (`distributed.scheduler.allowed-failures` of the scheduler says how
    often). A task given up by the scheduler may only have waited beside the culprit: its runs are then done
    again, one at a time and alone, and only one that kills its workers all by itself fails.

    Can be used as a context manager, which closes the connection.

    Args:
        address: of the scheduler, such as `tcp://127.0.0.1:8786`.
        timeout: seconds to wait for the scheduler, and for its first worker.

    Raises:
        CgsimError: Dask is not installed, nothing answers at the address, there is no worker, or a worker has
            another cgsim.
    """

    def __init__(self, address: str, timeout: float = 60.0) -> None:
        self.address = address
        self._client = _connect(address, timeout)
        self._close = weakref.finalize(self, _disconnect, self._client)
        self._numbers = itertools.count()
        self._threads = 1
        self._looked = 0.0
        self.workers = 1
        self._look()

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the cluster stays."""
        self._close()

    def run(self, function: Function, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Yield the outcomes as they come.

        When closed early, tasks that wait are taken back; those that are being done end by themselves, and
        their outcomes are lost.

        Raises:
            CgsimError: the scheduler is lost.
        """
        from distributed.scheduler import KilledWorker

        waiting = iter(tasks)
        alone: deque[Task] = deque()
        busy: dict[str, tuple[Any, Task]] = {}
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            while True:
                while len(busy) < self._room() and (task := next(waiting, None)) is not None:
                    self._submit(function, task, busy, arrived)
                if not busy and alone:
                    self._submit(function, alone.popleft(), busy, arrived, alone=True)
                if not busy:
                    return
                future = self._next(arrived)
                _, task = busy.pop(future.key)
                try:
                    found = self._result(future)
                except KilledWorker:
                    if future.key.endswith(_ALONE):
                        yield given_up(task)
                    else:
                        alone.extend(task.singles())
                else:
                    yield found
        finally:
            with suppress(Exception):  # on the way out, of which another error may be the reason
                self._client.cancel([future for future, _ in busy.values()], force=True)

    def _submit(
        self,
        function: Function,
        task: Task,
        busy: dict[str, tuple[Any, Task]],
        arrived: queue.SimpleQueue[Any],
        alone: bool = False,
    ) -> None:
        key = f"cgsim-{next(self._numbers)}-{self._client.id}{_ALONE if alone else ''}"
        future = self._client.submit(function, task, key=key, pure=False)
        busy[key] = future, task
        future.add_done_callback(arrived.put)

    def _next(self, arrived: queue.SimpleQueue[Any]) -> Any:
        """Wait for the next future that is done."""
        while True:
            with suppress(queue.Empty):
                return arrived.get(timeout=1)
            self._check()

    def _result(self, future: Any) -> list[Outcome]:
        from distributed import CancelledError

        try:
            found: list[Outcome] = future.result()
        except (CancelledError, OSError) as error:
            raise CgsimError(f"{self.address}: lost the Dask scheduler ({type(error).__name__})") from None
        return found

    def _check(self) -> None:
        if self._client.status != "running":
            raise CgsimError(f"{self.address}: lost the Dask scheduler (connection {self._client.status})")

    def _room(self) -> int:
        """Return how many tasks may be on the way at once."""
        if time.monotonic() - self._looked > _LOOK_AGAIN:
            self._look()
        return max(1, _TASKS_PER_THREAD * self._threads)

    def _look(self) -> None:
        try:
            threads = self._client.nthreads()
        except OSError as error:
            raise CgsimError(f"{self.address}: lost the Dask scheduler ({type(error).__name__})") from None
        self._threads, self.workers = max(1, sum(threads.values())), max(1, len(threads))
        self._looked = time.monotonic()


_ALONE = "-alone"


def _connect(address: str, timeout: float) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise CgsimError(
            "Dask is not installed: pip install 'cgsim[cluster]' (or run on this machine)"
        ) from None
    # What it logs of lost connections and workers is told here as errors, or costs nothing.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=timeout, set_as_default=False, name="cgsim")  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CgsimError(
            f"{address}: no Dask scheduler answers; an address is such as tcp://127.0.0.1:8786 ({reason})"
        ) from None
    try:
        client.wait_for_workers(1, timeout=timeout)
        versions = client.run(_version)
    except TimeoutError:
        _disconnect(client)
        raise CgsimError(f"{address}: the Dask scheduler has no worker after {timeout:g} s") from None
    except ModuleNotFoundError:
        versions = {"": "no cgsim"}
    except BaseException:
        _disconnect(client)
        raise
    for worker, version in versions.items():
        if version != __version__:
            _disconnect(client)
            raise CgsimError(
                f"{address}: worker {worker} has cgsim {version}, expected {__version__}, which is here"
            )
    return client


def _version() -> str:
    return __version__


def _disconnect(client: Any) -> None:
    with suppress(Exception):  # the scheduler may be gone
        client.close(timeout=5)
