"""A batch norm that keeps its running statistics in training."""

from __future__ import annotations

from torch import nn


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d that normalises by its running statistics in training too; factor and offset learn.

    For few images: statistics of small batches, and of a small data set, would replace better ones.
    """

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:  # noqa: ARG002
        """Stay as at inference whatever the mode."""
        super().train(False)
        return self
