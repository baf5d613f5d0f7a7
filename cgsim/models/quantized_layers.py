"""Layers whose forward pass is integers only: int8 in, int32 sums, int8 out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cgsim.models.integer import HIGHEST, LOWEST, integer_conv2d
from cgsim.models.layers.cgnet import base_part, rest_mask, shuffle_channels
from cgsim.models.layers.gates import least_on


class QuantizedConv2d(nn.Module):
    """Convolution int8 [B, in, H, W] -> int32 sums [B, out, H', W']; no bias (it is in the requantisation).

    `weight` is int8 [out, in / groups, kh, kw]. `input_scale` and `weight_scale` [out] say what one step
    is worth; nothing is computed with them.
    """

    weight: Tensor
    input_scale: Tensor
    weight_scale: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        shape = (out_channels, in_channels // groups, *kernel_size)
        self.register_buffer("weight", torch.zeros(shape, dtype=torch.int8))
        self.register_buffer("input_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("weight_scale", torch.ones(out_channels, dtype=torch.float64))

    def convolve(self, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        """Sums int32 of x with other weights, at this layer's stride, padding and dilation."""
        return integer_conv2d(x, weight, self.stride, self.padding, self.dilation, groups)

    def arrange(self, x: Tensor) -> Tensor:
        """The input as the layer reads it."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Sums int32 [B, out, H', W'] of x int8 [B, in, H, W]."""
        return self.convolve(x, self.weight, self.groups)

    def extra_repr(self) -> str:
        """What print(module) shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )


class QuantizedLinear(QuantizedConv2d):
    """Linear layer int8 [B, in] -> int32 sums [B, out]; its weights are those of a 1 x 1 convolution."""

    def forward(self, x: Tensor) -> Tensor:
        """Sums int32 [B, out] of x int8 [B, in]."""
        return self.convolve(x[:, :, None, None], self.weight, 1)[:, :, 0, 0]


class QuantizedCGConv2d(QuantizedConv2d):
    """CGConv2d in integers: a gate is on iff its base sum > threshold [out], an int32 comparison.

    `two_sided`: and iff the base sum < threshold_high [out]. With a `channel_share` all gates of a channel
    with fewer than `least_on(share, pixels)` on are off: a count, compared with an integer.

    With `separate` norms the result is not the sums but the sums on the scale of the layer's two batch
    norms, int64: sum * multiplier[1] + bias[1] where on, base sum * multiplier[0] + bias[0] where off
    (both [2, out]); the requantisation behind only shifts them.
    """

    rest_mask: Tensor
    threshold: Tensor
    threshold_high: Tensor
    multiplier: Tensor
    bias: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
        *,
        partitions: int,
        shuffle: bool,
        separate: bool,
        dilation: tuple[int, int] = (1, 1),
        two_sided: bool = False,
        channel_share: float = 0.0,
        base: str = "groups",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation)
        self.partitions, self.shuffle, self.separate = partitions, shuffle, separate
        self.two_sided, self.channel_share = two_sided, channel_share
        self.base_channels, self.base = in_channels // partitions, base
        self.base_groups = partitions if base == "groups" else 1
        mask = rest_mask(out_channels, in_channels, partitions, base)
        self.register_buffer("rest_mask", mask.to(torch.int8), persistent=False)
        self.register_buffer("threshold", torch.zeros(out_channels, dtype=torch.int32))
        if two_sided:
            self.register_buffer("threshold_high", torch.zeros(out_channels, dtype=torch.int32))
        if separate:
            self.register_buffer("multiplier", torch.zeros(2, out_channels, dtype=torch.int32))
            self.register_buffer("bias", torch.zeros(2, out_channels, dtype=torch.int64))

    def arrange(self, x: Tensor) -> Tensor:
        """The input as the groups see it: shuffled if the layer shuffles."""
        return shuffle_channels(x, self.partitions) if self.shuffle else x

    def base_sums(self, x: Tensor) -> Tensor:
        """Base sums int32 [B, out, H', W'] of an arranged input."""
        x = x[:, : self.base_channels * self.base_groups]
        return self.convolve(x, base_part(self.weight, self.partitions, self.base), self.base_groups)

    def decide(self, base: Tensor) -> Tensor:
        """Bool gates of base sums."""
        gates = base > self.threshold[:, None, None]
        if self.two_sided:
            gates &= base < self.threshold_high[:, None, None]
        if self.channel_share:
            least = least_on(self.channel_share, gates.shape[2] * gates.shape[3])
            gates &= gates.sum((2, 3), keepdim=True) >= least
        return gates

    def gates(self, x: Tensor) -> Tensor:
        """Bool gates [B, out, H', W'] of x int8 [B, in, H, W]."""
        return self.decide(self.base_sums(self.arrange(x)))

    def sums(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Base sums, results (all sums where on, base sums where off), both int32, and bool gates."""
        x = self.arrange(x)
        base = self.base_sums(x)
        gates = self.decide(base)
        rest = self.convolve(x, self.weight * self.rest_mask, 1)
        return base, base + gates * rest, gates

    def forward(self, x: Tensor) -> Tensor:
        """Results [B, out, H', W'] of x int8 [B, in, H, W]: int32 sums, or int64 with separate norms."""
        _base, result, gates = self.sums(x)
        return self._normalized(result, gates)

    def masked_forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """The results with given bool gates, directly: d * conv(x, W) + (1 - d) * conv(x, W_p)."""
        x = self.arrange(x)
        full = self.convolve(x, self.weight, 1)
        base = self.convolve(x, self.weight * (1 - self.rest_mask), 1)
        return self._normalized(torch.where(gates, full, base), gates)

    def _normalized(self, result: Tensor, gates: Tensor) -> Tensor:
        if not self.separate:
            return result
        off, on = (
            result.long() * multiplier[:, None, None] + bias[:, None, None]
            for multiplier, bias in zip(self.multiplier, self.bias, strict=True)
        )
        return torch.where(gates, on, off)


class Requantize(nn.Module):
    """(sum * multiplier[c] + bias[c]) >> shift[c], cut to low..high: int8 (int16 if wider) from integers.

    `>>` is an arithmetic shift (it rounds down); the bias holds half a step, so the result is rounded to
    nearest, halves up. Batch norm and bias of the layer before are in multiplier and bias; a ReLU is low = 0.
    `scale` is what one step of the result is worth.
    """

    multiplier: Tensor
    bias: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, channels: int, low: int = LOWEST, high: int = HIGHEST) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.dtype = torch.int8 if low >= LOWEST and high <= HIGHEST else torch.int16
        self.register_buffer("multiplier", torch.zeros(channels, dtype=torch.int32))
        self.register_buffer("bias", torch.zeros(channels, dtype=torch.int64))
        self.register_buffer("shift", torch.zeros(channels, dtype=torch.int32))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def forward(self, sums: Tensor) -> Tensor:
        """[B, C, H, W] or [B, C] integers -> the same shape, low..high."""
        shape = (-1, 1, 1) if sums.ndim == 4 else (-1,)
        multiplier, bias = self.multiplier.long().view(shape), self.bias.view(shape)
        scaled = sums.long().mul(multiplier).add(bias)
        return (scaled >> self.shift.long().view(shape)).clamp(self.low, self.high).to(self.dtype)

    def extra_repr(self) -> str:
        """What print(module) shows."""
        return f"{len(self.shift)}, low={self.low}, high={self.high}"


class Join(nn.Module):
    """A residual addition: (a * multiplier[0] + b * multiplier[1] + bias) >> shift, cut to low..high (int8).

    The multipliers are powers of two, as the scales are: they bring both operands to the finer scale.
    The network itself adds (`forward` takes the sum of the operands, multiplied).
    """

    multiplier: Tensor
    bias: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, low: int = LOWEST) -> None:
        super().__init__()
        self.low = low
        self.register_buffer("multiplier", torch.ones(2, dtype=torch.int32))
        self.register_buffer("bias", torch.zeros((), dtype=torch.int64))
        self.register_buffer("shift", torch.zeros((), dtype=torch.int32))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def forward(self, total: Tensor) -> Tensor:
        """int64 [B, C, H, W] -> int8."""
        return (total.add(self.bias) >> self.shift.long()).clamp(self.low, HIGHEST).to(torch.int8)


class IntegerPool(nn.Module):
    """Global sum pooling int8 [B, C, H, W] -> [B, C, 1, 1] int32; the division is in the requantisation."""

    def forward(self, x: Tensor) -> Tensor:
        """Sums over the image."""
        return x.sum((2, 3), keepdim=True, dtype=torch.int32)


class InputTable(nn.Module):
    """Images uint8 [B, C, H, W] -> int8, by a table of 256 values per channel."""

    table: Tensor
    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(channels, 256, dtype=torch.int8))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def forward(self, images: np.ndarray | Tensor) -> Tensor:
        """The quantised images."""
        x = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        return self.table[torch.arange(len(self.table))[:, None, None], x.long()]
