"""Networks by name."""

from __future__ import annotations

import inspect
import re
from typing import Any

from torch import nn

from cgsim.errors import CgsimError, nearest
from cgsim.models.fields import coerce, require_choice
from cgsim.models.methods import Method, make_method
from cgsim.models.networks.cifar_resnet import ORDERS, CifarResNet
from cgsim.models.networks.efficientnet_lite import EfficientNetLite0
from cgsim.models.networks.mobilenet import MobileNetV2
from cgsim.models.networks.resnet import ResNet
from cgsim.models.networks.vgg import VGG

_NAMED: dict[str, tuple[Any, dict[str, Any]]] = {
    "resnet18": (ResNet, {"blocks": (2, 2, 2, 2), "bottleneck": False}),
    "resnet34": (ResNet, {"blocks": (3, 4, 6, 3), "bottleneck": False}),
    "resnet50": (ResNet, {"blocks": (3, 4, 6, 3), "bottleneck": True}),
    "resnet101": (ResNet, {"blocks": (3, 4, 23, 3), "bottleneck": True}),
    "resnet152": (ResNet, {"blocks": (3, 8, 36, 3), "bottleneck": True}),
    "vgg16": (VGG, {"large": True, "batch_norm": False}),
    "vgg16-bn": (VGG, {"large": True, "batch_norm": True}),
    "vgg16-cifar": (VGG, {"large": False, "batch_norm": True}),
    "mobilenetv2": (MobileNetV2, {}),
    "efficientnet-lite0": (EfficientNetLite0, {}),
}
"""Class of a network and what its name stands for; the class's other keywords are its architecture."""
_CIFAR = tuple(f"resnet{depth}" for depth in (8, 14, 20, 32, 44, 56, 74, 86, 110))
NETWORKS: tuple[str, ...] = (*_CIFAR, *_NAMED)
"""Names of networks; any other resnetN with N = 6n + 2 is a CIFAR-style one too."""


def build_network(
    network: str,
    method: str | Method = "none",
    *,
    in_channels: int,
    classes: int,
    gating: dict[str, Any] | None = None,
    architecture: dict[str, Any] | None = None,
) -> nn.Module:
    """Build a network by name, ungated ("none") or as a method makes it.

    `gating` are the method's settings, `architecture` the keywords of the network's class that a recipe may
    set ("order", "width", ...). Raises CgsimError on unknown names and on what does not fit together.
    """
    kind, _fixed = _of_name(network)
    chosen = method if isinstance(method, Method) else make_method(method, gating)
    if kind.family not in chosen.families:
        raise CgsimError(
            f"network {network!r}: method {chosen.name!r} has no form for the family {kind.family!r} "
            f"(it has for: {', '.join(chosen.families)})"
        )
    return _made(network, in_channels, classes, chosen, architecture or {})


def _made(
    network: str, in_channels: int, classes: int, method: Method, architecture: dict[str, Any]
) -> nn.Module:
    kind, fixed = _of_name(network)
    own = own_architecture(network, architecture)
    full = full_architecture(network, architecture)
    method = method.fitted(int(full["width"]) if "width" in full else kind.first_width)
    model: nn.Module = kind(in_channels, classes, method, **fixed, **own)
    model.architecture = full  # type: ignore[assignment]
    return model


def own_architecture(network: str, architecture: dict[str, Any]) -> dict[str, Any]:
    """The keys of an architecture that the network has, in the types that its class declares.

    `order` counts only where a network's blocks end in a sum and an activation, so that one recipe does for
    all networks. Raises CgsimError on any other key that the network does not have.
    """
    kind, fixed = _of_name(network)
    valid = _keywords(kind, fixed)
    where = f"network {network!r}: architecture"
    found: dict[str, Any] = {}
    for key, value in architecture.items():
        if key in valid:
            found[key] = coerce(str(valid[key].annotation), value, f"{where}: {key}")
        elif key == "order":
            require_choice("architecture: order", value, ORDERS)
        else:
            raise CgsimError(f"{where}: unknown key {key!r}{nearest(str(key), valid)}")
    return found


def full_architecture(network: str, architecture: dict[str, Any]) -> dict[str, Any]:
    """Every keyword of the network's class with its value, by default where `architecture` has none."""
    kind, fixed = _of_name(network)
    defaults = {name: parameter.default for name, parameter in _keywords(kind, fixed).items()}
    return defaults | own_architecture(network, architecture)


def _of_name(network: str) -> tuple[Any, dict[str, Any]]:
    if network in _NAMED:
        return _NAMED[network]
    match = re.fullmatch(r"resnet(\d{1,3})", network)
    if match is None:
        raise CgsimError(f"network {network!r} is not known{nearest(network, NETWORKS)}")
    return CifarResNet, {"depth": int(match.group(1))}


def _keywords(kind: Any, fixed: dict[str, Any]) -> dict[str, inspect.Parameter]:
    """The keywords of a network's class that its name leaves open."""
    parameters = inspect.signature(kind).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in fixed
    }
