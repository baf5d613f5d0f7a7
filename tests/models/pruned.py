"""Gate Decorator models with statistics, phi and masks that are not the initial ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cgsim.models.layers.gated_norm import GatedBatchNorm2d, gated_norms
from cgsim.models.methods import make_method
from cgsim.models.networks.build import build_network
from cgsim.models.pruning import Pruned, prune_step


def ungated(network: str, channels: int = 1, seed: int = 0, **architecture: Any) -> nn.Module:
    """An ungated model with random norms."""
    torch.manual_seed(seed)
    model = build_network(network, in_channels=channels, classes=4, architecture=architecture)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.5)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
                module.num_batches_tracked.fill_(1)
    return model.eval()


def decorated(network: str, channels: int = 1, seed: int = 0, **architecture: Any) -> nn.Module:
    """The same as `ungated` returns, as Gate Decorator makes it."""
    plain = ungated(network, channels, seed, **architecture)
    method = make_method("gate-decorator")
    model = build_network(network, method, in_channels=channels, classes=4, architecture=architecture)
    model.load_state_dict(plain.state_dict(), strict=False)
    method.prepare(model, lambda _count: torch.empty(0))
    return model.eval()


def norm_of(model: nn.Module, conv: str) -> GatedBatchNorm2d:
    """The norm behind a convolution."""
    wanted = model.get_submodule(conv)
    return next(norm for norm in gated_norms(model).values() if norm.conv is wanted)


def prune_at_random(
    model: nn.Module,
    image: tuple[int, int, int],
    share: float = 0.4,
    target: float = 8.0,
    least_share: float = 0.0,
    seed: int = 0,
) -> Pruned:
    """One pruning step with random scores."""
    generator = torch.Generator().manual_seed(seed)
    for norm in gated_norms(model).values():
        norm.score.uniform_(0.1, 1, generator=generator)
    with torch.no_grad():
        model(torch.zeros(1, *image))
    return prune_step(model, share, least_share, target)
