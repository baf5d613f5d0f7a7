"""The batch-shaping loss: how far the values of a batch are from a Beta distribution (Cramer-von-Mises)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

DENSITY_RANGE = (1e-3, 100.0)
"""To which the prior's density, infinite at 0 and 1 for a, b < 1, is limited in the gradient."""


class _BatchShaping(torch.autograd.Function):
    """The loss of each column, with its exact gradient."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, a: float, b: float) -> Tensor:
        """Losses [G] of probabilities p [B, G]; float64 inside, as the CDF is steep near 0 and 1."""
        from scipy.special import betainc, betaln, xlog1py, xlogy

        values, order = torch.sort(p.detach(), dim=0, stable=True)
        count = len(values)
        # The inverse permutation: where each value of p went, so that gradients find their way back.
        place = torch.empty_like(order).scatter_(
            0, order, torch.arange(count, device=order.device)[:, None].expand_as(order)
        )
        x = values.double().cpu().numpy()
        empirical = np.arange(1, count + 1)[:, None] / (count + 1)
        error = empirical - betainc(a, b, x)
        log_density = xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b)
        density = np.exp(np.clip(log_density, *np.log(DENSITY_RANGE)))
        slope = torch.from_numpy(-2 * density * error / count).to(p.device, p.dtype)
        ctx.save_for_backward(slope.gather(0, place))
        return torch.from_numpy((error**2).sum(0) / count).to(p.device, p.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """dL/dp_i = -2 f(p_i) (e_i - F(p_i)) / B, f the limited density."""
        (slope,) = ctx.saved_tensors
        return grads[0][None, :] * slope, None, None


def batch_shaping(p: Tensor, a: float = 0.6, b: float = 0.4) -> Tensor:
    """Loss [G] for each column of p [B, G], values in 0..1: sum over the batch of (e - F(p))^2 / B.

    F is the CDF of Beta(a, b) and e the empirical CDF, rank / (B + 1). The gradient is the exact one, but for
    the density, which is limited to DENSITY_RANGE. Source: Bejnordi et al., ICLR 2020, section 3.2.
    """
    losses = _BatchShaping.apply(p, a, b)
    assert isinstance(losses, Tensor)
    return losses
