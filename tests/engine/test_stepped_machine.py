"""The pipeline kernel against the stepped machine: every count equal, whatever the tiling."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import ceil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.dram.counters import COUNTS
from cgsim.engine.columns import PHASES, STALLS, TENSORS
from cgsim.engine.replay import ACTIVE, ARRAY_CYCLES, DRAM
from cgsim.engine.stepped.machine import SteppedMachine
from cgsim.engine.stepped.memory import DramMemory
from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import Tiling, need, whole_layer
from cgsim.trace.network import Layer
from tests.conftest import VALIDATE
from tests.engine.machine_cases import Case, cases, many_small_steps
from tests.engine.machines import accelerators, hardware, layers

ACTIVITIES = [
    *(
        f"{phase}_{what}"
        for phase in ("BASE", "LATE")
        for what in ("VECTORS", "ELEMENTS", "STATIONARY", "READS")
    ),
    *("SCANNED_BITS", "SLOTS", "OPERATIONS", "FINISHED"),
]
NAMES = [
    "cycles",
    *PHASES,
    *(f"{cause}_stall" for cause in STALLS),
    *TENSORS,
    *(f"{tensor}_bursts" for tensor in TENSORS),
]


@given(cases())
@settings(max_examples=5000 if VALIDATE else 300, deadline=None)
def test_pipeline(case: Case) -> None:
    compare(case)


@given(cases(dram=True))
@settings(max_examples=2000 if VALIDATE else 50, deadline=None)
def test_pipeline_with_dram(case: Case) -> None:
    compare(case)


@given(many_small_steps())
@settings(max_examples=2000 if VALIDATE else 50, deadline=None)
def test_many_small_steps(case: Case) -> None:
    compare(case)


def compare(case: Case) -> None:
    machine = case.stepped()
    stepped = machine.run()
    assert stepped["cycles"] == sum(stepped[name] for name in NAMES[1 : 1 + len(PHASES) + len(STALLS)])
    counted = case.counted().tolist()
    assert dict(zip(NAMES, counted, strict=False)) == {name: stepped[name] for name in NAMES}
    assert dict(zip(COUNTS, counted[DRAM:ACTIVE], strict=True)) == {
        name: machine.memory.counts[name] for name in COUNTS
    }
    did = machine.activity()
    assert dict(zip(ACTIVITIES, counted[ACTIVE:], strict=True)) == {name: did[name] for name in ACTIVITIES}


def test_loads_that_nothing_waits_for_are_issued_after_the_layers_end() -> None:
    """Outputs stay on chip and no gate is on: the layer ends before its loads, which count all the same."""
    layer = Layer("layer", "conv2d", (1, 3, 1), (1, 3, 1), gate="pixel")
    target = hardware(
        clock_mhz=150,
        rows=1,
        cols=1,
        double_buffered=False,
        conditional_fetch="eager",
        max_outstanding=1,
        dram={"standard": "DDR4-2400", "queue_depth": 1, "crossing_cycles": 0},
    )
    tiling = Tiling(1, 1, 1, 1, "weights_outer", interleaved=False)
    gates = np.zeros((1, 1, 3), bool)
    case = Case(Operation(layer), target, tiling, gates, Residency(output_kept=True))
    compare(case)
    machine = case.stepped()
    cycles = machine.run()["cycles"]
    assert isinstance(machine.memory, DramMemory)
    accepted = machine.memory.counts["last_accepted"]
    assert accepted * machine.memory.tck > cycles * machine.memory.period


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
    layer = replace(case.operation.layer, activation_bits=8, weight_bits=8)  # no parts of bytes
    case = replace(case, operation=replace(case.operation, layer=layer), residency=NOTHING_KEPT)
    target, tiling, machine = case.hardware, case.tiling, case.stepped()
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
