"""Which layers the accelerator executes as one operation: residual additions ride on a convolution."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cgsim.mapping.layout import input_cuts
from cgsim.trace.network import Layer, Network


@dataclass(frozen=True)
class Operation:
    """A layer with the residual additions that the vector unit does on its results before the store.

    `residuals` counts the operands that are read for them; each has the size of the layer's output.
    `output_cuts`: channels at which the base channels of the first layer that reads the result begin or end.
    """

    layer: Layer
    fused: tuple[str, ...] = ()
    residuals: int = 0
    output_cuts: tuple[int, ...] = ()

    def ungated(self) -> Operation:
        """The same operation without gates (one path over the whole reduction) and without names."""
        layer = replace(self.layer, name="", producers=(), gate="none", base_channels=0, base_groups=1)
        return Operation(replace(layer, gate_network_macs=0), (), self.residuals)


def operations(network: Network) -> tuple[Operation, ...]:
    """Operations of `network` in execution order.

    An addition is fused into its producer that executes last, if that runs on the array, computes all its
    channels, and nobody else reads it: every other operand is then complete, and the sum replaces the
    producer's output.
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
        target = host.get(last, last)
        hosts = target in order and network.by_name[target].on_array
        if hosts and network.by_name[target].gate not in ("channel", "static") and readers[last] == 1:
            host[layer.name] = target
            fused.setdefault(target, []).append(layer)
    return tuple(
        Operation(
            layer,
            tuple(add.name for add in fused.get(layer.name, ())),
            sum(len(add.producers) - 1 for add in fused.get(layer.name, ())),
            _cuts(fused.get(layer.name, [layer])[-1], network),
        )
        for layer in network.layers
        if layer.name not in host
    )


def _cuts(result: Layer, network: Network) -> tuple[int, ...]:
    for reader in network.layers:
        if result.name in reader.producers and reader.on_array:
            return input_cuts(reader)
    return ()
