"""What training does to its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Crops:
    """For each of B images how far its crop is from the top left of the padded one, and if it is mirrored."""

    padding: int
    rows: Tensor
    columns: Tensor
    mirrored: Tensor

    @classmethod
    def draw(cls, batch: int, padding: int, flip: bool, generator: np.random.Generator) -> Crops:
        """Random ones of `batch` images; with `flip` each is mirrored with probability one half."""
        rows = torch.from_numpy(generator.integers(0, 2 * padding + 1, batch))
        columns = torch.from_numpy(generator.integers(0, 2 * padding + 1, batch))
        mirrored = torch.from_numpy(generator.random(batch) < 0.5) & flip
        return cls(padding, rows, columns, mirrored)

    def part(self, share: slice) -> Crops:
        """Those of some of the images."""
        return Crops(self.padding, self.rows[share], self.columns[share], self.mirrored[share])

    def apply(self, images: Tensor) -> Tensor:
        """The crops of images [B, C, H, W], padded with zeros, on their device."""
        device = images.device
        batch, _channels, height, width = images.shape
        padded = F.pad(images, (self.padding,) * 4)
        across = torch.arange(width, device=device).expand(batch, width)
        mirrored = self.mirrored.to(device)[:, None]
        across = torch.where(mirrored, across.flip(1), across) + self.columns.to(device)[:, None]
        down = torch.arange(height, device=device) + self.rows.to(device)[:, None]
        index = torch.arange(batch, device=device)[:, None, None]
        return padded.permute(0, 2, 3, 1)[index, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)
