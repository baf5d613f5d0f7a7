"""CNN Mixture-of-Depths: in each stage standard residual blocks take turns with blocks on few channels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from cgsim.errors import CgsimError
from cgsim.models.fields import require_range
from cgsim.models.layers.mixture_of_depths import MixtureOfDepthsBlock
from cgsim.models.methods.method import MakeBlock, Method


@dataclass(frozen=True)
class MixtureOfDepths(Method):
    """CNN Mixture-of-Depths (Cakaj et al., 2024, arXiv 2409.17016).

    A block of C channels works on k = floor(C / `divisor`) of them; None is the paper's divisor, the width
    of the network's first block: 64 for ImageNet ResNets, 16 for CIFAR ResNets and MobileNetV2. The
    selector's hidden layer has C / `ratio` features. Each stage begins with a standard block; of every
    `period` blocks one is standard, in the paper one of two.
    """

    name: ClassVar[str] = "mixture-of-depths"
    families: ClassVar[tuple[str, ...]] = ("cifar_resnet", "resnet", "mobilenet")
    divisor: int | None = None
    ratio: int = 16
    period: int = 2

    def check(self) -> None:
        """Raise CgsimError on a setting out of range."""
        if self.divisor is not None:
            require_range("gating: divisor", self.divisor, 1)
        require_range("gating: ratio", self.ratio, 1)
        require_range("gating: period", self.period, 2)

    def fitted(self, first_width: int) -> Method:
        """With the paper's divisor, unless there is one."""
        return self if self.divisor is not None else dataclasses.replace(self, divisor=first_width)

    def block(self, make: MakeBlock, inputs: int, outputs: int, stride: int, index: int) -> nn.Module:
        """A standard block, or one on k channels where it is its turn and the shape stays."""
        if index % self.period == 0 or stride != 1 or inputs != outputs:
            return super().block(make, inputs, outputs, stride, index)
        assert self.divisor is not None  # `fitted`
        k = inputs // self.divisor
        if not k:
            raise CgsimError(
                f"method {self.name!r}: gating: divisor {self.divisor} leaves none of the {inputs} "
                f"channels of a block, expected 1 to {inputs}"
            )
        return MixtureOfDepthsBlock(inputs, k, make(k, k, 1), self.ratio)
