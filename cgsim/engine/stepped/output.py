"""A column group whose PEs hold partial sums (`os`), PE by PE."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cgsim.engine.stepped.array import Group, OutputFold, Run, Sink, Target
from cgsim.engine.stepped.scanner import Banks


@dataclass(frozen=True)
class _Step:
    """A reduction step that entered: first and last of its fold start and finish the sums."""

    run: Run
    number: int
    first: bool
    last: bool


@dataclass
class _Pe:
    right: tuple[_Step, int | None, int] | None = None  # step, pixel of the row, activation
    down: tuple[_Step, int] | None = None  # step, weight
    total: int = 0


class OutputGroup(Group):
    """Each cycle a PE multiplies the activation from its left with the weight from above and adds to its sum.

    Finished sums wait in a chain of registers beside the PEs, one per PE, until the column's last row is
    finished, too; then they move down and out, one row per cycle. The sums of the next fold follow right
    behind them. With `drains` off a finished sum leaves at once (SCALE-Sim's convention).
    Each row has two registers for the address of its pixel: one is written while the other is in use.
    """

    def __init__(self, rows: int, width: int, columns: int, drains: bool = True) -> None:
        """An idle group."""
        super().__init__(rows, width, columns)
        self.drains = drains
        self.grid = [[_Pe() for _ in range(width)] for _ in range(rows)]
        self.chain: list[list[tuple[Run, Target, int] | None]] = [[None] * width for _ in range(rows)]
        self._draining: list[Run | None] = [None] * width  # the fold that moves down each column
        self._out: list[tuple[Run, Target, int] | None] = [None] * width
        self._begins: Run | None = None  # the fold that takes over in this cycle
        self._skew: deque[tuple[Run | None, _Step | None]] = deque(
            [(None, None)] * max(rows, width), max(rows, width)
        )
        self._address: list[int | None] = [None] * rows
        self._next_address: list[int | None] = [None] * rows
        self._written = 0  # addresses of the pending fold that have been written
        self._turns = 0  # cycles since its load began

    @property
    def loaded(self) -> bool:
        """True if the pending fold's row addresses are there (those of consecutive pixels always are)."""
        if self.pending is None or self.pending.fold.scanner is None:
            return self.pending is not None
        return self._turns >= self.rows and self._written == len(_fold(self.pending).pixels)

    def chain_free(self, before: int) -> bool:
        """True if the top of the chain holds no sum of rounds before `before`."""
        top = self.chain[0][0]
        return top is None or top[0].round >= before

    def begin_load(self, fold: OutputFold, number: int, cycle: int) -> None:  # type: ignore[override]
        """Let the load of `fold` begin in this cycle."""
        super().begin_load(fold, number, cycle)
        self._written = self._turns = 0

    def start(self, cycle: int) -> None:
        """Let the pending fold take over in this cycle."""
        super().start(cycle)
        self._begins = self.current

    def shift(self) -> None:
        """The chain of each column moves down, as far as it holds sums of the fold that drains."""
        for c in range(self.width):
            self._out[c] = None
            for r in range(self.rows - 1, -1, -1):
                held = self.chain[r][c]
                if held is None or held[0] is not self._draining[c]:
                    continue
                if r == self.rows - 1:
                    self._out[c] = held
                else:
                    assert self.chain[r + 1][c] is None
                    self.chain[r + 1][c] = held
                self.chain[r][c] = None

    def feed(self, cycle: int, banks: Banks, last_may_enter: bool) -> None:
        """The next reduction step enters, unless it is the last and the chain is not free."""
        run, step = self.current, None
        if run is not None and self.streaming:
            words, number = _fold(run).words, len(run.entered)
            last = number == len(words) - 1
            if (last_may_enter or not last) and banks.grant(number, words[number]):
                step = _Step(run, number, number == 0, last)
                run.entered.append(cycle)
                if last:
                    run.ended = cycle + 1
                    self.due += self.rows * self.width
        self._skew.appendleft((self._begins, step))
        self._begins = None

    def compute(self, cycle: int, sink: Sink) -> None:
        """Every PE, from the last row and column on: its neighbours still hold what they held before."""
        for r in range(self.rows):
            begins = self._skew[r][0]
            if begins is not None:
                scanned = begins.fold.scanner is not None
                self._address[r] = self._next_address[r] if scanned else _row(begins, r)
        direct: list[tuple[Run, Target, int] | None] = [None] * self.width
        for r in range(self.rows - 1, -1, -1):
            for c in range(self.width - 1, -1, -1):
                pe = self.grid[r][c]
                pe.right = self.grid[r][c - 1].right if c else self._from_left(r)
                pe.down = self.grid[r - 1][c].down if r else self._from_top(c)
                if pe.right is None or pe.down is None:
                    assert (pe.right, pe.down) == (None, None)
                    continue
                (step, pixel, activation), (same, weight) = pe.right, pe.down
                assert step is same
                pe.total = (0 if step.first else pe.total) + activation * weight
                if step.last:
                    channel = _fold(step.run).channels[c]
                    target = None if channel is None or pixel is None else (channel, pixel)
                    if self.drains:
                        assert self.chain[r][c] is None
                        self.chain[r][c] = (step.run, target, pe.total)
                        if r == self.rows - 1:
                            self._draining[c] = step.run
                    else:
                        assert direct[c] is None
                        direct[c] = (step.run, target, pe.total)
        for c in range(self.width):
            self._leave(c, self._out[c] if self.drains else direct[c], cycle, sink)

    def _from_left(self, row: int) -> tuple[_Step, int | None, int] | None:
        step = self._skew[row][1]
        if step is None:
            return None
        pixel = self._address[row]
        return step, pixel, 0 if pixel is None else _fold(step.run).activations[step.number][pixel]

    def _from_top(self, column: int) -> tuple[_Step, int] | None:
        step = self._skew[column][1]
        return None if step is None else (step, _fold(step.run).weights[step.number][column])

    def load(self) -> None:
        """The scanner goes on, and the next pixel that it has found becomes the address of the next row."""
        run = self.pending
        if run is None or run.fold.scanner is None or self.loaded:
            return
        if (
            self._turns < self.rows
        ):  # a row that gets no pixel holds none; the rows below may not be taken over yet
            self._next_address[self._turns] = None
        self._turns += 1
        scanner = run.fold.scanner
        scanner.turn()
        if scanner.queue and self._written < len(_fold(run).pixels):
            self._next_address[self._written] = scanner.queue.popleft()
            self._written += 1


def _fold(run: Run) -> OutputFold:
    assert isinstance(run.fold, OutputFold)
    return run.fold


def _row(run: Run, row: int) -> int | None:
    pixels = _fold(run).pixels
    return pixels[row] if row < len(pixels) else None
