"""Looking at a trace: what it holds, and whether all of it is intact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.errors import CgsimError
from cgsim.trace.reader import load_trace

if TYPE_CHECKING:
    import os

    from cgsim.trace.reader import Trace


def check_trace(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read all of a trace and verify it; returns `info`. Raises CgsimError naming file and layer.

    Beyond what opening checks: digest and padding of every row, and the FLOP reduction in the metadata
    against the gates.
    """
    trace = load_trace(path)
    real, told = trace.flop_reduction(), trace.metadata.flop_reduction
    if (real is None) != (told is None) or (real is not None and abs(real - (told or 0)) > 1e-9 * real):
        raise CgsimError(f"{trace.path}: metadata: 'flop_reduction' is {told}, but the gates give {real}")
    return info(trace)


def info(trace: Trace) -> dict[str, Any]:
    """Network, provenance and sizes as a JSON-able dictionary; reads no gates."""
    metadata = trace.metadata
    return {
        "path": trace.path,
        "format_version": metadata.format_version,
        "checksum": trace.checksum,
        "samples": trace.n_samples,
        "network": trace.network.name,
        **metadata.to_json(),
        "dense_macs": trace.network.dense_macs,
        "gated_layers": len(trace.gated_layers),
        "gate_bytes_per_sample": sum(layer.packed_bytes for layer in trace.network.layers),
        "layers": [
            {
                "layer": layer.name,
                "operator": layer.operator,
                "in_shape": list(layer.in_shape),
                "out_shape": list(layer.out_shape),
                "gate": layer.gate,
                "base_channels": layer.base_channels,
                "base_groups": layer.base_groups,
                "gate_network_macs": layer.gate_network_macs,
                "gate_network_weights": layer.deciding_weights,
                "inputs_gated_by": list(trace.network.input_sources(layer)),
                "dense_macs": layer.dense_macs,
            }
            for layer in trace.network.layers
        ],
    }
