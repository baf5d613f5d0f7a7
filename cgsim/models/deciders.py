"""What networks that compute gates cost: MACs and weights of their convolutions and linear layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def decider_cost(decider: nn.Module, x: Tensor) -> tuple[int, int]:
    """Return the MACs per sample and the number of weights of what decides on `x`, [B, C, H, W].

    Counted in one forward pass of one sample: each result of a convolution or linear layer takes as many MACs
    as there are weights for its output channel. Weights of a layer that is called twice count once, its MACs
    twice. Biases, norms and activations are not counted, as elsewhere.
    """
    macs = 0
    weights: dict[int, int] = {}

    def count(layer: Any, _inputs: Any, y: Tensor) -> None:
        nonlocal macs
        own = layer.weight
        macs += y.numel() * (own.numel() // own.shape[0])
        weights[id(own)] = own.numel()

    layers = [module for module in decider.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = decider.training
    try:
        with torch.no_grad():
            decider.eval()(x[:1])
    finally:
        decider.train(training)
        for hook in hooks:
            hook.remove()
    return macs, sum(weights.values())
