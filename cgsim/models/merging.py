"""Merging a pruned network: what its masks switched off is cut out; an ordinary smaller network remains."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.graph import derive_network
from cgsim.models.layers.gated_norm import GatedBatchNorm2d, PrunableConv2d
from cgsim.models.pruning import masks_of
from cgsim.trace.channels import inputs_on
from cgsim.trace.network import Network
from cgsim.trace.pack import pack_bits

Widths = Mapping[str, Any]
"""Inputs and outputs [Cin, Cout] of every convolution and linear layer by name."""


def merge(model: nn.Module, image: tuple[int, int, int]) -> tuple[nn.Module, dict[str, list[int]]]:
    """The smaller network that computes what a pruned `model` does, and its widths; on the CPU, at inference.

    `image` is the shape of an input (channels, height, width). Filters that are off go, so do the inputs that
    read them, and the gated norms become ordinary ones.
    """
    pruned = copy.deepcopy(model).cpu().eval()
    network = derive_network(pruned, image, "pruned")
    widths, state = _cut(pruned, network)
    shrink(pruned, widths)
    pruned.load_state_dict(state)
    return pruned, widths


def shrink(model: nn.Module, widths: Widths) -> None:
    """Turn an untrained Gate Decorator `model` into an untrained ordinary one of other widths, in place.

    Raises CgsimError if `widths` are not those of this network.
    """
    modules = dict(model.named_modules())
    names = {id(module): name for name, module in modules.items()}
    expected = {name for name, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)}
    for name in sorted(expected ^ set(widths)):
        where = "the network" if name in widths else "the widths"
        raise CgsimError(f"merged network: widths of another network: {name!r} is missing in {where}")
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _replace(model, name, _resized(module, name, widths[name]))
        elif isinstance(module, GatedBatchNorm2d):
            channels = int(widths[names[id(module.conv)]][1])
            _replace(model, name, nn.BatchNorm2d(channels, module.eps, module.momentum))


def stored_widths(merged: Any) -> Widths:
    """The widths in the section `merged` of a run's configuration; raises CgsimError if there are none."""
    widths = merged.get("widths") if isinstance(merged, dict) else None
    if not isinstance(widths, dict):
        raise CgsimError(f"merged: expected widths by layer, got {widths!r}")
    return widths


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _dot, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new.train(model.training))


def _resized(old: nn.Conv2d | nn.Linear, name: str, width: Any) -> nn.Module:
    full = (
        (old.in_features, old.out_features)
        if isinstance(old, nn.Linear)
        else (old.in_channels, old.out_channels)
    )
    good = isinstance(width, list | tuple) and len(width) == 2
    good = good and all(isinstance(n, int) and 1 <= n <= most for n, most in zip(width, full, strict=True))
    depthwise = isinstance(old, nn.Conv2d) and old.groups > 1
    if not good or (depthwise and width[0] != width[1]):
        raise CgsimError(
            f"merged network: {name!r}: widths must be two whole numbers from 1 to {list(full)}"
            f"{', and equal' if depthwise else ''}, got {width!r}"
        )
    inputs, outputs = width
    if isinstance(old, nn.Linear):
        return nn.Linear(inputs, outputs, bias=old.bias is not None)
    return nn.Conv2d(
        inputs,
        outputs,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        old.dilation,  # type: ignore[arg-type]
        inputs if depthwise else 1,
        bias=old.bias is not None,
    )


@torch.no_grad()
def _cut(model: nn.Module, network: Network) -> tuple[dict[str, list[int]], dict[str, Tensor]]:
    """Widths and weights of the merged network."""
    masks = masks_of(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    widths: dict[str, list[int]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if name not in network.by_name:
                raise CgsimError(f"merge: {name!r} is not called, so nobody knows which of its inputs are on")
            layer = network.by_name[name]
            found = inputs_on(network, layer, 1, lambda name: pack_bits(masks[name][None]))
            inputs = np.ones(layer.in_shape[0], dtype=np.bool_) if found is None else found[0]
            outputs = masks.get(name, np.ones(layer.out_channels, dtype=np.bool_))
            widths[name] = [int(inputs.sum()), int(outputs.sum())]
            weight = module.weight[torch.from_numpy(outputs)]
            depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
            state[f"{name}.weight"] = weight if depthwise else weight[:, torch.from_numpy(inputs)]
            if module.bias is not None:
                state[f"{name}.bias"] = module.bias[torch.from_numpy(outputs)]
            if isinstance(module, PrunableConv2d):
                del state[f"{name}.mask"]
        elif isinstance(module, GatedBatchNorm2d):
            on = module.conv.mask
            scale, shift = module.affine()
            state |= {f"{name}.weight": scale[on], f"{name}.bias": shift[on]}
            state |= {f"{name}.{key}": state[f"{name}.{key}"][on] for key in ("running_mean", "running_var")}
            del state[f"{name}.gain"]
    return widths, state
