"""Networks by name."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from cgsim.errors import CgsimError, nearest
from cgsim.models.methods import Method, make_method
from cgsim.models.networks.cifar_resnet import CifarResNet

NETWORKS: tuple[str, ...] = ("resnet20", "resnet8", "resnet14", "resnet32", "resnet44", "resnet56")


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
    match = re.fullmatch(r"resnet(\d{1,3})", network)
    if match is None:
        raise CgsimError(f"network {network!r} is not known{nearest(network, NETWORKS)}")
    chosen = method if isinstance(method, Method) else make_method(method, gating)
    return CifarResNet(int(match.group(1)), in_channels, classes, chosen, **(architecture or {}))
