"""ResNets with masks drawn about as DPACS's driver draws them (docs/board.md tells where not).

Its stem has a 3 x 3 window, its pooling is not timed, and the first block of bottlenecks has no shortcut (and
here no addition, which takes no time of its own). Every block draws pixels of its input at the ratio that
stays; stages of 256 channels and more also draw groups of channels between their convolutions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgsim.trace import Trace, load_trace
from cgsim.trace.metadata import Metadata, Sample
from cgsim.trace.network import INPUT, Granularity, Network
from cgsim.trace.networks import Builder
from cgsim.trace.writer import TraceWriter

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
GROUP = {"basicblock": 32, "bottleneck": 64}
"""Channels that are pruned together (CPRUNE_FACTOR)."""
SAMPLES = 4


def kind(depth: int) -> str:
    return "basicblock" if depth < 50 else "bottleneck"


PRUNED = (256, 512)
"""Stages, by their channels, that prune channels; in the published driver of ResNet-18 and 34 only (256,)."""


def resnet(depth: int, gated: bool, pruned: tuple[int, ...] = PRUNED) -> Network:
    make = Builder((3, 224, 224))
    x = make.conv("conv1", INPUT, 64, kernel=3, stride=2)
    x = make.pool("maxpool", x, kernel=3, stride=2, padding=1)
    for stage, (channels, count) in enumerate(zip((64, 128, 256, 512), BLOCKS[depth], strict=True)):
        for block in range(count):
            stride = 2 if stage and not block else 1
            name, own = f"layer{stage + 1}.{block}", gated and channels in pruned
            x = _block(make, name, x, channels, stride, kind(depth), gated, own)
    x = make.global_pool("pool", x)
    make.linear("fc", x, 1000)
    return make.network(f"resnet{depth}")


def _block(
    make: Builder, name: str, x: str, channels: int, stride: int, which: str, gated: bool, pruned: bool
) -> str:
    pixel: Granularity = "pixel" if gated else "none"
    inner: Granularity = "channel" if pruned else pixel
    inputs, outputs = make.channels(x), channels
    if which == "basicblock":
        y = make.conv(f"{name}.conv1", x, channels, stride=stride, gate=inner)
        y = make.conv(f"{name}.conv2", y, channels, gate=pixel)
    else:
        outputs = 4 * channels
        first = pixel if stride == 2 else inner  # a layer has gates of one kind: the mask goes first
        y = make.conv(f"{name}.conv1", x, channels, kernel=1, gate=first)
        y = make.conv(f"{name}.conv2", y, channels, stride=stride, gate=inner)
        y = make.conv(f"{name}.conv3", y, outputs, kernel=1, gate=pixel)
    if stride == 1 and inputs != outputs:
        return y
    if stride != 1:
        x = make.conv(f"{name}.shortcut", x, outputs, kernel=1, stride=stride)
    return make.add(f"{name}.add", (y, x))


def drawn_trace(
    depth: int, pixels: float, channels: float, folder: Path, pruned: tuple[int, ...] = PRUNED
) -> Trace:
    """A trace of SAMPLES draws in which these shares of pixels and channels stay; 1 and 1: no gates."""
    gated = (pixels, channels) != (1.0, 1.0)
    network = resnet(depth, gated, pruned)
    rng = np.random.default_rng([depth, round(100 * pixels), round(100 * channels)])
    path = folder / f"resnet{depth}-{pixels:g}-{channels:g}-{len(pruned)}.trace.parquet"
    with TraceWriter(path, network, Metadata(model=network.name, method="synthetic")) as writer:
        for index in range(SAMPLES):
            writer.append(Sample(f"draw-{index}"), _gates(network, pixels, channels, rng))
    return load_trace(path)


def _gates(
    network: Network, pixels: float, channels: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    mask = np.zeros(0)
    block = ""
    for layer in network.layers:
        if not layer.on_array or layer.gate == "none":
            continue
        if layer.name.split(".conv")[0] != block:
            block = layer.name.split(".conv")[0]
            mask = rng.random(layer.in_shape[1:]) < pixels
        if layer.stride == (2, 2):
            padded = np.pad(mask, 1)
            high, wide = layer.out_shape[1:]
            taps = [padded[y : y + 2 * high : 2, x : x + 2 * wide : 2] for y in range(3) for x in range(3)]
            mask = np.any(taps, axis=0)
        if layer.gate == "pixel":
            found[layer.name] = mask
        else:
            found[layer.name] = _channels(layer.out_channels, channels, network.name, rng)
    return found


def _channels(count: int, share: float, network: str, rng: np.random.Generator) -> np.ndarray:
    size = GROUP[kind(int(network.removeprefix("resnet")))]
    groups = count // size
    on = np.zeros(groups, bool)
    on[rng.choice(groups, max(1, int(groups * share)), replace=False)] = True
    return np.repeat(on, size)
