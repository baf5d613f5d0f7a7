"""What both kinds of column group share: their folds, how results leave, what is told to the sequencer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from cgsim.engine.stepped.scanner import Banks, Scanner

Target = tuple[int, int] | None
"""(output channel, pixel) that a result belongs to; None where a column or row holds nothing."""
Sink = Callable[[bool, Target, int], None]
"""Takes a result that leaves: whether it is of the conditional phase, where it belongs, its value."""


@dataclass(frozen=True)
class Vector:
    """A moving vector: one element per row, and where the results of each column belong.

    `index` and `word` are its place and identity in the activation buffer (None: not read from there).
    """

    values: Sequence[int]
    targets: Sequence[Target]
    index: int = 0
    word: Hashable = None


@dataclass(frozen=True)
class Fold:
    """One residency of stationary operands (`ws`, `is`): `stationary` [rows][columns].

    All `vectors` stream over it, or with a scanner those whose gate bits ask for it.
    """

    stationary: Sequence[Sequence[int]]
    vectors: Sequence[Vector]
    scanner: Scanner | None = None
    conditional: bool = False


@dataclass(frozen=True)
class OutputFold:
    """One residency of partial sums (`os`): a row per pixel, a column per channel, a vector per step.

    `activations` [step][pixel] and `weights` [step][column] enter on the left and on top; `words` [step] are
    the identities of the activations in their buffer. The pixels of the rows are `pixels`, or with a
    scanner those that it finds, as many as `pixels` has.
    """

    channels: Sequence[int | None]
    pixels: Sequence[int]
    activations: Sequence[Sequence[int]]
    weights: Sequence[Sequence[int]]
    words: Sequence[Hashable]
    scanner: Scanner | None = None
    conditional: bool = False


@dataclass
class Run:
    """A fold on its way through a column group."""

    fold: Fold | OutputFold
    round: int
    loaded_from: int = -1
    """Cycle in which its load began."""
    started: int = -1
    """Cycle from which its vectors may enter."""
    ended: int = -1
    """Cycle after the one in which its last vector entered; -1 as long as that has not."""
    entered: list[int] = field(default_factory=list)
    """Cycles in which its vectors entered."""
    first_left: int = -1
    """Cycle after the one in which its first result left."""
    last_left: int = -1
    """Cycle after the one in which its last result left, so far."""


class Group(ABC):
    """A column group: `width` columns of the array, their feed, and the registers that align their results.

    A cycle has four parts, each for all groups before the next: `shift`, `feed`, `compute`, `load`.
    """

    def __init__(self, rows: int, width: int, columns: int) -> None:
        """An idle group of an array of `columns` columns in all."""
        self.rows, self.width = rows, width
        self.runs: list[Run] = []
        self.due = 0  # results of vectors that have entered and that have not left yet
        self.current: Run | None = None  # may stream
        self.pending: Run | None = None  # is being loaded, or waits for its start
        # Column c of a group finishes c cycles after its column 0: these registers make the results of a
        # vector leave together, and as late as the last column of the whole array.
        self._align: list[deque[tuple[Run, Target, int] | None]] = [
            deque([None] * (columns - 1 - c)) for c in range(width)
        ]

    @property
    def streaming(self) -> bool:
        """True if a vector of the current fold has still to enter."""
        return self.current is not None and self.current.ended < 0

    @property
    def left(self) -> bool:
        """True if every result of the folds that have started has left."""
        return not self.streaming and self.due == 0

    @property
    @abstractmethod
    def loaded(self) -> bool:
        """True if the pending fold may start."""

    @abstractmethod
    def chain_free(self, before: int) -> bool:
        """True if no result of rounds before `before` stands where the next result has to go."""

    def begin_load(self, fold: Fold | OutputFold, number: int, cycle: int) -> None:
        """Let the load of `fold`, of round `number`, begin in this cycle."""
        assert self.pending is None
        self.pending = Run(fold, number, loaded_from=cycle)

    def start(self, cycle: int) -> None:
        """Let the pending fold take over in this cycle."""
        assert self.pending is not None
        assert not self.streaming
        self.current, self.pending = self.pending, None
        self.current.started = cycle
        self.runs.append(self.current)

    @abstractmethod
    def shift(self) -> None:
        """First part of a cycle: finished sums move towards the exit."""

    @abstractmethod
    def feed(self, cycle: int, banks: Banks, last_may_enter: bool) -> None:
        """Second part: the next vector enters, if there is one. `last_may_enter`: also a fold's last one."""

    @abstractmethod
    def compute(self, cycle: int, sink: Sink) -> None:
        """Third part: every PE takes what its neighbours held, and results leave."""

    @abstractmethod
    def load(self) -> None:
        """Fourth part: the pending fold's operands are written."""

    def _leave(self, column: int, result: tuple[Run, Target, int] | None, cycle: int, sink: Sink) -> None:
        """A column's result, or none, enters its alignment registers; what comes out has left the array."""
        registers = self._align[column]
        registers.append(result)
        out = registers.popleft()
        if out is not None:
            run, target, value = out
            self.due -= 1
            run.last_left = cycle + 1
            run.first_left = cycle + 1 if run.first_left < 0 else run.first_left
            sink(run.fold.conditional, target, value)
