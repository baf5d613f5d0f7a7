"""The ungated network of a trace: the same layers without gates, as a network that was never gated has them.

A run's dense execution costs the same; this is for networks of which nothing else is to be run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from cgsim.engine.run import run as replay
from cgsim.hardware import Hardware
from cgsim.results import Run, provenance
from cgsim.trace import Trace
from cgsim.trace.network import Network


def has_ungated_twin(network: Network) -> bool:
    """Return whether the network without gates is the ungated one: not if it gathers channels."""
    return all(layer.operator != "gather" for layer in network.layers)


def ungated_run(trace: Trace, hardware: Hardware, samples: np.ndarray) -> Run:
    """Simulate the ungated network of `trace`, as often as there are `samples`."""
    counts = replay(_Ungated(trace), hardware, samples.tolist())
    return Run(counts.columns, provenance=provenance(trace, hardware))


def without_gates(network: Network) -> Network:
    """Return the network without gates, and without the networks that compute them."""
    read = {name for layer in network.layers for name in layer.producers}
    return Network(
        network.name,
        tuple(
            replace(
                layer, gate="none", base_channels=0, base_groups=1, gate_network_macs=0, off_outputs="zero"
            )
            for layer in network.layers
            if layer.operator != "gate_network" or layer.name in read
        ),
    )


@dataclass(frozen=True)
class _Ungated:
    """What the engine reads of a trace without gates (`cgsim.engine.gates.Gates`)."""

    trace: Trace

    @cached_property
    def network(self) -> Network:
        return without_gates(self.trace.network)

    @property
    def n_samples(self) -> int:
        return self.trace.n_samples

    @property
    def checksum(self) -> str:
        return f"{self.trace.checksum} ungated"

    def gates(self, layer_name: str, samples: Any = None) -> np.ndarray:  # noqa: ARG002
        raise AssertionError(f"{layer_name}: no gates")

    def channels_on(self, layer_name: str, samples: Any = None) -> np.ndarray:
        count = self.n_samples if samples is None else len(samples)
        return np.ones((count, self.network.by_name[layer_name].out_channels), dtype=np.bool_)

    def inputs_on(self, layer_name: str, samples: Any = None) -> None:  # noqa: ARG002
        return None

    def gated_macs(self, layer_name: str) -> np.ndarray:
        return np.full(self.n_samples, self.network.by_name[layer_name].dense_macs, dtype=np.int64)
