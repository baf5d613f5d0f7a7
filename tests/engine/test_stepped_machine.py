"""The pipeline kernel against the stepped machine: every count equal, whatever the tiling."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.engine.columns import PHASES, STALLS, TENSORS
from cgsim.engine.mapped import Mapped
from cgsim.engine.replay import ARRAY_CYCLES
from cgsim.engine.stepped.machine import SteppedMachine
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import Tiling, need, whole_layer
from cgsim.trace.network import Layer
from cgsim.trace.pack import bytes_to_words, pack_bits
from tests.conftest import VALIDATE
from tests.engine.machines import accelerators, hardware, layers

NAMES = ["cycles", *PHASES, *(f"{cause}_stall" for cause in STALLS), *TENSORS]


@dataclass(frozen=True)
class Case:
    """A layer of a batch on an accelerator; `gates` bool [batch, N or 1, M] or None."""

    operation: Operation
    hardware: Hardware
    tiling: Tiling
    gates: np.ndarray | None

    @property
    def batch(self) -> int:
        return self.hardware.mapping.batch

    def stepped(self, tiling: Tiling | None = None) -> SteppedMachine:
        groups = self.hardware.array.column_groups
        return SteppedMachine(
            self.operation, self.hardware, tiling or self.tiling, groups, self.gates, self.batch
        )

    def counted(self) -> np.ndarray:
        """What the kernels count."""
        mapped = Mapped(self.operation, self.hardware, self.hardware.array.column_groups, tiling=self.tiling)
        if self.gates is None:
            return mapped.dense(self.batch)
        return mapped.gated(bytes_to_words(pack_bits(self.gates))[None])[0]


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
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(["none", "activation", "activation", "activation", "pixel"]))
    layer: Layer = draw(layers(kind == "activation", largest=draw(st.sampled_from([4, 8]))))
    if kind == "pixel":
        layer = Layer(**{**layer.to_json(), "gate": "pixel"})
    batch = draw(st.sampled_from([1, 1, 2, 3]))
    target: Hardware = draw(accelerators(batch))
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
    return Case(Operation(layer, residuals=draw(st.integers(0, 1))), target, tiling, gates)


@given(cases())
@settings(max_examples=5000 if VALIDATE else 300, deadline=None)
def test_pipeline(case: Case) -> None:
    stepped = case.stepped().run()
    assert stepped["cycles"] == sum(stepped[name] for name in NAMES[1 : 1 + len(PHASES) + len(STALLS)])
    counted = dict(zip(NAMES, case.counted().tolist(), strict=False))
    assert counted == {name: stepped[name] for name in NAMES}


def test_activations_that_came_with_an_empty_chunk_are_waited_for() -> None:
    """`is`: activations come with the first chunk of a phase, also where only a later one has a round.

    Only the channel of the first base group is on: it uses the second part of the inputs and what is left of
    them, not the first part. The array waits until the activations are written, and not only for the weights
    of the second chunk, which are there a cycle after the activations.
    """
    layer = Layer("layer", "conv2d", (3, 1, 1), (2, 1, 1), base_channels=1, base_groups=2, gate="activation")
    target = hardware(dataflow="is", bytes_per_cycle=16, latency_cycles=20)
    tiling = Tiling(1, 1, 2, 1, "activations_outer", interleaved=False)
    case = Case(Operation(layer), target, tiling, np.array([[[True], [False]]]))
    machine = case.stepped()
    needed = [any(any(turn.streams) for turn in step.rounds) for step in machine.program]
    assert needed == [True, True, False, True, True]
    stepped = machine.run()
    assert case.counted()[: len(NAMES)].tolist() == [stepped[name] for name in NAMES]
    start = next(entry[3] for entry in machine.log if entry[:2] == ("array", "conditional"))
    assert start == machine.there["a", 2] + target.array.rows > machine.there["w", 3]


@given(cases())
@settings(max_examples=5000 if VALIDATE else 200, deadline=None)
def test_array_alone(case: Case) -> None:
    """Unlimited buffers, memory that never stalls: the layer as one tile."""
    layer, array = case.operation.layer, case.hardware.array
    whole = whole_layer(layer, slots(layer, array.cols, array.column_groups), case.batch)
    assert case.counted()[ARRAY_CYCLES] == case.stepped(whole).array_cycles()


@given(st.data(), st.integers(1, 3))
@settings(max_examples=2000 if VALIDATE else 200, deadline=None)
def test_dense_layers_take_what_the_formulas_say(data: st.DataObject, batch: int) -> None:
    """Dense execution of one tile, by hand: folds x (load + vectors + exit), or one behind the other."""
    layer: Layer = data.draw(layers(gated=False))
    target: Hardware = data.draw(accelerators(batch))
    array = target.array
    rows, cols = array.rows, array.cols
    whole = whole_layer(layer, slots(layer, cols, 1), batch)
    cycles = SteppedMachine(Operation(layer), target, whole, 1, None, batch).array_cycles()

    pixels, channels = batch * layer.pixels, layer.out_channels // layer.groups
    row_folds = {"ws": layer.reduction, "is": layer.reduction, "os": pixels}[array.dataflow]
    column_folds = {"ws": channels, "is": pixels, "os": channels}[array.dataflow]
    vectors = {"ws": pixels, "is": channels, "os": layer.reduction}[array.dataflow]
    folds = layer.groups * ceil(row_folds / rows) * ceil(column_folds / cols)
    load = 0 if array.dataflow == "os" else rows
    leave = rows + cols - 2
    if array.dataflow == "os" and array.pipelining != "scalesim":
        leave += rows
    if array.pipelining == "overlapped":
        assert cycles == load + (folds - 1) * max(vectors, rows) + vectors + leave
    else:
        assert cycles == folds * (load + vectors + leave)


@given(cases())
@settings(max_examples=2000 if VALIDATE else 200, deadline=None)
def test_what_a_tiling_needs_holds_what_the_machine_loads(case: Case) -> None:
    """Parts of a buffer x the largest filling that one part ever gets is within `need`."""
    layer, target, tiling = case.operation.layer, case.hardware, case.tiling
    machine = case.stepped()
    layout = slots(layer, target.array.cols, target.array.column_groups)
    needed = need(layer, layout, target, tiling, case.operation.residuals, case.gates is not None)
    filled: dict[str, Counter[int]] = {"w": Counter(), "a": Counter()}
    for i, step in enumerate(machine.program):
        filled["w"][machine._version("w", i)] += step.weight_bytes
        filled["a"][machine._version("a", i)] += step.activation_bytes
    parts = min(machine.depth - tiling.interleaved, len(filled["w"]))
    assert parts * max(filled["w"].values()) <= needed.weight
    residual = max(step.residual_bytes for step in machine.program) * min(machine.depth, machine.tiles)
    parts = min(machine.depth, len(filled["a"]))
    assert parts * max(filled["a"].values()) + residual <= needed.activation
    outputs = max(step.outputs for step in machine.program)
    assert min(machine.depth, machine.tiles) * outputs * 4 <= needed.accumulator
