"""How sure the speedups of many runs are: their confidence intervals, for tables with a row per run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cgsim.engine.columns import Column
from cgsim.results.bootstrap import LEVEL
from cgsim.results.statistics import ratio_intervals

BOUND_COLUMNS: tuple[Column, ...] = (
    Column("speedup_low", "1", "speedup: lower bound of its 95% confidence interval over the samples"),
    Column("speedup_high", "1", "speedup: upper bound of its 95% confidence interval over the samples"),
)
"""Columns of tables of runs; NaN where one sample, or one batch, is all there is."""
BOUNDS = tuple(column.name for column in BOUND_COLUMNS)

_AT_ONCE = 256
"""Runs whose resamples are held at once: 40 MB."""


def ratio_bounds(
    dividends: Sequence[np.ndarray],
    divisors: Sequence[np.ndarray],
    batches: Sequence[int],
    level: float = LEVEL,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of sum(dividend) / sum(divisor) over the samples of each of R runs, [R] each.

    The same as `run.confidence()` gives for each run. Runs of equally many samples and equal batches share
    their resamples, so that a run takes about a millisecond.

    Args:
        dividends: of each run, such as its dense cycles, [S].
        divisors: of each run, such as its gated cycles, [S].
        batches: of each run, how many consecutive samples ran together.
        level: share of such intervals that hold the true value.

    Raises:
        CgsimError: a level outside 0 to 1.
    """
    low, high = np.full(len(batches), np.nan), np.full(len(batches), np.nan)
    alike: dict[tuple[int, int], list[int]] = {}
    for place, (divisor, batch) in enumerate(zip(divisors, batches, strict=True)):
        alike.setdefault((len(divisor), batch), []).append(place)
    for (_, batch), places in alike.items():
        for start in range(0, len(places), _AT_ONCE):
            own = places[start : start + _AT_ONCE]
            above, below = (np.stack([side[p] for p in own], axis=1) for side in (dividends, divisors))
            _, low[own], high[own] = ratio_intervals(above, below, level=level, batch=batch)
    return low, high
