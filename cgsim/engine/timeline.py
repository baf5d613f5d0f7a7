"""One sample, or the batch that it belongs to, with everything that happens noted down."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cgsim.engine.dram import Memory
from cgsim.engine.journal import Journal

MOST_EVENTS = 2_000_000
"""Events and commands of one part that are kept; of one that has more nothing is drawn any more."""
_ROOM = 4096


class Segment(NamedTuple):
    """A part of a layer's execution and how to run it: `run(memory, journal)` gives int64 [>= DRAM + counts]."""

    what: str
    run: Callable[[Memory, Journal], np.ndarray]
