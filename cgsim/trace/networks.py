"""Networks by name, as descriptions only: no weights, no framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.errors import CgsimError, nearest
from cgsim.trace.network import GRANULARITIES, INPUT, Granularity, Layer, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Builder:
    """Appends layers and works out their shapes; every method returns the new layer's name."""

    def __init__(self, in_shape: tuple[int, int, int]) -> None:
        """Start from the shape of the network's input."""
        self.layers: list[Layer] = []
        self._shapes = {INPUT: in_shape}

    def conv(
        self,
        name: str,
        producer: str,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        gate: Granularity = "none",
        p: int = 0,
        gate_network_macs: int = 0,
    ) -> str:
        """A convolution; p > 0 splits its input channels for CGNet with p base groups."""
        shape = self._shapes[producer]
        pad = kernel // 2 if padding is None else padding
        layer = Layer(
            name=name,
            operator="conv2d",
            in_shape=shape,
            out_shape=(channels, *_sizes(shape, kernel, stride, pad)),
            kernel=(kernel, kernel),
            stride=(stride, stride),
            padding=(pad, pad),
            producers=(producer,),
            gate=gate if not p else "activation",
            base_channels=shape[0] // p if p else 0,
            base_groups=p or 1,
            gate_network_macs=gate_network_macs,
        )
        return self._append(layer)

    def pool(self, name: str, producer: str, kernel: int, stride: int, padding: int) -> str:
        """A pooling layer."""
        shape = self._shapes[producer]
        out = (shape[0], *_sizes(shape, kernel, stride, padding))
        sides = (kernel, kernel), (stride, stride), (padding, padding)
        return self._append(Layer(name, "pool", shape, out, *sides, producers=(producer,)))

    def add(self, name: str, producers: Sequence[str]) -> str:
        """An addition of two or more results of the same shape."""
        shape = self._shapes[producers[0]]
        return self._append(Layer(name, "add", shape, shape, producers=tuple(producers)))

    def global_pool(self, name: str, producer: str) -> str:
        """A mean over all pixels."""
        shape = self._shapes[producer]
        return self._append(Layer(name, "global_pool", shape, (shape[0], 1, 1), producers=(producer,)))

    def linear(self, name: str, producer: str, features: int) -> str:
        """A fully connected layer on a result of one pixel."""
        shape = self._shapes[producer]
        return self._append(Layer(name, "linear", shape, (features, 1, 1), producers=(producer,)))

    def channels(self, name: str) -> int:
        """Channels of the result of a layer, or of the input."""
        return self._shapes[name][0]

    def network(self, name: str) -> Network:
        """The checked network."""
        return Network(name, tuple(self.layers))

    def _append(self, layer: Layer) -> str:
        self.layers.append(layer)
        self._shapes[layer.name] = layer.out_shape
        return layer.name


def resnet18_imagenet(gated: bool = True, p: int = 4, gate: Granularity = "activation") -> Network:
    """ResNet-18 (He et al., CVPR 2016) at 3 x 224 x 224: 1,814,073,344 dense MACs.

    The convolutions of its blocks carry gates as `residual_block` says (none unless `gated`); the first one
    only `static` ones, the classifier never.
    """
    kind: Granularity = gate if gated else "none"
    make = Builder((3, 224, 224))
    x = make.conv("conv1", INPUT, 64, kernel=7, stride=2, gate=_only_static(kind))
    x = make.pool("maxpool", x, kernel=3, stride=2, padding=1)
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            x = residual_block(make, f"layer{stage}.{block}", x, channels, stride, kind, p)
    x = make.global_pool("global_pool", x)
    make.linear("fc", x, 1000)
    return make.network("resnet18")


def resnet20_cifar(gated: bool = True, p: int = 4, gate: Granularity = "activation") -> Network:
    """ResNet-20 (He et al., CVPR 2016, section 4.2) at 3 x 32 x 32, with 1 x 1 convolutions as shortcuts.

    Gates as in `resnet18_imagenet`.
    """
    kind: Granularity = gate if gated else "none"
    make = Builder((3, 32, 32))
    x = make.conv("conv1", INPUT, 16, gate=_only_static(kind))
    for stage, channels in enumerate((16, 32, 64), start=1):
        for block in range(3):
            stride = 2 if stage > 1 and block == 0 else 1
            x = residual_block(make, f"layer{stage}.{block}", x, channels, stride, kind, p)
    x = make.global_pool("pool", x)
    make.linear("fc", x, 10)
    return make.network("resnet20")


def residual_block(
    make: Builder, name: str, x: str, channels: int, stride: int, gate: Granularity, p: int = 4
) -> str:
    """Append a residual block of two 3 x 3 convolutions and return the name of its addition.

    `activation`: both are split, base 1/p in p groups (CGNet); `pixel`: both have a mask; `channel`: the
    first has gates, decided by a small network on the block's input (Batch-Shaping: pooling, a linear layer
    to 16 features, one to the channels), and the second reads them; `static`: all convolutions, the
    shortcut's too, are pruned (Gate Decorator).
    """
    split = p if gate == "activation" else 0
    inputs = make.channels(x)
    macs = inputs * 16 + 16 * channels if gate == "channel" else 0
    second: Granularity = "none" if gate == "channel" else gate
    y = make.conv(f"{name}.conv1", x, channels, stride=stride, gate=gate, p=split, gate_network_macs=macs)
    y = make.conv(f"{name}.conv2", y, channels, gate=second, p=split)
    if stride != 1 or inputs != channels:
        x = make.conv(f"{name}.shortcut", x, channels, kernel=1, stride=stride, gate=_only_static(gate))
    return make.add(f"{name}.add", (y, x))


def _only_static(gate: Granularity) -> Granularity:
    return "static" if gate == "static" else "none"


def tiny_network(
    channels: int = 8, size: int = 6, gate: Granularity = "activation", p: int = 4, gated: bool = True
) -> Network:
    """A network of one residual block, for tests and examples: conv1, a, b, add, global_pool, fc.

    `conv1` maps 3 to `channels` without gates; `a` and `b` carry gates of the given granularity.
    """
    make = Builder((3, size, size))
    split = p if gate == "activation" and gated else 0
    kind: Granularity = gate if gated else "none"
    x = make.conv("conv1", INPUT, channels)
    y = make.conv("a", x, channels, gate=kind, p=split)
    y = make.conv("b", y, channels, gate=kind, p=split)
    x = make.add("add", (y, x))
    x = make.global_pool("global_pool", x)
    make.linear("fc", x, 10)
    return make.network("tiny")


NETWORKS: dict[str, Callable[..., Network]] = {
    "resnet18": resnet18_imagenet,
    "resnet20": resnet20_cifar,
    "tiny": tiny_network,
}
"""Networks that `cgsim trace synth` knows by name; each takes the granularity of its gates as `gate`."""


def build_network(name: str, gate: str = "activation") -> Network:
    """The network of that name in `NETWORKS`, its gates of that granularity; CgsimError if there is none."""
    if name not in NETWORKS:
        raise CgsimError(f"network {name!r} is not known{nearest(name, NETWORKS)}")
    if gate not in GRANULARITIES:
        raise CgsimError(f"network {name!r}: gate {gate!r} is not known{nearest(gate, GRANULARITIES)}")
    return NETWORKS[name](gate=gate)


def _sizes(shape: tuple[int, int, int], kernel: int, stride: int, padding: int) -> tuple[int, int]:
    return (shape[1] + 2 * padding - kernel) // stride + 1, (shape[2] + 2 * padding - kernel) // stride + 1
