"""What training does to its images."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, padding: int, flip: bool, generator: np.random.Generator) -> Tensor:
    """Random crops of zero-padded images [B, C, H, W], and each mirrored with probability one half."""
    batch, _channels, height, width = images.shape
    rows = torch.from_numpy(generator.integers(0, 2 * padding + 1, batch))
    columns = torch.from_numpy(generator.integers(0, 2 * padding + 1, batch))
    mirrored = torch.from_numpy(generator.random(batch) < 0.5) & flip
    padded = F.pad(images, (padding,) * 4)
    across = torch.arange(width).expand(batch, width)
    across = torch.where(mirrored[:, None], across.flip(1), across) + columns[:, None]
    down = torch.arange(height) + rows[:, None]
    index = torch.arange(batch)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)
