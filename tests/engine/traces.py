"""Small traces of chosen gates, and the columns of their runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cgsim.engine.columns import COLUMNS
from cgsim.trace import Layer, Metadata, Network, Sample, Trace, TraceWriter, load_trace

Gates = dict[str, np.ndarray]
Columns = dict[str, np.ndarray]
COUNTED = [column.name for column in COLUMNS if column.unit in ("cycles", "bytes")]


def traced(folder: Path, network: Network, gates: Gates, samples: int) -> Trace:
    """A trace of gates bool [S, *gate_shape], [N] for `static`."""
    path = folder / f"{network.name}.trace.parquet"
    static = {layer.name: gates[layer.name] for layer in network.layers if layer.gate == "static"}
    with TraceWriter(path, network, Metadata("net", "user"), static=static) as writer:
        for index in range(samples):
            own = {name: bits[index] for name, bits in gates.items() if name not in static}
            writer.append(Sample(str(index)), own)
    return load_trace(path)


def without_gates(network: Network) -> Network:
    """The same network never gated: without gates, and without networks that compute them for nobody."""
    read = {name for layer in network.layers for name in layer.producers}
    bare = {
        "gate": "none",
        "base_channels": 0,
        "base_groups": 1,
        "gate_network_macs": 0,
        "gate_network_weights": 0,
        "off_outputs": "zero",
    }
    layers = [replace(layer, **bare) for layer in network.layers]
    kept = [layer for layer in layers if layer.operator != "gate_network" or layer.name in read]
    return Network(network.name, tuple(kept))


def rows(columns: Columns, name: str, layer: str) -> np.ndarray:
    """What a column says of a layer, one value per sample."""
    return columns[name][columns["layer"] == layer]


def conv(name: str, producer: str, inputs: int, outputs: int, **more: Any) -> Layer:
    """A 3 x 3 convolution of 5 x 5 pixels."""
    shapes = (inputs, 5, 5), (outputs, 5, 5)
    return Layer(name, "conv2d", *shapes, (3, 3), padding=(1, 1), producers=(producer,), **more)
