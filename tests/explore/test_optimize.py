"""Searches: the front against all points, seeds, stops, and what is told of everything that is wrong."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cgsim
from cgsim.errors import CgsimError
from cgsim.explore import Search
from cgsim.explore.figures_of_merit import FIGURES, parse_constraint
from cgsim.explore.front import best_of
from cgsim.explore.proposals import make_proposer
from cgsim.results.pareto import pareto
from cgsim.trace import synthesize, tiny_network
from tests.explore.workers import Interrupted

GRID = {"array.rows": [2, 4, 8, 16], "array.cols": [2, 4, 8, 16]}
HARDWARE = cgsim.load_hardware("edge-16x16", {"array.column_groups": 1}).to_dict()


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    return [
        str(synthesize(tiny_network(), folder / f"{name}.trace.parquet", samples=2, density=density))
        for name, density in (("sparse", 0.1), ("full", 0.7))
    ]


@pytest.fixture
def values(traces):
    return {
        "traces": traces[0],
        "hardware": HARDWARE,
        "vary": GRID,
        "objectives": ["latency", "pes"],
        "trials": 40,
    }


def kept(table):
    """Objectives of the front."""
    return set(table[table["state"] == "front"][["latency", "pes"]].itertuples(index=False, name=None))


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def test_the_grid_finds_the_front_of_a_sweep(traces, values):
    found = cgsim.optimize(values | {"sampler": "grid"}, workers=1)
    assert len(found) == 16  # there are no more
    table = cgsim.sweep(
        traces[0], cgsim.load_hardware("edge-16x16", {"array.column_groups": 1}), GRID, workers=1
    )
    points = list(zip(table["gated_latency_ms_mean"], table["array.rows"] * table["array.cols"], strict=True))
    expected = {one for one in points if not any(dominates(other, one) for other in points)}
    assert kept(found) == expected


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_samplers_repeat_themselves_and_propose_what_is_allowed(values, sampler):
    one = cgsim.optimize(values | {"sampler": sampler}, workers=1)
    assert len(one) == 40
    pd.testing.assert_frame_equal(one, cgsim.optimize(values | {"sampler": sampler}, workers=1))
    assert not one.equals(cgsim.optimize(values | {"sampler": sampler, "seed": 1}, workers=1))
    for key, allowed in GRID.items():
        assert set(one[key]) <= set(allowed)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_samplers_learn(values, sampler):
    """More of what they propose late is feasible and near the front than by chance."""
    sizes = {"low": 1, "high": 64}
    search = values | {"vary": {"array.rows": sizes, "array.cols": sizes}, "constraints": "pes<=800"}

    def near(kind):
        of = Search.from_dict(search | {"sampler": kind})
        proposer = make_proposer(of, of.axes)
        found = []
        for _ in range(15):
            asked = proposer.ask(16)
            pes = [one["array.rows"] * one["array.cols"] for one in asked]
            latency = [-(-100 // one["array.rows"]) * -(-100 // one["array.cols"]) for one in asked]
            excess = [[number / 800 - 1] for number in pes]
            proposer.tell([list(map(float, one)) for one in zip(latency, pes, strict=True)], excess)
            found += [a * b < 11000 and b <= 800 for a, b in zip(latency, pes, strict=True)]
        return sum(found[-120:])

    assert near(sampler) > 1.5 * near("random") > 0


def test_processes_give_the_same_search(values):
    few = values | {"trials": 8, "batch": 4}
    pd.testing.assert_frame_equal(cgsim.optimize(few, workers=1), cgsim.optimize(few, workers=2))


def test_a_stopped_search_ends_as_if_it_had_not_stopped_and_repeats_nothing(values, tmp_path):
    executor = Interrupted(after=5)
    values = values | {"trials": 24, "batch": 8}
    whole = cgsim.optimize(values, workers=1, output=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match="of 24 trials done; the same command goes on"):
        cgsim.optimize(values, executor=executor, output=tmp_path / "stopped")
    again = cgsim.optimize(values, executor=executor, output=tmp_path / "stopped")
    pd.testing.assert_frame_equal(again, whole)
    assert len(executor.seen) == len(set(executor.seen)) > 5
    told = [json.loads((tmp_path / name / "pareto.json").read_text()) for name in ("whole", "stopped")]
    assert told[0]["front"] == told[1]["front"]
    assert told[0]["provenance"]["vary"] == GRID


def test_several_traces_are_a_choice(traces, values):
    table = cgsim.optimize(
        values | {"traces": traces, "objectives": ["cycles"], "sampler": "grid"}, workers=1
    )
    assert len(table) == 32
    assert list(table["state"]).count("front") == 1
    (best,) = table[table["state"] == "front"]["trace"]
    assert best == "sparse"


def test_limits_are_kept(values):
    limits = values | {"constraints": ["pes<=64", "offchip<=1e9"], "sampler": "grid"}
    table = cgsim.optimize(limits, workers=1)
    for row in table.to_dict("records"):
        assert (row["state"] == "infeasible") == (row["pes"] > 64) == (row["excess"] > 0)
        assert row["error"] == ""
    assert table["pes"].max() == 256
    none = cgsim.optimize(values | {"constraints": "pes<=1", "trials": 8}, workers=1)
    assert set(none["state"]) == {"infeasible"}


def test_trials_without_figures_do_not_end_a_search(values):
    refused = values | {"vary": {"array.cols": [2, 4], "array.column_groups": [1, 4]}, "sampler": "grid"}
    table = cgsim.optimize(refused, workers=1)
    assert list(table["state"]).count("refused") == 1
    assert table[table["state"] == "refused"]["error"].str.contains("column_groups").all()
    failing = values | {
        "vary": {"buffers.accumulator_kib": [1 / 1024, 32.0]},
        "sampler": "random",
        "trials": 6,
    }
    states = cgsim.optimize(failing, workers=1)
    assert set(states["state"]) == {"failed", "front", "feasible"}
    missing = cgsim.optimize(values | {"objectives": ["accuracy"], "trials": 4}, workers=1)
    assert set(missing["error"]) == {"the run of trace 'sparse' has no accuracy"}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=20))
def test_the_front_is_what_nothing_dominates(points):
    found = best_of([list(map(float, one)) for one in points], [True, False, True])
    signed = [(a, -b, c) for a, b, c in points]
    for place, own in enumerate(signed):
        expected = not any(dominates(other, own) for other in signed) and own not in signed[:place]
        assert found[place] == expected


@pytest.mark.parametrize("style", ["asic", "fpga"])
def test_every_figure_is_a_number_of_a_run(traces, style):
    hardware = cgsim.load_hardware("edge-16x16")
    only = {"asic": {"energy", "dram_energy", "energy_reduction", "power", "area"}}
    only["fpga"] = {"dsp", "lut", "ff", "bram36", "uram"}
    if style == "fpga":
        hardware = hardware.override({"style": "fpga", "technology": "XCU250"})
    summary = cgsim.simulate(traces[0], hardware).summary()
    for name, figure in FIGURES.items():
        value = figure.value(summary, hardware)
        unknown = name == "accuracy" or any(name in names for key, names in only.items() if key != style)
        assert math.isnan(value) if unknown else value > 0 or name == "uram", name
    assert FIGURES["offchip"].value(summary, hardware) * 2 == summary["gated_offchip_bytes"]
    assert FIGURES["buffers"].value(summary, hardware) == sum(
        hardware.get(f"buffers.{name}_kib") for name in ("activation", "weight", "accumulator", "gate")
    )


def test_the_page_tells_every_figure():
    page = (Path(__file__).parents[2] / "docs" / "optimize.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (less|more) \|", page, re.MULTILINE)
    assert rows == [(name, figure.unit, figure.better) for name, figure in FIGURES.items()]


@pytest.mark.parametrize(
    ("text", "value", "excess"),
    [
        ("pes<=64", 96, 0.5),
        ("pes <= 64", 64, 0),
        ("speedup>=2", 1.5, 0.25),
        ("pes<=0", 3, 3),
        ("pes<=1", math.nan, math.inf),
    ],
)
def test_excess_is_relative_to_the_limit(text, value, excess):
    constraint = parse_constraint(text, "x")
    assert constraint.excess({constraint.name: value}) == excess


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": []}, "search: objectives: missing"),
        (
            {"objectives": "latencies"},
            "search: objectives: unknown figure 'latencies' (did you mean 'latency'?)",
        ),
        ({"objectives": ["pes", "pes"]}, "search: objectives: one is there twice"),
        ({"objectives": ["aera"]}, "search: objectives: unknown figure 'aera' (did you mean 'area'?)"),
        (
            {"constraints": ["pes<64"]},
            "search: constraints: expected FIGURE<=NUMBER or FIGURE>=NUMBER, got 'pes<64'",
        ),
        ({"constraints": ["pes<=x"]}, "search: constraints: expected a number behind <=, got 'x'"),
        ({"constraints": ["pse<=8"]}, "search: constraints: unknown figure 'pse' (did you mean 'pes'?)"),
        ({"sampler": "nsga"}, "search: sampler: unknown 'nsga' (did you mean 'nsga2'?)"),
        ({"trials": 0}, "search: trials: expected a whole number of 1 or more, got 0"),
        ({"hardware": ["edge-16x16", "asic-28nm"]}, "search: hardware: expected one accelerator, got 2"),
        ({"vary": {"array.row": [1]}}, "search: vary: array.row: unknown key (did you mean 'rows'?)"),
        (
            {"vary": {"array.rows": {"low": 1}}},
            "search: vary.array.rows.high: missing (or give a list of values instead)",
        ),
        (
            {"vary": {"clock_mhz": {"low": 1.0, "high": 2.0}}, "sampler": "grid"},
            "search: vary.clock_mhz: the grid needs a list, or whole numbers, or a step",
        ),
        ({"trails": 4}, "search: unknown key 'trails' (did you mean 'trials'?)"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(values, changes, message):
    with pytest.raises(CgsimError) as caught:
        Search.from_dict(values | changes)
    told = str(caught.value)
    assert told == message


def test_plots(values, tmp_path):
    two = cgsim.optimize(values | {"constraints": ["pes<=64"]}, workers=1)
    figure = pareto(two, {"latency": "less", "pes": "less"}, tmp_path / "two.png", {"latency": "ms"})
    assert figure.axes[0].get_xlabel() == "latency [ms] (less is better)"
    assert (tmp_path / "two.png").stat().st_size > 5000
    three = cgsim.optimize(values | {"objectives": ["latency", "pes", "offchip"]}, workers=1)
    assert len(pareto(three, dict.fromkeys(["latency", "pes", "offchip"], "less")).axes) == 3
    one = cgsim.optimize(values | {"objectives": ["latency"]}, workers=1)
    assert pareto(one, {"latency": "less"}).axes[0].get_xlabel() == "trial"
    with pytest.raises(CgsimError, match="pareto: column 'latencx' is missing"):
        pareto(two, {"latencx": "less"})
