"""Random layers, arrays and values for the tests of the array alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from hypothesis import strategies as st

from cgsim.hardware import Hardware
from cgsim.trace.network import Layer
from tests.engine.machines import hardware

Mode = Literal["dense", "activation", "pixel"]


@dataclass(frozen=True)
class Case:
    """A layer, an array, and values for both; `batch` 0: no batch axis."""

    layer: Layer
    hardware: Hardware
    batch: int
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.batch, *self.layer.in_shape) if self.batch else self.layer.in_shape

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and weights."""
        rng = np.random.default_rng(self.seed)
        layer = self.layer
        shape = (layer.out_channels, layer.in_shape[0] // layer.groups, *layer.kernel)
        return rng.integers(-128, 128, self.shape), rng.integers(-127, 128, shape)

    def thresholds(self) -> np.ndarray:
        """All on, all off, some channels on or off, or about a part of the outputs on."""
        rng = np.random.default_rng(self.seed + 1)
        size = self.layer.out_channels
        kind = rng.integers(0, 5)
        if kind < 2:
            return np.full(size, (-(10**9), 10**9)[kind])
        middle = rng.choice([-8000, 0, 8000, 20000]) + rng.integers(-5000, 5001, size)
        return np.where(rng.random(size) < (kind == 4) * 0.5, rng.choice([-(10**9), 10**9], size), middle)

    def pixel_gates(self) -> np.ndarray:
        """A mask of the pixels: all, none, or some."""
        rng = np.random.default_rng(self.seed + 2)
        shape = (self.batch, self.layer.pixels) if self.batch else (self.layer.pixels,)
        return rng.random(shape) < rng.choice([0, 0.1, 0.4, 0.8, 1])


@st.composite
def layers(draw: st.DrawFn, mode: Mode) -> Layer:
    """Convolutions and linear layers: 1 channel, depthwise, grouped, strided, dilated, padded, split."""
    gated = mode == "activation"
    linear = draw(st.integers(0, 9)) == 0
    groups = 1 if linear else draw(st.sampled_from([1, 1, 2, 3]))
    base_groups = draw(st.sampled_from([1, 1, 2, 3])) if gated else 1
    inputs = draw(st.integers(max(2, base_groups), 7) if gated else st.integers(1, 6))
    base = draw(st.integers(1, min(inputs // base_groups, inputs - 1))) if gated else 0
    outputs = draw(st.integers(1, 12 // (groups * base_groups))) * base_groups
    if linear:
        kernel, stride, padding, dilation, size = (1, 1), (1, 1), (0, 0), (1, 1), (1, 1)
        out = (1, 1)
    else:
        kernel = (draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([1, 1, 2, 3])))
        stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
        padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
        dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
        out = (draw(st.integers(1, 5)), draw(st.integers(1, 6)))
        size = tuple(
            max(1, (o - 1) * s + d * (k - 1) + 1 - 2 * p)
            for o, s, d, k, p in zip(out, stride, dilation, kernel, padding, strict=True)
        )
        out = tuple(
            (i + 2 * p - d * (k - 1) - 1) // s + 1
            for i, s, d, k, p in zip(size, stride, dilation, kernel, padding, strict=True)
        )
    layer = Layer(
        "layer",
        "linear" if linear else "conv2d",
        (inputs * groups, *size),
        (outputs * groups, *out),
        kernel,
        stride,
        padding,
        dilation,
        groups,
        base_channels=base,
        base_groups=base_groups,
        gate={"dense": "none", "activation": "activation", "pixel": "pixel"}[mode],
    )
    layer.check()
    return layer


@st.composite
def cases(draw: st.DrawFn, mode: Mode) -> Case:
    """A layer on an array of every dataflow, pipelining, synchronisation and gate unit."""
    groups = draw(st.integers(1, 4))
    sync = draw(st.sampled_from(["fold", "tile", "layer"]))
    banks = draw(st.sampled_from(["ideal", 1, 2, 3, 4])) if sync != "layer" else "ideal"
    target = hardware(
        rows=draw(st.integers(1, 6)),
        cols=groups * draw(st.integers(1, 4)),
        column_groups=groups,
        dataflow=draw(st.sampled_from(["ws", "is", "os"])),
        pipelining=draw(st.sampled_from(["overlapped", "overlapped", "serial", "scalesim"])),
        group_sync=sync,
        compare_latency=draw(st.integers(0, 4)),
        scan_bits_per_cycle=draw(st.sampled_from([1, 2, 3, 4, 5, 8, 4096])),
    ).override(
        {
            "gate_unit.fifo_depth": draw(st.sampled_from([1, 2, 3, 16])),
            "gate_unit.activation_banks": banks,
            "mapping.pixel_order": draw(st.sampled_from(["raster", "block"])),
        }
    )
    return Case(
        draw(layers(mode)), target, draw(st.sampled_from([0, 0, 1, 2, 3])), draw(st.integers(0, 2**32 - 1))
    )
