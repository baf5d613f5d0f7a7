"""Normal distribution in one and two dimensions, and correlated Gaussian fields, with NumPy only."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_TINY = 1e-9
_TERMS = 60


def upper_threshold(probability: ArrayLike) -> NDArray[np.float64]:
    """Threshold t with P(z > t) = probability for a standard normal z; +-6 stands for 0 and 1."""
    inverse = NormalDist().inv_cdf
    flat = np.clip(np.asarray(probability, dtype=np.float64), _TINY, 1 - _TINY)
    values = np.array([-inverse(p) for p in flat.ravel()])
    return values.reshape(flat.shape)


def joint_upper(s: ArrayLike, t: ArrayLike, correlation: float) -> NDArray[np.float64]:
    """P(x > s and y > t) for standard normals of the given correlation (Drezner & Wesolowsky 1990).

    P = P(x > s) P(y > t) + 1/2pi * integral from 0 to asin(r) of
    exp(-(s^2 + t^2 - 2 s t sin a) / (2 cos^2 a)) da.
    """
    left, right = np.broadcast_arrays(np.asarray(s, dtype=np.float64), np.asarray(t, dtype=np.float64))
    half = math.asin(correlation) / 2
    angle = half * (_NODES + 1)
    sine, cosine2 = np.sin(angle), np.cos(angle) ** 2
    power = (left**2 + right**2)[..., None] - 2 * (left * right)[..., None] * sine
    integral = half * (np.exp(-power / (2 * cosine2)) @ _WEIGHTS) / (2 * math.pi)
    return upper_tail(left) * upper_tail(right) + integral


def pair_series(thresholds: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """Mean P(x_i > t_i and x_j > t_j) over pairs of different channels, as polynomials in the correlation.

    Row 0 is for pairs within one of the `groups` of consecutive channels, row 1 for pairs between groups:
    float64[2, terms], coefficients of r^0, r^1, ... (tetrachoric series, Pearson 1900); NaN without pairs.
    """
    density = np.exp(-(thresholds**2) / 2) / math.sqrt(2 * math.pi)
    rows = [upper_tail(thresholds)]
    before, hermite = np.zeros_like(thresholds), np.ones_like(thresholds)
    for k in range(1, _TERMS):
        rows.append(density * hermite / math.sqrt(k))
        before, hermite = hermite, (thresholds * hermite - math.sqrt(k - 1) * before) / math.sqrt(k)
    table = np.stack(rows)
    count = len(thresholds)
    per_group = table.reshape(_TERMS, groups, -1).sum(axis=2)
    inside = (per_group**2).sum(axis=1)
    within = inside - (table**2).sum(axis=1)
    between = per_group.sum(axis=1) ** 2 - inside
    pairs = np.array([count * (count // groups - 1), count * (count - count // groups)], dtype=np.float64)
    pairs[pairs == 0] = np.nan
    return np.stack([within, between]) / pairs[:, None]


def channel_mixing(channels: int, groups: int, within: float, between: float) -> NDArray[np.float64]:
    """Matrix [C, C] that gives independent channels the correlations `within` and `between` groups.

    What no set of channels can have (strongly negative correlations) is replaced by the nearest possible.
    """
    number = np.arange(channels) * groups // channels
    matrix = np.where(number[:, None] == number, within, between)
    np.fill_diagonal(matrix, 1.0)
    return _root(matrix)


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric square root with rows of length 1."""
    values, vectors = np.linalg.eigh(matrix)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return np.asarray(root / np.sqrt((root**2).sum(axis=1, keepdims=True)))


def upper_tail(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(z > t) for a standard normal z."""
    flat = [0.5 * math.erfc(v / math.sqrt(2)) for v in np.ravel(t)]
    return np.array(flat).reshape(np.shape(t))


def latent_correlation(joint: Callable[[float], float], observed: float) -> float:
    """The r in [-0.9, 0.98] for which the increasing function `joint` gives `observed` (bisection)."""
    low, high = -0.9, 0.98
    for _ in range(30):
        middle = (low + high) / 2
        if joint(middle) < observed:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def field_correlation(size: tuple[int, int], length: float, power: float) -> NDArray[np.float64]:
    """Correlation of a field over (dy, dx), [H, W]: exp(-(dy / length)^power - (dx / length)^power)."""
    down, across = (np.exp(-((np.arange(n) / length) ** power)) for n in size)
    return np.outer(down, across)


def pair_weights(size: tuple[int, int]) -> NDArray[np.float64]:
    """Share of all ordered pairs of pixels of an H x W image that are (dy, dx) apart, float64[H, W]."""
    down, across = (np.where(np.arange(n) == 0, n, 2 * (n - np.arange(n))) / n**2 for n in size)
    return np.outer(down, across)


@lru_cache(maxsize=256)
def field_root(size: int, length: float, shape: float) -> NDArray[np.float64]:
    """Symmetric square root of the correlation matrix exp(-(distance / length) ** shape) on `size` points."""
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    root = _root(np.exp(-((distance / length) ** shape)))
    root.setflags(write=False)
    return root


def gaussian_field(
    rng: np.random.Generator, shape: tuple[int, int, int], length: float, power: float
) -> NDArray[np.float64]:
    """Fields [C, H, W] of unit variance, independent between channels.

    Within a channel the correlation over (dy, dx) is exp(-(dy / length)^power - (dx / length)^power).
    """
    white = rng.standard_normal(shape)
    return field_root(shape[1], length, power) @ white @ field_root(shape[2], length, power).T
