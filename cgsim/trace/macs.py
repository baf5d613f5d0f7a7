"""How many MACs a layer executes when its gates say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cgsim.trace.network import Layer, Network


def executed_macs(layer: Layer, on: NDArray[np.int64]) -> NDArray[np.int64]:
    """Executed MACs per sample, gate network included, from the number of gates that are on, int64[S].

    `activation`: M N K_base + on K_conditional; `pixel`: on N K; `channel` and `static`: on M K (what
    the switched-off channels save in the *next* layer is not counted); `none`: all of them.
    """
    if layer.gate == "activation":
        fixed, each = layer.pixels * layer.out_channels * layer.base_reduction, layer.conditional_reduction
    elif layer.gate == "pixel":
        fixed, each = 0, layer.out_channels * layer.reduction
    elif layer.gate in ("channel", "static"):
        fixed, each = 0, layer.pixels * layer.reduction
    else:
        fixed, each = layer.dense_macs, 0
    return np.asarray(on, dtype=np.int64) * each + (fixed + layer.gate_network_macs)


def total_executed_macs(network: Network, on: Mapping[str, float], samples: int = 1) -> float:
    """Executed MACs of a whole network over `samples` samples, gate networks included.

    `on` is the number of gates that are on by layer, summed over the samples (0 for layers that it does
    not name); with integers the result is exact.
    """
    total: float = 0
    for layer in network.layers:
        none, one = executed_macs(layer, np.array([0, 1])).tolist()
        total += none * samples + (one - none) * on.get(layer.name, 0)
    return total


def flop_reduction_of(network: Network, on: Mapping[str, float], samples: int = 1) -> float | None:
    """Dense MACs over executed MACs, `on` as in `total_executed_macs`; None where nothing is executed."""
    executed = total_executed_macs(network, on, samples)
    return network.dense_macs * samples / executed if executed else None


def gate_count(layer: Layer) -> int:
    """Number of gates of one sample (0 for `none`)."""
    return int(np.prod(layer.gate_shape)) if layer.gate != "none" else 0
