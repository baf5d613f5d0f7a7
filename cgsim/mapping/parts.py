"""How the reduction of a layer is cut: which inputs a phase streams together, and for which outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cgsim.trace.network import Layer

FIRST, END, SKIP_FIRST, SKIP_END, LENGTH = range(5)
"""Fields of a part: it is used by the output channels [FIRST, END) without [SKIP_FIRST, SKIP_END), and LENGTH
is its share of the reduction."""


def parts(layer: Layer, dataflow: str) -> tuple[np.ndarray, np.ndarray]:
    """Parts of the base and of the conditional phase, int64 [P, 5] each; empty where there is no such phase.

    `ws`, `os`: each column reads its own inputs, so a phase has one part. `is`: an input channel lies in one
    row for all filters that read it, so the inputs of a convolution group are cut where filters differ: a
    part per base group, and one for the inputs that are in nobody's base.
    """
    everyone = (0, layer.out_channels, 0, 0)
    base, late = layer.base_reduction, layer.conditional_reduction
    if dataflow != "is":
        return _array([(*everyone, base)] if base else []), _array([(*everyone, late)] if late else [])
    channels = layer.out_channels // layer.groups
    groups = [(g * channels, (g + 1) * channels) for g in range(layer.groups)]
    if not (base and late):
        whole = _array([(first, end, 0, 0, base + late) for first, end in groups])
        return (whole, _array([])) if base else (_array([]), whole)
    block = channels // layer.base_groups
    taps = layer.kernel[0] * layer.kernel[1]
    leftover = layer.reduction - layer.base_groups * base
    base_parts, late_parts = [], []
    for first, end in groups:
        for start in range(first, end, block):
            base_parts.append((start, start + block, 0, 0, layer.base_channels * taps))
            if layer.base_groups > 1:
                late_parts.append((first, end, start, start + block, layer.base_channels * taps))
        if leftover:
            late_parts.append((first, end, 0, 0, leftover))
    return _array(base_parts), _array(late_parts)


def row_folds(phase: np.ndarray, rows: int) -> int:
    """Row folds of a phase: each part is cut into slices of at most `rows`."""
    return int(np.sum(-(-phase[:, LENGTH] // rows)))


def _array(found: Sequence[tuple[int, ...]]) -> np.ndarray:
    return np.array(found, np.int64).reshape(-1, 5)
