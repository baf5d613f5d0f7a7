"""Which channels of a network are the same: those that are added up, pooled or convolved one by one."""

from __future__ import annotations

from cgsim.trace.network import INPUT, Layer, Network


def is_depthwise(layer: Layer) -> bool:
    """True for a convolution of which each channel reads the one channel of its number."""
    return layer.operator == "conv2d" and 1 < layer.groups == layer.in_shape[0] == layer.out_channels


def tied_channels(network: Network) -> dict[str, str]:
    """For INPUT and every layer the name of the last layer that is tied to it, or its own.

    Channel i of two layers with the same name is one channel: all that read the one read the other, or
    their sum. Depthwise convolutions, and what the array does not compute (sums, pools), tie their result to
    what they read; all other layers mix channels and begin anew.
    """
    last = {INPUT: INPUT}

    def root(name: str) -> str:
        while last[name] != name:
            name = last[name]
        return name

    for layer in network.layers:
        last[layer.name] = layer.name
        if not layer.on_array or is_depthwise(layer):
            for producer in layer.producers:
                last[root(producer)] = layer.name
    return {name: root(name) for name in last}


def outermost(network: Network) -> list[str]:
    """INPUT and the layers that nobody reads: their channels have a meaning outside of the network."""
    read = {producer for layer in network.layers for producer in layer.producers}
    return [INPUT, *(layer.name for layer in network.layers if layer.name not in read)]
