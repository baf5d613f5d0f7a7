"""The Gaussian mathematics behind synthetic gates, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.trace.gaussian import (
    channel_mixing,
    field_correlation,
    field_root,
    gaussian_field,
    joint_upper,
    latent_correlation,
    pair_series,
    pair_weights,
    upper_tail,
    upper_threshold,
)


@given(st.floats(-0.95, 0.98))
def test_quadrant_probability(r: float) -> None:
    """Sheppard 1899: P(x > 0, y > 0) = 1/4 + asin(r) / 2 pi."""
    assert float(joint_upper(0.0, 0.0, r)) == pytest.approx(0.25 + math.asin(r) / (2 * math.pi), abs=1e-12)


@given(st.floats(0.001, 0.999))
def test_threshold_and_tail_are_inverse(p: float) -> None:
    assert float(upper_tail(upper_threshold(p))) == pytest.approx(p, rel=1e-9)
    assert float(joint_upper(upper_threshold(p), upper_threshold(p), 0.0)) == pytest.approx(p * p)
    near_one = float(joint_upper(upper_threshold(p), upper_threshold(p), 0.98))
    assert p * p < near_one <= p


@given(st.floats(0.02, 0.5), st.floats(0.02, 0.5), st.floats(-0.8, 0.95))
def test_correlation_is_found_again(p: float, q: float, r: float) -> None:
    s, t = upper_threshold(p), upper_threshold(q)
    observed = float(joint_upper(s, t, r))
    found = latent_correlation(lambda value: float(joint_upper(s, t, value)), observed)
    assert float(joint_upper(s, t, found)) == pytest.approx(observed, abs=1e-6)


def test_against_random_numbers() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 400_000))
    y = 0.6 * x + 0.8 * y
    assert float(joint_upper(0.5, 1.2, 0.6)) == pytest.approx(np.mean((x > 0.5) & (y > 1.2)), abs=2e-3)


@given(st.integers(1, 5), st.integers(1, 5))
def test_pair_weights_and_field_correlation(height: int, width: int) -> None:
    rows, columns = np.divmod(np.arange(height * width), width)
    down, across = (np.abs(np.subtract.outer(axis, axis)) for axis in (rows, columns))
    field = np.exp(-((down / 1.5) ** 0.8) - (across / 1.5) ** 0.8)
    found = (field_correlation((height, width), 1.5, 0.8) * pair_weights((height, width))).sum()
    assert found == pytest.approx(field.mean())


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 99), st.floats(-0.8, 0.8))
def test_pair_series(groups: int, each: int, seed: int, r: float) -> None:
    t = np.random.default_rng(seed).uniform(-1, 4, groups * each)
    within, between = (np.polynomial.polynomial.polyval(r, row) for row in pair_series(t, groups))
    pairs: dict[bool, list[float]] = {True: [], False: []}
    for i in range(len(t)):
        for j in range(len(t)):
            if i != j:
                pairs[i // each == j // each].append(float(joint_upper(t[i], t[j], r)))
    for found, values in ((within, pairs[True]), (between, pairs[False])):
        assert found == pytest.approx(np.mean(values), abs=1e-7) if values else np.isnan(found)


def test_channel_mixing() -> None:
    root = channel_mixing(8, 2, 0.4, 0.1)
    matrix = root @ root.T
    assert np.diag(matrix) == pytest.approx(1)
    assert matrix[0, 1:4] == pytest.approx(0.4)
    assert matrix[0, 4:] == pytest.approx(0.1)
    impossible = channel_mixing(8, 2, -0.9, 0.0)
    assert np.diag(impossible @ impossible.T) == pytest.approx(1)
    assert (impossible @ impossible.T)[0, 1] == pytest.approx(-1 / 3)
    assert channel_mixing(1, 1, 0.3, 0.3) == pytest.approx(1)


@pytest.mark.parametrize(("length", "power"), [(0.5, 1.0), (2.0, 1.0), (3.0, 2.0), (1.5, 0.4)])
def test_field_has_its_correlation(length: float, power: float) -> None:
    root = field_root(12, length, power)
    distance = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    assert root @ root.T == pytest.approx(np.exp(-((distance / length) ** power)), abs=1e-9)
    field = gaussian_field(np.random.default_rng(1), (20_000, 6, 6), length, power)
    assert field.std() == pytest.approx(1, abs=0.02)
    assert np.mean(field[:, :, 1:] * field[:, :, :-1]) == pytest.approx(math.exp(-(length**-power)), abs=0.02)
