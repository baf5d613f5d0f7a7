"""Events of a timeline: what the engine hands to those who draw or write one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cgsim.dram.counters import ACT, COMMANDS, PRE, PREA, RD, RDA, REF, REFB, WR, WRA

__all__ = ["ACT", "COMMANDS", "PRE", "PREA", "RD", "RDA", "REF", "REFB", "WR", "WRA", "Part"]

KIND, TILE, START, END, LANE, AMOUNTS = range(6)
FIELDS = 12
"""Fields of an event. KIND: a phase, stall cause or tensor, from 1 on in the order of
`cgsim.engine.columns`. Cycles [START, END). LANE: the column groups' clock that it belongs to, UNIT for work
of the vector unit. From AMOUNTS on: BYTES_MOVED and BURSTS_MOVED of a transfer; of a phase of the array the
cycles that went to each cause of SPLIT."""
BYTES_MOVED, BURSTS_MOVED = AMOUNTS, AMOUNTS + 1
UNIT = -1
SPLIT = ("busy", "load_weights", "drain", "gate_unit", "bank_conflict", "group_imbalance")
COMMAND_FIELDS = 9
"""Of a logged command: clock, command, channel, rank, bank group, bank, row, column, write (`cgsim.dram`)."""


@dataclass(frozen=True)
class Part:
    """A layer, or a part of it that runs by itself, on one sample (or batch): what happened when.

    `what` is "" for the layer itself, otherwise the name of the part. `counts` are the values of its result
    columns without `{mode}_`. `events` int64 [n, FIELDS]; `commands` int64 [m, COMMAND_FIELDS] of the DRAM.
    """

    layer: str
    mode: str
    what: str
    counts: Mapping[str, int]
    events: np.ndarray
    commands: np.ndarray

    @property
    def cycles(self) -> int:
        """Cycles from its beginning to its end."""
        return self.counts["cycles"]
