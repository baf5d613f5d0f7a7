"""BatchShapedConv2d: channel gates from a small network (Bejnordi et al., ICLR 2020, arXiv 1907.06627)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.models.layers.beta_prior import batch_shaping

FEATURES = 16
"""Width of the hidden layer of a gate network."""


def bin_concrete(logits: Tensor, temperature: float = 2 / 3) -> Tensor:
    """Random gates, 1 with probability sigmoid(logit), else 0, in the shape of `logits`.

    With logistic noise L the soft gate is s = sigmoid((logit + L) / temperature), and the gate 1[s > 1/2].
    The gradient is that of s (straight through; Maddison et al. and Jang et al., ICLR 2017).
    """
    uniform = torch.rand_like(logits).clamp_(
        torch.finfo(logits.dtype).tiny, 1 - torch.finfo(logits.dtype).eps
    )
    noisy = logits + (uniform.log() - torch.log1p(-uniform))
    soft = torch.sigmoid(noisy / temperature)
    return (noisy > 0).to(soft.dtype) + (soft - soft.detach())


class GateNetwork(nn.Module):
    """Logits [B, channels] of an input [B, inputs, H, W]: average over the image, FC to 16, BN, ReLU, FC.

    Computes in float32 whatever the type of the input, as one bit of a logit may decide a gate.
    """

    def __init__(self, inputs: int, channels: int, initial_logit: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, FEATURES, bias=False)
        self.norm = nn.BatchNorm1d(FEATURES)
        self.fc2 = nn.Linear(FEATURES, channels)
        nn.init.constant_(self.fc2.bias, initial_logit)

    @property
    def macs(self) -> int:
        """MACs per sample, both layers (a sum over the image multiplies nothing)."""
        return self.fc1.weight.numel() + self.fc2.weight.numel()

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, channels], float32."""
        with torch.autocast(x.device.type, enabled=False):
            pooled = x.mean((2, 3), dtype=torch.float32)
            return self.fc2(F.relu(self.norm(self.fc1(pooled))))


class BatchShapedConv2d(nn.Module):
    """Convolution, batch norm and ReLU whose output channels are computed only where a gate is on.

    [B, in, H, W] -> [B, out, H', W'], y = relu(norm(conv(x))) * g(x)[:, :, None, None]. The gates g [B, out]
    come from a GateNetwork on the same input x: random (`bin_concrete`) in training, 1[logit > 0] at
    inference. A channel that is off is zero, and what reads the layer need not multiply by it. No bias.

    After a forward pass in training `logits` [B, out] holds the gates' logits with their graph, for the
    losses.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        *,
        temperature: float = 2 / 3,
        initial_logit: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = (kernel_size, kernel_size), (stride, stride)
        self.padding, self.dilation, self.groups = (padding, padding), (1, 1), 1
        self.temperature = temperature
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(out_channels)
        self.gate_network = GateNetwork(in_channels, out_channels, initial_logit)
        self.logits: Tensor | None = None

    def computed(self, x: Tensor) -> Tensor:
        """What all channels would be if their gates were on, [B, out, H', W']."""
        return F.relu(self.norm(F.conv2d(x, self.weight, None, self.stride, self.padding)))

    def gates(self, x: Tensor) -> Tensor:
        """Bool gates [B, out] at inference for an input x [B, in, H, W]."""
        return self.gate_network(x) > 0

    def forward(self, x: Tensor) -> Tensor:
        """The gated result [B, out, H', W']."""
        y = self.computed(x)
        if not self.training:
            return self.masked(y, self.gates(x))
        self.logits = self.gate_network(x)
        return self.masked(y, bin_concrete(self.logits, self.temperature))

    @staticmethod
    def masked(y: Tensor, gates: Tensor) -> Tensor:
        """`y` [B, out, H', W'] with every channel whose gate [B, out] is 0 set to zero."""
        return y * gates.to(y.dtype)[:, :, None, None]

    def masked_forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """The result with given bool gates [B, out]: the channels that are off are never looked at."""
        y = self.computed(x)
        return torch.where(gates[:, :, None, None], y, torch.zeros_like(y))

    def extra_repr(self) -> str:
        """What print(module) shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles hold no logits: their graph belongs to the forward pass of this very module."""
        return self.__dict__ | {"logits": None}


def batch_shaped_layers(model: nn.Module) -> list[BatchShapedConv2d]:
    """All BatchShapedConv2d of a model, in the order of its modules."""
    return [module for module in model.modules() if isinstance(module, BatchShapedConv2d)]


def batch_shaping_loss(model: nn.Module, a: float = 0.6, b: float = 0.4) -> Tensor:
    """Sum over gated layers of the mean over channels of the Cramer-von-Mises loss against Beta(a, b).

    The values of a gate are its probabilities sigmoid(logit) over the batch of the last forward pass in
    training. A scalar, 0 if there are none.
    """
    logits = [layer.logits for layer in batch_shaped_layers(model) if layer.logits is not None]
    if not logits:
        return torch.zeros(())
    losses = batch_shaping(torch.sigmoid(torch.cat(logits, 1)), a, b)
    return torch.stack([part.mean() for part in losses.split([found.shape[1] for found in logits])]).sum()


def l0_loss(model: nn.Module, target: float = 0.0) -> Tensor:
    """What a share of gates beyond `target` costs; a scalar.

    Its gradient is that of the mean probability that a gate is on, over samples, channels and layers, the
    share of gates to expect in training. A layer counts as much as any other, as in a network whose layers
    cost alike; counted gate by gate the last layers, whose channels cost least, would count most. With a
    `target` its value is what the share at inference, 1[logit > 0], has beyond it, and it pulls only while
    that is above zero: probabilities of 0.6 throughout would be gates that are all on.
    """
    logits = [layer.logits for layer in batch_shaped_layers(model) if layer.logits is not None]
    if not logits:
        return torch.zeros(())
    probability = torch.stack([torch.sigmoid(found).mean() for found in logits]).mean()
    if not target:
        return probability
    share = torch.stack([(found.detach() > 0).float().mean() for found in logits]).mean()
    return (probability + (share - target - probability.detach())).clamp(min=0)
