"""Thresholds placed where they cost least: gated convolutions begin at a chosen reduction of MACs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.layers.cgnet import CGConv2d

PIXELS = 25
"""Pixels of an image that are looked at in each layer."""
_GOLDEN = 0.6180339887498949
_EVERYTHING_ON = -1e4
_STEPS = 20
_FREE = 1e-12


def open_gates(layers: Iterable[CGConv2d]) -> None:
    """Let every gate of one-sided layers be on at inference."""
    for layer in layers:
        with torch.no_grad():
            layer.decision_norm.reset_running_stats()
            layer.threshold.fill_(_EVERYTHING_ON)


def place_thresholds(
    model: nn.Module, pairs: Sequence[tuple[Any, Any]], batches: Iterable[Tensor], reduction: float
) -> None:
    """Set thresholds so that the MACs of gated convolutions fall by `reduction` at the least estimated harm.

    `pairs` are one-sided CGConv2d and the batch norms behind them, which a ReLU6 follows. An output that is
    off is wrong by e = relu6(base) - relu6(full), both after the norm; its harm is taken to be e^2 times
    the mean square, where the output is not flat, of the gradient of log p(class) with respect to its
    channel, classes drawn from the network's own outputs (the diagonal of Fisher's matrix). Every channel
    gets the threshold of the least harm + price * MACs, at one price for all channels and layers, so that
    none could give MACs to another with gain; more is saved where that harms nothing. `batches`
    [B, C, H, W] are the inputs to find all that on; gates see exact inputs meanwhile. Decisions' running
    statistics are set too. Raises CgsimError if `reduction` cannot be had.
    """
    seen = [_Seen(conv, norm) for conv, norm in pairs]
    dense = sum(one.dense for one in seen)
    _run(model, seen, batches)
    total = sum(one.pixels * one.dense for one in seen)
    least = sum(one.pixels * (one.dense - one.saved) for one in seen)
    if dense == 0 or not 1 < reduction < total / least:
        raise CgsimError(
            f"gating: initial_reduction must be above 1 and below {total / least:.2f}, which is left if "
            f"every gate is off; got {reduction}"
        )
    for one in seen:
        one.sort()
    price = _price(seen, total / reduction)
    for one in seen:
        one.place(price)


class _Seen:
    """What was seen of one gated layer: samples [C, n] of sums after the norm, and gradients."""

    def __init__(self, conv: CGConv2d, norm: Any) -> None:
        self.conv, self.norm = conv, norm
        inputs = conv.in_channels
        taps = conv.out_channels * conv.kernel_size[0] * conv.kernel_size[1]
        self.dense = inputs * taps  # MACs of one pixel
        self.saved = (inputs - conv.base_channels) * taps
        self.pixels = 0
        self.raw: list[Tensor] = []
        self.harms: list[Tensor] = []
        self.output: Tensor | None = None
        self.squares, self.active = torch.zeros(()), torch.zeros(())
        self.sums, self.harm = torch.zeros(()), torch.zeros(())

    def see(self, conv: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep some pixels of one forward pass, and the output for its gradient."""
        output.retain_grad()
        self.output, self.pixels = output, output.shape[2] * output.shape[3]
        with torch.no_grad():
            base = _some(conv.base_sums(conv.arrange(inputs[0])))
            off, on = (F.relu6(self._normed(sums)) for sums in (base, _some(output)))
            self.raw.append(base)
            self.harms.append((off - on).square_())

    def _normed(self, sums: Tensor) -> Tensor:
        norm = self.norm
        shift = norm.bias - norm.running_mean * self.scale()
        return sums * self.scale()[:, None] + shift[:, None]

    def scale(self) -> Tensor:
        """What the norm multiplies each channel by."""
        return self.norm.weight.detach() / torch.sqrt(self.norm.running_var + self.norm.eps)

    def learn(self) -> None:
        """Add the gradients of the last forward pass."""
        assert self.output is not None
        assert self.output.grad is not None
        gradient = self.output.grad
        self.squares = self.squares + gradient.square().sum((0, 2, 3))
        self.active = self.active + (gradient != 0).sum((0, 2, 3))
        self.output = None

    def sort(self) -> None:
        """Base sums in rising order, and the mean harm if the first 1, 2, .. n of them are off."""
        scale = self.scale().square().clamp(min=1e-12)
        weight = self.squares / self.active.clamp(min=1) / scale
        sums, order = torch.cat(self.raw, 1).sort(1)
        harm = torch.cat(self.harms, 1).gather(1, order).cumsum(1) / sums.shape[1]
        self.sums, self.harm = sums, harm * weight[:, None]
        self.raw, self.harms = [], []

    def off(self, price: float) -> Tensor:
        """How many of the n samples of each channel are off at a price per MAC, [C]."""
        count = self.sums.shape[1]
        each = price * self.saved / self.conv.out_channels / count
        cost = self.harm - each * torch.arange(1, count + 1)
        least, index = cost.min(1)
        return torch.where(least < 0, index + 1, 0)

    def place(self, price: float) -> None:
        """Put the thresholds, and the statistics that they are measured by, into the layer."""
        off, norm = self.off(price), self.conv.decision_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        with torch.no_grad():
            norm.running_mean.copy_(self.sums.mean(1))
            norm.running_var.copy_(self.sums.var(1))
            deviation = torch.sqrt(norm.running_var + norm.eps)
            last = self.sums.gather(1, (off - 1).clamp(min=0)[:, None])[:, 0]
            # With none off: as far below the smallest as a decision may jump in training.
            last = torch.where(off > 0, last, self.sums[:, 0] - deviation)
            self.conv.threshold.copy_((last - norm.running_mean) / deviation)


def _run(model: nn.Module, seen: Sequence[_Seen], batches: Iterable[Tensor]) -> None:
    open_gates(one.conv for one in seen)
    generator = torch.Generator().manual_seed(0)
    handles = [one.conv.register_forward_hook(one.see) for one in seen]
    was_training = model.training
    try:
        model.eval()
        for batch in batches:
            with torch.enable_grad():
                logits = model(batch)
                classes = torch.multinomial(logits.detach().softmax(1), 1, generator=generator)[:, 0]
                F.cross_entropy(logits, classes, reduction="sum").backward()
            for one in seen:
                one.learn()
            model.zero_grad(set_to_none=True)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    if not seen or not seen[0].raw:
        raise CgsimError("thresholds: no inputs to place them with; expected 1 batch or more")


def _some(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [C, B * n]: n pixels of each image, spread without a period."""
    x = x.flatten(2)
    pixels = x.shape[2]
    picks = (torch.arange(min(PIXELS, pixels)) * _GOLDEN % 1 * pixels).long()
    if pixels <= PIXELS:
        picks = torch.arange(pixels)
    return x[:, :, picks].transpose(0, 1).flatten(1)


def _price(seen: Sequence[_Seen], wanted: float) -> float:
    """The lowest price per MAC, to about a millionth, at which no more than `wanted` MACs are executed.

    It stays above zero: outputs that are zero either way are off even where that saves more than wanted.
    """
    harm = sum(one.pixels * float(one.harm[:, -1].double().sum()) for one in seen)
    high = harm / sum(one.pixels * one.saved for one in seen) or 1.0
    while _executed(seen, high) > wanted:
        high *= 10
    low = high / 10
    least = low * _FREE
    while low > least and _executed(seen, low) <= wanted:
        low, high = low / 10, low
    for _step in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _executed(seen, middle) > wanted else (low, middle)
    return high


def _executed(seen: Sequence[_Seen], price: float) -> float:
    total = 0.0
    for one in seen:
        share = float(one.off(price).double().mean()) / one.sums.shape[1]
        total += one.pixels * (one.dense - one.saved * share)
    return total
