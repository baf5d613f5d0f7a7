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
    skewed like the activations. Results pass `delay` more registers on their way out.
    """

    def __init__(self, rows: int, columns: int, overlapped: bool, delay: int = 0) -> None:
        """An idle grid without folds."""
        self.rows, self.columns, self.overlapped, self.delay = rows, columns, overlapped, delay
        self.grid = [[_Pe() for _ in range(columns)] for _ in range(rows)]
        self.folds: list[Fold] = []
        self.starts: list[int] = []  # cycle at which each fold began to stream
        self.loads: list[int] = []  # cycle at which each fold's weights began to be written
        self.due: list[int] = []  # results of each fold that have not left yet
        self.leaving: list[tuple[int, int]] = []  # (cycle in which it leaves, fold) of each result on its way
        self.results: dict[tuple[int, int], int] = {}

    def append(self, fold: Fold) -> None:
        """Queue a fold."""
        self.folds.append(fold)
        self.due.append(len(fold.vectors) * self.columns)

    @property
    def done(self) -> bool:
        """True if every result of every queued fold has left."""
        return not any(self.due)

    @property
    def left(self) -> bool:
        """True if every result of the folds that have started has left."""
        return not any(self.due[: len(self.starts)])

    def idle(self, cycle: int) -> bool:
        """True if no vector enters."""
        return not self.starts or cycle >= self.starts[-1] + len(self.folds[len(self.starts) - 1].vectors)

    def may_start(self, cycle: int) -> bool:
        """True if the stream is idle and the next fold's weights are written far enough."""
        fold = len(self.starts)
        return self.idle(cycle) and fold < len(self.loads) and cycle >= self.loads[fold] + self.rows

    def turn(self, cycle: int, start: bool, load: bool = True) -> None:
        """One cycle; `start` lets the next fold begin to stream in it, `load` its weights be written."""
        if start:
            self.starts.append(cycle)
        fold = len(self.loads)
        free = len(self.starts) >= fold and (self.overlapped or fold == 0 or self.due[fold - 1] == 0)
        if fold < len(self.folds) and free and load:
            self.loads.append(cycle)
        before = [[(pe.passing, pe.partial) for pe in line] for line in self.grid]
        for r in range(self.rows):
            for c in range(self.columns):
                incoming = before[r][c - 1][0] if c else self._entering(cycle, r)
                above = before[r - 1][c][1] if r else 0
                self._compute(self.grid[r][c], incoming, above, r, c, cycle)
        for _, fold in (gone for gone in self.leaving if gone[0] == cycle):
            self.due[fold] -= 1
        self.leaving = [result for result in self.leaving if result[0] > cycle]
        for fold, begun in enumerate(self.loads):
            for r in range(self.rows):
                c = cycle - begun - r
                if 0 <= c < self.columns:
                    self.grid[r][c].shadow = self.folds[fold].weights[r][c]

    def _compute(
        self, pe: _Pe, incoming: tuple[int, int, int] | None, above: int, r: int, c: int, cycle: int
    ) -> None:
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
            self.leaving.append((cycle + self.delay, fold))

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

    `base` [feed][fold] is the base phase. When its last result has left and `compare_latency` cycles are
    over, `decide` is asked for the conditional folds [feed][fold], None where a feed needs nothing of a fold.
    With `together` the feeds start each fold at the same time.
    """
    for feed, folds in zip(feeds, base, strict=True):
        for fold in folds:
            feed.append(fold)
    common = [list(range(len(feeds))) for _ in base[0]]  # the feeds that take part in each common fold
    started, cycle, decided = 0, 0, None
    while True:
        finished = all(feed.done for feed in feeds)
        if finished and decide is None:
            return cycle
        if finished and decided is None:
            decided = cycle + compare_latency
        if decided == cycle and decide is not None:
            late = decide()
            decide = None
            for position in range(len(late[0])):
                users = [f for f in range(len(feeds)) if late[f][position] is not None]
                common += [users] if users else []
            for feed, wanted in zip(feeds, late, strict=True):
                for own in wanted:
                    if own is not None:
                        feed.append(own)
            continue
        if not together:
            for feed in feeds:
                feed.turn(cycle, feed.may_start(cycle))
        else:
            users = common[started] if started < len(common) else []
            go = (
                bool(users)
                and all(feed.idle(cycle) for feed in feeds)
                and all(feeds[f].may_start(cycle) for f in users)
            )
            started += go
            following = common[started] if started < len(common) else []
            left = feeds[0].overlapped or (not go and all(feed.left for feed in feeds))
            for f, feed in enumerate(feeds):
                feed.turn(cycle, go and f in users, load=left and f in following)
        cycle += 1
