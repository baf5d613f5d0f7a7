"""CNN Mixture-of-Depths: a residual block that works on the k channels which a small network picks per input.

Cakaj, Mlodozeniec and others, "CNN Mixture-of-Depths", 2024, arXiv 2409.17016. With x [B, C, H, W]:

    s = sigmoid(FC2(relu(FC1(GAP(x)))))                       the selector, scores [B, C]
    h = branch(x[the k channels of highest s]) * s[those k]   a block of k instead of C channels
    y = x with its first k channels replaced by x[:k] + h

The other C - k channels pass by. Shapes are static; through the factor s the selector learns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.trace.layer import Layer


class ChannelSelector(nn.Module):
    """Scores 0..1 of the channels of its input: mean over the pixels, two linear layers, a sigmoid.

    The hidden layer has C / `ratio` features, at least one.
    """

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        hidden = max(1, channels // ratio)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    @property
    def macs(self) -> int:
        """MACs per sample of the two linear layers."""
        return 2 * self.fc1.in_features * self.fc1.out_features

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> scores [B, C], float32."""
        if x.is_meta:  # which knows no precisions
            return self._scores(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._scores(x)

    def _scores(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x.float().mean((2, 3))))))

    def trace_layers(
        self, name: str, inputs: tuple[Tensor, ...], _output: Tensor, producers: tuple[str, ...]
    ) -> list[Layer]:
        """What a trace has for it: the mean over the pixels, and a gate network on what it leaves."""
        channels, *image = _shape(inputs[0])
        pooled, mean = (channels, 1, 1), f"{name}.pool"
        return [
            Layer(mean, "global_pool", (channels, image[0], image[1]), pooled, producers=producers[:1]),
            Layer(name, "gate_network", pooled, pooled, producers=(mean,), gate_network_macs=self.macs),
        ]


def picked_channels(scores: Tensor, k: int) -> Tensor:
    """The k channels of highest score, int64 [B, k], in the order of the channels.

    Not in the order of the scores, in which a small change of two scores would exchange two inputs of the
    small block. Of equal scores the lower channel goes first, on every device.
    """
    order = torch.sort(scores.detach(), dim=1, descending=True, stable=True).indices
    return order[:, :k].sort(dim=1).values


class ChannelGather(nn.Module):
    """Takes the k channels of highest score out of x."""

    def __init__(self, channels: int, k: int) -> None:
        super().__init__()
        self.channels, self.k = channels, k

    def forward(self, x: Tensor, scores: Tensor) -> Tensor:
        """From x [B, C, H, W] and scores [B, C]: [B, k, H, W]."""
        picks = picked_channels(scores, self.k)[:, None, None, :]
        return torch.take_along_dim(x.permute(0, 2, 3, 1), picks, 3).permute(0, 3, 1, 2)

    def gates(self, scores: Tensor) -> Tensor:
        """The channels that are taken, bool [B, C], k of them in each row."""
        mask = torch.zeros_like(scores, dtype=torch.bool)
        return mask.scatter_(1, picked_channels(scores, self.k), True)

    def masked_forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """The channels of x in the mask `gates` [B, C]: [B, k, H, W]."""
        return x[gates].reshape(len(x), self.k, *x.shape[2:])

    def trace_layers(
        self, name: str, inputs: tuple[Tensor, ...], output: Tensor, producers: tuple[str, ...]
    ) -> list[Layer]:
        """The gather that a trace has for it; its gates are the channels of its input."""
        shapes = _shape(inputs[0]), _shape(output)
        return [Layer(name, "gather", *shapes, producers=producers[:1], gate="channel")]


class PartialAdd(nn.Module):
    """Adds k channels, scaled by the scores of those picked, to the first k of x."""

    def __init__(self, channels: int, k: int) -> None:
        super().__init__()
        self.channels, self.k = channels, k

    def forward(self, x: Tensor, h: Tensor, scores: Tensor) -> Tensor:
        """From x [B, C, H, W], h [B, k, H, W], scores [B, C]: [B, C, H, W], in the precision of x."""
        scale = scores.gather(1, picked_channels(scores, self.k))
        scaled = (h * scale[:, :, None, None]).to(x.dtype).permute(0, 2, 3, 1)
        return (x.permute(0, 2, 3, 1) + F.pad(scaled, (0, self.channels - self.k))).permute(0, 3, 1, 2)

    def trace_layers(
        self, name: str, inputs: tuple[Tensor, ...], output: Tensor, producers: tuple[str, ...]
    ) -> list[Layer]:
        """The addition that a trace has for it; the scores are constants of the k channels."""
        return [Layer(name, "add", _shape(inputs[0]), _shape(output), producers=producers[:2])]


class MixtureOfDepthsBlock(nn.Module):
    """A residual block on k of its C channels.

    `block` is the network's own residual block from k to k channels with stride 1; of it `branch` is used,
    and `finish`, where it has one, behind the sum.
    """

    def __init__(self, channels: int, k: int, block: nn.Module, ratio: int = 16) -> None:
        """Raises CgsimError unless 1 <= k <= channels and ratio >= 1."""
        if not 1 <= k <= channels:
            raise CgsimError(f"mixture-of-depths: k is {k}, expected 1 to {channels}, its input's channels")
        if ratio < 1:
            raise CgsimError(f"mixture-of-depths: ratio must be 1 or more, got {ratio}")
        super().__init__()
        self.channels, self.k = channels, k
        self.selector = ChannelSelector(channels, ratio)
        self.gather = ChannelGather(channels, k)
        self.block = block
        self.fuse = PartialAdd(channels, k)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        scores = self.selector(x)
        h = self.block.branch(self.gather(x, scores))  # type: ignore[operator]
        y = self.fuse(x, h, scores)
        finish = getattr(self.block, "finish", None)
        return y if finish is None else finish(y)


def _shape(x: Tensor) -> tuple[int, int, int]:
    return int(x.shape[1]), int(x.shape[2]), int(x.shape[3])
