"""Faults put into the RTL, one at a time: the comparison with random layers sees each of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import VALIDATE
from tests.rtl import simulator
from tests.rtl.cases import Build, Kind, case, numbers
from tests.rtl.compare import differences
from tests.rtl.cosim import Job, run

FAULTS: dict[str, tuple[Kind, str, str, str]] = {
    "a threshold that is met opens the gate": (
        "stationary",
        "accumulator.sv",
        "old + sum > thresholds",
        "old + sum >= thresholds",
    ),
    "the conditional sum is kept where the gate is off, not on": (
        "stationary",
        "accumulator.sv",
        "masked && !gate ? old : old + sum",
        "masked && gate ? old : old + sum",
    ),
    "a column without a pixel opens gates": (
        "stationary",
        "accumulator.sv",
        "decides ? used && old",
        "decides ? !used || old",
    ),
    "rows with a pixel count, whatever their gates": (
        "output",
        "decisions.sv",
        "leaves && tag.valid && any_gate",
        "leaves && (tag.valid || any_gate)",
    ),
    "the decision takes a cycle more": (
        "stationary",
        "sequencer.sv",
        "waited == cfg.latency",
        "waited == cfg.latency + 1",
    ),
    "serial loads do not wait for the results": (
        "stationary",
        "sequencer.sv",
        "!is_pending || start : !is_pending && team_left",
        "!is_pending || start : !is_pending",
    ),
    "the drain chain is busy for a cycle more": (
        "output",
        "sequencer.sv",
        "chain <= INDEX_BITS'(ROWS - 1)",
        "chain <= INDEX_BITS'(ROWS)",
    ),
    "a scanner's window takes a cycle more": (
        "stationary",
        "scanner.sv",
        "now_waited + 1 >= window_cycles",
        "now_waited >= window_cycles",
    ),
    "the queue holds an index more": ("output", "scanner.sv", "total > depth", "total > depth + 1"),
    "a word is not broadcast": (
        "stationary",
        "arbiter.sv",
        "word[earlier] != word[g]",
        "word[earlier] >= word[g]",
    ),
}


@pytest.mark.usefixtures("rtl")
@pytest.mark.parametrize("fault", list(FAULTS) if VALIDATE else list(FAULTS)[:2])  # each builds an array
def test_a_fault_is_seen(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, file, right, wrong = FAULTS[fault]
    shutil.copytree(simulator.SOURCES, tmp_path / "rtl")
    text = (tmp_path / "rtl" / file).read_text()
    assert text.count(right) == 1
    (tmp_path / "rtl" / file).write_text(text.replace(right, wrong))
    monkeypatch.setattr(simulator, "SOURCES", tmp_path / "rtl")
    simulator.build_simulator.cache_clear()
    try:
        assert seen(kind)
    finally:
        simulator.build_simulator.cache_clear()


def seen(kind: Kind) -> bool:
    """Whether one of forty layers differs, or the array stands still."""
    for number in numbers((Build(4, 4, 2, kind),), 40):
        tried = case(number)
        job = Job(
            tried.layer, tried.hardware, tried.inputs, tried.weights, tried.thresholds, tried.pixel_gates
        )
        try:
            (result,) = run([job])
        except RuntimeError as error:
            assert "verilator failed" not in str(error), error
            return True
        if differences(job, result):
            return True
    return False
