"""A weight-stationary array, PE by PE and cycle by cycle, that also computes the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Matrix = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Fold:
    """One residency: `weights` [rows][columns], and the vectors that stream over them.

    Each vector is (pixel, values [rows]); its results belong to (pixel, channels [columns]).
    """

    weights: Matrix
    vectors: Sequence[tuple[int, Sequence[int]]]
    channels: Sequence[int]


@dataclass
class _Pe:
    weight: int = 0
    shadow: int = 0
    passing: tuple[int, int, int] | None = None  # (fold, vector, activation) that it holds for its neighbour
    partial: int = 0


class Feed:
    """The columns of one feed: a grid of PEs with a skewed stream of vectors entering on the left.

    Each cycle a PE takes the activation that its left neighbour held and the partial sum that the PE above
    held, and adds the product with its weight. The first activation of a new fold makes it replace its
    weight by the shadow weight; the shadow weights of the next fold are written one row per cycle,
    skewed like the activations.
    """

    def __init__(self, rows: int, columns: int, overlapped: bool) -> None:
        """An idle grid without folds."""
        self.rows, self.columns, self.overlapped = rows, columns, overlapped
        self.grid = [[_Pe() for _ in range(columns)] for _ in range(rows)]
        self.folds: list[Fold] = []
        self.starts: list[int] = []  # cycle at which each fold began to stream
        self.loads: list[int] = []  # cycle at which each fold's weights began to be written
        self.due: list[int] = []  # results of each fold that are still in the grid
        self.results: dict[tuple[int, int], int] = {}

    def append(self, fold: Fold) -> None:
        """Queue a fold."""
        self.folds.append(fold)
        self.due.append(len(fold.vectors) * self.columns)

    @property
    def done(self) -> bool:
        """True if every result of every queued fold has left."""
        return not any(self.due)

    def may_start(self, cycle: int) -> bool:
        """True if the stream is idle and the next fold's weights are written far enough."""
        fold = len(self.starts)
        idle = fold == 0 or cycle >= self.starts[-1] + len(self.folds[fold - 1].vectors)
        return idle and fold < len(self.loads) and cycle >= self.loads[fold] + self.rows

    def turn(self, cycle: int, start: bool) -> None:
        """One cycle; `start` lets the next fold begin to stream in it."""
        if start:
            self.starts.append(cycle)
        fold = len(self.loads)
        free = len(self.starts) >= fold and (self.overlapped or fold == 0 or self.due[fold - 1] == 0)
        if fold < len(self.folds) and free:
            self.loads.append(cycle)
        before = [[(pe.passing, pe.partial) for pe in line] for line in self.grid]
        for r in range(self.rows):
            for c in range(self.columns):
                incoming = before[r][c - 1][0] if c else self._entering(cycle, r)
                above = before[r - 1][c][1] if r else 0
                self._compute(self.grid[r][c], incoming, above, r, c)
        for fold, begun in enumerate(self.loads):
            for r in range(self.rows):
                c = cycle - begun - r
                if 0 <= c < self.columns:
                    self.grid[r][c].shadow = self.folds[fold].weights[r][c]

    def _compute(self, pe: _Pe, incoming: tuple[int, int, int] | None, above: int, r: int, c: int) -> None:
        pe.passing = incoming
        if incoming is None:
            return
        fold, vector, value = incoming
        if vector == 0:
            pe.weight = pe.shadow
        pe.partial = above + value * pe.weight
        if r == self.rows - 1:
            key = (self.folds[fold].vectors[vector][0], self.folds[fold].channels[c])
            self.results[key] = self.results.get(key, 0) + pe.partial
            self.due[fold] -= 1

    def _entering(self, cycle: int, row: int) -> tuple[int, int, int] | None:
        for fold in range(len(self.starts) - 1, -1, -1):
            vector = cycle - row - self.starts[fold]
            if 0 <= vector < len(self.folds[fold].vectors):
                return fold, vector, self.folds[fold].vectors[vector][1][row]
        return None


def run_feeds(
    feeds: Sequence[Feed],
    base: Sequence[Sequence[Fold]],
    decide: Callable[[], Sequence[Sequence[Fold | None]]] | None,
    compare_latency: int,
    together: bool,
) -> int:
    """Run a layer on the array alone; returns its cycles.

    `base` [feed][fold] is the base phase. When its last result has left and `compare_latency` cycles are over,
    `decide` is asked for the conditional folds [feed][fold], None where a feed needs nothing of a fold.
    With `together` the feeds start each fold at the same time.
    """
    for feed, folds in zip(feeds, base, strict=True):
        for fold in folds:
            feed.append(fold)
    plan: list[list[int]] = [[f for f in range(len(feeds))] for _ in base[0]]  # feeds of each common fold
    started, cycle, decided = 0, 0, None
    while True:
        finished = all(feed.done for feed in feeds)
        if finished and decide is None:
            return cycle
        if finished and decided is None:
            decided = cycle + compare_latency
        if decided == cycle and decide is not None:
            late = decide()
            for position in range(max(len(folds) for folds in late)):
                users = [f for f in range(len(feeds)) if late[f][position] is not None]
                plan += [users] if users else []
                for f in users:
                    fold = late[f][position]
                    assert fold is not None
                    feeds[f].append(fold)
            decide = None
            if all(feed.done for feed in feeds):
                return cycle
        ready = [feed.may_start(cycle) for feed in feeds]
        if together:
            go = started < len(plan) and all(ready[f] for f in plan[started]) and _idle(feeds, cycle)
            ready = [go and f in plan[started] for f in range(len(feeds))]
            started += go
        for feed, start in zip(feeds, ready, strict=True):
            feed.turn(cycle, start)
        cycle += 1


def _idle(feeds: Sequence[Feed], cycle: int) -> bool:
    """True if no feed streams; in serial execution, no feed holds results either."""
    return all(
        not feed.starts or cycle >= feed.starts[-1] + len(feed.folds[len(feed.starts) - 1].vectors) for feed in feeds
    )
