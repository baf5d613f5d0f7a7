"""Task functions for the executor tests; spawned processes import them from here."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cgsim.explore import Outcome, SerialExecutor, Task


class Interrupted(SerialExecutor):
    """Is interrupted, once, when it has done so many runs; `seen` are the keys of all it has done."""

    def __init__(self, after: int) -> None:
        self.after, self.seen = after, []

    def run(self, function, tasks):
        for one in tasks:
            yield function(one)
            self.seen.extend(one.keys)
            if len(self.seen) == self.after:
                raise KeyboardInterrupt


def task(*names: str, trace: str = "") -> Task:
    return Task(trace=trace or names[0], checksum="", hardware=({},) * len(names), keys=names)


def echo(given: Task) -> list[Outcome]:
    return [Outcome(key, {"pid": os.getpid()}) for key in given.keys]


def die(given: Task) -> list[Outcome]:
    os._exit(3)


def die_of_bad(given: Task) -> list[Outcome]:
    """End the process if the task has a run that is called "bad"."""
    return die(given) if "bad" in given.keys else echo(given)


def die_once(given: Task) -> list[Outcome]:
    """End the process the first time: where the trace is a path, no file has it yet."""
    mark = Path(given.trace)
    if given.keys == ("second",) and not mark.exists():
        mark.write_text("")
        os._exit(3)
    return echo(given)


def never_start() -> None:
    os._exit(3)


def fail(given: Task) -> list[Outcome]:
    error = ZeroDivisionError("a bug")
    error.add_note(f"with {given.trace}")
    raise error


def sleep(given: Task) -> list[Outcome]:
    """Return at once for the task "first", else sleep long enough for a test to time out."""
    if given.trace != "first":
        time.sleep(120)
    return echo(given)


def nothing(given: Task) -> list[Outcome]:
    """Do nothing, as the benchmark of the overhead does."""
    return [Outcome(key, {"figure": 1.0}) for key in given.keys]
