"""Exact integer arithmetic of quantised networks: sums, comparisons and requantisation, to the bit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cgsim.errors import CgsimError

LOWEST, HIGHEST = -128, 127
"""What an activation can be: int8. Weights keep to -127..127, so that they are symmetric."""
MULTIPLIER_BITS = 15
"""A multiplier has this many bits and a sign: it fits int16."""
MOST_SHIFT = 31
INT32 = 1 << 31


def largest_sum(weight: Tensor) -> int:
    """A bound on every sum, and partial sum, of weights [N, C, kh, kw] with int8 activations."""
    return -LOWEST * int(weight.long().abs().flatten(1).sum(1).max()) if weight.numel() else 0


def integer_conv2d(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Exact convolution of int8 [B, C, H, W] and weights [N, C / groups, kh, kw] -> int32 [B, N, H', W'].

    torch has no fast integer convolution on the CPU, so floats carry the integers: float32 while every
    partial sum stays below 2^24, else float64 (2^53). Sums of such integers are exact in any order, on
    any number of threads, with or without fused multiply-add. Only an algorithm that computes other
    products (Winograd, a Fourier transform, a reduced precision) could round: therefore the first image
    of each float32 batch is computed in float64 as well, and if it differs, all of them.

    Raises CgsimError if a sum could leave int32.
    """
    bound = largest_sum(weight)
    if bound >= INT32:
        raise CgsimError(f"quantised layer: sums up to {bound} do not fit int32")

    def run(images: Tensor, carrier: torch.dtype) -> Tensor:
        return F.conv2d(images.to(carrier), weight.to(carrier), None, stride, padding, dilation, groups)

    if bound < 1 << 24:
        sums = run(x, torch.float32)
        if torch.equal(sums[:1].double(), run(x[:1], torch.float64)):
            return sums.to(torch.int32)
    return run(x, torch.float64).to(torch.int32)


def integer_threshold(
    threshold: np.ndarray, input_scale: float, weight_scale: np.ndarray, *, upper: bool = False
) -> np.ndarray:
    """The int32 threshold t per channel with `sum > t` exactly where `sum * scales > threshold`.

    t = floor(threshold / (input_scale * weight_scale[c])), in rational arithmetic: as a sum is an integer,
    it is above a real number exactly if it is above its floor. `upper`: `sum < t` exactly where
    `sum * scales < threshold`, so t is the ceiling. All [N]; a threshold beyond int32 is set to the nearest
    bound, which no sum passes either.
    """
    found = []
    for real, scale in zip(threshold.tolist(), weight_scale.tolist(), strict=True):
        exact = Fraction(real) / (Fraction(input_scale) * Fraction(scale))
        whole = math.ceil(exact) if upper else math.floor(exact)
        found.append(min(max(whole, -INT32), INT32 - 1))
    return np.array(found, np.int32)


def fixed_point(factor: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Multiplier (int32), bias (int64) and shift (int32), all [N], for y = factor * sum + offset (reals [N]).

    y becomes (sum * multiplier + bias) >> shift: 16-bit multiplier (15 bits and a sign), half a step in the
    bias, and an arithmetic shift, which rounds down: so y is rounded to the nearest integer, halves up.
    Raises CgsimError if a factor or offset is not finite or too large.
    """
    if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        raise CgsimError("a factor or offset of its requantisation is not finite")
    _mantissa, exponent = np.frexp(factor)  # |factor| < 2^exponent
    shift = np.where(factor == 0, MOST_SHIFT, np.minimum(MULTIPLIER_BITS - exponent, MOST_SHIFT)).astype(int)
    multiplier = np.rint(np.ldexp(factor, shift))
    over = np.abs(multiplier) == 1 << MULTIPLIER_BITS  # rounded up to the next power of two
    multiplier, shift = np.where(over, multiplier / 2, multiplier), np.where(over, shift - 1, shift)
    scaled = np.ldexp(offset, shift)
    if shift.min(initial=0) < 0 or np.abs(scaled).max(initial=0) >= 1 << 61:
        raise CgsimError(
            f"a requantisation by {np.abs(factor).max():.3g} and {np.abs(offset).max():.3g} leaves the range "
            f"of its fixed point"
        )
    bias = np.rint(scaled).astype(np.int64) + half(shift)
    return multiplier.astype(np.int32), bias, shift.astype(np.int32)


def half(shift: np.ndarray) -> np.ndarray:
    """Half a step before a shift: what turns rounding down into rounding to the nearest (int64)."""
    return np.where(shift > 0, np.left_shift(np.int64(1), np.maximum(shift.astype(np.int64) - 1, 0)), 0)
