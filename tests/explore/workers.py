"""Task functions for the executor tests; spawned processes import them from here."""

from __future__ import annotations

import os
import time

from cgsim.explore import Outcome, Task


def task(name: str) -> Task:
    return Task(trace=name, checksum="", hardware=(), keys=(name,))


def echo(given: Task) -> list[Outcome]:
    return [Outcome(given.keys[0], {"pid": os.getpid()})]


def die(given: Task) -> list[Outcome]:
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
