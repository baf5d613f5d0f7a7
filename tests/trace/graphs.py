"""Random networks in which channels are gated off for those who read them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st

from cgsim.trace import INPUT, Layer, Network

SIZE = 4


@st.composite
def networks(draw: st.DrawFn, most: int = 7) -> Network:
    """Up to `most` layers of every operator and granularity on 4 x 4 images, a linear layer at the end."""
    shapes = {INPUT: (draw(st.integers(1, 4)), SIZE, SIZE)}
    layers: list[Layer] = []
    for index in range(draw(st.integers(2, most))):
        producer = draw(st.sampled_from(list(shapes)))
        kind = draw(st.sampled_from(["conv2d", "conv2d", "conv2d", "add", "pool", "global_pool"]))
        name = f"{kind}{index}"
        if kind == "conv2d":
            layer = draw(convolutions(name, producer, shapes[producer]))
        elif kind == "add":
            alike = [other for other, shape in shapes.items() if shape == shapes[producer]]
            operands = (producer, *draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2)))
            layer = Layer(name, "add", shapes[producer], shapes[producer], producers=operands)
        elif kind == "pool":
            same = shapes[producer]
            layer = Layer(name, "pool", same, same, (3, 3), padding=(1, 1), producers=(producer,))
        else:
            out = (shapes[producer][0], 1, 1)
            layer = Layer(name, "global_pool", shapes[producer], out, producers=(producer,))
        layers.append(layer)
        shapes[name] = layer.out_shape
    producer = draw(st.sampled_from(list(shapes)))
    inputs = int(np.prod(shapes[producer]))
    gate = draw(st.sampled_from(["none", "channel", "static", "pixel"]))
    layers.append(Layer("fc", "linear", (inputs, 1, 1), (3, 1, 1), producers=(producer,), gate=gate))
    return Network("random", tuple(layers))


@st.composite
def convolutions(draw: st.DrawFn, name: str, producer: str, in_shape: tuple[int, int, int]) -> Layer:
    """A convolution that keeps the image's size: grouped, depthwise, split or not, of any granularity."""
    inputs = in_shape[0]
    groups = draw(st.sampled_from([g for g in (1, 2, 3, 4, inputs) if inputs % g == 0]))
    own = inputs // groups
    gate = draw(st.sampled_from(["none", "channel", "channel", "static", "pixel", "activation"]))
    base, bases = 0, 1
    if gate == "activation" and own == 1:
        gate = "channel"
    if gate == "activation":
        base = draw(st.integers(1, own - 1))
        bases = draw(st.integers(1, own // base))
    outputs = groups * bases * draw(st.integers(1, 2))
    kernel = draw(st.sampled_from([1, 3])) if in_shape[1] > 1 else 1
    return Layer(
        name,
        "conv2d",
        in_shape,
        (outputs, *in_shape[1:]),
        (kernel, kernel),
        padding=(kernel // 2, kernel // 2),
        groups=groups,
        producers=(producer,),
        gate=gate,  # type: ignore[arg-type]
        base_channels=base,
        base_groups=bases,
        gate_network_macs=draw(st.sampled_from([0, 7])),
    )


def random_gates(network: Network, samples: int, seed: int, density: float) -> dict[str, np.ndarray]:
    """Bool gates [S, *gate_shape] ([N] for static) for every gated layer."""
    rng = np.random.default_rng(seed)
    return {
        layer.name: rng.random((*([] if layer.gate == "static" else [samples]), *layer.gate_shape)) < density
        for layer in network.layers
        if layer.gate != "none"
    }


@dataclasses.dataclass(frozen=True)
class Counted:
    """What the slow twin found for one sample."""

    channels: dict[str, list[bool]]
    inputs: dict[str, list[bool]]
    macs: dict[str, int]


def count_one_by_one(network: Network, gates: dict[str, np.ndarray], sample: int) -> Counted:
    """Look at every multiplication of one sample by itself (docs/trace-format.md)."""
    found = Counted({}, {}, {})
    for layer in network.layers:
        values = [_read(network, found, layer, name) for name in layer.producers]
        inputs = [any(operands) for operands in zip(*values, strict=True)]
        bits: Any = gates.get(layer.name)
        if bits is not None and layer.gate != "static":
            bits = bits[sample]
        found.inputs[layer.name] = inputs
        found.macs[layer.name] = layer.gate_network_macs
        if layer.on_array:
            for channel in range(layer.out_channels):
                for pixel in range(layer.pixels):
                    found.macs[layer.name] += _multiplications(layer, inputs, bits, channel, pixel)
        if layer.gate in ("channel", "static"):
            found.channels[layer.name] = [bool(bit) for bit in bits]
        elif layer.on_array or layer.operator == "gate_network":
            found.channels[layer.name] = [True] * layer.out_channels
        else:
            found.channels[layer.name] = inputs
    return found


def _read(network: Network, found: Counted, layer: Layer, producer: str) -> list[bool]:
    """Which input channels of `layer` this producer fills with anything but zeros."""
    if producer == INPUT:
        return [True] * layer.in_shape[0]
    _, height, width = network.by_name[producer].out_shape
    flat = network.by_name[producer].out_shape != layer.in_shape
    return [on for on in found.channels[producer] for _ in range(height * width if flat else 1)]


def _multiplications(layer: Layer, inputs: list[bool], bits: Any, channel: int, pixel: int) -> int:
    """MACs behind one output."""
    own = layer.in_shape[0] // layer.groups
    each = layer.out_channels // layer.groups
    group = channel // each
    block = channel % each // (each // layer.base_groups)
    on = {
        "none": lambda: True,
        "pixel": lambda: bits[pixel],
        "activation": lambda: bits[channel, pixel],
        "channel": lambda: bits[channel],
        "static": lambda: bits[channel],
    }[layer.gate]()
    count = 0
    for index in range(own):
        base = layer.base_channels and index // layer.base_channels == block
        if inputs[group * own + index] and (on or base):
            count += layer.kernel[0] * layer.kernel[1]
    return count
