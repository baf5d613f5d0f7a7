"""Random layers for the RTL: a number gives a layer, an accelerator and values, always the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cgsim.hardware import Hardware
from cgsim.trace.network import Layer
from tests.engine.machines import hardware
from tests.rtl.golden import base_sums

Kind = Literal["stationary", "output"]
Gating = Literal["none", "activation", "pixel"]


@dataclass(frozen=True)
class Build:
    """An array as the RTL is built for it: `stationary` runs ws and is, `output` runs os.

    Dense execution has one feed: cases without gates are those of arrays with one group.
    """

    rows: int
    cols: int
    groups: int
    kind: Kind
    window: int = 64
    """Candidates that a scanner can examine at once: more than 64 for cases that need them."""
    queue: int = 16
    """Indices that its queue can hold: more than 16 likewise."""

    def __str__(self) -> str:
        return f"{self.kind} {self.rows}x{self.cols} in {self.groups}"


SAMPLED = (
    Build(4, 4, 1, "stationary"),
    Build(4, 4, 1, "output"),
    Build(4, 4, 2, "stationary"),
    Build(4, 4, 2, "output"),
    Build(8, 8, 4, "stationary"),
    Build(8, 8, 4, "output"),
    Build(3, 5, 5, "output"),
    Build(2, 6, 3, "stationary", 256, 64),
)
"""Arrays of a normal run; with CGSIM_VALIDATE also MORE."""

MORE = (
    Build(3, 5, 5, "stationary"),
    Build(2, 6, 3, "output", 256, 64),
    Build(4, 4, 4, "stationary"),
    Build(4, 4, 4, "output"),
    Build(3, 5, 1, "stationary"),
    Build(3, 5, 1, "output"),
    Build(8, 4, 2, "stationary"),
    Build(8, 4, 2, "output"),
    Build(2, 12, 6, "stationary", 64, 64),
    Build(2, 12, 6, "output", 64, 64),
    Build(1, 1, 1, "stationary"),
    Build(1, 1, 1, "output"),
    Build(16, 16, 4, "stationary"),
    Build(16, 16, 4, "output"),
    Build(16, 16, 1, "stationary"),
    Build(16, 16, 1, "output"),
    Build(32, 32, 8, "stationary"),
    Build(32, 32, 8, "output"),
)
BUILDS = SAMPLED + MORE

LOWEST, HIGHEST = -(1 << 31), (1 << 31) - 1
"""Thresholds that every base sum exceeds, and none."""


@dataclass(frozen=True)
class Case:
    """Case `number`: shapes as in tests/rtl/cosim.py (`Job`); `inputs` with a batch axis, even of one."""

    number: int
    build: Build
    layer: Layer
    hardware: Hardware
    inputs: np.ndarray
    weights: np.ndarray
    thresholds: np.ndarray | None
    pixel_gates: np.ndarray | None
    gates: str

    @property
    def batch(self) -> int:
        """Samples that share folds."""
        return len(self.inputs)

    @property
    def array_work(self) -> int:
        """PEs times a guess of the cycles: what the case costs the stepped reference."""
        passes = self.layer.dense_macs * self.batch
        return passes * 3 + 200 * self.build.rows * self.build.cols

    def __str__(self) -> str:
        layer, array, unit = self.layer, self.hardware.array, self.hardware.gate_unit
        shape = "x".join(str(size) for size in (layer.in_shape[0], *layer.in_shape[1:], *layer.out_shape))
        words = [
            f"case {self.number}: {array.dataflow} {array.pipelining} {array.rows}x{array.cols}",
            f"groups {array.column_groups} {unit.group_sync}",
            f"{layer.operator} {shape} kernel {layer.kernel} stride {layer.stride} padding {layer.padding}",
            f"dilation {layer.dilation} groups {layer.groups}",
            f"base {layer.base_channels} x {layer.base_groups}",
            f"batch {self.batch} {self.hardware.mapping.pixel_order} gates {self.gates}",
            f"scan {unit.scan_bits_per_cycle} fifo {unit.fifo_depth} banks {unit.activation_banks}"
            f" compare {unit.compare_latency}",
        ]
        return ", ".join(words)


def numbers(builds: tuple[Build, ...], each: int, start: int = 0) -> list[int]:
    """The numbers of the first `each` cases of these builds from round `start` on."""
    places = [BUILDS.index(build) for build in builds]
    return [turn * len(BUILDS) + place for turn in range(start, start + each) for place in places]


def case(number: int) -> Case:
    """Case `number`; its remainder by the number of BUILDS chooses the array."""
    build = BUILDS[number % len(BUILDS)]
    rng = np.random.default_rng(number)
    kinds: tuple[Gating, ...] = ("none",) * 2 * (build.groups == 1)
    gating: Gating = _pick(rng, (*kinds, "activation", "activation", "activation", "activation", "pixel"))
    dataflows = ("os",) if build.kind == "output" else ("ws",) if build.queue > 16 else ("ws", "is")
    dataflow = _pick(rng, dataflows)
    layer, batch = _layer(rng, build, gating), _pick(rng, (1, 1, 1, 2, 3))
    while not _fills(build, _candidates(layer, batch, dataflow)):
        layer, batch = _layer(rng, build, gating), _pick(rng, (1, 2, 3))
    shape = (layer.out_channels, layer.in_shape[0] // layer.groups, *layer.kernel)
    inputs, weights = _bytes(rng, (batch, *layer.in_shape)), _bytes(rng, shape)
    thresholds = shown = None
    name = "none"
    if gating == "activation":
        name, thresholds = _thresholds(rng, base_sums(layer, inputs, weights))
    elif gating == "pixel":
        share = _pick(rng, (0.0, 0.1, 0.5, 0.9, 1.0))
        name, shown = f"pixels {share}", rng.random((batch, layer.pixels)) < share
    target = _hardware(rng, build, gating, dataflow, _candidates(layer, batch, dataflow))
    return Case(number, build, layer, target, inputs, weights, thresholds, shown, name)


def _candidates(layer: Layer, batch: int, dataflow: str) -> int:
    """What a scanner goes through in a fold, at most."""
    return layer.out_channels if dataflow == "is" else batch * layer.pixels


def _fills(build: Build, candidates: int) -> bool:
    """Whether a layer can use more window and queue than other simulators have, where the build has more."""
    if build.window > 64:
        return build.window // 2 < candidates <= build.window
    return build.queue <= 16 or build.queue // 2 < candidates


def _pick(rng: np.random.Generator, choices: tuple[Any, ...]) -> Any:
    return choices[rng.integers(len(choices))]


def _bytes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random int8 of the whole range; in some cases mostly the extremes, whose products are largest."""
    values = rng.integers(-128, 128, shape, dtype=np.int8)
    if rng.random() < 0.15:
        return np.where(rng.random(shape) < 0.8, rng.choice([-128, 127], shape), values).astype(np.int8)
    return values


def _thresholds(rng: np.random.Generator, base: np.ndarray) -> tuple[str, np.ndarray]:
    """Thresholds int32 [N] for base sums [B, N, M]: all on, all off, or sums that occur, so that some tie."""
    channels = base.shape[1]
    kind = _pick(rng, ("on", "off", "some", "some", "some", "few", "most", "mixed", "mixed"))
    if kind in ("on", "off"):
        return kind, np.full(channels, LOWEST if kind == "on" else HIGHEST, np.int32)
    below = {"some": 0.5, "few": 0.9, "most": 0.1, "mixed": 0.5}[kind]
    shares = np.clip(below + rng.normal(0, 0.2, channels), 0, 1)
    sums = np.sort(base.swapaxes(0, 1).reshape(channels, -1), axis=1)
    places = (shares * (sums.shape[1] - 1)).astype(int)
    found = sums[np.arange(channels), places]
    if kind == "mixed":
        fixed = rng.choice([LOWEST, HIGHEST], channels)
        found = np.where(rng.random(channels) < 0.5, fixed, found)
    return kind, found.astype(np.int32)


def _hardware(rng: np.random.Generator, build: Build, gating: Gating, dataflow: str, most: int) -> Hardware:
    """Any options that the build has room for; `most` candidates in a fold."""
    sync = _pick(rng, ("fold", "fold", "tile", "layer"))
    scan = _pick(rng, (1, 2, 3, 4, 5, 8, 16, 64, 65536))
    bits = 1 if gating == "pixel" else build.cols // build.groups
    if build.window > 64 or min(scan // bits, most) > build.window:
        scan = build.window * bits
    fifo = build.queue if build.queue > 16 else _pick(rng, (1, 2, 3, 5, 16))
    groups = build.groups
    if gating == "none":  # one feed, however many there are
        groups = _pick(rng, tuple(number for number in range(1, build.cols + 1) if build.cols % number == 0))
    return hardware(
        rows=build.rows,
        cols=build.cols,
        dataflow=dataflow,
        pipelining=_pick(rng, ("overlapped", "overlapped", "overlapped", "serial", "scalesim")),
        column_groups=groups,
        group_sync=sync,
        scan_bits_per_cycle=scan,
        compare_latency=int(rng.integers(0, 8)),
        fifo_depth=fifo,
        activation_banks="ideal" if sync == "layer" else _pick(rng, ("ideal", "ideal", 1, 2, 3, 4, 8)),
        pixel_order=_pick(rng, ("raster", "block")),
    )


def _layer(rng: np.random.Generator, build: Build, gating: Gating) -> Layer:
    """A layer that is not too large for its array."""
    most = 6_000 if build.rows <= 8 else 400_000
    while True:
        found = _any_layer(rng, build, gating)
        if found.dense_macs <= most:
            return found


def _any_layer(rng: np.random.Generator, build: Build, gating: Gating) -> Layer:
    """A convolution of any kind or a linear layer, with a split if it is gated."""
    gated = gating == "activation"
    kind = _pick(rng, ("conv2d", "conv2d", "conv2d", "conv2d", "grouped", "depthwise", "linear"))
    groups = {"grouped": int(rng.integers(2, 4)), "depthwise": int(rng.integers(2, 6))}.get(kind, 1)
    base_groups = _pick(rng, (1, 1, 2, 3)) if gated and kind != "depthwise" else 1
    smallest = max(2, base_groups) if gated else 1
    if kind == "depthwise":
        inputs, outputs = smallest, int(rng.integers(1, 3))
    else:
        widest = max(smallest, _size(rng, 3 * build.rows // groups))
        inputs = int(rng.integers(smallest, widest + 1))
        outputs = base_groups * int(rng.integers(1, _size(rng, 3 * build.cols // (groups * base_groups)) + 1))
    base = int(rng.integers(1, min(inputs // base_groups, inputs - 1) + 1)) if gated else 0
    split = {"base_channels": base, "base_groups": base_groups, "gate": gating}
    if kind == "linear":
        layer = Layer("layer", "linear", (inputs, 1, 1), (outputs, 1, 1), **split)
        layer.check()
        return layer
    kernel = (_pick(rng, (1, 1, 2, 3, 3, 5)), _pick(rng, (1, 1, 2, 3, 3, 5)))
    stride = (_pick(rng, (1, 1, 2, 3)), _pick(rng, (1, 1, 2, 3)))
    dilation = (_pick(rng, (1, 1, 1, 2)), _pick(rng, (1, 1, 1, 2)))
    padding = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1])))
    wanted = (1, 1) if rng.random() < 0.1 else (_size(rng, 9), _size(rng, 9))
    size, out = [], []
    for o, k, s, p, d in zip(wanted, kernel, stride, padding, dilation, strict=True):
        size.append(max(1, (o - 1) * s + d * (k - 1) + 1 - 2 * p + int(rng.integers(0, s))))
        out.append((size[-1] + 2 * p - d * (k - 1) - 1) // s + 1)
    shapes = (inputs * groups, size[0], size[1]), (outputs * groups, out[0], out[1])
    layer = Layer("layer", "conv2d", *shapes, kernel, stride, padding, dilation, groups, **split)
    layer.check()
    return layer


def _size(rng: np.random.Generator, most: int) -> int:
    """1 to `most`."""
    return int(rng.integers(1, max(1, most) + 1))
