"""What figures per layer are made of: sums over the samples of a table of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cgsim.engine.columns import MODES
from cgsim.results import derive
from cgsim.results.figures.columns import numbers, taken

if TYPE_CHECKING:
    from cgsim.results.figures.columns import Table

COUNTED = tuple(f"{mode}_{what}" for what in ("cycles", "macs") for mode in MODES)


class LayerSums:
    """Columns of `run.layers`, taken and summed.

    Args:
        table: a row per sample and layer: `run.layers`, or `run.columns`.
        needs: counted columns besides cycles and MACs.
        figure: who asks, for messages.

    Raises:
        CgsimError: a column is missing or holds no numbers, or the rows are not in their order.
    """

    def __init__(self, table: Table, needs: Sequence[str], figure: str) -> None:
        told = taken(table, ("sample", "layer"), figure)
        count = derive.layers_per_sample(told["sample"], told["layer"])
        self.columns = numbers(table, (*COUNTED, *needs), figure) | told
        self.names = [str(name) for name in told["layer"][:count]]
        self.samples = len(told["sample"]) // count
        own = {name: v.reshape(-1, count) for name, v in self.columns.items() if name not in told}
        self.layers = _with_ratios({name: values.sum(axis=0) for name, values in own.items()})
        """Sums over the samples, [layers] each, with `speedup` and `flop_reduction`."""
        self.per_sample = _with_ratios({name: values.sum(axis=1) for name, values in own.items()})
        """Sums over the layers, [samples] each."""
        total = {name: np.asarray(values.sum()) for name, values in own.items()}
        self.total = {name: float(value) for name, value in _with_ratios(total).items()}


def _with_ratios(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    sums["speedup"] = derive.ratio(sums["dense_cycles"], sums["gated_cycles"])
    sums["flop_reduction"] = derive.ratio(sums["dense_macs"], sums["gated_macs"])
    return sums
