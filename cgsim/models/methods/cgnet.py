"""CGNet: every convolution that an activation follows becomes a CGConv2d."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from cgsim.models.fields import require_choice, require_range
from cgsim.models.layers.cgnet import NORMS, CGConv2d, threshold_loss
from cgsim.models.methods.method import Method, Role


@dataclass(frozen=True)
class CGNet(Method):
    """Channel gating (Hua et al., NeurIPS 2019, arXiv 1805.12549); the settings are those of CGConv2d.

    `threshold_weight` weighs the threshold loss.
    """

    name: ClassVar[str] = "cgnet"
    partitions: int = 4
    target: float = 1.0
    threshold_weight: float = 1e-4
    alpha: float = 2.0
    sparse_backprop: bool = True
    norm_variant: str = "after"
    shuffle: bool = False

    def check(self) -> None:
        """Raise CgsimError on a setting out of range."""
        require_choice("gating: norm_variant", self.norm_variant, NORMS)
        require_range("gating: alpha", self.alpha, 0, above=True)
        require_range("gating: threshold_weight", self.threshold_weight, 0)
        require_range("gating: partitions", self.partitions, 2)

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
        if role != "body" or activation is None or groups != 1:
            return super().conv(
                inputs, outputs, kernel, stride, padding, groups, role=role, activation=activation
            )
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
            norm=self.norm_variant,  # type: ignore[arg-type]
            shuffle=self.shuffle,
        )

    def norm(self, channels: int, conv: nn.Module) -> nn.Module:
        """A batch norm, or nothing behind a CGConv2d that has its own two."""
        own = isinstance(conv, CGConv2d) and conv.norm == "separate"
        return nn.Identity() if own else super().norm(channels, conv)

    def loss(self, model: nn.Module, progress: float) -> Tensor | None:
        """The threshold loss."""
        return self.threshold_weight * threshold_loss(model) if self.threshold_weight else None
