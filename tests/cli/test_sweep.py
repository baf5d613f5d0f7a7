"""`cgsim sweep`: experiments, the forecast, runs that fail, and going on."""

from __future__ import annotations

from json import loads

import pytest

EXPERIMENT = """
name: two by two
traces: {trace}
hardware: [edge-16x16, asic-28nm]
vary:
  grid: {{buffers.accumulator_kib: [{least}, 64]}}
"""
TINY = 1 / 1024


@pytest.fixture
def experiment(tiny_trace, tmp_path):
    def write(least):
        path = tmp_path / "study.yaml"
        path.write_text(EXPERIMENT.format(trace=tiny_trace, least=least))
        return path

    return write


def test_a_forecast_runs_nothing_and_tells_what_is_left(cgsim, experiment, tmp_path):
    path = experiment(32)
    options = ("--experiment", path, "--workers", 1, "-o", "s")
    before = cgsim("sweep", *options, "--dry-run")
    assert (before.code, before.err) == (0, "")
    lines = before.out.splitlines()
    assert lines[:2] == [
        "two by two: 4 runs: 1 trace on 4 accelerators",
        "s: 0 are done, 0 failed; 4 are left",
    ]
    assert lines[2].startswith("estimate: ")
    assert not (tmp_path / "s").exists()
    assert cgsim("sweep", *options, "--no-plot").code == 0
    after = loads(cgsim("sweep", *options, "--dry-run", "--json").out)
    assert (after["runs"], after["done"], after["left"], after["estimated_seconds"]) == (4, 4, 0, 0)
    assert cgsim("sweep", *options, "--dry-run").out.count("\n") == 2


def test_the_table_names_the_accelerators_that_differ(cgsim, experiment):
    answer = cgsim("sweep", "--experiment", experiment(32), "--workers", 1, "-o", "s")
    assert (answer.code, answer.err) == (0, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert answer.out.count("edge-16x16") == answer.out.count("asic-28nm") == 2


def test_runs_that_fail_are_told_and_the_exit_code_is_1(cgsim, experiment):
    options = ("--experiment", experiment(TINY), "--workers", 1, "-o", "s")
    answer = cgsim("sweep", *options)
    assert (answer.code, answer.err) == (1, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "2 of 4 runs failed (again with --retry-failed):" in answer.out
    assert " ".join(answer.out.split()).count("buffers.accumulator_kib needs") == 2
    told = loads(cgsim("sweep", *options, "--json").out)
    assert len(told["failed"]) == 2
    assert [row["speedup"] is None for row in told["rows"]] == [True, False] * 2


def test_where_every_run_fails_there_is_no_plot(cgsim, tiny_trace, tmp_path):
    options = ("--set", f"buffers.accumulator_kib={TINY}", "--workers", 1, "-o", "s")
    answer = cgsim("sweep", tiny_trace, "--hardware", "edge-16x16", *options)
    assert (answer.code, answer.err) == (1, "")
    assert "1 of 1 runs failed" in answer.out
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "parts",
        "sweep.json",
        "sweep.parquet",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "sweep: expected TRACE, or --experiment FILE (see cgsim sweep --help)"),
        (["x"], "sweep: expected --hardware HW, or --experiment FILE (see cgsim sweep --help)"),
        (
            ["--experiment", "x.yaml", "--hardware", "edge-16x16"],
            "--experiment says all of it: expected no TRACE, --hardware, --set or --samples beside",
        ),
        (["--experiment", "x.yaml"], "x.yaml: no such file, expected an experiment in YAML"),
        (
            ["--experiment", "study.yaml", "--workers", "2", "--dask", "tcp://127.0.0.1:1"],
            "--workers and --dask exclude each other: the cluster has its own workers",
        ),
    ],
)
def test_refusals(cgsim, experiment, arguments, message):
    experiment(32)
    answer = cgsim("sweep", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"cgsim: error: {message}\n"


def test_the_table_tells_how_sure_the_speedups_are(cgsim, experiment):
    answer = cgsim("sweep", "--experiment", experiment(32), "--workers", 1, "--no-plot", "-o", "s")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert answer.out.count("±") == 4
    one = cgsim("sweep", "--experiment", experiment(32), "--workers", 1, "--no-plot", "-o", "s", "--json")
    (row, *_) = loads(one.out)["rows"]
    assert row["speedup_low"] <= row["speedup"] <= row["speedup_high"]


def test_refused_points_are_listed_by_reason(cgsim, tiny_trace, tmp_path):
    options = ("--hardware", "edge-16x16", "--set", "array.cols=4,8,12", "--set", "array.rows=1,2,4,8,16")
    answer = cgsim("sweep", tiny_trace, *options, "-o", "s")
    assert (answer.code, answer.out) == (2, "")
    assert max(map(len, answer.err.splitlines())) <= 80
    head, *rest = answer.err.splitlines()
    assert head == "cgsim: error: sweep: 10 of 15 points are refused:"
    told = " ".join(" ".join(rest).split())
    assert told.count("and 3 more: array.column_groups: expected a divisor of array.cols") == 2
    assert list(tmp_path.iterdir()) == []
