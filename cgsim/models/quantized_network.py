"""The residual networks of `cgsim.models.networks` in integers: same structure, same layer names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.integer import LOWEST
from cgsim.models.layers.cgnet import CGConv2d
from cgsim.models.layers.gated_norm import PrunableConv2d
from cgsim.models.networks.cifar_resnet import BasicBlock, CifarResNet
from cgsim.models.quantized_layers import (
    InputTable,
    IntegerPool,
    Join,
    QuantizedCGConv2d,
    QuantizedConv2d,
    QuantizedLinear,
    Requantize,
)

LOGIT_LIMIT = (1 << 15) - 1
"""Logits are int16."""


class QuantizedBlock(nn.Module):
    """BasicBlock in integers; `norm1`, `norm2` and `shortcut_norm` hold batch norms and ReLUs."""

    def __init__(self, block: BasicBlock, name: str) -> None:
        super().__init__()
        before = block.order == "before_add"
        self.conv1 = quantized_conv(block.conv1, f"{name}.conv1")
        self.norm1 = Requantize(self.conv1.out_channels, low=0)
        self.conv2 = quantized_conv(block.conv2, f"{name}.conv2")
        self.norm2 = Requantize(self.conv2.out_channels, low=0 if before else LOWEST)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_norm: nn.Module = nn.Identity()
        if not isinstance(block.shortcut, nn.Identity):
            self.shortcut = quantized_conv(block.shortcut, f"{name}.shortcut")
            self.shortcut_norm = Requantize(self.conv2.out_channels)
        self.join = Join(low=LOWEST if before else 0)

    def forward(self, x: Tensor) -> Tensor:
        """int8 [B, inputs, H, W] -> int8 [B, outputs, H / stride, W / stride]."""
        y = self.norm1(self.conv1(x))
        y = self.norm2(self.conv2(y))
        skip = self.shortcut_norm(self.shortcut(x))
        left, right = self.join.multiplier.long()
        return self.join(y.long() * left + skip.long() * right)  # int8 operands would wrap


class QuantizedResNet(nn.Module):
    """CifarResNet in integers, made for the structure of a float one; its numbers are set by `quantize`.

    `input` turns images into the int8 that `forward` takes. Logits come back as float32, an int16 times a
    power of two.
    """

    def __init__(self, model: CifarResNet) -> None:
        super().__init__()
        self.conv1 = quantized_conv(model.conv1, "conv1")
        self.input = InputTable(self.conv1.in_channels)
        self.norm1 = Requantize(self.conv1.out_channels, low=0)
        for stage in (1, 2, 3):
            blocks = [
                quantized_block(block, f"layer{stage}.{index}")
                for index, block in enumerate(model.get_submodule(f"layer{stage}").children())
            ]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.pool = IntegerPool()
        self.pool_norm = Requantize(model.fc.in_features)
        self.fc = QuantizedLinear(model.fc.in_features, model.fc.out_features)
        self.logits = Requantize(model.fc.out_features, -LOGIT_LIMIT - 1, LOGIT_LIMIT)

    def forward(self, x: Tensor) -> Tensor:
        """Quantised images [B, in_channels, H, W] -> logits [B, classes]."""
        x = self.norm1(self.conv1(x.to(torch.int8)))
        for stage in (1, 2, 3):
            x = self.get_submodule(f"layer{stage}")(x)
        x = self.pool_norm(self.pool(x)).flatten(1)
        return self.logits(self.fc(x)).float() * self.logits.scale.float()

    def blocks(self) -> list[tuple[str, QuantizedBlock]]:
        """The blocks with their names, in order."""
        return [(name, module) for name, module in self.named_modules() if isinstance(module, QuantizedBlock)]


def quantized_block(block: nn.Module, name: str) -> QuantizedBlock:
    """The integer block for a float one, its numbers not set; raises CgsimError if there is none."""
    if not isinstance(block, BasicBlock):
        raise CgsimError(
            f"quantize: layer {name!r}: {type(block).__name__} has no integer form; expected BasicBlock"
        )
    return QuantizedBlock(block, name)


def quantized_conv(module: nn.Module, name: str) -> QuantizedConv2d:
    """The integer layer for a float one, its numbers not set; raises CgsimError if there is none."""
    if type(module) is CGConv2d:
        return QuantizedCGConv2d(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            module.stride,
            module.padding,
            partitions=module.partitions,
            shuffle=module.shuffle,
            separate=module.norm == "separate",
            dilation=module.dilation,
            two_sided=module.two_sided,
            channel_share=module.channel_share,
            base=module.base,
        )
    if type(module) is nn.Conv2d and module.bias is None and _padded_with_zeros(module):
        kernel, stride, padding, dilation = (
            (int(size[0]), int(size[1]))
            for size in (module.kernel_size, module.stride, module.padding, module.dilation)
        )
        return QuantizedConv2d(
            module.in_channels, module.out_channels, kernel, stride, padding, dilation, module.groups
        )
    merge = "; `cgsim merge` first" if isinstance(module, PrunableConv2d) else ""
    raise CgsimError(
        f"quantize: layer {name!r}: {type(module).__name__} cannot be quantised; expected CGConv2d or "
        f"nn.Conv2d without bias, zero-padded{merge}"
    )


def _padded_with_zeros(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
