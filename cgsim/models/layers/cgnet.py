"""CGConv2d: channel gating as a drop-in convolution (CGNet, Hua et al., NeurIPS 2019, arXiv 1805.12549)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError

Norm = Literal["after", "separate"]
NORMS: tuple[str, ...] = ("after", "separate")


class _StraightThrough(torch.autograd.Function):
    """Forward: 1 where z > 0. Backward: the slope alpha * s * (1 - s) of s = sigmoid(alpha * z)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, alpha: float, sparse: bool, dtype: torch.dtype) -> Tensor:
        """Compare z with 0 in its own type; return the gates, and keep z, in `dtype`."""
        ctx.save_for_backward(z.to(dtype))
        ctx.alpha, ctx.sparse, ctx.input_dtype = alpha, sparse, z.dtype
        return (z > 0).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the surrogate gradient; with `sparse`, zero where z < 0."""
        (z,) = ctx.saved_tensors
        grad = grads[0]
        if ctx.sparse:  # one fused pass: keeps the gradient where z >= 0
            grad = torch.ops.aten.threshold_backward(grad, z, -torch.finfo(z.dtype).tiny)
        s = torch.mul(z, ctx.alpha).sigmoid_()
        slope = torch.ops.aten.sigmoid_backward(grad, s).mul_(ctx.alpha)
        return slope.to(ctx.input_dtype), None, None, None


def straight_through_gate(
    z: Tensor, alpha: float = 2.0, sparse: bool = True, dtype: torch.dtype | None = None
) -> Tensor:
    """Binary gates 1[z > 0] of any shape, with a surrogate gradient for training.

    The gradient is alpha * s * (1 - s) with s = sigmoid(alpha * z); `sparse` sets it to zero where
    z < 0 (sparse back-propagation). Gates and gradient are of type `dtype` (default: that of z), the
    comparison itself is made in the type of z. Source: the paper's public code.
    """
    gates = _StraightThrough.apply(z, alpha, sparse, dtype or z.dtype)
    assert isinstance(gates, Tensor)
    return gates


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of x [B, C, H, W] so that each group holds a share of every old group."""
    batch, channels, height, width = x.shape
    return x.view(batch, groups, channels // groups, height, width).transpose(1, 2).reshape_as(x)


def base_part(weight: Tensor, partitions: int) -> Tensor:
    """The weights of the base path, [out, in / p, kh, kw], as a convolution of p groups takes them."""
    out, inputs, *kernel = weight.shape
    split = weight.view(partitions, out // partitions, partitions, inputs // partitions, *kernel)
    return torch.cat([split[i, :, i] for i in range(partitions)])


def rest_mask(out_channels: int, in_channels: int, partitions: int) -> Tensor:
    """1 where a weight is not of the base path, else 0: [out, in, 1, 1]."""
    rest = 1 - torch.eye(partitions)
    rest = rest.repeat_interleave(out_channels // partitions, 0)
    return rest.repeat_interleave(in_channels // partitions, 1)[:, :, None, None]


class CGConv2d(nn.Module):
    """Convolution [B, in, H, W] -> [B, out, H', W'] that computes most sums only where a gate is on.

    The input channels fall into p = `partitions` groups, and so do the output channels; group i of the
    outputs takes its base sums Yp from group i of the inputs, so each input channel is base exactly
    once. An output activation is finished with the other channels (sums Yr) where
    d = 1[BN(Yp) - Delta > 0], BN without affine, Delta learnt per output channel: Y = Yp + d * Yr. The
    gate is one-sided, which suits a ReLU after it: small sums end at zero anyway. No bias.

    `target` is T, to which `threshold_loss` pulls Delta (larger gates more). `alpha` and
    `sparse_backprop` shape the surrogate gradient. `norm` = "after": the network puts its own batch norm
    behind the layer, one for all results (the public code). "separate": the layer itself normalises
    gated and ungated results, each with an affine batch norm of its own (the paper); the network then
    needs none behind it. `shuffle` interleaves the input channels first, so that groups mix between
    layers.

    Raises CgsimError if in_channels or out_channels is not divisible by p.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        *,
        partitions: int = 4,
        target: float = 1.0,
        alpha: float = 2.0,
        sparse_backprop: bool = True,
        norm: Norm = "after",
        shuffle: bool = False,
    ) -> None:
        super().__init__()
        for kind, channels in (("input", in_channels), ("output", out_channels)):
            if partitions < 2 or channels % partitions:
                raise CgsimError(
                    f"CGConv2d: {channels} {kind} channels are not divisible into {partitions} groups; "
                    f"expected 2 or more groups (partitions) that divide the channels"
                )
        if norm not in NORMS:
            raise CgsimError(f"CGConv2d: norm {norm!r} is not known (valid: {', '.join(NORMS)})")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = (kernel_size, kernel_size), (stride, stride)
        self.padding, self.dilation, self.groups = (padding, padding), (1, 1), 1
        self.partitions, self.target, self.alpha = partitions, target, alpha
        self.sparse_backprop, self.norm, self.shuffle = sparse_backprop, norm, shuffle
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (out_channels * kernel_size**2)))
        self.threshold = nn.Parameter(torch.zeros(out_channels))
        self.decision_norm = nn.BatchNorm2d(out_channels, affine=False)
        if norm == "separate":
            self.norm_gated = nn.BatchNorm2d(out_channels)
            self.norm_ungated = nn.BatchNorm2d(out_channels)
        mask = rest_mask(out_channels, in_channels, partitions)
        self.register_buffer("rest_mask", mask, persistent=False)

    @property
    def base_channels(self) -> int:
        """Input channels of the base path, per output channel."""
        return self.in_channels // self.partitions

    def base_weight(self) -> Tensor:
        """The weights of the base path, [out, in / p, k, k], as a grouped convolution takes them."""
        return base_part(self.weight, self.partitions)

    def rest_weight(self) -> Tensor:
        """All weights [out, in, k, k] with those of the base path set to zero."""
        assert isinstance(self.rest_mask, Tensor)
        return self.weight * self.rest_mask

    def base_sums(self, x: Tensor) -> Tensor:
        """Yp [B, out, H', W'] of an input x [B, in, H, W] (already shuffled)."""
        return F.conv2d(x, self.base_weight(), None, self.stride, self.padding, groups=self.partitions)

    def comparison_threshold(self) -> Tensor:
        """Per output channel: at inference a gate is on iff Yp > Delta * sqrt(var + eps) + mean."""
        norm = self.decision_norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        return self.threshold * torch.sqrt(norm.running_var + norm.eps) + norm.running_mean

    def decide(self, base: Tensor) -> Tensor:
        """Gates [B, out, H', W'] (0 or 1) for base sums, compared in float32 whatever their type."""
        with torch.autocast(base.device.type, enabled=False):
            if not self.training:
                return (base.float() > self.comparison_threshold()[:, None, None]).to(base.dtype)
            norm = self.decision_norm
            mean, var = norm.running_mean, norm.running_var
            bias = -self.threshold  # BN without affine, minus Delta, in one pass
            z = F.batch_norm(base.float(), mean, var, None, bias, True, norm.momentum or 0.1, norm.eps)
            return straight_through_gate(z, self.alpha, self.sparse_backprop, base.dtype)

    def arrange(self, x: Tensor) -> Tensor:
        """The input as the groups see it: shuffled if the layer shuffles."""
        return shuffle_channels(x, self.partitions) if self.shuffle else x

    def gates(self, x: Tensor) -> Tensor:
        """Bool gates [B, out, H', W'] at inference for an input x [B, in, H, W]."""
        return self.decide(self.base_sums(self.arrange(x))) > 0

    def mix(self, base: Tensor, rest: Tensor, gates: Tensor) -> Tensor:
        """Y from the sums of both paths and the gates, normalised if the layer has its own norms."""
        if self.norm == "separate":
            return torch.lerp(self.norm_ungated(base), self.norm_gated(base + rest), gates)
        return torch.addcmul(base, gates, rest)

    def forward(self, x: Tensor) -> Tensor:
        """Y [B, out, H', W'] of x [B, in, H, W]."""
        x = self.arrange(x)
        base = self.base_sums(x)
        rest = F.conv2d(x, self.rest_weight(), None, self.stride, self.padding)
        return self.mix(base, rest, self.decide(base))

    def masked_forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """Y with given bool gates, by the direct formula d * conv(x, W) + (1 - d) * conv(x, W_p)."""
        x = self.arrange(x)
        full = F.conv2d(x, self.weight, None, self.stride, self.padding)
        base = F.conv2d(x, self.weight - self.rest_weight(), None, self.stride, self.padding)
        if self.norm == "separate":
            return torch.where(gates, self.norm_gated(full), self.norm_ungated(base))
        return torch.where(gates, full, base)

    def extra_repr(self) -> str:
        """What print(module) shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"partitions={self.partitions}, target={self.target}, norm={self.norm}, shuffle={self.shuffle}"
        )


def gated_layers(model: nn.Module) -> list[CGConv2d]:
    """All CGConv2d of a model, in the order of its modules."""
    return [module for module in model.modules() if isinstance(module, CGConv2d)]


def threshold_loss(model: nn.Module) -> Tensor:
    """Sum over all gated layers and channels of (T - Delta)^2; a scalar, 0 for a model without any."""
    terms = [(layer.target - layer.threshold).square().sum() for layer in gated_layers(model)]
    return torch.stack(terms).sum() if terms else torch.zeros(())
