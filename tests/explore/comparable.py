"""Small traces of every method, to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cgsim.trace import Metadata, Sample, TraceWriter, tiny_network

GRANULARITY = {
    "dense": "none",
    "cgnet": "activation",
    "batch-shaping": "channel",
    "gate-decorator": "static",
    "user": "pixel",
}


def write(
    path: Path, method: str, *, samples: int = 4, seed: int = 0, size: int = 6, channels: int = 8, **told: Any
) -> str:
    """Write a trace of the tiny network with random gates; `told` goes into its metadata."""
    gate = GRANULARITY[method]
    network = tiny_network(
        channels, size=size, gated=gate != "none", **({} if gate == "none" else {"gate": gate})
    )
    rng = np.random.default_rng(seed)
    gated = [layer for layer in network.layers if layer.gate != "none"]
    static = {layer.name: rng.random(layer.gate_shape) < 0.6 for layer in gated if layer.gate == "static"}
    keys = {"model": "tiny", "method": method, "dataset": "photos"}
    with TraceWriter(path, network, Metadata(**(keys | told)), static=static) as writer:
        for index in range(samples):
            share = rng.uniform(0.2, 0.6)  # images differ in how many of their gates are on
            sampled = [layer for layer in gated if layer.gate != "static"]
            writer.append(
                Sample(f"image-{index}"),
                {layer.name: rng.random(layer.gate_shape) < share for layer in sampled},
            )
    return str(path)
