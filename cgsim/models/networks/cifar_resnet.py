"""CIFAR-style residual networks (He et al., CVPR 2016, section 4.2)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.fields import require_choice, require_range
from cgsim.models.methods.method import Method
from cgsim.models.networks.activations import Activation, activation_function

ORDERS: tuple[str, ...] = ("before_add", "after_add")


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; a 1 x 1 projection where the shape changes (option B).

    `order` = "before_add": relu(bn(conv2(.))) + shortcut, so that a ReLU follows both convolutions and
    both can be gated (CGNet's post-activation ResNet). "after_add": relu(bn(conv2(.)) + shortcut), the
    original order, in which only the first can. `activation` names another function in place of the ReLU.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, method: Method, order: str, activation: str = "relu"
    ) -> None:
        super().__init__()
        self.order, self.activation = order, activation
        self.act: Activation = activation_function(activation)
        last = activation if order == "before_add" else None
        self.conv1 = method.conv(inputs, outputs, 3, stride, 1, activation=activation)
        self.bn1 = method.norm(outputs, self.conv1)
        self.conv2 = method.conv(outputs, outputs, 3, 1, 1, activation=last)
        self.bn2 = method.norm(outputs, self.conv2)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_bn: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = method.conv(inputs, outputs, 1, stride, role="shortcut")
            self.shortcut_bn = method.norm(outputs, self.shortcut)

    def branch(self, x: Tensor) -> Tensor:
        """What is added to the shortcut."""
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        return self.act(y) if self.order == "before_add" else y

    def finish(self, y: Tensor) -> Tensor:
        """What stands behind the sum."""
        return y if self.order == "before_add" else self.act(y)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        return self.finish(self.branch(x) + self.shortcut_bn(self.shortcut(x)))


class CifarResNet(nn.Module):
    """ResNet of depth 6n + 2 for small images: widths 16, 32, 64, global average pool, one linear layer.

    `width` is that of the first stage. `stem_stride` 2 halves the images in the first convolution. Module
    names are stable: conv1, bn1, layer{1,2,3}.{0..n-1}.{conv1,bn1,conv2,bn2,shortcut,shortcut_bn}, fc.
    """

    family: ClassVar[str] = "cifar_resnet"

    def __init__(
        self,
        in_channels: int,
        classes: int,
        method: Method,
        *,
        depth: int,
        order: str = "before_add",
        activation: str = "relu",
        width: int = 16,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise CgsimError(f"network: depth {depth} must be 6n + 2 (8, 14, 20, 32, 44, 56, ...)")
        require_choice("architecture: order", order, ORDERS)
        require_range("architecture: width", width, 1)
        require_range("architecture: stem_stride", stem_stride, 1)

        def make(inputs: int, outputs: int, stride: int) -> nn.Module:
            return BasicBlock(inputs, outputs, stride, method, order, activation)

        self.conv1 = method.conv(in_channels, width, 3, stem_stride, 1, role="stem", activation=activation)
        self.bn1 = method.norm(width, self.conv1)
        self.act: Activation = activation_function(activation)
        inputs = width
        for stage in (1, 2, 3):
            outputs = width << (stage - 1)
            blocks = []
            for index in range((depth - 2) // 6):
                stride = 2 if stage > 1 and index == 0 else 1
                blocks.append(method.block(make, inputs, outputs, stride, index))
                inputs = outputs
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, H, W] -> logits [B, classes]."""
        x = self.act(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(self.pool(x).flatten(1))
