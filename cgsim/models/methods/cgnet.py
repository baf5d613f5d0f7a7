"""CGNet: every convolution that an activation follows becomes a CGConv2d."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from cgsim.models.fields import require_choice, require_range
from cgsim.models.layers.cgnet import BASES, NORMS, CGConv2d
from cgsim.models.layers.frozen_norm import FrozenBatchNorm2d
from cgsim.models.layers.thresholds import calibrate_thresholds, threshold_loss
from cgsim.models.methods.method import Method, Role

SIDES: tuple[str, ...] = ("auto", "one", "two")
SATURATING_TWICE = frozenset(("sigmoid", "tanh", "hardsigmoid", "hardtanh"))
"""Activations that are flat for large sums as well as for small ones."""
CALIBRATION_IMAGES, CALIBRATION_BATCH = 256, 64


@dataclass(frozen=True)
class CGNet(Method):
    """Channel gating (Hua et al., NeurIPS 2019, arXiv 1805.12549); most settings are those of CGConv2d.

    `threshold_weight` weighs the threshold loss, `threshold_rate` multiplies the learning rate of the
    thresholds. With `initial_density` they begin as quantiles that leave that share of each channel's gates
    on (`calibrate_thresholds`), which suits trained weights (`--init`); without it in the middle (half on).
    `sides` = "auto" gives a layer two thresholds if a sigmoid or tanh follows, else one. `gate_linear` gates
    convolutions that no activation follows as well (two thresholds). `freeze_norms`: every batch norm keeps
    its running statistics, for a training set so small that its own would be worse.
    """

    name: ClassVar[str] = "cgnet"
    partitions: int = 4
    target: float = 1.0
    threshold_weight: float = 1e-4
    alpha: float = 2.0
    sparse_backprop: bool = True
    norm_variant: str = "after"
    shuffle: bool = False
    sides: str = "auto"
    channel_share: float = 0.0
    gate_linear: bool = False
    initial_density: float | None = None
    threshold_rate: float = 1.0
    base: str = "groups"
    freeze_norms: bool = False

    def check(self) -> None:
        """Raise CgsimError on a setting out of range."""
        require_choice("gating: norm_variant", self.norm_variant, NORMS)
        require_choice("gating: sides", self.sides, SIDES)
        require_choice("gating: base", self.base, BASES)
        require_range("gating: alpha", self.alpha, 0, above=True)
        require_range("gating: threshold_weight", self.threshold_weight, 0)
        require_range("gating: threshold_rate", self.threshold_rate, 0)
        require_range("gating: partitions", self.partitions, 2)
        require_range("gating: channel_share", self.channel_share, 0, 1)
        if self.initial_density is not None:
            require_range("gating: initial_density", self.initial_density, 0.001, 0.999)

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        *,
        role: Role = "body",
        activation: str | None = None,
    ) -> nn.Module:
        """A CGConv2d in the body of the network where an activation follows; elsewhere as ungated."""
        if role != "body" or groups != 1 or (activation is None and not self.gate_linear):
            return super().conv(
                inputs, outputs, kernel, stride, padding, groups, role=role, activation=activation
            )
        two_sided = activation is None or activation in SATURATING_TWICE
        return CGConv2d(
            inputs,
            outputs,
            kernel,
            stride,
            padding,
            partitions=self.partitions,
            target=self.target,
            alpha=self.alpha,
            sparse_backprop=self.sparse_backprop,
            two_sided=two_sided if self.sides == "auto" else self.sides == "two",
            channel_share=self.channel_share,
            norm=self.norm_variant,  # type: ignore[arg-type]
            shuffle=self.shuffle,
            base=self.base,  # type: ignore[arg-type]
            freeze_norm=self.freeze_norms,
        )

    def norm(self, channels: int, conv: nn.Module) -> nn.Module:
        """A batch norm, or nothing behind a CGConv2d that has its own two."""
        if isinstance(conv, CGConv2d) and conv.norm == "separate":
            return nn.Identity()
        return FrozenBatchNorm2d(channels) if self.freeze_norms else super().norm(channels, conv)

    def prepare(self, model: nn.Module, images: Callable[[int], Tensor]) -> None:
        """Place the thresholds by `initial_density`."""
        if self.initial_density is not None:
            batches = images(CALIBRATION_IMAGES).split(CALIBRATION_BATCH)
            calibrate_thresholds(model, batches, self.initial_density)

    def rate_factor(self, name: str, parameter: nn.Parameter) -> float:
        """`threshold_rate` for thresholds."""
        threshold = name.rsplit(".", 1)[-1] in ("threshold", "threshold_high")
        return self.threshold_rate if threshold else 1.0

    def loss(self, model: nn.Module, progress: float) -> Tensor | None:
        """The threshold loss."""
        return self.threshold_weight * threshold_loss(model) if self.threshold_weight else None
