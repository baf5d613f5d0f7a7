"""Binary gates with surrogate gradients, as channel gating takes them (Hua et al., NeurIPS 2019)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor


class _StraightThrough(torch.autograd.Function):
    """Forward: 1 where z > 0. Backward: the slope alpha * s * (1 - s) of s = sigmoid(alpha * z)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, alpha: float, sparse: bool, dtype: torch.dtype) -> Tensor:
        """Compare z with 0 in its own type; return the gates, and keep z, in `dtype`."""
        ctx.save_for_backward(z.to(dtype))
        ctx.alpha, ctx.sparse, ctx.input_dtype = alpha, sparse, z.dtype
        return (z > 0).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the surrogate gradient; with `sparse`, zero where z < 0."""
        (z,) = ctx.saved_tensors
        grad = grads[0]
        if ctx.sparse:  # one fused pass: keeps the gradient where z >= 0
            grad = torch.ops.aten.threshold_backward(grad, z, -torch.finfo(z.dtype).tiny)
        s = torch.mul(z, ctx.alpha).sigmoid_()
        slope = torch.ops.aten.sigmoid_backward(grad, s).mul_(ctx.alpha)
        return slope.to(ctx.input_dtype), None, None, None


class _Window(torch.autograd.Function):
    """Forward: 1 where a > 0 and b > 0. Backward: the slopes of sigmoid(alpha * a) * sigmoid(alpha * b)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, alpha: float, sparse: bool, dtype: torch.dtype) -> Tensor:
        """Compare a and b with 0 in their own type; return the gates, and keep both, in `dtype`."""
        gates = (a > 0) & (b > 0)
        ctx.save_for_backward(a.to(dtype), b.to(dtype))
        ctx.alpha, ctx.sparse, ctx.input_dtype = alpha, sparse, a.dtype
        return gates.to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the surrogate gradients; with `sparse`, zero where a < 0 or b < 0."""
        a, b = ctx.saved_tensors
        s, t = torch.sigmoid(ctx.alpha * a), torch.sigmoid(ctx.alpha * b)
        grad = grads[0] * ctx.alpha * s * t
        if ctx.sparse:
            grad = grad * ((a >= 0) & (b >= 0))
        left, right = grad * (1 - s), grad * (1 - t)
        return left.to(ctx.input_dtype), right.to(ctx.input_dtype), None, None, None


def straight_through_gate(
    z: Tensor, alpha: float = 2.0, sparse: bool = True, dtype: torch.dtype | None = None
) -> Tensor:
    """Binary gates 1[z > 0] of any shape, with a surrogate gradient for training.

    The gradient is alpha * s * (1 - s) with s = sigmoid(alpha * z); `sparse` sets it to zero where
    z < 0 (sparse back-propagation). Gates and gradient are of type `dtype` (default: that of z), the
    comparison itself is made in the type of z. Source: the paper's public code.
    """
    gates = _StraightThrough.apply(z, alpha, sparse, dtype or z.dtype)
    assert isinstance(gates, Tensor)
    return gates


def straight_through_window(
    z: Tensor,
    low: Tensor,
    high: Tensor,
    alpha: float = 2.0,
    sparse: bool = True,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Binary gates 1[low < z < high] for thresholds that broadcast to z, with a surrogate gradient.

    The gradient is that of sigmoid(alpha * (z - low)) * sigmoid(alpha * (high - z)), with respect to z and
    to both thresholds; `sparse` sets it to zero outside of the window. Types as in `straight_through_gate`.
    """
    gates = _Window.apply(z - low, high - z, alpha, sparse, dtype or z.dtype)
    assert isinstance(gates, Tensor)
    return gates


def least_on(share: float, pixels: int) -> int:
    """The least number of on gates among `pixels` that is at least `share` (0..1, as written) of them."""
    return math.ceil(Fraction(str(share)) * pixels)


def whole_channels(gates: Tensor, share: float) -> Tensor:
    """Gates [B, C, H, W], all off in each channel of a sample where fewer than `share` of them are on.

    The gradient passes as if every channel were on (straight through), so that one that is off can come
    back. On hardware: a count and one comparison.
    """
    count = gates.sum((2, 3), keepdim=True, dtype=torch.float32)  # exact up to 2^24 gates of a channel
    kept = gates * (count >= least_on(share, gates.shape[2] * gates.shape[3]))
    return gates + (kept - gates).detach()
