"""Which output channels sit in which columns: slots of one column group's width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cgsim.trace.network import Layer


@dataclass(frozen=True)
class Slots:
    """Output channels in slots of `width` columns; `groups` slots side by side are one column fold.

    The channels of a slot share one stream of moving vectors, so they belong to one *block*: the
    same convolution group and, where the layer's base path is split by CGNet's channel grouping, the
    same base group. Blocks are numbered in channel order and start a slot of their own.
    """

    width: int
    groups: int
    blocks: int
    first: np.ndarray
    """First output channel of each slot, int64 [slots]."""
    end: np.ndarray
    """One past the last output channel of each slot, int64 [slots]."""

    @property
    def column_folds(self) -> int:
        """Residencies of the array needed to hold every output channel once."""
        return -(-len(self.first) // self.groups)

    def block_range(self, first_fold: int, end_fold: int) -> tuple[int, int]:
        """Blocks [first, end) that the column folds [first_fold, end_fold) touch."""
        per_block = len(self.first) // self.blocks
        last_slot = min(end_fold * self.groups, len(self.first)) - 1
        return first_fold * self.groups // per_block, last_slot // per_block + 1

    def blocks_of(self, folds: np.ndarray) -> np.ndarray:
        """Blocks that the first `folds` column folds touch."""
        last_slot = np.minimum(folds * self.groups, len(self.first)) - 1
        return np.asarray(last_slot // (len(self.first) // self.blocks) + 1)

    def channel_range(self, first_fold: int, end_fold: int) -> tuple[int, int]:
        """Output channels [first, end) that the column folds [first_fold, end_fold) hold."""
        last_slot = min(end_fold * self.groups, len(self.first)) - 1
        return int(self.first[first_fold * self.groups]), int(self.end[last_slot])


def slots(layer: Layer, cols: int, column_groups: int) -> Slots:
    """Slots of `layer` on an array of `cols` columns in `column_groups` equal groups."""
    width = cols // column_groups
    blocks = layer.groups * layer.base_groups
    channels = layer.out_channels // blocks
    offsets = np.arange(0, channels, width)
    starts = np.arange(blocks)[:, None] * channels
    first = (starts + offsets).ravel()
    end = (starts + np.minimum(offsets + width, channels)).ravel()
    return Slots(width, column_groups, blocks, first.astype(np.int64), end.astype(np.int64))
