from __future__ import annotations

import contextlib
import os
import signal

import pytest

from cgsim.commands.interrupts import insistent_interrupt


def swallow(seen):
    with insistent_interrupt():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        seen.append("went on")


def obey(seen):
    with insistent_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        seen.append("went on")


@pytest.mark.parametrize(("work", "seen"), [(swallow, ["went on"]), (obey, [])])
def test_an_interrupt_counts_even_where_it_is_swallowed(work, seen):
    told = []
    with pytest.raises(KeyboardInterrupt):
        work(told)
    assert told == seen
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_without_an_interrupt_nothing_changes(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with insistent_interrupt():
            pass
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
