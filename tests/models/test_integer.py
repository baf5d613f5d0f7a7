"""The arithmetic of quantised layers, held against whole numbers and fractions of Python."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from cgsim import CgsimError
from cgsim.models import integer
from cgsim.models.calibration import MARGIN, best_scale
from cgsim.models.integer import fixed_point, half, integer_conv2d, integer_threshold, largest_sum
from cgsim.models.quantized_layers import Requantize
from tests.models.integers import convolve

SCALES = st.floats(2.0**-20, 2.0**10, allow_nan=False)


@given(
    seed=st.integers(0, 1 << 32),
    groups=st.sampled_from([1, 2]),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(3, 7), st.integers(3, 7)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    extreme=st.booleans(),
)
def test_sums_are_those_of_whole_numbers(seed, groups, sizes, kernel, stride, padding, extreme):
    inputs, outputs, height, width = sizes
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (3, groups * inputs, height, width)).astype(np.int8)
    weight = rng.integers(-127, 128, (groups * outputs, inputs, *kernel)).astype(np.int8)
    if extreme:
        x[:], weight[:] = -128, 127
    sums = integer_conv2d(torch.from_numpy(x), torch.from_numpy(weight), stride, padding, (1, 1), groups)
    assert sums.dtype == torch.int32
    expected = np.stack([convolve(image, weight, stride, padding, groups) for image in x])
    assert np.array_equal(sums.numpy(), expected)


def test_sums_beyond_float32_are_exact():
    rng = np.random.default_rng(0)
    x = np.full((1, 1200, 1, 1), -128, np.int8)
    weight = rng.integers(120, 128, (2, 1200, 1, 1)).astype(np.int8)
    assert largest_sum(torch.from_numpy(weight)) >= 1 << 24
    x[0, :3] = 1
    sums = integer_conv2d(torch.from_numpy(x), torch.from_numpy(weight)).numpy()
    assert np.array_equal(sums[0], convolve(x[0], weight))
    assert sums.min() < -(1 << 24) + 1000


def test_a_convolution_that_rounds_is_found_out_and_not_used(monkeypatch):
    real = F.conv2d

    def rounding(x, weight, *others, **more):
        return real(x, weight, *others, **more) + (0.25 if x.dtype == torch.float32 else 0)

    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (2, 3, 5, 5)).astype(np.int8)
    weight = rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    monkeypatch.setattr(integer.F, "conv2d", rounding)
    sums = integer_conv2d(torch.from_numpy(x), torch.from_numpy(weight), padding=(1, 1))
    assert np.array_equal(sums[1].numpy(), convolve(x[1], weight, padding=(1, 1)))


def test_sums_that_leave_int32_are_refused():
    weight = torch.full((1, 140_000, 1, 1), 127, dtype=torch.int8)
    with pytest.raises(CgsimError, match="do not fit int32"):
        integer_conv2d(torch.zeros(1, 140_000, 1, 1, dtype=torch.int8), weight)


@given(
    threshold=st.floats(-1e4, 1e4, width=32),
    input_scale=SCALES,
    weight_scale=SCALES,
    offset=st.integers(-3, 3),
)
def test_the_integer_comparison_is_the_real_one(threshold, input_scale, weight_scale, offset):
    (found,) = integer_threshold(np.array([threshold]), input_scale, np.array([weight_scale])).tolist()
    exact = Fraction(threshold) / (Fraction(input_scale) * Fraction(weight_scale))
    for base in (found + offset, offset, -offset * 1000, (1 << 31) - 1):
        if -(1 << 31) < base < 1 << 31:
            real = Fraction(base) * Fraction(input_scale) * Fraction(weight_scale) > Fraction(threshold)
            assert (base > found) == real
            assert (base > exact) == real


@given(
    factor=st.one_of(st.floats(-50, 50), st.sampled_from([0.0, 1.0, 0.5, -1.0, 2.0**-40, 0.9999999])),
    offset=st.floats(-300, 300),
    total=st.integers(-(1 << 26), 1 << 26),
)
def test_requantisation_is_the_defined_function_and_near_the_real_one(factor, offset, total):
    multiplier, bias, shift = fixed_point(np.array([factor]), np.array([offset]))
    assert abs(int(multiplier[0])) < 1 << 15
    assert 0 <= int(shift[0]) <= 31
    module = Requantize(1, low=-(1 << 15), high=(1 << 15) - 1)
    for name, value in (("multiplier", multiplier), ("bias", bias), ("shift", shift)):
        getattr(module, name).copy_(torch.from_numpy(value))
    y = int(module(torch.tensor([[total]], dtype=torch.int32))[0, 0])
    exact = Fraction(total * int(multiplier[0]) + int(bias[0]), 1 << int(shift[0]))
    assert y == min(max(math.floor(exact), -(1 << 15)), (1 << 15) - 1)
    if abs(y) < (1 << 15) - 1:
        slack = abs(total) * max(abs(factor) * 2.0**-15, 2.0**-32) + 2.0**-14 * abs(offset) + 2.0**-14
        assert abs(y - (factor * total + offset)) <= 0.5 + slack + 1e-6


def test_halves_are_rounded_up():
    multiplier, bias, shift = fixed_point(np.array([0.5]), np.array([0.0]))
    found = [
        (total * int(multiplier[0]) + int(bias[0])) >> int(shift[0]) for total in (-3, -2, -1, 0, 1, 2, 3)
    ]
    assert found == [-1, -1, 0, 0, 1, 1, 2]
    assert half(np.array([0, 1, 5])).tolist() == [0, 1, 16]


@pytest.mark.parametrize(("factor", "offset"), [(math.nan, 0.0), (1.0, math.inf), (1e9, 0.0), (1.0, 1e300)])
def test_requantisations_out_of_range_are_refused(factor, offset):
    with pytest.raises(CgsimError, match="requantisation"):
        fixed_point(np.array([1.0, factor]), np.array([0.0, offset]))


@given(seed=st.integers(0, 1 << 32), largest=st.floats(1e-3, 1e3))
def test_the_scale_of_an_activation_is_the_best_power_of_two(seed, largest):
    rng = np.random.default_rng(seed)
    values = np.minimum(np.abs(rng.standard_exponential(2000)) * largest / 8, largest)
    counts = torch.histc(torch.from_numpy(values), 4096, 0, largest)
    scale = best_scale(counts, largest)
    top = math.ceil(math.log2(largest / 127))

    def error(exponent):
        step = 2.0**exponent
        return ((np.minimum(np.rint(values / step), 127) * step - values) ** 2).sum()

    errors = [error(exponent) for exponent in range(top, top - MARGIN - 1, -1)]
    assert math.frexp(scale)[0] == 0.5
    assert error(round(math.log2(scale))) <= min(errors) * 1.02


def test_a_value_that_is_always_zero_has_a_scale():
    assert best_scale(torch.ones(16), 0.0) == 1.0
