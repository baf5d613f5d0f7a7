"""The thresholds of all CGConv2d of a model: the loss that pulls them, and where they begin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cgsim.errors import CgsimError
from cgsim.models.layers.cgnet import CGConv2d
from cgsim.models.layers.frozen_norm import FrozenBatchNorm2d


def gated_layers(model: nn.Module) -> list[CGConv2d]:
    """All CGConv2d of a model, in the order of its modules."""
    return [module for module in model.modules() if isinstance(module, CGConv2d)]


def threshold_loss(model: nn.Module) -> Tensor:
    """Sum over all gated layers, channels and thresholds of (T - Delta)^2; a scalar, 0 without any layer."""
    terms = [
        (target - threshold).square().sum()
        for layer in gated_layers(model)
        for target, threshold in zip(layer.targets(), layer.thresholds(), strict=True)
    ]
    return torch.stack(terms).sum() if terms else torch.zeros(())


@torch.no_grad()
def calibrate_thresholds(model: nn.Module, batches: Iterable[Tensor], density: float) -> None:
    """Set every threshold so that the share `density` (0..1) of each channel's gates is on, before training.

    Thresholds become quantiles of the channel's own z over inputs `batches` (tensors [B, C, H, W]; the mean
    over batches), layer after layer: each sees what the gates before it leave. Two-sided windows leave out
    as much on either side. Whole channels (`channel_share`) come on top. The running statistics of
    all batch norms become those of the same inputs; frozen ones keep theirs, but for the decisions' own.
    Raises CgsimError on a density out of range or no inputs.
    """
    if not 0 < density < 1:
        raise CgsimError(f"thresholds: density must be above 0 and below 1, got {density}")
    weight = 1.0  # of the batch in the mean so far

    def place(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(layer, CGConv2d)
        base = layer.base_sums(layer.arrange(inputs[0])).float()
        z = F.batch_norm(base, None, None, training=True, eps=layer.decision_norm.eps)
        found = _quantiles(z.transpose(0, 1).flatten(1), density, layer.two_sided)
        for threshold, value in zip(layer.thresholds(), found, strict=True):
            threshold.lerp_(value.to(threshold.dtype), weight)

    count = 0
    handles = [layer.register_forward_pre_hook(place) for layer in gated_layers(model)]
    try:
        with _normalising_by_batch(model) as norms:
            for count, batch in enumerate(batches, 1):
                weight = 1 / count
                for norm in norms:
                    norm.momentum = weight
                model(batch)
    finally:
        for handle in handles:
            handle.remove()
    if count == 0:
        raise CgsimError("thresholds: no inputs to calibrate with; expected 1 batch or more")


def _quantiles(z: Tensor, density: float, two_sided: bool) -> tuple[Tensor, ...]:
    """Thresholds [C] of z [C, n] that leave round(density * n) values, no ties, strictly between."""
    count = z.shape[1]
    off = count - max(1, min(count - 1, round(density * count)))
    if not two_sided:
        return (z.kthvalue(max(1, off), 1).values,)
    below = max(1, off // 2)
    above = max(1, off - off // 2)
    return z.kthvalue(below, 1).values, z.kthvalue(count - above + 1, 1).values


@contextmanager
def _normalising_by_batch(model: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Let batch norms and gates, and nothing else, run as in training; yields the batch norms."""
    gated = gated_layers(model)
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and not isinstance(module, FrozenBatchNorm2d)
    ]
    norms += [layer.decision_norm for layer in gated if isinstance(layer.decision_norm, FrozenBatchNorm2d)]
    modes = [(module, module.training) for module in model.modules()]
    momenta = [(norm, norm.momentum) for norm in norms]
    try:
        model.eval()
        for module in (*norms, *gated):
            module.training = True
        yield norms
    finally:
        for module, training in modes:
            module.training = training
        for norm, momentum in momenta:
            norm.momentum = momentum
