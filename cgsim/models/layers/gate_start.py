"""Gate networks that begin by keeping the channels they expect to be active, rather than at random."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cgsim.models.layers.batch_shaping import BatchShapedConv2d, batch_shaped_layers

_RIDGE = 1e-3
"""Ridge of the regression, relative to the mean variance of the inputs."""
_BATCH = 256


@torch.no_grad()
def start_gates(model: nn.Module, images: Tensor, density: float, a: float, b: float) -> None:
    """Set every gate network of a model from what its layer computes on `images` [n, C, H, W].

    A channel's activity is its mean over the image behind the ReLU. Its logit becomes a linear prediction of
    the activity from the averaged input, scaled to the deviation that logits of Beta(a, b) values have, and
    shifted so that it is above zero on a share `density` of the images: so each gate begins conditional, as
    decided as the prior asks, and off on the images in which the channel would say least. The hidden layer
    carries those half as many directions that predict most (reduced-rank regression), each with both signs,
    as relu(u) - relu(-u) = u.
    """
    variance = torch.polygamma(1, torch.tensor([a, b], dtype=torch.float64)).sum()
    for layer, inputs, activity in _observed(model, images):
        _fit(layer, inputs.double(), activity.double(), density, math.sqrt(float(variance)))


def _observed(model: nn.Module, images: Tensor) -> Iterator[tuple[BatchShapedConv2d, Tensor, Tensor]]:
    """Each gated layer with its averaged inputs [n, in] and activities [n, out], while all gates are on."""
    layers = batch_shaped_layers(model)
    seen: dict[int, list[tuple[Tensor, Tensor]]] = {id(layer): [] for layer in layers}

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[id(layer)].append((inputs[0].float().mean((2, 3)), output.float().mean((2, 3))))

    handles = [layer.register_forward_hook(hook) for layer in layers]
    was_training = model.training
    try:
        model.eval()
        for layer in layers:
            layer.gate_network.fc2.weight.zero_()
            layer.gate_network.fc2.bias.fill_(1.0)
        for part in images.split(_BATCH):
            model(part)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    for layer in layers:
        pairs = seen[id(layer)]
        yield layer, torch.cat([first for first, _ in pairs]), torch.cat([second for _, second in pairs])


def _fit(
    layer: BatchShapedConv2d, inputs: Tensor, activity: Tensor, density: float, deviation: float
) -> None:
    network = layer.gate_network
    x = inputs - inputs.mean(0)
    spread = activity.std(0)
    y = (activity - activity.mean(0)) / spread.clamp(min=1e-12)
    gram = x.T @ x
    ridge = _RIDGE * gram.diagonal().mean().clamp(min=1e-12)
    slope = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=x.dtype, device=x.device), x.T @ y)
    _u, _s, axes = torch.linalg.svd(x @ slope, full_matrices=False)
    half = min(network.fc1.out_features // 2, len(axes))
    directions = slope @ axes[:half].T  # [in, half]
    hidden = inputs @ directions
    # What the directions carry, in units of their own deviation, as the batch norm will give them.
    scale = hidden.std(0).clamp(min=1e-12)
    weights = axes[:half].T * scale  # [out, half]
    predicted = (hidden - hidden.mean(0)) / scale @ weights.T
    stretch = deviation / predicted.std(0).clamp(min=1e-6)
    weights = weights * stretch[:, None]
    shift = -torch.quantile(predicted * stretch, 1 - density, 0)
    width = network.fc1.out_features
    for first, sign in ((0, 1.0), (half, -1.0)):
        rows = slice(first, first + half)
        network.fc1.weight[rows] = (sign * directions / scale).T.to(network.fc1.weight)
        network.fc2.weight[:, rows] = (sign * weights).to(network.fc2.weight)
    if 2 * half < width:
        network.fc2.weight[:, 2 * half :] = 0
    network.fc2.bias.copy_(torch.where(spread > 1e-12, shift, -deviation))  # never active: off
    before = network.fc1(inputs.to(network.fc1.weight))
    assert network.norm.running_mean is not None
    assert network.norm.running_var is not None
    network.norm.running_mean.copy_(before.mean(0))
    network.norm.running_var.copy_(before.var(0))
