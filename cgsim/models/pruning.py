"""Filter pruning: which filters live and die together, what they cost, and which are worth least."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cgsim.errors import CgsimError
from cgsim.models.evaluation import macs_by_layer
from cgsim.models.graph import derive_network
from cgsim.models.layers.gated_norm import GatedBatchNorm2d, PrunableConv2d, gated_norms
from cgsim.models.ties import is_depthwise, outermost, tied_channels
from cgsim.trace.network import Layer, Network

Masks = Mapping[str, NDArray[np.bool_]]
"""Filters that are on, bool [Cout], by the name of their layer."""


@dataclass(frozen=True)
class Group:
    """Convolutions whose filters number i are pruned together, as their results are added up.

    A depthwise convolution belongs to the group of the channels that it reads: its filter i has nothing
    else to read. `channels` is how many filters each of `layers` has.
    """

    layers: tuple[str, ...]
    channels: int


@dataclass(frozen=True)
class Pruned:
    """What a pruning step did: filters switched off (each layer's counted), and the FLOP reduction since."""

    filters: int
    flop_reduction: float


def find_groups(network: Network, prunable: set[str]) -> list[Group]:
    """The groups of a network in execution order; `prunable` names the layers that have a score.

    Channels that also come from the network's input, from a layer without score, that are results of
    the network, or that do not stay zero between a layer and its readers, are not for pruning: their layers
    are in no group. Raises CgsimError on a grouped convolution that is not depthwise.
    """
    ties = tied_channels(network)
    locked = {ties[name] for name in outermost(network)}
    members = [layer for layer in network.layers if layer.on_array]
    for layer in members:
        if layer.groups > 1 and not is_depthwise(layer):
            raise CgsimError(
                f"layer {layer.name!r}: {layer.groups} groups; only depthwise convolutions can be pruned"
            )
        if layer.name not in prunable or layer.off_outputs != "zero":
            locked.add(ties[layer.name])
    found: dict[str, list[Layer]] = {}
    for layer in members:
        if ties[layer.name] not in locked:
            found.setdefault(ties[layer.name], []).append(layer)
    return [Group(tuple(layer.name for layer in tied), tied[0].out_channels) for tied in found.values()]


def masks_of(model: nn.Module) -> dict[str, NDArray[np.bool_]]:
    """The masks of a model's prunable convolutions."""
    return {
        name: module.mask.cpu().numpy().copy()
        for name, module in model.named_modules()
        if isinstance(module, PrunableConv2d)
    }


def executed_macs(network: Network, masks: Masks) -> int:
    """MACs per sample of a network whose `static` gates are `masks`."""
    gates = {name: torch.from_numpy(mask) for name, mask in masks.items()}
    return sum(int(macs[0]) for macs in macs_by_layer(network, 1, gates).values())


def traced(model: nn.Module) -> Network:
    """The network of a model that has been run: its input is that of its first convolution."""
    for module in model.modules():
        if isinstance(module, PrunableConv2d):
            if module.image is None:
                break
            return derive_network(model, module.image, "pruned")
    raise CgsimError("pruning: the model has no prunable convolution that was ever called")


def prune_step(model: nn.Module, share: float, least_share: float, target: float) -> Pruned:
    """Switch off the filters with the least scores, over all layers; then clear the scores.

    `share` of the filters that are left go (at least one group's), the layers of a group together by the
    sum of their scores, but in each layer `least_share` of all filters stays, and no more go than it takes
    to reach the FLOP reduction `target`. Raises CgsimError if that cannot be reached at all.
    """
    norms = _norms_by_conv(model)
    network = traced(model)
    groups = find_groups(network, set(norms))
    masks = masks_of(model)
    _require_reachable(network, groups, masks, least_share, target)
    left = sum(int(mask.sum()) for mask in masks.values())
    candidates = _ranked(groups, norms, masks, least_share, math.ceil(share * left))
    macs = network.dense_macs

    def reduction(count: int) -> float:
        return macs / executed_macs(network, _without(masks, groups, candidates[:count]))

    needed = bisect.bisect_left(range(len(candidates)), target, key=reduction)
    chosen = candidates[:needed]
    for index, group in enumerate(groups):
        channels = [channel for where, channel in chosen if where == index]
        for name in group.layers if channels else ():
            norms[name].prune(channels)
    for norm in norms.values():
        norm.clear()
    return Pruned(sum(len(groups[where].layers) for where, _channel in chosen), reduction(needed))


def _norms_by_conv(model: nn.Module) -> dict[str, GatedBatchNorm2d]:
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(norm.conv)]: norm for norm in gated_norms(model).values()}


def _least(group: Group, share: float) -> int:
    """How many filters of each layer of a group stay at the least."""
    return max(1, math.ceil(share * group.channels))


def _ranked(
    groups: list[Group],
    norms: Mapping[str, GatedBatchNorm2d],
    masks: Masks,
    least_share: float,
    filters: int,
) -> list[tuple[int, int]]:
    """(group, channel) of the least scores until `filters` filters, each layer's counted, are among them."""
    scored = []
    for index, group in enumerate(groups):
        total = np.sum([norms[name].score.double().cpu().numpy() for name in group.layers], axis=0)
        on = np.flatnonzero(masks[group.layers[0]])
        spare = len(on) - _least(group, least_share)
        order = sorted((float(total[channel]), index, int(channel)) for channel in on)
        scored += order[: max(0, spare)]
    chosen, count = [], 0
    for _score, index, channel in sorted(scored):
        if count >= filters:
            break
        chosen.append((index, channel))
        count += len(groups[index].layers)
    return chosen


def _without(
    masks: Masks, groups: list[Group], chosen: list[tuple[int, int]]
) -> dict[str, NDArray[np.bool_]]:
    found = {name: mask.copy() for name, mask in masks.items()}
    for index, channel in chosen:
        for name in groups[index].layers:
            found[name][channel] = False
    return found


def _require_reachable(
    network: Network, groups: list[Group], masks: Masks, least_share: float, target: float
) -> None:
    least = {name: mask.copy() for name, mask in masks.items()}
    for group in groups:
        on = np.flatnonzero(masks[group.layers[0]])
        for name in group.layers:
            least[name][on[_least(group, least_share) :]] = False
    most = network.dense_macs / executed_macs(network, least)
    if most < target:
        raise CgsimError(
            f"pruning: a FLOP reduction of {target:g} cannot be reached: with {100 * least_share:g} % "
            f"of the filters of each layer left it is {most:.2f}; lower gating.target_reduction or "
            f"gating.least_share"
        )
