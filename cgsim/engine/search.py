"""The search for a layer's tiling: bounds rule out most candidates, the pipeline itself decides the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

Objective = Literal["balanced", "cycles", "traffic"]
TOLERANCE = 51, 50
"""`balanced`: a tiling within this ratio of the fewest cycles is as good as any other in time. Without it a
layer would move many times the bytes to save a cycle."""


class Search:
    """Finds the best of some candidates, whose costs (cycles, bytes) are known once they are tried."""

    def __init__(
        self,
        least_cycles: np.ndarray,
        least_bytes: np.ndarray,
        effort: np.ndarray,
        budget: int,
        cost: Callable[[int], tuple[int, int]],
    ) -> None:
        """`least_cycles`, `least_bytes` int64 [candidates]: bounds of what `cost` returns.

        `effort` int64 [candidates]: what it takes to try one. No more than `budget` is spent, but one is
        tried, and those that `best` is told to begin with.
        """
        self.cycles, self.bytes = least_cycles.copy(), least_bytes.copy()  # what is known so far
        self.tried = np.zeros(len(effort), bool)
        self.proven = True  # the choice is that of trying all
        self._effort, self._left, self._cost = effort, budget, cost

    def best(self, objective: Objective, first: Iterable[int] = ()) -> int:
        """The best candidate; ties go to the first.

        `cycles`: fewest cycles, then bytes; `traffic`: fewest bytes, then cycles; `balanced`: the latter, of
        those within TOLERANCE of the fewest cycles. If the budget does not last, it is the best of those
        tried: the `first` ones, and those whose bounds are best.
        """
        for index in first:
            self._try(index, within=False)
        while True:
            most = self._most_cycles(objective)
            index = self._leading(objective, self.cycles <= most)
            if self.tried[index] and objective == "balanced" and not self._fast(index):
                index = int(np.argmin(self.cycles))  # it may set a limit that excludes the leading one
            if self.tried[index]:
                return index
            if not self._try(index):
                break
        self.proven = False
        return self._leading(objective, self.tried & (self.cycles <= self._most_cycles(objective)))

    @property
    def affordable(self) -> bool:
        """True if the budget lasts for all."""
        return bool(self._effort.sum() <= self._left)

    def leaders(self, count: int) -> list[int]:
        """The tried candidates of fewest cycles, and those of fewest bytes within the tolerance."""
        tried = np.flatnonzero(self.tried)
        fast = tried[np.lexsort((self.bytes[tried], self.cycles[tried]))]
        near = fast[self.cycles[fast] * TOLERANCE[1] <= self.cycles[fast[0]] * TOLERANCE[0]]
        frugal = near[np.lexsort((self.cycles[near], self.bytes[near]))]
        return [int(index) for index in dict.fromkeys([*fast[: count // 2], *frugal[: count // 2]])]

    def best_of(self, objective: Objective, some: Sequence[int]) -> int:
        """The best of `some`, all of which are tried."""
        for index in some:
            self.cycles[index], self.bytes[index] = self._cost(index)
            self.tried[index] = True
        self.proven = False
        return self._leading(objective, self.tried & (self.cycles <= self._most_cycles(objective)))

    def _most_cycles(self, objective: Objective) -> int:
        """Cycles that nothing chosen can have more of."""
        if objective != "balanced" or not self.tried.any():
            return int(np.iinfo(np.int64).max)
        return int(self.cycles[self.tried].min()) * TOLERANCE[0] // TOLERANCE[1]

    def _fast(self, index: int) -> bool:
        """True if a tried candidate is within the tolerance whatever the others take."""
        return bool(self.cycles[index] * TOLERANCE[1] <= self.cycles.min() * TOLERANCE[0])

    def _leading(self, objective: Objective, among: np.ndarray) -> int:
        chosen = np.flatnonzero(among)
        keys = self.cycles[chosen], self.bytes[chosen]
        if objective == "cycles":
            keys = keys[1], keys[0]
        return int(chosen[np.lexsort(keys)[0]])

    def _try(self, index: int, within: bool = True) -> bool:
        """Learn the cost of a candidate, if the budget lasts or need not (`within` false)."""
        if self.tried[index]:
            return True
        if within and self._effort[index] > self._left and self.tried.any():
            return False
        self._left -= int(self._effort[index])
        self.cycles[index], self.bytes[index] = self._cost(index)
        self.tried[index] = True
        return True
