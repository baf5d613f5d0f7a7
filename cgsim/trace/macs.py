"""How many MACs a layer executes when its gates say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsim.trace.network import Layer


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


def gate_count(layer: Layer) -> int:
    """Number of gates of one sample (0 for `none`)."""
    return int(np.prod(layer.gate_shape)) if layer.gate != "none" else 0
