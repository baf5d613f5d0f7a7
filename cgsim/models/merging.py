"""Merging a pruned network: what its masks switched off is cut out; an ordinary smaller network remains."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models import checkpoint, warm_start
from cgsim.models.graph import derive_network
from cgsim.models.layers.gated_norm import GatedBatchNorm2d, PrunableConv2d
from cgsim.models.pruning import masks_of, packed_mask
from cgsim.trace.channels import inputs_on
from cgsim.trace.network import Network

TOLERANCE = 1e-4
"""Outputs of a merged network may differ by this share of the largest: float32 sums in another order."""

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
            found = inputs_on(network, layer, 1, partial(packed_mask, masks))
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


def merge_command(run: str, *, output: str) -> dict[str, Any]:
    """Merge a run of method "gate-decorator" into a run of the smaller network; a JSON object about it.

    Both networks are compared on random images first. Raises CgsimError if the run is of another method, or
    merged or quantised already.
    """
    from cgsim.models.methods import Method
    from cgsim.models.runs import build_model, load_model, reference_macs

    target = Path(output)
    if (target / checkpoint.CONFIG).exists() or (target.exists() and not target.is_dir()):
        raise CgsimError(f"run {output!r} exists; name another directory")
    model, config, state = load_model(run)
    if config["method"] != "gate-decorator" or "quantization" in config or "merged" in config:
        told = "merged already" if "merged" in config else f"of method {config['method']!r}"
        told = "quantised" if "quantization" in config else told
        raise CgsimError(f"run {run!r}: {told}; expected a run of `cgsim train --method gate-decorator`")
    image = tuple(config["dataset"]["shape"])
    merged, widths = merge(model, image)
    difference = _difference(model, merged, image)
    if not difference <= TOLERANCE:
        raise CgsimError(
            f"run {run!r}: the merged network's outputs differ by {difference:.1e} of the largest"
        )
    about = {key: value for key, value in warm_start.origin(run).items() if key != "config"}
    target.mkdir(parents=True, exist_ok=True)
    checkpoint.save_checkpoint(target, merged, torch.optim.SGD(merged.parameters()), state)
    checkpoint.write_config(target, config | {"merged": about | {"widths": widths}})  # last: the run is whole
    macs = derive_network(merged, image, config["network"]).dense_macs
    with torch.random.fork_rng(devices=[]):
        full = build_model(config, Method())
    return {
        "run": output,
        "parameters": _parameters(merged),
        "parameters_ungated": _parameters(full),
        "macs": macs,
        "macs_ungated": reference_macs(config),
        "flop_reduction": reference_macs(config) / macs,
        "difference": difference,
        "widths": widths,
    }


@torch.no_grad()
def _difference(model: nn.Module, merged: nn.Module, image: tuple[int, int, int]) -> float:
    images = torch.randn(4, *image, generator=torch.Generator().manual_seed(0))
    one, two = model.eval()(images), merged(images)
    return float((one - two).abs().max() / one.abs().max().clamp_min(1e-12))


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
