"""A column group whose PEs hold weights (`ws`) or activations (`is`), PE by PE."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from cgsim.engine.stepped.array import Fold, Group, Run, Sink, Vector
from cgsim.engine.stepped.scanner import Banks

Entry = tuple[bool, Run, Vector | None]
"""What enters in a cycle: whether a fold takes over, the fold, and its vector if there is one."""


@dataclass
class _Pe:
    operand: int = 0
    shadow: int = 0
    passing: tuple[bool, Run, Vector | None, int] | None = None  # held for its right neighbour
    partial: int = 0


class StationaryGroup(Group):
    """Each PE multiplies what passes from left to right with its operand and adds to what comes from above.

    In a cycle it takes the element that its left neighbour held and the sum that the PE above held. The
    token with which a fold starts makes it replace its operand by the shadow operand. The shadow operands of
    the next fold are written one row per cycle, each column one cycle after its left neighbour.
    """

    def __init__(self, rows: int, width: int, columns: int) -> None:
        """An idle group."""
        super().__init__(rows, width, columns)
        self.grid = [[_Pe() for _ in range(width)] for _ in range(rows)]
        self._begins = False  # the current fold takes over in this cycle
        self._skew: deque[Entry | None] = deque([None] * rows, rows)  # row r takes what entered r cycles ago
        self._written = 0  # rows of the pending fold that have been written
        self._port: deque[tuple[int, Sequence[int]] | None] = deque([None] * width, width)

    @property
    def loaded(self) -> bool:
        """True if every row of the pending fold has passed the port."""
        return self._written == self.rows

    def chain_free(self, before: int) -> bool:  # noqa: ARG002
        """True: sums leave the last row as they are ready."""
        return True

    def shift(self) -> None:
        """Nothing: the sums move through the PEs themselves."""

    def begin_load(self, fold: Fold, number: int, cycle: int) -> None:  # type: ignore[override]
        """Let the load of `fold` begin in this cycle."""
        super().begin_load(fold, number, cycle)
        self._written = 0

    def start(self, cycle: int) -> None:
        """Let the pending fold take over in this cycle."""
        super().start(cycle)
        self._begins = True

    def feed(self, cycle: int, banks: Banks, last_may_enter: bool) -> None:  # noqa: ARG002
        """The next vector enters: in order, or from the scanner's queue."""
        run, entry = self.current, None
        if run is not None and self.streaming:
            vector = self._next(run, banks)
            if vector is not None:
                run.entered.append(cycle)
                self.due += self.width
                scanner = run.fold.scanner
                if len(run.entered) == (len(_fold(run).vectors) if scanner is None else scanner.needed):
                    run.ended = cycle + 1
            if vector is not None or self._begins:
                entry = (self._begins, run, vector)
        self._begins = False
        self._skew.appendleft(entry)

    def _next(self, run: Run, banks: Banks) -> Vector | None:
        fold = _fold(run)
        if fold.scanner is None:
            index = len(run.entered)
        else:
            fold.scanner.turn()
            if not fold.scanner.queue:
                return None
            index = fold.scanner.queue[0]
        vector = fold.vectors[index]
        if vector.word is not None and not banks.grant(vector.index, vector.word):
            return None
        if fold.scanner is not None:
            fold.scanner.queue.popleft()
        return vector

    def compute(self, cycle: int, sink: Sink) -> None:
        """Every PE, from the last row and column on: its neighbours still hold what they held before."""
        for r in range(self.rows - 1, -1, -1):
            for c in range(self.width - 1, -1, -1):
                pe = self.grid[r][c]
                pe.passing = self.grid[r][c - 1].passing if c else self._entering(r)
                vector = None
                if pe.passing is not None:
                    begins, run, vector, value = pe.passing
                    if begins:
                        pe.operand = pe.shadow
                    if vector is not None:
                        pe.partial = (self.grid[r - 1][c].partial if r else 0) + value * pe.operand
                if r == self.rows - 1:
                    self._leave(
                        c, None if vector is None else (run, vector.targets[c], pe.partial), cycle, sink
                    )

    def _entering(self, row: int) -> tuple[bool, Run, Vector | None, int] | None:
        entry = self._skew[row]
        if entry is None:
            return None
        begins, run, vector = entry
        return begins, run, vector, 0 if vector is None else vector.values[row]

    def load(self) -> None:
        """Another row of the pending fold enters the port, and moves on to the right."""
        row = None
        if self.pending is not None and self._written < self.rows:
            row = (self._written, _fold(self.pending).stationary[self._written])
            self._written += 1
        self._port.appendleft(row)
        for c, passing in enumerate(self._port):
            if passing is not None:
                r, values = passing
                self.grid[r][c].shadow = values[c]


def _fold(run: Run) -> Fold:
    assert isinstance(run.fold, Fold)
    return run.fold
