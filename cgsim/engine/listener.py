"""Who listens to the kernels: nobody, or a timeline that wants to know what happens when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

from cgsim.dram.counters import COMMANDS_LOGGED
from cgsim.engine.dram import Memory, memory
from cgsim.engine.journal import SILENT, Journal, journal
from cgsim.engine.replay import DRAM
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware

MOST = 4_000_000
"""Events, and commands, of one run that are noted."""
_ROOM = 1 << 14


class Heard(NamedTuple):
    """One run: what it is part of (`what`), what it counted, its events, the DRAM's commands."""

    what: str
    counts: np.ndarray
    events: np.ndarray
    commands: np.ndarray


_LISTENING: ContextVar[list[Heard] | None] = ContextVar("_LISTENING", default=None)


@contextmanager
def listening() -> Iterator[list[Heard]]:
    """Everything that is `heard` meanwhile."""
    heard: list[Heard] = []
    token = _LISTENING.set(heard)
    try:
        yield heard
    finally:
        _LISTENING.reset(token)


def heard(
    run: Callable[[Memory, Journal], np.ndarray], own: Memory, hardware: Hardware, what: str = ""
) -> np.ndarray:
    """Run kernels, on memory `own`; what they count, int64 [..., RESULTS].

    If somebody listens, they run with a journal (again with a larger one, if it was too small), for a single
    batch.
    """
    listener = _LISTENING.get()
    if listener is None:
        return run(own, SILENT)
    room = _ROOM
    commands = _ROOM if hardware.dram.standard != "ideal" else 0
    while True:
        notes = journal(room, commands)
        counts = run(memory(hardware, commands), notes)
        row = counts.reshape(-1, counts.shape[-1])
        assert len(row) == 1
        used, logged = int(notes.used[0]), int(row[0, DRAM + COMMANDS_LOGGED])
        if used <= room and (logged <= commands or not commands):
            break
        if max(used, logged) > MOST:
            raise CgsimError(f"timeline: a layer has {max(used, logged)} events, expected at most {MOST}")
        room, commands = max(room, used), max(commands, logged)
    listener.append(Heard(what, row[0], notes.events[:used], notes.commands[: logged if commands else 0]))
    return counts
