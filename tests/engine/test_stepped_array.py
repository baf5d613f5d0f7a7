"""The stepped array against the definition of a layer, and the kernels against its cycles."""

from __future__ import annotations

import csv
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from cgsim.engine.alone import array_cycles
from cgsim.engine.stepped.layer import SteppedLayer, direct, run_layer
from cgsim.hardware import Hardware
from cgsim.trace.network import Layer
from tests.conftest import VALIDATE
from tests.engine.array_cases import Case, cases
from tests.engine.machines import hardware

TABLE = Path(__file__).parent.parent / "data" / "scalesim" / "dense_cycles.csv"


def proved(case: Case, thresholds: np.ndarray | None, shown: np.ndarray | None) -> SteppedLayer:
    """The layer on the stepped array: outputs and gates are the definition's, cycles the kernels'."""
    inputs, weights = case.values()
    stepped = run_layer(case.layer, case.hardware, inputs, weights, thresholds, shown)
    wanted = direct(case.layer, inputs, weights, thresholds, shown)
    assert np.array_equal(stepped.outputs, wanted.outputs)
    if wanted.gates is None:
        assert stepped.gates is None
    else:
        assert stepped.gates is not None
        assert np.array_equal(stepped.gates, wanted.gates)
    hold_events(stepped, case.hardware)
    assert array_cycles(case.layer, case.hardware, stepped.gates, max(1, case.batch)) == stepped.cycles
    return stepped


def hold_events(stepped: SteppedLayer, target: Hardware) -> None:
    """Phases follow each other as far as they must, and the last of them ends the layer."""
    at = stepped.events
    if "base_end" in at:
        assert at["base_start"] < at["base_end"] <= at["last_result"]
    if "decided" in at:
        assert at["base_end"] + target.gate_unit.compare_latency <= at["decided"]
    if {"decided", "conditional_start"} <= set(at) and target.gate_unit.group_sync != "layer":
        assert at["decided"] + target.array.rows <= at["conditional_start"]
    if "conditional_start" in at:
        assert at["conditional_start"] < at["conditional_end"] <= at["last_result"]
    end = max(at["last_result"], at.get("decided", 0))
    assert stepped.cycles == max(0, end - (target.array.pipelining == "scalesim"))


@given(cases("dense"))
@settings(max_examples=700 if VALIDATE else 80, deadline=None)
def test_dense_layer(case: Case) -> None:
    stepped = proved(case, None, None)
    assert stepped.cycles == dense_cycles(case)


@given(cases("activation"))
@settings(max_examples=2400 if VALIDATE else 300, deadline=None)
def test_activation_gates(case: Case) -> None:
    proved(case, case.thresholds(), None)


@given(cases("pixel"))
@settings(max_examples=700 if VALIDATE else 80, deadline=None)
def test_pixel_gates(case: Case) -> None:
    proved(case, None, case.pixel_gates())


def dense_cycles(case: Case) -> int:
    """What docs/machine-model.md says of dense layers: every fold's length is known, no values needed."""
    layer, array = case.layer, case.hardware.array
    rows, cols = array.rows, array.cols
    pixels = layer.pixels * max(1, case.batch)
    outputs = layer.out_channels // layer.groups
    if array.dataflow == "ws":
        folds = [pixels] * (ceil(layer.reduction / rows) * ceil(outputs / cols) * layer.groups)
    elif array.dataflow == "is":
        folds = [outputs] * (ceil(layer.reduction / rows) * ceil(pixels / cols) * layer.groups)
    else:
        folds = [layer.reduction] * (ceil(pixels / rows) * ceil(outputs / cols) * layer.groups)
    drain = rows if array.dataflow == "os" and array.pipelining != "scalesim" else 0
    load = 0 if array.dataflow == "os" else rows
    leave = rows + cols - 2 + drain
    if array.pipelining != "overlapped":
        return sum(load + fold + leave for fold in folds) - (array.pipelining == "scalesim")
    start = end = 0
    for number, fold in enumerate(folds):
        start = load if number == 0 else max(end, start + load)
        end = max(start + fold, end + drain if number else 0)
    return end + leave


def small_table() -> list[dict[str, str]]:
    """Rows of SCALE-Sim's table that step through in about a second."""
    table = list(csv.DictReader(TABLE.read_text().splitlines()))
    limit = 4_000_000 if VALIDATE else 250_000
    return [row for row in table if int(row["rows"]) * int(row["cols"]) * int(row["compute_cycles"]) < limit]


@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
def test_scalesim_cycles(dataflow: str) -> None:
    rows = [row for row in small_table() if row["dataflow"] == dataflow]
    assert len(rows) > 20
    for row in rows:
        m, n, k = int(row["M"]), int(row["N"]), int(row["K"])
        layer = Layer("gemm", "conv2d", (k, 1, m), (n, 1, m))
        target = hardware(
            rows=int(row["rows"]), cols=int(row["cols"]), dataflow=dataflow, pipelining="scalesim"
        )
        stepped = run_layer(layer, target, np.ones((k, 1, m), int), np.ones((n, k, 1, 1), int), None)
        assert (stepped.outputs == k).all()
        assert stepped.cycles == int(row["compute_cycles"]), row
