"""Experiments: what YAML says, what it becomes, and what is told of everything that is wrong in it."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cgsim
from cgsim.errors import CgsimError
from cgsim.explore import Experiment
from cgsim.explore.sampling import Axis, combined, settings_of
from cgsim.trace import synthesize, tiny_network


@pytest.fixture
def folder(tmp_path):
    for name, density in (("a", 0.1), ("b", 0.7)):
        synthesize(tiny_network(), tmp_path / f"{name}.trace.parquet", samples=2, density=density)
    return tmp_path


def written(folder, text):
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_a_file_becomes_a_plan(folder):
    path = written(
        folder,
        """
        traces: ["*.trace.parquet"]
        hardware: [edge-16x16, asic-28nm]
        vary:
          - grid: {array.rows: [8, 16], clock_mhz: 200}
          - zip: {array.cols: [8, 16], array.column_groups: [1, 2]}
        samples: 1
        """,
    )
    plan = Experiment.load(path).plan()
    assert (plan.name, list(plan.traces), plan.samples, len(plan)) == ("study", ["a", "b"], (0,), 16)
    assert [str(point) for point in plan.points[:3]] == [
        "array.rows=8, clock_mhz=200.0, array.cols=8, array.column_groups=1",
        "array.rows=8, clock_mhz=200.0, array.cols=16, array.column_groups=2",
        "array.rows=16, clock_mhz=200.0, array.cols=8, array.column_groups=1",
    ]
    assert [point.hardware.name for point in plan.points] == ["edge-16x16"] * 4 + ["asic-28nm"] * 4


def test_the_run_has_a_table_samples_and_its_description(folder):
    path = written(
        folder,
        "{name: two, traces: a.trace.parquet, hardware: edge-16x16, vary: {list: [{}, {array.rows: 8}]}}",
    )
    table = cgsim.run_experiment(path, workers=1, output=folder / "out")
    assert list(table["array.rows"]) == [16, 8]
    told = json.loads((folder / "out" / "sweep.json").read_text())["provenance"]
    assert told["name"] == "two"
    assert told["experiment"]["vary"] == {"list": [{}, {"array.rows": 8}]}
    assert told["grid"] == {"array.rows": [16, 8]}
    equal = cgsim.sweep(folder / "a.trace.parquet", "edge-16x16", {"array.rows": [16, 8]}, workers=1)
    pd.testing.assert_frame_equal(table, equal)


def test_samples_on_the_same_values_are_one_point(folder):
    values = {
        "traces": "a.trace.parquet",
        "hardware": {"name": "mine", **cgsim.load_hardware("edge-16x16").to_dict()} | {"name": "mine"},
        "vary": {"random": {"samples": 40, "of": {"array.rows": [8, 16]}}},
    }
    assert len(Experiment.from_dict(values, folder=folder).points()) == 2


def test_random_and_latin_hypercube_samples_stay_inside_and_repeat_themselves():
    of = {
        "a": {"low": 8, "high": 64},
        "b": {"low": 0.5, "high": 8.0, "log": True},
        "c": [1, 2, 4],
        "d": {"low": 0, "high": 1.0, "step": 0.25},
    }
    for kind in ("random", "latin_hypercube"):
        block = {kind: {"samples": 50, "seed": 3, "of": of}}
        found = settings_of(block, "x")
        assert found == settings_of(block, "x")
        assert found != settings_of({kind: {"samples": 50, "seed": 4, "of": of}}, "x")
        assert all(type(one["a"]) is int and 8 <= one["a"] <= 64 for one in found)
        assert all(0.5 <= one["b"] < 8 for one in found)
        assert {one["c"] for one in found} == {1, 2, 4}
        assert {one["d"] for one in found} == {0, 0.25, 0.5, 0.75, 1}


def test_a_latin_hypercube_has_one_sample_in_each_slice():
    (block,) = [
        {
            "latin_hypercube": {
                "samples": 16,
                "of": {"a": {"low": 0.0, "high": 16.0}, "b": {"low": 0.0, "high": 16.0}},
            }
        }
    ]
    for key in ("a", "b"):
        assert sorted(int(one[key]) for one in settings_of(block, "x")) == list(range(16))


@given(st.integers(1, 40), st.integers(1, 60), st.booleans())
def test_whole_numbers_take_every_value_of_their_range(low, count, log):
    axis = Axis("k", low=low, high=low + count, log=log)
    found = {axis.value(place) for place in np.linspace(0, 1, 20_000, endpoint=False)}
    assert found == set(range(low, low + count + 1))
    assert axis.value(math.nextafter(1, 0)) == low + count


def test_keys_of_two_blocks_are_told():
    with pytest.raises(CgsimError, match=r"^x: array.rows is in block 1 and in block 2$"):
        combined([[{"array.rows": 8}], [{"array.rows": 16}]], "x")


GOOD = {"traces": "a.trace.parquet", "hardware": "edge-16x16"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hardwares": 1}, "experiment: unknown key 'hardwares' (did you mean 'hardware'?)"),
        ({"traces": []}, "experiment: traces: expected at least one entry"),
        ({"traces": [3]}, "experiment: traces[0]: expected a text, got 3"),
        ({"traces": "*.nothing"}, "experiment: traces[0]: no file matches '*.nothing'"),
        (
            {"hardware": "edge-16x61"},
            "hardware 'edge-16x61': no such name or file (did you mean 'edge-16x16'?)",
        ),
        (
            {"hardware": ["edge-16x16"] * 2},
            "experiment: hardware[1]: 'edge-16x16' is there twice; give the second another name",
        ),
        ({"hardware": [4]}, "experiment: hardware[0]: expected a name, a path or the keys of one, got 4"),
        ({"samples": 0}, "experiment: samples: expected a whole number of 1 or more, got 0"),
        ({"samples": [0, -1]}, "experiment: samples[1]: expected a whole number of 0 or more, got -1"),
        ({"check": "yes"}, "experiment: check: expected true or false, got 'yes'"),
        ({"name": ""}, "experiment: name: expected a text, got ''"),
        ({"vary": 7}, "experiment: vary: expected a list, got 7"),
        ({"vary": [{"gird": {}}]}, "experiment: vary[0]: unknown key 'gird' (did you mean 'grid'?)"),
        (
            {"vary": [{}]},
            "experiment: vary[0]: expected one key of grid, zip, list, random, latin_hypercube, got none",
        ),
        ({"vary": {"grid": {}}}, "experiment: vary[0].grid: expected at least one key"),
        (
            {"vary": {"grid": {"array.rows": [8, 8]}}},
            "experiment: vary[0].grid: array.rows: 8 is there twice",
        ),
        (
            {"vary": {"zip": {"array.rows": [8, 16], "array.cols": [8]}}},
            "experiment: vary[0].zip: expected lists of one length, array.rows has 2, array.cols has 1",
        ),
        ({"vary": {"random": {"of": {"array.rows": [8]}}}}, "experiment: vary[0].random.samples: missing"),
        (
            {"vary": {"random": {"samples": 2, "of": {"array.rows": {"low": 8, "hihg": 9}}}}},
            "experiment: vary[0].random.of.array.rows: unknown key 'hihg' (did you mean 'high'?)",
        ),
        (
            {"vary": {"random": {"samples": 2, "of": {"array.rows": {"low": 9, "high": 9}}}}},
            "experiment: vary[0].random.of.array.rows: expected low below high, got 9 and 9",
        ),
        (
            {"vary": {"random": {"samples": 2, "of": {"array.rows": {"low": 0, "high": 9, "log": True}}}}},
            "experiment: vary[0].random.of.array.rows.log: expected low above 0 and no step",
        ),
        (
            {"vary": {"latin_hypercube": {"samples": True, "of": {}}}},
            "experiment: vary[0].latin_hypercube.samples: expected a whole number of 1 or more, got True",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(changes, message):
    with pytest.raises(CgsimError) as caught:
        Experiment.from_dict(GOOD | changes)
    assert str(caught.value) == message


def test_every_bad_point_is_told_before_a_trace_is_opened():
    values = GOOD | {"vary": [{"list": [{"array.rows": 0}, {"array.rows": 8}, {"array.colls": 8}]}]}
    with pytest.raises(CgsimError) as caught:
        Experiment.from_dict(values).plan()
    told = str(caught.value)
    assert told.startswith("experiment: 2 of 3 points are refused: at array.rows=0: ")
    assert "at array.colls=8: array.colls: unknown key (did you mean 'cols'?)" in told


def test_a_key_that_is_there_twice_is_told_with_its_line(folder):
    path = written(folder, "traces: a.trace.parquet\nhardware: edge-16x16\ntraces: b.trace.parquet\n")
    with pytest.raises(CgsimError, match=r"study.yaml: line 3, column 1: key 'traces' is there twice"):
        Experiment.load(path)
    with pytest.raises(CgsimError, match=r"none.yaml: no such file, expected an experiment in YAML"):
        Experiment.load(folder / "none.yaml")
