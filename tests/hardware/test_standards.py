"""DRAM standards that a user adds are configured like those that are shipped."""

from __future__ import annotations

import dataclasses

import pytest

import cgsim
from cgsim.commands import completers
from cgsim.dram.standards import STANDARDS, standard
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.hardware.reference import reference
from cgsim.trace import synthesize, tiny_network

SHIPPED = ["ideal", *STANDARDS]


def listed():
    """The names of the JSON schema."""
    return Hardware.model_json_schema()["$defs"]["Dram"]["properties"]["standard"]["enum"]


def offered():
    """What a shell completes `--set dram.standard=` with."""
    return [answer.partition("=")[2] for answer in completers.settings("dram.standard=")]


@pytest.fixture
def fast(monkeypatch):
    """A DDR4-2400 whose rows open and close in half the time."""
    own = dataclasses.replace(standard("DDR4-2400"), name="fast", rcdr=8, rcdw=8, rp=8, rpab=8, ras=20, rc=28)
    monkeypatch.setitem(STANDARDS, "fast", own)
    return own


def test_the_shipped_names_are_listed_everywhere():
    assert listed() == offered() == SHIPPED
    (row,) = [line for line in reference().splitlines() if line.startswith("| `dram.standard` |")]
    assert all(f"`{name}`" in row for name in SHIPPED)


def test_one_of_your_own_is_taken_and_listed(fast, tmp_path):
    hardware = cgsim.load_hardware("edge-16x16", {"dram.standard": "fast"})
    assert hardware.dram.standard == "fast"
    assert listed() == offered() == [*SHIPPED, "fast"]
    trace = synthesize(tiny_network(), tmp_path / "t.trace.parquet", samples=1)
    own = cgsim.simulate(str(trace), hardware, check=True).summary()
    usual = cgsim.simulate(str(trace), hardware.override({"dram.standard": "DDR4-2400"})).summary()
    assert own["gated_cycles"] <= usual["gated_cycles"]
    assert cgsim.simulate(str(trace), hardware).provenance["hardware"]["dram"]["standard"] == "fast"


@pytest.mark.parametrize(
    ("value", "told"), [("fats", "'fats' (did you mean 'fast'?)"), ("DDR4-240", "'DDR4-240' (did you mean")]
)
def test_another_name_is_refused_with_the_nearest(fast, value, told):
    with pytest.raises(CgsimError) as caught:
        cgsim.load_hardware("edge-16x16", {"dram.standard": value})
    assert "dram.standard: expected 'ideal', " in str(caught.value)
    assert f"or 'fast', got {told}" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "told"), [(7, "got 7"), (None, "got nothing"), (["ideal"], "got ['ideal']")]
)
def test_what_is_no_text_is_refused(value, told):
    with pytest.raises(CgsimError, match=r"dram.standard: expected 'ideal', ") as caught:
        cgsim.load_hardware("edge-16x16", {"dram.standard": value})
    assert str(caught.value).endswith(told)


def test_what_is_not_modelled_is_said_so():
    with pytest.raises(CgsimError, match=r"'DDR5' .*is not modelled yet, only 'ideal', "):
        cgsim.load_hardware("edge-16x16", {"dram.standard": "DDR5"})
