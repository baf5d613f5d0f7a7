"""The open traces of a process that does tasks: each is opened once, and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict

from cgsim.errors import CgsimError
from cgsim.trace import Trace, load_trace

MOST_TRACES = 16
MOST_BYTES = 1 << 30
"""Of packed gates, if all that are open were read whole."""

_opened: OrderedDict[tuple[str, str], Trace] = OrderedDict()


def open_trace(path: str, checksum: str) -> Trace:
    """Open a trace, or return the one that is open; those not used for longest are given up for it.

    Raises:
        CgsimError: it cannot be read, or is not the one that the runs began with.
    """
    key = path, checksum
    if key not in _opened:
        trace = load_trace(path)
        if trace.checksum != checksum:
            raise CgsimError(f"{path}: changed since the runs began")
        _opened[key] = trace
        while len(_opened) > 1 and (len(_opened) > MOST_TRACES or _bytes() > MOST_BYTES):
            _opened.popitem(last=False)
    _opened.move_to_end(key)
    return _opened[key]


def forget_trace(path: str, checksum: str) -> None:
    """Open this trace anew the next time."""
    _opened.pop((path, checksum), None)


def forget_traces() -> None:
    """Open every trace anew the next time."""
    _opened.clear()


def _bytes() -> int:
    return sum(
        trace.n_samples * sum(layer.packed_bytes for layer in trace.gated_layers)
        for trace in _opened.values()
    )
