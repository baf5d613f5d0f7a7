"""Residual networks of ImageNet's shapes (He et al., CVPR 2016, table 1): ResNet-18, 34, 50, 101 and 152."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.models.fields import require_choice, require_range
from cgsim.models.methods.method import Method
from cgsim.models.networks.cifar_resnet import ORDERS

STEMS: tuple[str, ...] = ("imagenet", "cifar")


class _Block(nn.Module, ABC):
    """A residual block: `branch`, and a 1 x 1 projection `downsample` where the shape changes.

    `order` says where the last ReLU stands: "after_add" (the original) or "before_add" (so that it follows
    the branch's last convolution, which can then be gated by the sign of its result).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, method: Method, order: str) -> None:
        super().__init__()
        self.order = order
        self.last = "relu" if order == "before_add" else None
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = method.conv(inputs, outputs, 1, stride, role="shortcut")
            self.downsample = nn.Sequential(conv, method.norm(outputs, conv))

    @abstractmethod
    def branch(self, x: Tensor) -> Tensor:
        """What is added to the shortcut."""

    def finish(self, y: Tensor) -> Tensor:
        """What stands behind the sum."""
        return y if self.order == "before_add" else F.relu(y)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        return self.finish(self.branch(x) + self.downsample(x))


class BasicBlock(_Block):
    """Two 3 x 3 convolutions (ResNet-18 and 34)."""

    def __init__(self, inputs: int, outputs: int, stride: int, method: Method, order: str) -> None:
        super().__init__(inputs, outputs, stride, method, order)
        self.conv1 = method.conv(inputs, outputs, 3, stride, 1, activation="relu")
        self.bn1 = method.norm(outputs, self.conv1)
        self.conv2 = method.conv(outputs, outputs, 3, 1, 1, activation=self.last)
        self.bn2 = method.norm(outputs, self.conv2)

    def branch(self, x: Tensor) -> Tensor:
        """What is added to the shortcut."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y) if self.last else y


class Bottleneck(_Block):
    """1 x 1 to a quarter of the outputs, 3 x 3 with the stride, 1 x 1 back (ResNet-50 and deeper).

    The stride is in the 3 x 3, as in the weights that are published for PyTorch ("v1.5": 4.09 G MACs for
    ResNet-50); the paper has it in the first 1 x 1 (3.86 G).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, method: Method, order: str) -> None:
        super().__init__(inputs, outputs, stride, method, order)
        middle = max(1, outputs // 4)
        self.conv1 = method.conv(inputs, middle, 1, activation="relu")
        self.bn1 = method.norm(middle, self.conv1)
        self.conv2 = method.conv(middle, middle, 3, stride, 1, activation="relu")
        self.bn2 = method.norm(middle, self.conv2)
        self.conv3 = method.conv(middle, outputs, 1, activation=self.last)
        self.bn3 = method.norm(outputs, self.conv3)

    def branch(self, x: Tensor) -> Tensor:
        """What is added to the shortcut."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y) if self.last else y


class ResNet(nn.Module):
    """Four stages of residual blocks behind a 7 x 7 convolution and a pool, each of stride 2.

    `blocks` per stage; `width` is that of the first stage's 3 x 3 convolutions. `stem` = "cifar": a
    3 x 3 convolution of stride 1 and no pool, for small images. Tensors are named as in torchvision: conv1,
    bn1, layer{1..4}.{i}.{conv1,bn1,conv2,bn2[,conv3,bn3],downsample.0,downsample.1}, fc.
    """

    family: ClassVar[str] = "resnet"

    def __init__(
        self,
        in_channels: int,
        classes: int,
        method: Method,
        *,
        blocks: tuple[int, ...],
        bottleneck: bool,
        order: str = "after_add",
        width: int = 64,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        require_choice("architecture: order", order, ORDERS)
        require_choice("architecture: stem", stem, STEMS)
        require_range("architecture: width", width, 1)
        kind = Bottleneck if bottleneck else BasicBlock

        def make(inputs: int, outputs: int, stride: int) -> nn.Module:
            return kind(inputs, outputs, stride, method, order)

        large = stem == "imagenet"
        size = (7, 2, 3) if large else (3, 1, 1)
        self.conv1 = method.conv(in_channels, width, *size, role="stem", activation="relu")
        self.bn1 = method.norm(width, self.conv1)
        self.maxpool: nn.Module = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self.stages = tuple(f"layer{stage}" for stage in range(1, len(blocks) + 1))
        inputs = width
        for stage, count in enumerate(blocks):
            outputs = (width << stage) * (4 if bottleneck else 1)
            made = []
            for index in range(count):
                stride = 2 if stage and not index else 1
                made.append(method.block(make, inputs, outputs, stride, index))
                inputs = outputs
            self.add_module(self.stages[stage], nn.Sequential(*made))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] -> logits [B, classes]."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.fc(self.avgpool(x).flatten(1))
