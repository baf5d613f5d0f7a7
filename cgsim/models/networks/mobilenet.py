"""MobileNetV2 (Sandler et al., CVPR 2018, table 2), width 1.0."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from cgsim.models.fields import require_range
from cgsim.models.methods.method import Method, Role

STAGES: tuple[tuple[int, int, int, int], ...] = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, output channels, blocks, and stride of the first block, of each stage."""


class InvertedResidual(nn.Module):
    """1 x 1 to `expansion` times the inputs, 3 x 3 depthwise, 1 x 1 to the outputs without activation.

    The input is added where the shape stays.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, method: Method, expansion: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        middle = inputs * expansion
        parts: list[nn.Module] = []
        if expansion != 1:
            parts.append(_unit(method, inputs, middle, 1))
        parts.append(_unit(method, middle, middle, 3, stride, groups=middle))
        project = method.conv(middle, outputs, 1)
        self.conv = nn.Sequential(*parts, project, method.norm(outputs, project))

    def branch(self, x: Tensor) -> Tensor:
        """What is added to the shortcut."""
        return self.conv(x)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        return self.branch(x) + x if self.residual else self.branch(x)


class MobileNetV2(nn.Module):
    """A convolution, 17 inverted residuals in seven stages, a 1 x 1 convolution, pool and classifier.

    For small images `stem_stride` and `second_stride` (of the second stage) may be 1 in place of 2.
    Tensors are named as in torchvision: features.0, features.{1..17}.conv, features.18, classifier.1.
    """

    family: ClassVar[str] = "mobilenet"
    first_width: ClassVar[int] = STAGES[0][1]
    """Output channels of the first block."""

    def __init__(
        self,
        in_channels: int,
        classes: int,
        method: Method,
        *,
        stem_stride: int = 2,
        second_stride: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        require_range("architecture: stem_stride", stem_stride, 1)
        require_range("architecture: second_stride", second_stride, 1)
        require_range("architecture: dropout", dropout, 0, 1)
        features: list[nn.Module] = [_unit(method, in_channels, 32, 3, stem_stride, role="stem")]
        inputs = 32
        for stage, (expansion, outputs, count, first) in enumerate(STAGES):

            def make(inputs: int, outputs: int, stride: int, expansion: int = expansion) -> nn.Module:
                return InvertedResidual(inputs, outputs, stride, method, expansion)

            for index in range(count):
                stride = 1 if index else second_stride if stage == 1 else first
                features.append(method.block(make, inputs, outputs, stride, index))
                inputs = outputs
        features.append(_unit(method, inputs, 1280, 1))
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        linear = nn.Linear(1280, classes)
        nn.init.normal_(linear.weight, 0, 0.01)
        nn.init.zeros_(linear.bias)
        self.classifier = nn.Sequential(nn.Dropout(dropout), linear)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] -> logits [B, classes]."""
        return self.classifier(self.pool(self.features(x)).flatten(1))


def _unit(
    method: Method,
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    role: Role = "body",
) -> nn.Sequential:
    conv = method.conv(inputs, outputs, kernel, stride, kernel // 2, groups, role=role, activation="relu6")
    return nn.Sequential(conv, method.norm(outputs, conv), nn.ReLU6())
