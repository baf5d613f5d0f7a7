"""How many MACs a layer executes when its gates, and those of the layers it reads, say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsim.trace.channels import inputs_on
from cgsim.trace.pack import count_bits, unpack_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from cgsim.trace.network import Layer, Network


@dataclass(frozen=True)
class Tally:
    """What the gates of a number of samples amount to, by layer name, int64 [S] each."""

    on: dict[str, NDArray[np.int64]]
    """Gates that are on; layers without gates are left out."""
    macs: dict[str, NDArray[np.int64]]
    """Executed MACs, gate network included."""


def gate_count(layer: Layer) -> int:
    """Number of gates of one sample (0 for `none`)."""
    return int(np.prod(layer.gate_shape)) if layer.gate != "none" else 0


def parts(layer: Layer) -> int:
    """P: parts in which the gates of a layer are counted, as different inputs belong to them.

    The output channels of one convolution group and base group make a part, in channel order; `pixel`
    gates belong to all channels, so they make one.
    """
    return 1 if layer.gate == "pixel" else layer.groups * layer.base_groups


def count_parts(layer: Layer, packed: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Gates that are on in each part, int64 [S, P]; `packed` uint8 [S, N, B] or [S, B] (`Trace.packed`)."""
    if layer.gate == "pixel":
        return count_bits(packed)[:, None]
    if layer.gate == "activation":
        ones = np.bitwise_count(packed)
    else:
        ones = unpack_bits(packed, layer.gated_channels).view(np.uint8)
    return ones.reshape(len(packed), parts(layer), -1).sum(axis=2, dtype=np.int64)


def executed_macs(
    layer: Layer, on: NDArray[np.int64], inputs: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Executed MACs per sample, gate network included, int64 [S].

    `on` counts the gates that are on, [S], or [S, P] by part (`count_parts`). K counts inputs that are
    on: bool [S, Cin], all of them without `inputs`; with `inputs`, `on` must be given by part.
    `activation`: M N K_base + on K_conditional; `pixel`: on N K; `channel` and `static`: on M K; `none`:
    M N K. A layer that is no GEMM has only its gate network's.
    """
    counts = np.asarray(on, dtype=np.int64)
    if not layer.on_array:
        return np.full(len(counts), layer.gate_network_macs, dtype=np.int64)
    if inputs is not None:
        return _macs_of_inputs(layer, counts, inputs) + layer.gate_network_macs
    if layer.gate == "activation":
        fixed, each = layer.pixels * layer.out_channels * layer.base_reduction, layer.conditional_reduction
    elif layer.gate == "pixel":
        fixed, each = 0, layer.out_channels * layer.reduction
    elif layer.gate in ("channel", "static"):
        fixed, each = 0, layer.pixels * layer.reduction
    else:
        fixed, each = layer.dense_macs, 0
    total = counts if counts.ndim == 1 else counts.sum(axis=1)
    return total * each + (fixed + layer.gate_network_macs)


def _macs_of_inputs(layer: Layer, on: NDArray[np.int64], inputs: NDArray[np.bool_]) -> NDArray[np.int64]:
    """MACs of the inputs that are on, without gate network; `on` [S, P] (ignored without gates)."""
    if not layer.on_array:
        return np.zeros(len(inputs), dtype=np.int64)
    taps = layer.kernel[0] * layer.kernel[1]
    grouped = inputs.reshape(len(inputs), layer.groups, -1)
    every = grouped.sum(axis=2, dtype=np.int64)
    each = layer.out_channels // layer.groups
    if layer.gate == "activation":
        bases = layer.base_groups
        base = grouped[:, :, : bases * layer.base_channels].reshape(*every.shape, bases, -1)
        base_on = base.sum(axis=3, dtype=np.int64)
        rest = (every[:, :, None] - base_on) * on.reshape(-1, layer.groups, bases)
        products = layer.pixels * (each // bases) * base_on.sum(axis=(1, 2)) + rest.sum(axis=(1, 2))
    elif layer.gate == "pixel":
        products = on[:, 0] * each * every.sum(axis=1)
    elif layer.gate in ("channel", "static"):
        products = layer.pixels * (on * every).sum(axis=1)
    else:
        products = layer.pixels * each * every.sum(axis=1)
    return np.asarray(products * taps)


def network_macs(
    network: Network,
    samples: int,
    on: Mapping[str, NDArray[np.int64]],
    channel_gates: Callable[[str], NDArray[np.uint8]],
) -> dict[str, NDArray[np.int64]]:
    """Executed MACs of every layer in each of `samples` samples, int64 [S].

    `on` has the gates that are on by part for each gated layer, int64 [S, P] or [1, P] (`count_parts`);
    `channel_gates` returns the packed gates of a layer with `channel` or `static` gates by its name.
    """
    found = {}
    for layer in network.layers:
        counts = np.broadcast_to(on.get(layer.name, np.zeros((1, 1), np.int64)), (samples, parts(layer)))
        found[layer.name] = executed_macs(layer, counts, inputs_on(network, layer, samples, channel_gates))
    return found


def tally(network: Network, samples: int, packed: Callable[[str], NDArray[np.uint8]]) -> Tally:
    """Gates on and MACs executed in `samples` samples; `packed` returns a layer's gates (`Trace.packed`)."""
    counts = {}
    for layer in network.layers:
        if layer.gate != "none":
            gates = packed(layer.name)
            counts[layer.name] = count_parts(layer, gates[None] if layer.gate == "static" else gates)
    on = {name: np.broadcast_to(found.sum(axis=1), samples).copy() for name, found in counts.items()}
    return Tally(on, network_macs(network, samples, counts, packed))


def flop_reduction(network: Network, executed: float, samples: int = 1) -> float | None:
    """Dense MACs over executed MACs, which are summed over layers and samples; None if none are executed."""
    return network.dense_macs * samples / executed if executed else None


def expected_macs(
    network: Network, density: Mapping[str, float], same: Mapping[str, str] | None = None
) -> float:
    """Expected MACs of one sample, gate networks included, if gates were independent between layers.

    `density` is the share of gates that are on by layer (1 for layers that it does not name). Exact where
    it is 0 or 1 throughout. Layers that `same` maps to one name have the same gates.
    """
    total = 0.0
    for layer in network.layers:
        off, sources = 1.0, network.input_sources(layer)
        for name in {(same or {}).get(name, name) for name in sources}:
            off *= 1 - density.get(name, 1.0)
        read = 1 - off if sources else 1.0
        base = layer.base_reduction / layer.reduction if layer.gate in ("activation", "pixel") else 0.0
        share = base + (1 - base) * density.get(layer.name, 1.0)
        total += layer.dense_macs * share * read + layer.gate_network_macs
    return total
