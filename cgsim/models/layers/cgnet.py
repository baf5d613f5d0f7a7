"""CGConv2d: channel gating as a drop-in convolution (CGNet, Hua et al., NeurIPS 2019, arXiv 1805.12549)."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.layers.frozen_norm import FrozenBatchNorm2d
from cgsim.models.layers.gates import straight_through_gate, straight_through_window, whole_channels

Norm = Literal["after", "separate"]
NORMS: tuple[str, ...] = ("after", "separate")
Base = Literal["groups", "first"]
BASES: tuple[str, ...] = ("groups", "first")


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of x [B, C, H, W] so that each group holds a share of every old group."""
    batch, channels, height, width = x.shape
    return x.view(batch, groups, channels // groups, height, width).transpose(1, 2).reshape_as(x)


def base_part(weight: Tensor, partitions: int, base: str = "groups") -> Tensor:
    """The weights of the base path, [out, in / p, kh, kw], as a convolution of p groups (or of one) takes."""
    out, inputs, *kernel = weight.shape
    if base == "first":
        return weight[:, : inputs // partitions]
    split = weight.view(partitions, out // partitions, partitions, inputs // partitions, *kernel)
    return torch.cat([split[i, :, i] for i in range(partitions)])


def rest_mask(out_channels: int, in_channels: int, partitions: int, base: str = "groups") -> Tensor:
    """1 where a weight is not of the base path, else 0: [out, in, 1, 1], or [1, in, 1, 1] ("first")."""
    if base == "first":
        rest = (torch.arange(in_channels) >= in_channels // partitions).float()[None]
    else:
        rest = 1 - torch.eye(partitions)
        rest = rest.repeat_interleave(out_channels // partitions, 0)
        rest = rest.repeat_interleave(in_channels // partitions, 1)
    return rest[:, :, None, None]


def normal_thresholds(density: float, two_sided: bool) -> tuple[float, ...]:
    """Thresholds (one, or a low and a high one) between which a standard normal z has `density` on gates."""
    normal = NormalDist()
    density = min(max(density, 1e-9), 1 - 1e-9)
    if two_sided:
        half = normal.inv_cdf((1 + density) / 2)
        return -half, half
    return (normal.inv_cdf(1 - density),)


class CGConv2d(nn.Module):
    """Convolution [B, in, H, W] -> [B, out, H', W'] that computes most sums only where a gate is on.

    The input channels fall into p = `partitions` groups, and so do the output channels; group i of the
    outputs takes its base sums Yp from group i of the inputs, so each input channel is base exactly
    once (`base` = "groups"). With "first" all outputs take them from the first group of the inputs: for
    networks whose channels are in order of importance. An output activation is finished with the other
    channels (sums Yr) where its gate d is on: Y = Yp + d * Yr. With z = BN(Yp), BN without affine, and
    thresholds learnt per output channel, d = 1[z > low] (one-sided: a ReLU behind sets small sums to zero
    anyway) or, `two_sided`, d = 1[low < z < high] (sigmoid and tanh saturate at both ends). No bias.

    `target` is T, to which `threshold_loss` pulls the thresholds (larger gates more): low towards T, or
    the window towards the one that is as often on for normal z. `alpha` and `sparse_backprop` shape the
    surrogate gradient. `channel_share` tau above 0 gates whole channels too: one in which a sample has
    fewer than that share of on gates is off as a whole, so that its conditional weights are not needed.
    `norm` = "after": the network puts its own batch norm behind the layer, one for all results (the
    public code). "separate": the layer itself normalises gated and ungated results, each with an affine
    batch norm of its own (the paper); the network then needs none behind it. `shuffle` interleaves the
    input channels first, so that groups mix between layers. `freeze_norm`: z is normalised by the running
    statistics in training too.

    Raises CgsimError if in_channels (or out_channels, with base groups) is not divisible by p, or tau is not
    in 0..1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
        *,
        partitions: int = 4,
        target: float = 1.0,
        alpha: float = 2.0,
        sparse_backprop: bool = True,
        two_sided: bool = False,
        channel_share: float = 0.0,
        norm: Norm = "after",
        shuffle: bool = False,
        base: Base = "groups",
        freeze_norm: bool = False,
    ) -> None:
        super().__init__()
        if base not in BASES:
            raise CgsimError(f"CGConv2d: base {base!r} is not known (valid: {', '.join(BASES)})")
        for kind, channels in (("input", in_channels), ("output", out_channels)):
            if partitions < 2 or (channels % partitions and (kind == "input" or base == "groups")):
                raise CgsimError(
                    f"CGConv2d: {channels} {kind} channels are not divisible into {partitions} groups; "
                    f"expected 2 or more groups (partitions) that divide the channels"
                )
        if norm not in NORMS:
            raise CgsimError(f"CGConv2d: norm {norm!r} is not known (valid: {', '.join(NORMS)})")
        if not 0 <= channel_share <= 1:
            raise CgsimError(f"CGConv2d: channel_share must be 0 to 1, got {channel_share}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, 1
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding, self.dilation = _pair(padding), _pair(dilation)
        self.partitions, self.target, self.alpha = partitions, target, alpha
        self.sparse_backprop, self.two_sided = sparse_backprop, two_sided
        self.channel_share, self.norm, self.shuffle, self.base = channel_share, norm, shuffle, base
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))
        nn.init.normal_(self.weight, std=math.sqrt(2 / self.weight[:, 0].numel()))
        start = normal_thresholds(0.5, two_sided)
        self.threshold = nn.Parameter(torch.full((out_channels,), start[0]))
        if two_sided:
            self.threshold_high = nn.Parameter(torch.full((out_channels,), start[1]))
        make = FrozenBatchNorm2d if freeze_norm else nn.BatchNorm2d
        self.decision_norm = make(out_channels, affine=False)
        if norm == "separate":
            self.norm_gated = make(out_channels)
            self.norm_ungated = make(out_channels)
        mask = rest_mask(out_channels, in_channels, partitions, base)
        self.register_buffer("rest_mask", mask, persistent=False)

    @property
    def base_channels(self) -> int:
        """Input channels of the base path, per output channel."""
        return self.in_channels // self.partitions

    @property
    def base_groups(self) -> int:
        """Groups of output channels, each with base channels of its own."""
        return self.partitions if self.base == "groups" else 1

    def base_weight(self) -> Tensor:
        """The weights of the base path, [out, in / p, k, k], as a convolution of `base_groups` takes them."""
        return base_part(self.weight, self.partitions, self.base)

    def rest_weight(self) -> Tensor:
        """All weights [out, in, k, k] with those of the base path set to zero."""
        assert isinstance(self.rest_mask, Tensor)
        return self.weight * self.rest_mask

    def thresholds(self) -> tuple[nn.Parameter, ...]:
        """The learnt thresholds on z, [out] each: one, or a low and a high one."""
        return (self.threshold, self.threshold_high) if self.two_sided else (self.threshold,)

    def targets(self) -> tuple[float, ...]:
        """What `threshold_loss` pulls each of the thresholds to.

        One-sided: T. Two-sided: the ends of the window that a normal z is in as often as it is above T.
        """
        if not self.two_sided:
            return (self.target,)
        return normal_thresholds(1 - NormalDist().cdf(self.target), True)

    def base_sums(self, x: Tensor) -> Tensor:
        """Yp [B, out, H', W'] of an input x [B, in, H, W] (already shuffled)."""
        x = x[:, : self.base_channels * self.base_groups]
        weight = self.base_weight()
        return F.conv2d(x, weight, None, self.stride, self.padding, self.dilation, self.base_groups)

    def comparison_thresholds(self) -> tuple[Tensor, ...]:
        """The thresholds on Yp at inference, [out] each: Delta * sqrt(var + eps) + mean."""
        norm = self.decision_norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        deviation = torch.sqrt(norm.running_var + norm.eps)
        return tuple(threshold * deviation + norm.running_mean for threshold in self.thresholds())

    def decide(self, base: Tensor) -> Tensor:
        """Gates [B, out, H', W'] (0 or 1) for base sums, compared in float32 whatever their type."""
        with torch.autocast(base.device.type, enabled=False):
            gates = self._learning_gates(base) if self.training else self._folded_gates(base)
            return whole_channels(gates, self.channel_share) if self.channel_share else gates

    def _folded_gates(self, base: Tensor) -> Tensor:
        low, *high = (threshold[:, None, None] for threshold in self.comparison_thresholds())
        sums = base.float()
        gates = sums > low
        if high:
            gates &= sums < high[0]
        return gates.to(base.dtype)

    def _learning_gates(self, base: Tensor) -> Tensor:
        norm = self.decision_norm
        bias = None if self.two_sided else -self.threshold  # BN without affine, minus Delta, in one pass
        z = F.batch_norm(
            base.float(),
            norm.running_mean,
            norm.running_var,
            None,
            bias,
            norm.training,
            norm.momentum or 0.1,
            norm.eps,
        )
        if not self.two_sided:
            return straight_through_gate(z, self.alpha, self.sparse_backprop, base.dtype)
        low, high = (threshold[:, None, None] for threshold in self.thresholds())
        return straight_through_window(z, low, high, self.alpha, self.sparse_backprop, base.dtype)

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
        rest = self._convolve(x, self.rest_weight())
        return self.mix(base, rest, self.decide(base))

    def masked_forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """Y with given bool gates, by the direct formula d * conv(x, W) + (1 - d) * conv(x, W_p)."""
        x = self.arrange(x)
        full = self._convolve(x, self.weight)
        base = self._convolve(x, self.weight - self.rest_weight())
        if self.norm == "separate":
            return torch.where(gates, self.norm_gated(full), self.norm_ungated(base))
        return torch.where(gates, full, base)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, None, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        """What print(module) shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"partitions={self.partitions}, target={self.target}, two_sided={self.two_sided}, "
            f"base={self.base}, channel_share={self.channel_share}, norm={self.norm}, shuffle={self.shuffle}"
        )


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
