"""Scales of activations, found on training images: powers of two that lose the least."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.data import ImageSet
from cgsim.models.evaluation import Normalize
from cgsim.models.integer import HIGHEST

BINS = 4096
MARGIN = 4
"""Scales down to 2^-MARGIN of the one that cuts nothing off are tried."""

Observed = dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]]
"""Name of a value -> the module whose output it is, and what is applied to that output."""


@torch.no_grad()
def calibrate(
    model: nn.Module, data: ImageSet, normalize: Normalize, observed: Observed, batch_size: int = 250
) -> dict[str, float]:
    """The scale of each observed value (and of "input"): what one of its int8 steps is worth.

    One pass finds the largest magnitude of each value, a second its histogram; of all powers of two the
    one with the least mean squared error of rounding and cutting is taken. Such a choice does not depend on
    the last bits of float sums, so that it is the same on every machine. Raises CgsimError if a value is
    not finite.
    """
    largest: dict[str, float] = {}
    counts: dict[str, Tensor] = {}

    def measure(name: str, value: Tensor) -> None:
        top = float(value.abs().max())
        if not math.isfinite(top):
            raise CgsimError(f"quantize: {name}: its largest value on the calibration images is {top}")
        largest[name] = max(largest.get(name, 0.0), top)

    def count(name: str, value: Tensor) -> None:
        top = largest[name] or 1.0
        found = torch.histc(value.abs().flatten().float(), BINS, 0, top).double()
        counts[name] = counts[name] + found if name in counts else found

    for look in (measure, count):
        handles = [
            module.register_forward_hook(_hook(name, change, look))
            for name, (module, change) in observed.items()
        ]
        try:
            for start in range(0, len(data), batch_size):
                x = normalize(data.images[start : start + batch_size])
                look("input", x)
                model(x.contiguous(memory_format=torch.channels_last))
        finally:
            for handle in handles:
                handle.remove()
    return {name: best_scale(found, largest[name]) for name, found in counts.items()}


def best_scale(counts: Tensor, largest: float) -> float:
    """The power of two with the least squared error for magnitudes counted in equal bins up to `largest`."""
    if largest == 0:
        return 1.0
    centres = (torch.arange(len(counts), dtype=torch.float64) + 0.5) * (largest / len(counts))
    top = math.ceil(math.log2(largest / HIGHEST))  # cuts nothing off
    candidates = [2.0**exponent for exponent in range(top, top - MARGIN - 1, -1)]

    def error(scale: float) -> float:
        steps = (centres / scale).round().clamp(max=HIGHEST)
        return float((counts * (steps * scale - centres).square()).sum())

    return min(candidates, key=error)


def _hook(
    name: str, change: Callable[[Tensor], Tensor], look: Callable[[str, Tensor], None]
) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        look(name, change(output))

    return hook
