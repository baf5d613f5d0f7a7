"""Random layers, tilings and gates on random accelerators, for the tests of the whole machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from cgsim.engine.mapped import Mapped
from cgsim.engine.stepped.machine import SteppedMachine
from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.tiling import Tiling
from cgsim.trace.network import Layer
from cgsim.trace.pack import bytes_to_words, pack_bits
from tests.engine.machines import accelerators, hardware, layers, memories


@dataclass(frozen=True)
class Case:
    """A layer of a batch on an accelerator; `gates` bool [batch, N or 1, M] or None."""

    operation: Operation
    hardware: Hardware
    tiling: Tiling
    gates: np.ndarray | None
    residency: Residency = NOTHING_KEPT

    @property
    def batch(self) -> int:
        return self.hardware.mapping.batch

    def stepped(self, tiling: Tiling | None = None) -> SteppedMachine:
        groups = self.hardware.array.column_groups
        return SteppedMachine(
            self.operation,
            self.hardware,
            tiling or self.tiling,
            groups,
            self.gates,
            self.batch,
            self.residency,
        )

    def mapped(self) -> Mapped:
        groups = self.hardware.array.column_groups
        return Mapped(self.operation, self.hardware, groups, tiling=self.tiling, residency=self.residency)

    def words(self) -> np.ndarray:
        """The gates, uint64 [batch, N or 1, W]."""
        assert self.gates is not None
        return bytes_to_words(pack_bits(self.gates))

    def counted(self) -> np.ndarray:
        """What the kernels count."""
        if self.gates is None:
            return self.mapped().dense(self.batch)
        return self.mapped().gated(self.words()[None])[0]


@st.composite
def gates_of(draw: st.DrawFn, batch: int, channels: int, pixels: int) -> np.ndarray:
    """Gates bool [batch, channels, pixels]: even, by channel, or in two stretches of different density."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = np.full((channels, batch * pixels), rng.choice([0, 0.1, 0.3, 0.6, 1]))
    uneven = draw(st.sampled_from(["no", "by channel", "by pixel"]))
    if uneven == "by channel":
        density[:] = rng.choice([0, 0.2, 1], channels)[:, None]
    elif uneven == "by pixel":
        density[:, : draw(st.integers(0, batch * pixels))] = rng.choice([0, 0.2, 1])
    gates = rng.random(density.shape) < density
    return gates.reshape(channels, batch, pixels).transpose(1, 0, 2).copy()


@st.composite
def cases(draw: st.DrawFn, dram: bool = False) -> Case:
    """Layers, tilings and gates; memory is `ideal`, or with `dram` command-level."""
    kind = draw(st.sampled_from(["none", "activation", "activation", "activation", "pixel"]))
    layer: Layer = draw(layers(kind == "activation", largest=draw(st.sampled_from([4, 8]))))
    bits = {
        name: draw(st.sampled_from([8, 8, 1, 3, 4, 12, 16])) for name in ("activation_bits", "weight_bits")
    }
    layer = replace(layer, **bits, gate="pixel" if kind == "pixel" else layer.gate)
    batch = draw(st.sampled_from([1, 1, 2, 3]))
    target: Hardware = draw(accelerators(batch, **(draw(memories()) if dram else {})))
    _, height, width = layer.out_shape
    rows = draw(st.integers(1, height))
    columns = draw(st.integers(1, width)) if rows == 1 else width
    tiling = Tiling(
        tile_rows=rows,
        tile_columns=columns,
        tile_folds=draw(st.integers(1, 3)),
        chunk_folds=draw(st.integers(1, 4)),
        loop_order=draw(st.sampled_from(["weights_outer", "activations_outer", "weights_resident"])),
        interleaved=layer.gate != "none" and target.buffers.double_buffered and draw(st.booleans()),
        tile_samples=draw(st.integers(1, batch)) if (rows, columns) == (height, width) else 1,
    )
    gates = None
    if layer.gate != "none":
        channels = 1 if kind == "pixel" else layer.out_channels
        gates = draw(gates_of(batch, channels, layer.pixels))
    cuts = sorted(draw(st.sets(st.integers(1, layer.out_channels), max_size=2)))
    operation = Operation(layer, residuals=draw(st.sampled_from([0, 1, 1, 2])), output_cuts=tuple(cuts))
    if operation.residuals and draw(st.booleans()):  # a partial addition
        more = draw(st.sampled_from([1, 3, 64]))
        operation = replace(operation, result_channels=layer.out_channels + more)
    residency = NOTHING_KEPT
    if draw(st.integers(0, 3)) == 0:
        kept = draw(st.integers(0, operation.residuals))
        residency = Residency(0, draw(st.booleans()), kept, draw(st.booleans()))
    return Case(operation, target, tiling, gates, residency)


@st.composite
def many_small_steps(draw: st.DrawFn) -> Case:
    """Layers of up to 40 steps of few bytes, most without stores: the DMA gets as far ahead as it may."""
    groups = draw(st.integers(1, 2))
    memory = draw(memories())
    if draw(st.booleans()):
        memory = {"bytes_per_cycle": draw(st.sampled_from([1, 16, 64])), "latency_cycles": 200}
    target = hardware(
        rows=draw(st.sampled_from([1, 4])),
        cols=groups,
        column_groups=groups,
        group_sync=draw(st.sampled_from(["fold", "layer"])),
        dataflow=draw(st.sampled_from(["ws", "is", "os"])),
        double_buffered=draw(st.booleans()),
        conditional_fetch=draw(st.sampled_from(["eager", "on_demand"])),
        **memory,
    )
    inputs, outputs, wide = (
        draw(st.sampled_from([2, 6])),
        draw(st.sampled_from([6, 20])),
        draw(st.integers(1, 2)),
    )
    gated = draw(st.booleans())
    layer = Layer(
        "layer",
        "conv2d",
        (inputs, 1, wide),
        (outputs, 1, wide),
        base_channels=draw(st.integers(1, inputs - 1)) if gated else 0,
        gate="activation" if gated else "none",
    )
    order = draw(
        st.sampled_from(["weights_resident", "weights_resident", "weights_outer", "activations_outer"])
    )
    tiling = Tiling(1, draw(st.integers(1, wide)), 1, 1, order, interleaved=False)
    operation = Operation(layer, residuals=draw(st.sampled_from([0, 0, 1])))
    kept = Residency(output_kept=draw(st.sampled_from([True, True, False])))
    return Case(operation, target, tiling, draw(gates_of(1, outputs, wide)) if gated else None, kept)
