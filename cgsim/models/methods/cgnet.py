"""CGNet: every convolution that an activation follows becomes a CGConv2d."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.fields import require_choice, require_range
from cgsim.models.grouping import order_channels
from cgsim.models.layers.cgnet import BASES, NORMS, CGConv2d
from cgsim.models.layers.frozen_norm import FrozenBatchNorm2d
from cgsim.models.layers.placement import open_gates, place_thresholds
from cgsim.models.layers.thresholds import calibrate_thresholds, gated_layers, threshold_loss
from cgsim.models.methods.method import Method, Role
from cgsim.models.rotation import rotate, spaces_of

SIDES: tuple[str, ...] = ("auto", "one", "two")
SATURATING_TWICE = frozenset(("sigmoid", "tanh", "hardsigmoid", "hardtanh"))
"""Activations that are flat for large sums as well as for small ones."""
CALIBRATION_IMAGES, CALIBRATION_BATCH = 256, 64
PLACEMENT_IMAGES, PLACEMENT_BATCH = 128, 16
"""Of `initial_reduction`, which needs gradients; the batch is that of `rotate` too."""


@dataclass(frozen=True)
class CGNet(Method):
    """Channel gating (Hua et al., NeurIPS 2019, arXiv 1805.12549); most settings are those of CGConv2d.

    `threshold_weight` weighs the threshold loss, `threshold_rate` multiplies the learning rate of the
    thresholds. With `initial_density` they begin as quantiles that leave that share of each channel's gates
    on (`calibrate_thresholds`), which suits trained weights (`--init`); without it in the middle (half on).
    `sides` = "auto" gives a layer two thresholds if a sigmoid or tanh follows, else one. `gate_linear` gates
    convolutions that no activation follows as well (two thresholds). `freeze_norms`: every batch norm keeps
    its running statistics, for a training set so small that its own would be worse. `order_channels` puts
    channels of trained weights into groups that belong together: nothing changes while all gates are on.
    `rotate` gives the linear spaces between blocks their principal axes (`cgsim.models.rotation`), for
    `base` = "first"; `initial_reduction` begins with thresholds that save that factor of the gated
    convolutions' MACs where it harms least (`place_thresholds`). Both are for networks with such spaces.
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
    order_channels: bool = False
    rotate: bool = False
    initial_reduction: float | None = None

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
        if self.order_channels and self.shuffle:
            raise CgsimError("gating: order_channels and shuffle exclude one another")
        if self.initial_density is not None:
            require_range("gating: initial_density", self.initial_density, 0.001, 0.999)
        if self.rotate or self.initial_reduction is not None:
            self._check_start()

    def _check_start(self) -> None:
        for key in ("rotate", "initial_reduction"):
            if getattr(self, key) and (not self.freeze_norms or self.norm_variant != "after"):
                raise CgsimError(f"gating: {key} needs freeze_norms: true and norm_variant: after")
        if self.initial_density is not None and self.initial_reduction is not None:
            raise CgsimError("gating: give initial_density or initial_reduction, not both")
        if self.rotate and self.initial_density is None and self.initial_reduction is None:
            raise CgsimError("gating: rotate needs initial_reduction or initial_density")
        if self.rotate and self.base != "first":
            raise CgsimError("gating: rotate needs base: first")
        if self.rotate and (self.order_channels or self.shuffle):
            raise CgsimError("gating: rotate excludes order_channels and shuffle")
        if self.gate_linear or self.sides == "two":
            raise CgsimError("gating: rotate and initial_reduction are for gates with one threshold only")

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
        """Order channels, place thresholds by `initial_density`; a gated model that goes on is left alone."""
        if any(bool(layer.decision_norm.running_mean.any()) for layer in gated_layers(model)):  # type: ignore[union-attr]
            return
        if self.rotate:
            open_gates(gated_layers(model))
            rotate(model, images(CALIBRATION_IMAGES).split(PLACEMENT_BATCH))
        if self.initial_reduction is not None:
            pairs = [pair for space in spaces_of(model) for pair in space.readers]
            batches = images(PLACEMENT_IMAGES).split(PLACEMENT_BATCH)
            place_thresholds(model, pairs, batches, self.initial_reduction)
        if self.order_channels or self.initial_density is not None:
            found = images(CALIBRATION_IMAGES)
            if self.order_channels:
                order_channels(model, found)
            if self.initial_density is not None:
                calibrate_thresholds(model, found.split(CALIBRATION_BATCH), self.initial_density)

    def rate_factor(self, name: str, parameter: nn.Parameter) -> float:
        """`threshold_rate` for thresholds."""
        threshold = name.rsplit(".", 1)[-1] in ("threshold", "threshold_high")
        return self.threshold_rate if threshold else 1.0

    def loss(self, model: nn.Module, progress: float) -> Tensor | None:
        """The threshold loss."""
        return self.threshold_weight * threshold_loss(model) if self.threshold_weight else None
