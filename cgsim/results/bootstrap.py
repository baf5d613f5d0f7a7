"""Bootstrap of sums: how far a figure would move if other images had been drawn.

Every figure here is a function of sums over samples. A resample is then a row of counts (how often each
sample was drawn), and all sums of all resamples are one matrix product, shared by every figure: ratios stay
paired. `scipy.stats.bootstrap` gathers each figure's samples anew and takes a second to import; the tests
hold this module against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import NormalDist

import numpy as np

from cgsim.errors import CgsimError

LEVEL = 0.95
"""Share of the intervals that hold the true value."""
RESAMPLES = 4000
SEED = 0

Sums = Mapping[str, np.ndarray]
Figure = Callable[[Sums], np.ndarray]
"""From sums, arrays of one shape by name, to the figure, of the same shape."""

_DRAWS = 1_000_000
"""Draws held at once: 16 MB."""
_NORMAL = NormalDist()


def check_level(level: float) -> None:
    """Raise CgsimError unless `level` is a share between 0 and 1."""
    if not 0 < level < 1:
        raise CgsimError(f"level: expected a share between 0 and 1, such as 0.95, got {level!r}")


def draw_sums(values: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Return the sums of bootstrap resamples, float64 [resamples, C].

    Args:
        values: what is summed, [n, C]; a row is what one sample counts.
        resamples: how many times n rows are drawn, with replacement.
        seed: of the draws; the same seed gives the same resamples for any C.
    """
    values = np.asarray(values, np.float64)
    count = len(values)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, values.shape[1]))
    step = max(1, _DRAWS // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        sums[start : start + rows] = times.astype(np.float64) @ values
    return sums


def bounds(
    value: np.ndarray, resampled: np.ndarray, left_out: np.ndarray, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lower and upper bound of K figures and how they were found, arrays [K].

    "bca" corrects the resamples' percentiles for bias and skewness (Efron, "Better bootstrap confidence
    intervals", JASA 82, 1987). Where that is not defined (a figure without one of the samples does not exist,
    all resamples lie on one side), "percentile" takes them as they are. "constant": the samples do not
    differ. "none": the figure does not exist, or not in most resamples; the bounds are NaN.

    Args:
        value: of all samples, [K].
        resampled: of the resamples, [B, K].
        left_out: of all samples but one, [n, K].
        level: share of the intervals that hold the true value.
    """
    size = len(value)
    low, high = np.full(size, np.nan), np.full(size, np.nan)
    how = np.full(size, "none", dtype=object)
    for place in range(size):
        found = resampled[:, place]
        found = found[~np.isnan(found)]
        if np.isnan(value[place]) or 2 * len(found) < len(resampled):
            continue
        if _same(found, float(value[place])):
            low[place] = high[place] = value[place]
            how[place] = "constant"
            continue
        shares = _corrected(value[place], found, left_out[:, place], level)
        how[place] = "percentile" if shares is None else "bca"
        if shares is None:
            shares = ((1 - level) / 2, (1 + level) / 2)
        if np.isfinite(found).all():
            low[place], high[place] = np.quantile(found, shares)
        else:  # between an infinite resample and a finite one there is nothing to interpolate
            low[place], high[place] = np.quantile(found, shares, method="inverted_cdf")
    return low, high, how


def _same(found: np.ndarray, value: float) -> bool:
    """Return True if no resample differs, but for the rounding of sums in another order."""
    if np.isinf(value):
        return bool((found == value).all())
    return bool((np.abs(found - value) <= 1e-12 * abs(value)).all())


def _corrected(
    value: float, found: np.ndarray, left_out: np.ndarray, level: float
) -> tuple[float, float] | None:
    """Return the shares of the resamples at which BCa's bounds lie; None where it is not defined."""
    if not (np.isfinite(found).all() and np.isfinite(left_out).all()):
        return None
    below = ((found < value).mean() + (found <= value).mean()) / 2
    away = left_out.mean() - left_out
    scale = (away**2).sum() ** 1.5
    if not 0 < below < 1 or scale == 0:
        return None
    bias = _NORMAL.inv_cdf(float(below))
    skew = (away**3).sum() / (6 * scale)
    shares = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        shift = bias + _NORMAL.inv_cdf(share)
        if 1 - skew * shift <= 0:
            return None
        shares.append(_NORMAL.cdf(bias + shift / (1 - skew * shift)))
    return shares[0], shares[1]
