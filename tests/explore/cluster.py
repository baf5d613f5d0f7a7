"""A Dask cluster of real processes for the tests: a scheduler, and workers with and without nannies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Cluster:
    """A scheduler on a free port of this machine, and the workers that `start` adds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen] = []
        about = folder / "scheduler.json"
        self._python(
            "dask_scheduler",
            *("--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--scheduler-file", about, "--idle-timeout", "600"),
        )
        self.address = ""
        while not self.address:
            assert self.processes[0].poll() is None, (folder / "dask_scheduler0.log").read_text()
            try:
                self.address = json.loads(about.read_text())["address"]
            except (FileNotFoundError, ValueError):
                time.sleep(0.05)

    def start(self, *, nanny: bool = True) -> subprocess.Popen:
        """Start a worker of one thread; with a nanny, a worker that dies is replaced."""
        return self._python(
            "dask_worker",
            self.address,
            *("--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"),
            *("--host", "127.0.0.1", "--nanny" if nanny else "--no-nanny"),
            *("--local-directory", self.folder),
        )

    def stop(self) -> None:
        """End all of it, with the processes that nannies started."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _python(self, module: str, *arguments: object) -> subprocess.Popen:
        log = self.folder / f"{module}{len(self.processes)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *map(str, arguments)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "DASK_DISTRIBUTED__WORKER__PRELOAD": "[]",
                    "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "false",
                },
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes.append(process)
        return process


@contextmanager
def cluster(folder: Path, workers: int = 0):
    """Give a cluster with so many workers (with nannies); end it with the block."""
    made = Cluster(folder)
    try:
        for _ in range(workers):
            made.start()
        yield made
    finally:
        made.stop()
