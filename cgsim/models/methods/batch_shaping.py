"""Batch-Shaping: residual blocks whose inner channels are gated per sample by a small network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.fields import require_range
from cgsim.models.layers.batch_shaping import (
    BatchShapedConv2d,
    batch_shaped_layers,
    batch_shaping_loss,
    l0_loss,
)
from cgsim.models.layers.gate_start import start_gates
from cgsim.models.methods.method import MakeBlock, Method

ACTIVATIONS = ("relu", "relu6")
"""Of blocks that can be gated: the gated layer has a ReLU, and behind it either changes nothing else."""
_INNER_NORM = re.compile(r"(?P<block>.+)\.bn(?P<index>[12])\.(?P<tensor>\w+)")


@dataclass(frozen=True)
class BatchShaping(Method):
    """Conditional channel gates (Bejnordi et al., ICLR 2020, arXiv 1907.06627).

    `shaping_weight` weighs the batch-shaping loss against Beta(`prior_a`, `prior_b`); it falls linearly to
    zero over the first share `shaping_until` of training. `l0_weight` weighs the mean gate probability, and
    so decides how strongly the network gates; it grows linearly from zero at the share `l0_from` to its value
    at `l0_until`. `temperature` is that of the random gates, `initial_logit` the bias of a new gate network.

    For short trainings from an ungated network, and not of the paper: `l0_target` ends the pull of the L0
    loss where no larger share of gates is on, so that with a large weight it sets the strength directly;
    `start_images` training images let the gate networks begin with what is seen on them, a share
    `start_density` of the gates on (`start_gates`; 0 images: at random); `gate_rate` multiplies their
    learning rate.
    """

    name: ClassVar[str] = "batch-shaping"
    families: ClassVar[tuple[str, ...]] = ("cifar_resnet", "resnet")
    least_batch: ClassVar[int] = 2
    shaping_weight: float = 0.75
    shaping_until: float = 0.2
    prior_a: float = 0.6
    prior_b: float = 0.4
    l0_weight: float = 1.0
    l0_from: float = 0.2
    l0_until: float = 0.6
    l0_target: float = 0.0
    temperature: float = 2 / 3
    initial_logit: float = 0.0
    start_images: int = 0
    start_density: float = 0.9
    gate_rate: float = 1.0

    def check(self) -> None:
        """Raise CgsimError on a setting out of range."""
        for key in ("shaping_weight", "l0_weight"):
            require_range(f"gating: {key}", getattr(self, key), 0)
        require_range("gating: start_images", self.start_images, 0)
        for key in ("gate_rate", "temperature", "prior_a", "prior_b"):
            require_range(f"gating: {key}", getattr(self, key), 0, above=True)
        for key in ("shaping_until", "l0_from", "l0_until", "l0_target"):
            require_range(f"gating: {key}", getattr(self, key), 0, 1)
        require_range("gating: start_density", self.start_density, 0.01, 0.99)
        if self.l0_from > self.l0_until:
            raise CgsimError(f"gating: l0_from {self.l0_from} is after l0_until {self.l0_until}")

    def block(self, make: MakeBlock, inputs: int, outputs: int, stride: int, index: int) -> nn.Module:
        """A residual block in which every convolution but the last is gated, by its own input.

        In a block of two convolutions that is the block's input, as in the paper.
        """
        block = super().block(make, inputs, outputs, stride, index)
        activation = getattr(block, "activation", "relu")
        if activation not in ACTIVATIONS:
            raise CgsimError(
                f"method {self.name!r}: architecture: activation {activation!r}: a channel that is off would "
                f"not be zero, or be activated twice; expected {' or '.join(map(repr, ACTIVATIONS))}"
            )
        last = 3 if hasattr(block, "conv3") else 2
        for position in range(1, last):
            conv = getattr(block, f"conv{position}")
            setattr(block, f"conv{position}", self._gated(conv))
            setattr(block, f"bn{position}", nn.Identity())  # the gated layer has its own
        return block

    def _gated(self, conv: nn.Conv2d) -> BatchShapedConv2d:
        gated = BatchShapedConv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            int(conv.padding[0]),
            temperature=self.temperature,
            initial_logit=self.initial_logit,
        )
        with torch.no_grad():
            gated.weight.copy_(conv.weight)  # as the network initialised it
        return gated

    def adopted(self, name: str) -> str:
        """The norm behind a gated convolution is inside of it: layer1.0.bn1.* is layer1.0.conv1.norm.*."""
        match = _INNER_NORM.fullmatch(name)
        return "{block}.conv{index}.norm.{tensor}".format(**match.groupdict()) if match else name

    def prepare(self, model: nn.Module, images: Callable[[int], Tensor]) -> None:
        """Let the gate networks begin with what is seen on some training images, unless they have learnt."""
        norms = [layer.gate_network.norm for layer in batch_shaped_layers(model)]
        learnt = any(int(norm.num_batches_tracked or 0) for norm in norms)  # adopted from a gated run
        if self.start_images and not learnt:
            seen = images(self.start_images)
            start_gates(model, seen, self.start_density, self.prior_a, self.prior_b)

    def loss(self, model: nn.Module, progress: float) -> Tensor | None:
        """Both losses at their weights of the moment."""
        shaping, sparsity = self.weights_at(float(progress))
        terms = []
        if shaping:
            terms.append(shaping * batch_shaping_loss(model, self.prior_a, self.prior_b))
        if sparsity:
            terms.append(sparsity * l0_loss(model, self.l0_target))
        for layer in batch_shaped_layers(model):
            layer.logits = None
        return sum(terms[1:], start=terms[0]) if terms else None

    def weights_at(self, progress: float) -> tuple[float, float]:
        """Weights of the batch-shaping loss and of the L0 loss at `progress` in 0..1 of the training."""
        left = max(0.0, 1 - progress / self.shaping_until) if self.shaping_until else 0.0
        span = self.l0_until - self.l0_from
        ramp = (progress - self.l0_from) / span if span else float(progress >= self.l0_from)
        return self.shaping_weight * left, self.l0_weight * min(1.0, max(0.0, ramp))

    def no_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """The gate networks are left alone by weight decay too: decay would draw their logits to zero."""
        return ".gate_network." in name or super().no_decay(name, parameter)

    def rate_factor(self, name: str, parameter: nn.Parameter) -> float:
        """`gate_rate` for the gate networks."""
        return self.gate_rate if ".gate_network." in name else 1.0
