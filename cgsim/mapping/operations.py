"""Which layers the accelerator executes as one operation: residual additions ride on a convolution."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from cgsim.mapping.layout import input_cuts
from cgsim.trace.network import Layer, Network

WHOLE_CHANNELS = frozenset({"channel", "static"})
"""Kinds of gates of whole channels."""


@dataclass(frozen=True)
class Operation:
    """A layer with the residual additions that the vector unit does on its results before the store.

    `residuals` counts the operands that are read for them; each has the size of the layer's output.
    `output_cuts`: channels at which the base channels of the first layer that reads the result begin or end;
    `input_cuts`: those of the first that reads the input, for a gather. `result_channels`: where a partial
    addition is executed, channels of the tensor whose first ones it changes, else 0. Of a partial addition
    that nothing hosts the `layer` has those channels only.
    """

    layer: Layer
    fused: tuple[str, ...] = ()
    residuals: int = 0
    output_cuts: tuple[int, ...] = ()
    input_cuts: tuple[int, ...] = ()
    result_channels: int = 0

    def ungated(self) -> Operation:
        """The same operation without gates (one path over the whole reduction) and without names."""
        layer = replace(self.layer, name="", producers=(), gate="none", base_channels=0, base_groups=1)
        layer = replace(layer, gate_network_macs=0)
        return Operation(layer, (), self.residuals, result_channels=self.result_channels)


def operations(network: Network, skipped: Collection[str] = WHOLE_CHANNELS) -> tuple[Operation, ...]:
    """Operations of `network` in execution order; gates of the kinds `skipped` leave channels uncomputed.

    An addition is fused into its producer that executes last, if that runs on the array, computes all its
    channels, and nobody else reads it: every other operand is then complete, and the sum replaces the
    producer's output. A partial addition goes to the producer of its few channels, which alone are then
    computed, read and stored; the others stay where they are.
    """
    order = {layer.name: position for position, layer in enumerate(network.layers)}
    readers: dict[str, int] = {}
    for layer in network.layers:
        for producer in layer.producers:
            readers[producer] = readers.get(producer, 0) + 1

    host: dict[str, str] = {}  # an addition, and the layer whose results it works on
    fused: dict[str, list[Layer]] = {}
    for layer in network.layers:
        if layer.operator != "add":
            continue
        last = max(layer.producers, key=lambda name: order.get(name, -1))
        if network.is_partial(layer) and last != layer.producers[-1]:
            continue
        if last in host and network.is_partial(network.by_name[last]):
            continue
        target = host.get(last, last)
        hosts = target in order and network.by_name[target].on_array
        if hosts and network.by_name[target].gate not in skipped and readers[last] == 1:
            host[layer.name] = target
            fused.setdefault(target, []).append(layer)
    return tuple(
        _operation(layer, fused.get(layer.name, []), network)
        for layer in network.layers
        if layer.name not in host
    )


def _operation(layer: Layer, added: list[Layer], network: Network) -> Operation:
    result = added[-1] if added else layer
    partial = network.is_partial(result)
    own = layer
    if partial and not added:
        shape = (network.added_channels(layer), *layer.out_shape[1:])
        own = replace(layer, in_shape=shape, out_shape=shape)
    gathers = layer.operator == "gather" and layer.producers
    return Operation(
        own,
        tuple(add.name for add in added),
        sum(len(add.producers) - 1 for add in added),
        _cuts(result.name, network),
        _cuts(layer.producers[0], network) if gathers else (),
        result.out_channels if partial else 0,
    )


def _cuts(result: str, network: Network) -> tuple[int, ...]:
    for reader in network.layers:
        if result in reader.producers and reader.on_array:
            return input_cuts(reader)
    return ()
