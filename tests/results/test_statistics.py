"""Intervals are held against enumeration, against SciPy, and against distributions that are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import CgsimError
from cgsim.results.bootstrap import bounds, draw_sums
from cgsim.results.statistics import (
    COUNTS,
    Interval,
    confidence,
    intervals,
    layer_intervals,
    next_look,
    ratio_intervals,
    sample_counts,
    samples_needed,
)
from cgsim.results.tables import interval_text
from tests.results.conftest import HARDWARE, make_columns


def counts(samples, seed=0, dense=1000.0, spread=0.1):
    """Samples of a network whose gated cycles differ from image to image."""
    rng = np.random.default_rng(seed)
    gated = rng.gamma(1 / spread**2, 400 * spread**2, samples)
    made = {"sample": np.arange(samples)}
    for name, scale in (("cycles", 1.0), ("latency_cycles", 1.0), ("macs", 0.8), ("offchip_bytes", 3.0)):
        made[f"dense_{name}"] = np.full(samples, dense * scale)
        made[f"gated_{name}"] = gated * scale
    return made


def test_sums_are_those_of_every_resample_there_is():
    """Three samples have 27 resamples; each is as frequent among the draws as among all."""
    values = np.array([[1.0, 10.0], [2.0, 30.0], [5.0, 20.0]])
    every = [tuple(values[list(rows)].sum(axis=0)) for rows in itertools.product(range(3), repeat=3)]
    drawn = [tuple(row) for row in draw_sums(values, 27_000, seed=1)]
    assert set(drawn) == set(every)
    for sums in set(every):
        expected = every.count(sums) * 1000
        assert drawn.count(sums) == pytest.approx(expected, abs=5 * math.sqrt(expected))


def test_sums_do_not_depend_on_other_columns_and_follow_the_seed():
    values = np.random.default_rng(0).normal(size=(50, 3))
    sums = draw_sums(values, 100, seed=3)
    np.testing.assert_allclose(draw_sums(values[:, 1:2], 100, seed=3), sums[:, 1:2])
    assert not np.allclose(draw_sums(values, 100, seed=4), sums)


def test_many_samples_are_drawn_in_parts(monkeypatch):
    values = np.random.default_rng(0).normal(size=(40, 2))
    whole = draw_sums(values, 50)
    monkeypatch.setattr("cgsim.results.bootstrap._DRAWS", 100)
    np.testing.assert_allclose(draw_sums(values, 50), whole)


def test_bca_by_hand():
    """Efron's formulas, written down once more for one figure: the mean of a skewed sample."""
    from scipy.stats import norm

    values = np.array([1.0, 1.5, 2.0, 2.0, 3.0, 9.0])
    found = draw_sums(values[:, None], 2000)[:, 0] / 6
    left_out = np.array([np.delete(values, i).mean() for i in range(6)])
    below = ((found < values.mean()).mean() + (found <= values.mean()).mean()) / 2
    bias = norm.ppf(below)
    away = left_out.mean() - left_out
    skew = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    expected = [
        np.quantile(found, norm.cdf(bias + (bias + z) / (1 - skew * (bias + z))))
        for z in norm.ppf([0.025, 0.975])
    ]
    low, high, how = bounds(values.mean()[None], found[:, None], left_out[:, None])
    assert (low[0], high[0], how[0]) == (pytest.approx(expected[0]), pytest.approx(expected[1]), "bca")
    assert high[0] - values.mean() > values.mean() - low[0]  # skewed as the sample is


@pytest.mark.parametrize("samples", [12, 100])
def test_agrees_with_scipy(samples):
    from scipy.stats import bootstrap

    own = counts(samples, seed=5, spread=0.4)
    data = tuple(own[name] for name in ("dense_cycles", "gated_cycles"))
    theirs = bootstrap(
        data, lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis), paired=True, vectorized=True,
        method="BCa", n_resamples=20_000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    ours = intervals(own, resamples=20_000)["speedup"]
    width = theirs.high - theirs.low
    assert ours.method == "bca"
    assert ours.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.04 * width)


def share_covered(draw, truth, name, samples, trials=1000):
    """Return how often the interval of a figure holds what is true of the distribution."""
    rng = np.random.default_rng(11)
    held = 0
    for trial in range(trials):
        own = intervals(draw(rng, samples), resamples=500, seed=trial)[name]
        held += own.low <= truth <= own.high
    return held / trials


def gamma_cycles(rng, samples):
    gated = rng.gamma(4.0, 100.0, samples)  # mean 400, clearly skewed
    return {"dense_cycles": np.full(samples, 1000.0), "gated_cycles": gated, "gated_latency_cycles": gated}


@pytest.mark.parametrize(("name", "truth"), [("speedup", 2.5), ("gated_latency_cycles_mean", 400.0)])
def test_coverage_is_95_percent(name, truth):
    """1000 trials: the share that holds the truth is 0.95 ± 0.007 if all is well."""
    assert 0.915 <= share_covered(gamma_cycles, truth, name, 64) <= 0.98


def test_coverage_of_paired_ratios():
    """Dense and gated cycles that go together; the ratio of the means is 2."""

    def draw(rng, samples):
        gated = rng.gamma(4.0, 100.0, samples)
        return {"dense_cycles": 2 * gated * rng.uniform(0.8, 1.2, samples), "gated_cycles": gated}

    assert 0.915 <= share_covered(draw, 2.0, "speedup", 64) <= 0.98


@pytest.mark.parametrize("samples", [64, 500])
def test_a_percentile_is_covered_at_least_95_percent(samples):
    from scipy.stats import gamma

    truth = float(gamma.ppf(0.99, 4.0, scale=100.0))
    assert share_covered(gamma_cycles, truth, "gated_latency_cycles_p99", samples) >= 0.94


def test_bounds_of_a_percentile_are_the_binomial_ones():
    from scipy.stats import binom

    latency = np.random.default_rng(2).permutation(np.arange(1.0, 501.0))
    own = intervals({"gated_latency_cycles": latency})["gated_latency_cycles_p99"]
    assert own.method == "order"
    assert own.value == np.percentile(latency, 99)
    # P(X_(r) > q) = P(at most r - 1 of 500 below q), for the values 1..500 that are their own ranks
    assert binom.cdf(own.low - 1, 500, 0.99) <= 0.025 < binom.cdf(own.low, 500, 0.99)
    assert binom.sf(own.high - 1, 500, 0.99) <= 0.025 < binom.sf(own.high - 2, 500, 0.99)


def test_few_samples_do_not_bound_the_99th_percentile_from_above():
    few, enough = (intervals(counts(n))["gated_latency_cycles_p99"] for n in (367, 368))
    assert math.isinf(few.high)
    assert few.to_json()["high"] is None
    assert few.known
    assert enough.high == counts(368)["gated_latency_cycles"].max()


def test_samples_that_do_not_differ_leave_no_doubt():
    own = intervals(counts(16))["dense_latency_cycles_mean"]
    assert (own.low, own.value, own.high, own.method) == (1000.0, 1000.0, 1000.0, "constant")
    p99 = intervals(counts(16))["dense_latency_cycles_p99"]
    assert (p99.low, p99.high, p99.method) == (1000.0, 1000.0, "constant")
    assert own.relative == 0
    assert samples_needed(own, 0.01) == 1


def test_one_sample_has_no_interval():
    for name, own in intervals(counts(1)).items():
        assert math.isfinite(own.value), name
        assert (own.known, own.method) == (False, "none"), name
        assert own.to_json() == {
            "value": own.value, "low": None, "high": None, "level": 0.95, "samples": 1, "method": "none",
        }  # fmt: skip
    assert samples_needed(intervals(counts(1))["speedup"], 0.01) is None


def test_two_samples_have_one():
    own = intervals(counts(2))["speedup"]
    assert own.known
    assert own.low < own.value < own.high


def test_ratios_that_do_not_exist():
    """No MACs at all: no FLOP reduction and no efficiency, and everything else as ever."""
    own = counts(8)
    own["dense_macs"] = own["gated_macs"] = np.zeros(8)
    found = intervals(own)
    assert math.isnan(found["flop_reduction"].value)
    assert not found["flop_reduction"].known
    assert not found["efficiency"].known
    assert found["speedup"].known


def test_a_divisor_that_is_often_zero_has_no_upper_bound():
    """One sample of eight executes anything: a third of the resamples has none of it."""
    own = counts(8)
    own["gated_macs"] = np.zeros(8)
    own["gated_macs"][3] = 100.0
    found = intervals(own)["flop_reduction"]
    assert (found.method, found.high) == ("percentile", math.inf)
    assert found.low < found.value == 64.0
    own["gated_macs"][3] = 0.0
    nothing = intervals(own)["flop_reduction"]
    assert (nothing.value, nothing.low, nothing.method) == (math.inf, math.inf, "constant")
    assert samples_needed(found, 0.01) is None


@given(st.floats(0.01, 100), st.integers(2, 40), st.integers(0, 1000))
def test_ratios_do_not_depend_on_units(scale, samples, seed):
    own = counts(samples, seed)
    other = own | {name: own[name] * scale for name in ("dense_cycles", "gated_cycles")}
    ours, theirs = (intervals(some, resamples=50)["speedup"] for some in (own, other))
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert ours.low <= ours.high


def test_more_samples_and_a_lower_level_narrow_it():
    many, few = intervals(counts(400))["speedup"], intervals(counts(100))["speedup"]
    assert many.half_width == pytest.approx(few.half_width / 2, rel=0.2)
    assert intervals(counts(100), level=0.5)["speedup"].half_width < 0.5 * few.half_width


def test_batches_are_drawn_together():
    """Samples of a batch share its cycles: 32 samples in 8 batches are 8 draws."""
    own = counts(8, spread=0.3)
    shared = {name: np.repeat(values, 4) for name, values in own.items()}
    ours, theirs = intervals(own), intervals(shared, batch=4)
    assert theirs["speedup"].samples == 8
    for name in ("speedup", "efficiency", "gated_latency_cycles_mean", "gated_latency_cycles_p99"):
        assert theirs[name].low == pytest.approx(ours[name].low), name
        assert theirs[name].half_width == pytest.approx(ours[name].half_width), name


def test_frames_and_some_columns_do():
    own = counts(20)
    assert intervals(pd.DataFrame(own)) == intervals(own)
    only = intervals({"dense_macs": own["dense_macs"], "gated_macs": own["gated_macs"]})
    assert list(only) == ["flop_reduction"]


def test_a_run_is_told_under_the_names_of_its_summary(run):
    found, total = run.confidence(), run.summary()
    assert list(found) == [
        "speedup", "flop_reduction", "efficiency", "offchip_reduction", "dense_latency_ms_mean",
        "gated_latency_ms_mean", "dense_latency_ms_p99", "gated_latency_ms_p99",
    ]  # fmt: skip
    for name, own in found.items():
        assert own.value == pytest.approx(total[name]), name
        assert own.low <= own.value <= own.high, name
    assert found == confidence(run)
    assert set(run.to_json()["confidence"]) == set(found)
    assert set(sample_counts(run)) == {"sample", *COUNTS}


def test_a_run_with_batches(make_run):
    batched = make_run(make_columns(samples=6), hardware=HARDWARE | {"mapping": {"batch": 2}})
    assert batched.confidence()["speedup"].samples == 3
    assert batched.samples_needed(0.5) % 2 == 0


def test_layers_and_any_ratios(run):
    value, low, high = layer_intervals(run.layers)
    np.testing.assert_allclose(value, run.by_layer()["speedup"])
    assert ((low <= value) & (value <= high)).all()
    pool = list(run.by_layer()["layer"]).index("pool")
    assert np.isnan([part[pool] for part in layer_intervals(run.columns, "flop_reduction")]).all()
    one = [np.ones((1, 3)), np.full((1, 3), 2.0)]
    value, low, high = ratio_intervals(*one)
    np.testing.assert_array_equal(value, [0.5] * 3)
    assert np.isnan([low, high]).all()


def interval(value, half, samples):
    return Interval(value, value - half, value + half, samples, "bca")


def test_how_many_samples_are_enough():
    assert samples_needed(interval(2.0, 0.04, 100), 0.01) == 400
    assert samples_needed(interval(2.0, 0.04, 100), 0.02) == 100
    assert samples_needed(interval(2.0, 0.04, 100), 0.9) == 2
    assert next_look(interval(2.0, 0.04, 100), 0.0125) == math.ceil(1.05 * 256)
    assert next_look(interval(2.0, 0.04, 100), 0.0199) == 125  # a quarter more at least
    assert next_look(interval(2.0, 0.4, 100), 0.0001) == 400  # four times as many at most


def test_the_estimate_of_enough_is_good(make_run):
    """What 200 samples say of a ±1% interval is what it takes."""
    needed = samples_needed(intervals(counts(200, spread=0.3))["speedup"], 0.02)
    assert intervals(counts(needed, seed=9, spread=0.3))["speedup"].relative == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize(
    ("own", "text"),
    [(interval(2.0, 0.1, 9), "1.90 to 2.10"), (interval(1.0, 0.004, 9), "0.996 to 1.004"),
     (interval(2.0, 0.0, 9), "2.000"), (Interval(8.0, 4.0, math.inf, 9, "percentile"), "4.000 to inf")],
)  # fmt: skip
def test_bounds_in_words(own, text):
    assert interval_text(own) == text


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: intervals(counts(4), level=95), "level: expected a share between 0 and 1"),
        (lambda: intervals({"cycles": [1]}), "expected samples with columns such as 'dense_cycles'"),
        (lambda: intervals({"dense_cycles": []}), "expected samples"),
        (lambda: intervals(counts(4), batch=0), "batch: expected 1 or more, got 0"),
        (lambda: samples_needed(interval(1.0, 0.1, 4), 0.0), "expected a share above 0"),
        (lambda: layer_intervals(make_columns(), "speedups"), "unknown figure 'speedups'.*speedup"),
    ],
)
def test_refusals(call, problem):
    with pytest.raises(CgsimError, match=problem):
        call()


def test_the_table_tells_it(run, make_run):
    assert "95% confidence: speedup" in run.table()
    assert "tells nothing of others" in make_run(make_columns(samples=1)).table()
