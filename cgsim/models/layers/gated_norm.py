"""Gated batch norm and the convolution that it prunes (Gate Decorator, You et al., NeurIPS 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError

MOST_SHIFT = 10.0
"""Largest |beta / gamma| that a gated batch norm holds as its bias; see `GatedBatchNorm2d.decorate`."""


class PrunableConv2d(nn.Conv2d):
    """A convolution [B, Cin, H, W] -> [B, Cout, H', W'] of which filters can be switched off.

    `mask`, bool [Cout], is its static gates: output channels where it is False are zero and learn nothing.
    `image` is the shape (channels, height, width) of the last input.
    """

    mask: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        """Take over shape and parameters of an ordinary convolution, zero-padded on both sides alike."""
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            raise CgsimError(f"prunable convolution: expected plain zero padding, got {conv}")
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            bias=conv.bias is not None,
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.register_buffer("mask", torch.ones(conv.out_channels, dtype=torch.bool))
        self.image: tuple[int, int, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; filters that are off give zero."""
        self.image = (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]))
        return self.masked_forward(x, self.mask)

    def masked_forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """Convolve with only those filters that are on in `gates`, bool [Cout]."""
        # The weight is masked, not only what the norm makes of it: decay and old momenta may not bring
        # a filter back, and what is recorded as off is not computed.
        on = gates.to(self.weight.dtype)
        bias = None if self.bias is None else self.bias * on
        return self._conv_forward(x, self.weight * on[:, None, None, None], bias)


class GatedBatchNorm2d(nn.Module):
    """Batch norm behind a PrunableConv2d: y = phi * (gain * x_hat + bias), zero where the filter is off.

    x_hat is x [B, C, H, W] less its mean, over its deviation. phi, the parameter `weight` [C], decides over
    the channel as a whole, as it scales the bias too; the tensors are named as those of nn.BatchNorm2d,
    whose place it takes. `gain` [C] is a constant, 1 but for the channels told of at `decorate`.
    `score` [C] sums up what the channels were worth in the steps since `clear`.
    """

    keeps_zeros = True
    """Tells `derive_network` that off channels leave this norm as zeros, not as a constant."""
    gain: Tensor
    score: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm2d, conv: PrunableConv2d) -> None:
        """Take the place of a batch norm behind `conv`; `decorate` follows once gamma and beta are there."""
        super().__init__()
        if norm.momentum is None or norm.running_mean is None or norm.weight is None:
            raise CgsimError(f"gated batch norm: expected momentum, statistics and gamma, got {norm}")
        channels = norm.num_features
        self.eps, self.momentum = norm.eps, norm.momentum
        self._conv = (conv,)  # in a tuple: its parameters are not this module's
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("gain", torch.ones(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        # Not in checkpoints: between two units of training it is zero.
        self.register_buffer("score", torch.zeros(channels), persistent=False)

    @property
    def conv(self) -> PrunableConv2d:
        """The convolution in front."""
        return self._conv[0]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        if self.training:
            self.num_batches_tracked.add_(1)
        scale, shift = self.affine()
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(x, mean, var, scale, shift, self.training, self.momentum, self.eps)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift [C] of the ordinary batch norm that computes the same."""
        phi = self.weight * self.conv.mask.to(self.weight.dtype)
        return phi * self.gain, phi * self.bias

    @torch.no_grad()
    def decorate(self) -> None:
        """Turn gamma and beta of an ordinary batch norm, in `weight` and `bias`, into phi and the rest.

        phi = gamma, bias = beta / gamma, gain = 1. Where the quotient is beyond MOST_SHIFT (or gamma is 0),
        the paper's code cuts it off and so changes the function; here phi is beta / MOST_SHIFT instead and
        the gain what is left of gamma: the function stays, and gradients stay of a size.
        """
        gamma, beta = self.weight.clone(), self.bias.clone()
        far = beta.abs() > MOST_SHIFT * gamma.abs()
        phi = torch.where(far, beta / MOST_SHIFT, gamma)
        safe = torch.where(phi == 0, torch.ones_like(phi), phi)
        self.weight.copy_(phi)
        self.bias.copy_(beta / safe)
        self.gain.copy_(torch.where(far, gamma / safe, torch.ones_like(phi)))

    @torch.no_grad()
    def tally(self) -> None:
        """Add |phi * dL/dphi| of the step just made: to first order what the channel is worth."""
        if self.weight.grad is not None:
            self.score += (self.weight * self.weight.grad).abs()

    @torch.no_grad()
    def clear(self) -> None:
        """Begin a new score."""
        self.score.zero_()

    @torch.no_grad()
    def prune(self, channels: list[int]) -> None:
        """Switch channels off for good: filter, phi and bias become zero."""
        index = torch.tensor(channels, dtype=torch.long, device=self.weight.device)
        self.conv.mask[index] = False
        for tensor in (self.conv.weight, self.conv.bias, self.weight, self.bias):
            if tensor is not None:
                tensor[index] = 0.0

    def extra_repr(self) -> str:
        """What print shows."""
        return f"{len(self.weight)}, eps={self.eps}, momentum={self.momentum}"


def gated_norms(model: nn.Module) -> dict[str, GatedBatchNorm2d]:
    """The gated batch norms of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, GatedBatchNorm2d)}
