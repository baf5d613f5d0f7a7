"""Which channels share a group: an order in which the base sums of CGConv2d hold most of the whole sums."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models import registry
from cgsim.models.graph import derive_network
from cgsim.models.layers.cgnet import CGConv2d
from cgsim.models.ties import is_depthwise, outermost, tied_channels
from cgsim.trace.network import INPUT, Network

MOST_TRIES, WORK = 30, 150_000
"""Starts of the search: at most MOST_TRIES, fewer where WORK over the square of the most channels is less."""
MOST_ROUNDS, ENOUGH = 20, 2e-4
"""A start is followed for at most MOST_ROUNDS, or until a round gains less than ENOUGH of the share."""


@dataclass
class _Set:
    """Channels that have one order, as they are added up or pass through: who writes and who reads them."""

    channels: int
    locked: bool = False
    written: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)


@torch.no_grad()
def order_channels(model: nn.Module, images: Tensor, seed: int = 0) -> tuple[float, float]:
    """Reorder the channels of a trained model so that more of each gated layer's sums is in its base.

    With every gate on the model computes what it did: whoever writes channels and whoever reads them are
    permuted alike. Of an output's sum the base holds the share sum over base channels of
    |w|^2 * var(x), over all channels, with var(x) from `images` [n, C, H, W]. The search takes the channels
    of one place at a time, with those of all others as they are: the best assignment to groups of equal
    size is then exact. It starts from random orders and keeps the best.

    Returns the mean share before and after. Raises CgsimError on a module whose channels it cannot follow.
    """
    from scipy.optimize import linear_sum_assignment

    shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    modules = {registry.layer_name(name): module for name, module in model.named_modules()}
    gated = {name: module for name, module in modules.items() if isinstance(module, CGConv2d)}
    if not gated:
        return 1.0, 1.0
    network = derive_network(model, shape, "model")
    if len({(layer.partitions, layer.base, layer.shuffle) for layer in gated.values()}) > 1 or any(
        layer.shuffle for layer in gated.values()
    ):
        raise CgsimError("order of channels: expected gated layers with one kind of groups, not shuffled")
    example = next(iter(gated.values()))
    p, first = example.partitions, example.base == "first"
    energies, norms = _observe(model, gated, modules, images)
    sets, out_of, in_of = _sets(network, modules, p)
    free = [name for name, found in sets.items() if not found.locked]

    def onehot(groups: np.ndarray) -> np.ndarray:
        return np.eye(p)[groups] * (np.arange(p) == 0 if first else 1)

    def share(groups: dict[str, np.ndarray]) -> float:
        shares = []
        for name, energy in energies.items():
            outs = np.zeros(len(energy), int) if first else groups[out_of[name]]
            shares.append((energy * (outs[:, None] == groups[in_of[name]])).sum(1).mean())
        return float(np.mean(shares))

    def improve(groups: dict[str, np.ndarray]) -> float:
        best = share(groups)
        for _round in range(MOST_ROUNDS):
            for name in free:
                score = np.zeros((sets[name].channels, p))
                for layer, energy in energies.items():
                    if in_of[layer] == name:
                        outs = np.zeros(len(energy), int) if first else groups[out_of[layer]]
                        score += energy.T @ onehot(outs)
                    if out_of[layer] == name and not first:
                        score += energy @ onehot(groups[in_of[layer]])
                places = np.repeat(np.arange(p), sets[name].channels // p)
                rows, chosen = linear_sum_assignment(-score[:, places])
                groups[name][rows] = places[chosen]
            now = share(groups)
            if now < best + ENOUGH:
                return now
            best = now
        return best

    generator = np.random.default_rng(seed)
    start = {name: np.arange(found.channels) * p // max(found.channels, 1) for name, found in sets.items()}
    before = share(start)
    best, kept = before, start
    largest = max((sets[name].channels for name in free), default=1)
    for _try in range(max(1, min(MOST_TRIES, WORK // largest**2))):
        groups = {name: value.copy() for name, value in start.items()}
        for name in free:  # the order as it is would be a poor local optimum
            generator.shuffle(groups[name])
        found = improve(groups)
        if found > best + 1e-9:
            best, kept = found, groups
    for name in free:
        order = torch.from_numpy(np.argsort(kept[name], kind="stable"))
        _permute(sets[name], order, modules, norms)
    return before, share(kept)


def _permute(
    channels: _Set, order: Tensor, modules: dict[str, nn.Module], norms: dict[str, list[nn.Module]]
) -> None:
    for name in channels.written:
        for module in (modules[name], *norms.get(name, [])):
            for tensor in module.state_dict().values():
                if tensor.ndim and len(tensor) == len(order):
                    tensor.copy_(tensor[order.to(tensor.device)])
    for name in channels.read:
        weight: Any = modules[name].weight
        weight.copy_(weight[:, order.to(weight.device)])


def _sets(
    network: Network, modules: dict[str, nn.Module], partitions: int
) -> tuple[dict[str, _Set], dict[str, str], dict[str, str]]:
    """Sets of channels by name, and the set that each layer of the array writes and reads."""
    ties = tied_channels(network)
    sizes = {INPUT: network.layers[0].in_shape[0]}
    sizes |= {layer.name: layer.out_channels for layer in network.layers}
    sets = {name: _Set(sizes[name]) for name, tied in ties.items() if tied == name}
    for name in outermost(network):
        sets[ties[name]].locked = True
    out_of: dict[str, str] = {}
    in_of: dict[str, str] = {}
    for layer in network.layers:
        if not layer.on_array:
            continue
        out_of[layer.name], in_of[layer.name] = ties[layer.name], ties[layer.producers[0]]
        source, result = sets[in_of[layer.name]], sets[out_of[layer.name]]
        result.written.append(layer.name)
        if not is_depthwise(layer):
            source.read.append(layer.name)
        plain = isinstance(modules.get(layer.name), nn.Conv2d | nn.Linear | CGConv2d)
        if not plain or (layer.groups > 1 and not is_depthwise(layer)):
            source.locked = result.locked = True
        if layer.in_shape[0] != source.channels:  # flattened images
            source.locked = True
    for found in sets.values():
        found.locked |= found.channels % partitions > 0
    return sets, out_of, in_of


def _observe(
    model: nn.Module, gated: dict[str, CGConv2d], modules: dict[str, nn.Module], images: Tensor
) -> tuple[dict[str, np.ndarray], dict[str, list[nn.Module]]]:
    """Shares [out, in] of each gated layer's sums by input channel, and the norms behind each layer."""
    energies: dict[str, np.ndarray] = {}
    norms: dict[str, list[nn.Module]] = {}
    made: dict[int, tuple[Tensor, str]] = {}  # tensors are kept, so that an id stays its own
    names = {id(module): name for name, module in modules.items()}

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        name = names[id(module)]
        made[id(output)] = (output, name)
        if name in gated:
            weight = gated[name].weight.flatten(2).square().sum(2)
            energy = (weight * inputs[0].float().var((0, 2, 3))).double().cpu().numpy()
            energies[name] = energy / np.maximum(energy.sum(1, keepdims=True), 1e-30)

    def follow(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if id(inputs[0]) not in made:
            raise CgsimError(
                f"order of channels: module {names[id(module)]!r}: cannot tell which layer is before it"
            )
        norms.setdefault(made[id(inputs[0])][1], []).append(module)

    handles: list[Any] = []
    inner = {id(part) for layer in gated.values() for part in layer.modules()} - set(map(id, gated.values()))
    was_training = model.training
    try:
        for name, module in modules.items():
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if id(module) in inner or not own:
                continue
            if isinstance(module, nn.Conv2d | nn.Linear | CGConv2d):
                handles.append(module.register_forward_hook(keep))
            elif isinstance(module, nn.BatchNorm2d):
                handles.append(module.register_forward_pre_hook(follow))
            else:
                raise CgsimError(
                    f"order of channels: module {name!r}: {type(module).__name__} is not understood"
                )
        with _all_on(gated):
            model.eval()(images)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return energies, norms


@contextmanager
def _all_on(gated: dict[str, CGConv2d]) -> Iterator[None]:
    """Let every gate be on."""
    kept = [(t, t.detach().clone()) for layer in gated.values() for t in layer.thresholds()]
    shares = [(layer, layer.channel_share) for layer in gated.values()]
    try:
        for layer in gated.values():
            layer.channel_share = 0.0
            for threshold, end in zip(layer.thresholds(), (-torch.inf, torch.inf), strict=False):
                threshold.fill_(end)
        yield
    finally:
        for threshold, value in kept:
            threshold.copy_(value)
        for layer, own in shares:
            layer.channel_share = own
