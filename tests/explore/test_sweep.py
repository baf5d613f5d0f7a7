"""The sweep from trace files to the table on disk."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial

import pandas as pd
import pyarrow.parquet as pq
import pytest

import cgsim
from cgsim.errors import CgsimError
from cgsim.explore import Outcome, run_task
from cgsim.trace import synthesize, tiny_network
from tests.explore.workers import Interrupted

GRID = {"array.rows": [4, 8], "array.cols": [8, 16]}
TINY = 1 / 1024  # one byte, in KiB


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    return [
        str(synthesize(tiny_network(), folder / f"{name}.trace.parquet", samples=2, density=density))
        for name, density in (("sparse", 0.1), ("dense", 0.7))
    ]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_table_and_files(traces, tmp_path):
    folder = tmp_path / "a" / "b"
    table = cgsim.sweep(traces, "edge-16x16", GRID, workers=1, output=folder, command="cgsim sweep ...")
    assert list(table["trace"]) == ["sparse"] * 4 + ["dense"] * 4
    assert list(table["array.rows"]) == [4, 4, 8, 8] * 2
    assert list(table["array.cols"]) == [8, 16] * 4
    assert set(table["hardware"]) == {"edge-16x16"}
    assert table["row"].is_unique
    assert files(folder) == ["parts", "samples.parquet", "sweep.json", "sweep.parquet"]
    read = pd.read_parquet(folder / "sweep.parquet")
    assert list(read.columns) == list(table.columns)
    for name in table.columns:
        pd.testing.assert_series_equal(read[name].astype(table[name].dtype), table[name])
    told = json.loads((folder / "sweep.json").read_text())
    assert told["rows"] == 8
    assert told["units"]["gated_cycles"] == "cycles"
    assert told["units"]["array.rows"] == "PEs"
    assert told["provenance"]["command"] == "cgsim sweep ..."
    assert told["provenance"]["grid"] == GRID
    assert told["provenance"]["cgsim"] == cgsim.__version__
    assert list(told["provenance"]["traces"]) == ["sparse", "dense"]
    assert told["provenance"]["hardware"] == cgsim.load_hardware("edge-16x16").to_dict()
    schema = pq.read_schema(folder / "sweep.parquet")
    assert schema.field("gated_cycles").metadata[b"unit"] == b"cycles"


def test_each_row_is_the_run_of_its_point(traces):
    table = cgsim.sweep(traces[0], "edge-16x16", GRID, workers=1)
    for row in table.to_dict("records"):
        overrides = {key: row[key] for key in GRID}
        summary = cgsim.simulate(
            cgsim.load_trace(traces[0]), cgsim.load_hardware("edge-16x16", overrides)
        ).summary()
        for name in ("dense_cycles", "gated_cycles", "speedup", "flop_reduction", "gated_offchip_bytes"):
            assert row[name] == summary[name]


def test_processes_give_the_same_table(traces):
    grid = {"array.rows": [4, 8, 16]}
    one = cgsim.sweep(traces, "edge-16x16", grid, workers=1)
    two = cgsim.sweep(traces, "edge-16x16", grid, workers=2)
    pd.testing.assert_frame_equal(one, two)


def test_any_order_of_results_gives_the_same_table(traces):
    class Backwards:
        workers = 1

        def run(self, function, tasks):
            for task in reversed(list(tasks)):
                yield function(task)

    one = cgsim.sweep(traces, "edge-16x16", GRID, workers=1)
    pd.testing.assert_frame_equal(one, cgsim.sweep(traces, "edge-16x16", GRID, executor=Backwards()))


def test_samples_change_the_rows(traces):
    one = cgsim.sweep(traces[0], "edge-16x16", {}, workers=1)
    part = cgsim.sweep(traces[0], "edge-16x16", {}, workers=1, samples=[1], check=True)
    assert (one["samples"][0], part["samples"][0]) == (2, 1)
    assert one["row"][0] != part["row"][0]
    first = cgsim.sweep(traces[0], "edge-16x16", {}, workers=1, samples=1)
    assert first["row"][0] == cgsim.sweep(traces[0], "edge-16x16", {}, workers=1, samples=[0])["row"][0]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (0, "samples: expected 1 to 2, which {} has, got 0"),
        (10**21, "samples: expected 1 to 2, which {} has, got 1000000000000000000000"),
        (range(10**21), "{}: no sample 2, the trace has samples 0 to 1"),
        ([], "samples: expected at least one position"),
        ([0.5], "{}: samples must be a slice or integers, got [0.5]"),
        (1.5, "{}: samples must be a slice or integers, got 1.5"),
        ("1", "{}: samples must be a slice or integers, got '1'"),
        ([-1], "{}: no sample -1, the trace has samples 0 to 1"),
    ],
)
def test_samples_that_a_trace_lacks_are_told_before_any_run(traces, samples, message):
    for run in (partial(cgsim.sweep, grid={}, workers=1), cgsim.simulate):
        with pytest.raises(CgsimError) as error:
            run(traces[0], "edge-16x16", samples=samples)
        assert str(error.value) == message.format(traces[0])


@pytest.mark.parametrize("grid", [None, [1], "array.rows=8"])
def test_a_grid_maps_keys_to_values(traces, grid):
    with pytest.raises(CgsimError, match=r"sweep: expected a grid such as \{'array.rows': \[8, 16\]\}, got"):
        cgsim.sweep(traces[0], "edge-16x16", grid)


def test_simulate_takes_a_path_and_a_name(traces):
    named = cgsim.simulate(traces[0], "edge-16x16").summary()
    loaded = cgsim.simulate(cgsim.load_trace(traces[0]), cgsim.load_hardware("edge-16x16")).summary()
    assert repr(named) == repr(loaded)  # NaN is not equal to itself


def test_rows_keep_their_keys(traces):
    """A row's key depends on its inputs alone: not on the grid around it, nor on order."""
    one = cgsim.sweep(traces, "edge-16x16", GRID, workers=1)
    two = cgsim.sweep(traces[::-1], "edge-16x16", {"array.cols": [16], "array.rows": [8, 4]}, workers=1)
    assert set(two["row"]) < set(one["row"])
    assert all(len(key) == 32 for key in one["row"])


def test_one_trace_object(traces):
    table = cgsim.sweep(cgsim.load_trace(traces[0]), "edge-16x16", {"array.rows": 8}, workers=1)
    assert list(table["trace"]) == ["sparse"]


def test_plot(traces):
    from cgsim.results.plots import speedup_vs_array

    table = cgsim.sweep(traces, "edge-16x16", GRID, workers=1)
    assert speedup_vs_array(table).axes


def test_progress_bar(traces, capsys):
    cgsim.sweep(traces, "edge-16x16", {}, workers=1, progress=True)
    assert "2/2" in capsys.readouterr().err


def refusal(*arguments, **options) -> str:
    with pytest.raises(CgsimError) as caught:
        cgsim.sweep(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_point_that_fails_is_told_and_the_others_run(traces, tmp_path, workers):
    grid = {"buffers.weight_kib": [144, TINY]}
    table = cgsim.sweep(traces, "edge-16x16", grid, workers=workers, output=tmp_path)
    assert list(table["gated_cycles"].isna()) == [False, True] * 2
    assert list(table["error"] == "") == [True, False] * 2
    assert "buffers.weight_kib" in table["error"][1]
    told = json.loads((tmp_path / "sweep.json").read_text())
    assert told["failed"] == {table["row"][place]: table["error"][place] for place in (1, 3)}
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    assert set(samples["row"]) == {table["row"][0], table["row"][2]}
    read = pd.read_parquet(tmp_path / "sweep.parquet")
    assert list(read["error"].astype(str)) == list(table["error"])


def test_trace_changed_during_the_sweep(traces, tmp_path):
    path = tmp_path / "x.trace.parquet"
    shutil.copyfile(traces[0], path)

    class Meddler:
        workers = 1

        def run(self, function, tasks):
            shutil.copyfile(traces[1], path)
            yield from map(function, tasks)

    table = cgsim.sweep(path, "edge-16x16", {}, executor=Meddler())
    assert table["error"][0] == f"{path}: changed since the runs began"


def test_the_table_of_samples_adds_up_to_the_table_of_runs(traces, tmp_path):
    table = cgsim.sweep(traces, "edge-16x16", GRID, workers=1, output=tmp_path).set_index("row")
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    assert len(samples) == 2 * len(table)
    summed = samples.groupby("row").sum(numeric_only=True)
    for name in ("dense_cycles", "gated_cycles", "dense_macs", "gated_macs", "gated_offchip_bytes"):
        assert (summed[name] == table[name][summed.index]).all()
    assert (samples["array.rows"] == table["array.rows"][samples["row"]].to_numpy()).all()
    assert pq.read_schema(tmp_path / "samples.parquet").field("gated_cycles").metadata[b"unit"] == b"cycles"


def test_an_interrupted_sweep_goes_on_and_repeats_nothing(traces, tmp_path):
    executor = Interrupted(after=3)
    whole = cgsim.sweep(traces, "edge-16x16", GRID, workers=1)
    with pytest.raises(KeyboardInterrupt, match="3 of 8 runs done; the same command goes on"):
        cgsim.sweep(traces, "edge-16x16", GRID, executor=executor, output=tmp_path)
    assert files(tmp_path) == ["parts"]
    again = cgsim.sweep(traces, "edge-16x16", GRID, executor=executor, output=tmp_path)
    assert sorted(executor.seen) == sorted(whole["row"])
    pd.testing.assert_frame_equal(again, whole)


def test_a_bug_says_where(traces, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("cgsim.explore.tasks.simulate", broken)
    table = cgsim.sweep(traces[0], "edge-16x16", {"array.rows": [8]}, workers=1)
    assert re.fullmatch(r"ZeroDivisionError: a bug \(test_sweep.py:\d+\)", table["error"][0])


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
def test_bad_workers(traces, workers):
    assert refusal(traces, "edge-16x16", {}, workers=workers) == (
        f"sweep: workers: expected an integer of 1 or more, got {workers!r}"
    )


def test_bad_traces(traces, tmp_path):
    assert refusal([], "edge-16x16", {}) == "sweep: expected at least one trace"
    assert refusal(7, "edge-16x16", {}) == "sweep: expected traces or their paths, got int"
    assert refusal([traces[0]] * 2, "edge-16x16", {}) == f"sweep: {traces[0]} is there twice"
    twin = tmp_path / "twin.trace.parquet"
    shutil.copyfile(traces[0], twin)
    assert refusal([traces[0], twin], "edge-16x16", {}) == (
        f"sweep: {twin} is there twice, or has a twin with the same contents"
    )
    assert str(tmp_path / "none") in refusal(tmp_path / "none", "edge-16x16", {})


def test_bad_point_is_told_before_a_trace_is_opened():
    assert refusal("no-such-trace", "edge-16x16", {"array.rows": [0]}) == (
        "sweep: 1 of 1 points are refused: at array.rows=0: "
        "array.rows: expected an integer from 1 to 1024, got 0"
    )


def test_output_that_is_a_file(traces, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    message = refusal(traces, "edge-16x16", {}, output=path)
    assert message == f"{path}: cannot be made a folder, 'file' is not one"


def test_a_task_goes_on_after_a_point_that_fails(traces):
    from cgsim.explore import Task

    trace = cgsim.load_trace(traces[0])
    good = cgsim.load_hardware("edge-16x16")
    bad = good.override({"buffers.weight_kib": TINY})
    hardware = tuple(hw.to_dict() for hw in (good, bad, good))
    outcomes = run_task(Task(trace.path, trace.checksum, hardware, ("a", "b", "c")))
    assert [outcome.key for outcome in outcomes] == ["a", "b", "c"]
    assert outcomes[0].error == ""
    assert isinstance(outcomes[1], Outcome)
    assert outcomes[1].summary is None


def test_the_table_tells_how_sure_each_speedup_is(tmp_path):
    """As each run does by itself; the samples of a batch are drawn together."""
    trace = str(synthesize(tiny_network(), tmp_path / "t.trace.parquet", samples=9, density=0.4))
    grid = {"mapping.batch": [1, 3], "array.rows": [4, 8]}
    table = cgsim.sweep(trace, "edge-16x16", grid, workers=1, output=tmp_path / "s")
    for row in table.to_dict("records"):
        overrides = {key: row[key] for key in grid}
        own = cgsim.simulate(trace, cgsim.load_hardware("edge-16x16", overrides)).confidence()["speedup"]
        assert (row["speedup_low"], row["speedup_high"]) == pytest.approx((own.low, own.high), rel=1e-12)
        assert row["speedup_low"] < row["speedup"] < row["speedup_high"]
    read = pd.read_parquet(tmp_path / "s" / "sweep.parquet")
    assert (read["speedup_low"] == table["speedup_low"]).all()
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["units"]["speedup_high"] == "1"


def test_one_sample_or_a_failed_run_has_no_interval(traces):
    table = cgsim.sweep(traces[0], "edge-16x16", {"buffers.weight_kib": [144, TINY]}, samples=1, workers=1)
    assert table[["speedup_low", "speedup_high"]].isna().all(axis=None)
    table = cgsim.sweep(traces[0], "edge-16x16", {"buffers.weight_kib": [TINY, 144]}, workers=1)
    assert list(table["speedup_low"].isna()) == [True, False]
    assert table.columns[-1] == "error"


@pytest.mark.filterwarnings("error")
def test_columns_of_ones_own_fit_into_the_table(traces):
    """No warning from pandas of a table whose columns were put in one by one."""
    table = cgsim.sweep(traces[0], "edge-16x16", GRID, workers=1)
    table["pes"] = table["array.rows"] * table["array.cols"]
    table.insert(0, "mine", 1.0)
    assert list(table["pes"]) == [32, 64, 64, 128]
