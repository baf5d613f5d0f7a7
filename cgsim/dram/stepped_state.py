"""What a channel of the stepped controller consists of: requests, banks, ranks, candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cgsim.dram.stepped_timing import Place

REFRESH, COLUMN, ROW, ROW_OF_OTHERS = range(4)
"""Classes of candidates, the most urgent first."""


@dataclass(eq=False)
class Request:
    """One burst, from its acceptance on; `back`: clock at which a read's data are there, None: not known."""

    number: int
    write: bool
    arrival: int
    place: Place
    row: int
    column: int
    tag: int
    precharged: bool = False  # a row was closed for it
    activated: bool = False  # its row was opened for it
    back: int | None = None

    def same_burst(self, other: Request) -> bool:
        """True if both are for the same burst of the same channel."""
        return (self.place, self.row, self.column) == (other.place, other.row, other.column)


@dataclass
class Bank:
    """Open row or None; column commands since it was opened; refreshed in this round."""

    row: int | None = None
    served: int = 0
    refreshed: bool = False


@dataclass
class Rank:
    """Clock at which the next refresh falls due; how many are owed; if they come first now; open banks."""

    due: int
    debt: int = 0
    forced: bool = False
    open: set[Place] = field(default_factory=set)


class Candidate(NamedTuple):
    """A command that would be good to issue; the lowest (urgency, age) goes first."""

    urgency: int
    age: int
    command: int
    place: Place
    request: Request | None = None
