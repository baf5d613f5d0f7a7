"""The pipeline kernel against the stepped machine: every count equal, whatever the tiling."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.engine.columns import PHASES, STALLS, TENSORS
from cgsim.engine.mapped import Calibration, Mapped
from cgsim.engine.stepped.machine import SteppedMachine
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.plan import plan
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import Tiling, need
from cgsim.trace.network import Layer
from cgsim.trace.pack import bytes_to_words, pack_bits
from tests.conftest import VALIDATE
from tests.engine.machines import hardware, layers

NAMES = ["cycles", *PHASES, *(f"{cause}_stall" for cause in STALLS), *TENSORS]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Operation, Hardware, Tiling, np.ndarray | None]:
    kind = draw(st.sampled_from(["none", "activation", "activation", "pixel"]))
    layer: Layer = draw(layers(gated=kind == "activation"))
    if kind == "pixel":
        layer = Layer(**{**layer.to_json(), "gate": "pixel"})
    groups = draw(st.sampled_from([1, 2, 3]))
    double = draw(st.booleans())
    target = hardware(
        rows=draw(st.integers(1, 5)),
        cols=groups * draw(st.integers(1, 3)),
        column_groups=groups,
        pipelining=draw(st.sampled_from(["overlapped", "serial"])),
        group_sync=draw(st.sampled_from(["fold", "tile"])),
        compare_latency=draw(st.integers(0, 4)),
        scan_bits_per_cycle=draw(st.sampled_from([1, 2, 64])),
        lanes=draw(st.integers(1, 8)),
        double_buffered=double,
        conditional_fetch=draw(st.sampled_from(["eager", "on_demand"])),
        bytes_per_cycle=draw(st.sampled_from([0.5, 1.25, 3, 16])),
        latency_cycles=draw(st.integers(0, 30)),
    )
    _, height, width = layer.out_shape
    rows = draw(st.integers(1, height))
    tiling = Tiling(
        tile_rows=rows,
        tile_columns=draw(st.integers(1, width)) if rows == 1 else width,
        tile_folds=draw(st.integers(1, 3)),
        chunk_folds=draw(st.integers(1, 4)),
        loop_order=draw(st.sampled_from(["weights_outer", "activations_outer", "weights_resident"])),
        interleaved=layer.gate != "none" and double and draw(st.booleans()),
    )
    gates = None
    if layer.gate != "none":
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        gates = rng.random((1 if kind == "pixel" else layer.out_channels, layer.pixels)) < rng.choice(
            [0, 0.1, 0.5, 1]
        )
    return Operation(layer, residuals=draw(st.integers(0, 1))), target, tiling, gates


@given(cases())
@settings(max_examples=5000 if VALIDATE else 300, deadline=None)
def test_pipeline(case: tuple[Operation, Hardware, Tiling, np.ndarray | None]) -> None:
    operation, target, tiling, gates = case
    groups = target.array.column_groups
    stepped = SteppedMachine(operation, target, tiling, groups, gates).run()
    words = None if gates is None else bytes_to_words(pack_bits(gates))[None]
    mapped = Mapped(operation, target, groups, None if words is None else Calibration("", words, 0.5))
    tiles = plan(operation.layer, mapped.layout, tiling)
    if words is None:
        result = mapped.dense(tiles)
    else:
        result = mapped.gated(words, tiles)[0]
    counted = dict(zip(NAMES, result.tolist(), strict=False))
    assert counted == {name: stepped[name] for name in NAMES}
    assert counted["cycles"] == sum(counted[name] for name in NAMES[1 : 1 + len(PHASES) + len(STALLS)])


@given(cases())
@settings(max_examples=2000 if VALIDATE else 200, deadline=None)
def test_what_a_tiling_needs_holds_what_the_machine_loads(
    case: tuple[Operation, Hardware, Tiling, np.ndarray | None],
) -> None:
    """Parts of a buffer x the largest filling that one part ever gets is within `need`."""
    operation, target, tiling, gates = case
    layer, groups = operation.layer, target.array.column_groups
    machine = SteppedMachine(operation, target, tiling, groups, gates)
    layout = slots(layer, target.array.cols, groups)
    needed = need(layer, layout, target, tiling, operation.residuals, gates is not None)
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
