"""CIFAR-style residual networks (He et al., CVPR 2016, section 4.2), plain or with channel gating."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError, nearest
from cgsim.models.layers import CGConv2d, Norm

Order = Literal["before_add", "after_add"]
MakeConv = Callable[[int, int, int], nn.Module]
NETWORKS: tuple[str, ...] = ("resnet20", "resnet8", "resnet14", "resnet32", "resnet44", "resnet56")


def _plain_conv(inputs: int, outputs: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; a 1 x 1 projection where the shape changes (option B).

    `order` = "before_add": relu(bn(conv2(.))) + shortcut, so that a ReLU follows both convolutions and
    both can be gated (CGNet's post-activation ResNet). "after_add": relu(bn(conv2(.)) + shortcut), the
    original order, in which only the first can.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, make: MakeConv, order: Order) -> None:
        super().__init__()
        self.order = order
        second = make if order == "before_add" else _plain_conv
        self.conv1 = make(inputs, outputs, stride)
        self.bn1 = _norm_after(self.conv1, outputs)
        self.conv2 = second(outputs, outputs, 1)
        self.bn2 = _norm_after(self.conv2, outputs)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_bn: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        skip = self.shortcut_bn(self.shortcut(x))
        return F.relu(y) + skip if self.order == "before_add" else F.relu(y + skip)


def _norm_after(conv: nn.Module, channels: int) -> nn.Module:
    own = isinstance(conv, CGConv2d) and conv.norm == "separate"
    return nn.Identity() if own else nn.BatchNorm2d(channels)


class CifarResNet(nn.Module):
    """ResNet of depth 6n + 2 for small images: widths 16, 32, 64, global average pool, one linear layer.

    Module names are stable: conv1, bn1, layer{1,2,3}.{0..n-1}.{conv1,bn1,conv2,bn2,shortcut,shortcut_bn}, fc.
    """

    def __init__(
        self,
        depth: int = 20,
        in_channels: int = 3,
        classes: int = 10,
        make: MakeConv = _plain_conv,
        order: Order = "before_add",
        width: int = 16,
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise CgsimError(f"network: depth {depth} must be 6n + 2 (8, 14, 20, 32, 44, 56, ...)")
        self.conv1 = _plain_conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage in (1, 2, 3):
            outputs = width << (stage - 1)
            blocks = []
            for index in range((depth - 2) // 6):
                stride = 2 if stage > 1 and index == 0 else 1
                blocks.append(BasicBlock(inputs, outputs, stride, make, order))
                inputs = outputs
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] -> logits [B, classes]."""
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(self.pool(x).flatten(1))


def build_network(
    network: str,
    method: str,
    *,
    in_channels: int,
    classes: int,
    partitions: int = 4,
    target: float = 1.0,
    alpha: float = 2.0,
    sparse_backprop: bool = True,
    norm: Norm = "after",
    shuffle: bool = False,
    order: Order = "before_add",
) -> CifarResNet:
    """Build a network by name ("resnet20": any depth 6n + 2), ungated ("none") or gated ("cgnet").

    The gating keywords are those of CGConv2d; "none" ignores them. Raises CgsimError on unknown names.
    """
    match = re.fullmatch(r"resnet(\d{1,3})", network)
    if match is None:
        raise CgsimError(f"network {network!r} is not known{nearest(network, NETWORKS)}")
    if method not in ("cgnet", "none"):
        raise CgsimError(f"method {method!r} is not known{nearest(method, ('cgnet', 'none'))}")

    def gated(inputs: int, outputs: int, stride: int) -> nn.Module:
        return CGConv2d(
            inputs,
            outputs,
            3,
            stride,
            1,
            partitions=partitions,
            target=target,
            alpha=alpha,
            sparse_backprop=sparse_backprop,
            norm=norm,
            shuffle=shuffle,
        )

    make = gated if method == "cgnet" else _plain_conv
    return CifarResNet(int(match.group(1)), in_channels, classes, make, order)
