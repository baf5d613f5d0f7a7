"""Where in DRAM the channels lie that a gather takes, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.layout import blocks_of
from cgsim.mapping.operations import Operation


def gathered_pieces(
    operation: Operation, hardware: Hardware, picks: np.ndarray, rows: int
) -> Iterator[np.ndarray]:
    """Per tile of `rows` rows the pieces that it loads, int64 [n, 2]: first bit, bits; sample by sample.

    `picks` bool [samples, channels]. The input lies as the layers on the array expect it (`blocks_of`); a
    tile takes sample, block, row, column, channel in this order, what adjoins as one piece.
    """
    layer = operation.layer
    _, height, width = layer.in_shape
    bits = layer.activation_bits
    blocks, size = blocks_of(layer.in_shape, operation.input_cuts, bits, hardware)
    for sample, taken in enumerate(picks):
        for row in range(0, height, rows):
            pixels = np.arange(row * width, min(row + rows, height) * width)
            found = []
            for first, end, place in blocks.tolist():
                ends = np.flatnonzero(np.diff(taken[first:end].astype(np.int8), prepend=0, append=0))
                starts, lengths = ends[::2], np.diff(ends)[::2]
                at = sample * size + place + (pixels[:, None] * (end - first) + starts) * bits
                own = np.stack([at, np.broadcast_to(lengths * bits, at.shape)], axis=2)
                found.append(own.reshape(-1, 2))
            yield _joined(np.concatenate(found))


def _joined(pieces: np.ndarray) -> np.ndarray:
    """The pieces in the same order, those that adjoin as one."""
    if not len(pieces):
        return pieces
    ends = pieces[:, 0] + pieces[:, 1]
    first = np.flatnonzero(np.concatenate([[True], pieces[1:, 0] != ends[:-1]]))
    last = np.append(first[1:], len(pieces)) - 1
    return np.stack([pieces[first, 0], ends[last] - pieces[first, 0]], axis=1)
