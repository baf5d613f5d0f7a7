"""Who proposes the next trials of a search: a sampler of Optuna, or the grid of all values."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from cgsim.errors import CgsimError
from cgsim.explore.figures_of_merit import FIGURES
from cgsim.explore.sampling import Axis
from cgsim.explore.search import TRACE, Search

Values = dict[str, Any]
"""Variable -> value."""

POPULATION = 24
"""Of NSGA-II. The same for any number of trials, so that a longer search begins as a shorter one."""


class Proposer(Protocol):
    """Proposes values, and learns from what became of them."""

    def ask(self, count: int) -> list[Values]:
        """Return up to `count` proposals; none when there is nothing left to propose."""
        ...

    def tell(self, results: Sequence[Sequence[float] | None], excesses: Sequence[Sequence[float]]) -> None:
        """Take the objectives (None: there are none) and excesses over the limits of the last proposals."""
        ...


def make_proposer(search: Search, axes: Sequence[Axis]) -> Proposer:
    """Return the proposer of a search over `axes`; raises CgsimError if Optuna is not installed."""
    return Grid(axes) if search.sampler == "grid" else Optuna(search, axes)


class Grid:
    """Every combination of all values, the last variable fastest."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._names = [axis.key for axis in axes]
        self._left: Iterator[tuple[Any, ...]] = itertools.product(*(axis.values() for axis in axes))

    def ask(self, count: int) -> list[Values]:
        """Return the next combinations."""
        return [dict(zip(self._names, one, strict=True)) for one in itertools.islice(self._left, count)]

    def tell(self, results: Sequence[Sequence[float] | None], excesses: Sequence[Sequence[float]]) -> None:
        """Learn nothing."""


class Optuna:
    """A sampler of Optuna (Akiba et al., KDD 2019): NSGA-II, TPE or random, by the seed of the search."""

    def __init__(self, search: Search, axes: Sequence[Axis]) -> None:
        optuna = _optuna()
        self._failed = optuna.trial.TrialState.FAIL
        self._space = {axis.key: _distribution(optuna, axis) for axis in axes}
        self._asked: list[Any] = []
        better = [FIGURES[name].better for name in search.objectives]
        self._study = optuna.create_study(
            sampler=_sampler(optuna, search),
            directions=["minimize" if one == "less" else "maximize" for one in better],
        )

    def ask(self, count: int) -> list[Values]:
        """Return `count` proposals."""
        self._asked = [self._study.ask(self._space) for _ in range(count)]
        return [dict(trial.params) for trial in self._asked]

    def tell(self, results: Sequence[Sequence[float] | None], excesses: Sequence[Sequence[float]]) -> None:
        """Tell the study, in the order in which it was asked."""
        for trial, values, excess in zip(self._asked, results, excesses, strict=True):
            if values is None or not all(map(math.isfinite, values)):
                self._study.tell(trial, state=self._failed)
                continue
            for place, one in enumerate(excess):
                trial.set_constraint(str(place), one)
            self._study.tell(trial, list(values))


def _sampler(optuna: Any, search: Search) -> Any:
    samplers = optuna.samplers
    if search.sampler == "nsga2":
        return samplers.NSGAIISampler(population_size=POPULATION, seed=search.seed)
    if search.sampler == "tpe":
        return samplers.TPESampler(seed=search.seed)
    return samplers.RandomSampler(seed=search.seed)


def _optuna() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # of bars in notebooks, which none is
            import optuna
    except ImportError:
        raise CgsimError("optimize: needs Optuna: pip install 'cgsim[search]' (or --sampler grid)") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: Any, axis: Axis) -> Any:
    kinds = optuna.distributions
    if axis.choices:
        return kinds.CategoricalDistribution(axis.choices)
    if axis.step is not None:
        last = axis.values()[-1]
        if axis.whole and isinstance(axis.step, int):
            return kinds.IntDistribution(axis.low, last, step=axis.step)
        return kinds.FloatDistribution(axis.low, last, step=axis.step)
    if axis.whole:
        return kinds.IntDistribution(axis.low, axis.high, log=axis.log)
    return kinds.FloatDistribution(axis.low, axis.high, log=axis.log)


def space_of(search: Search, traces: Mapping[str, Any]) -> list[Axis]:
    """Return the variables of a search: its keys, and the trace where there are several."""
    choice = [Axis(TRACE, choices=tuple(traces))] if len(traces) > 1 else []
    return [*search.axes, *choice]
