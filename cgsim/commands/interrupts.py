"""Ctrl-C where a library would lose it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def insistent_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block if Ctrl-C came in it and was swallowed.

    While a large library such as torch is imported, the exception can arise in a callback that drops it.
    To be used in the main thread, as signals are.
    """
    noted = False

    def note(*_: Any) -> None:
        nonlocal noted
        noted = True
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else Ctrl-C is ignored, or somebody else's
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if noted:
        raise KeyboardInterrupt
