"""`cgsim optimize`: table, files, limits, YAML and refusals."""

from __future__ import annotations

from json import loads

import pytest

OPTIONS = (
    "--hardware",
    "edge-16x16",
    "--objective",
    "latency",
    "--objective",
    "pes",
    "--workers",
    1,
    "-o",
    "s",
)


def test_a_search_prints_its_front_and_writes_files(cgsim, tiny_trace, tmp_path):
    vary = ("--vary", "array.rows=4..16:4", "--vary", "array.cols=4,8", "--set", "clock_mhz=100")
    answer = cgsim("optimize", tiny_trace, *OPTIONS, *vary, "--constraint", "pes<=64", "--trials", 12)
    assert (answer.code, answer.err) == (0, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert answer.out.startswith("optimize: 12 trials: ")
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "pareto.json", "pareto.png", "parts", "trials.parquet"
    ]  # fmt: skip
    told = loads((tmp_path / "s" / "pareto.json").read_text())
    assert told["provenance"]["vary"] == {
        "array.rows": {"low": 4, "high": 16, "step": 4},
        "array.cols": [4, 8],
    }
    assert told["provenance"]["hardware"]["clock_mhz"] == 100
    assert all(row["pes"] <= 64 for row in told["front"])
    data = loads(cgsim("optimize", tiny_trace, *OPTIONS, *vary, "--trials", 12, "--json").out)
    assert len(data["trials"]) == 12


def test_nothing_feasible_is_exit_code_1(cgsim, tiny_trace):
    vary = ("--vary", "array.rows=4,8", "--constraint", "pes<=1", "--sampler", "grid")
    answer = cgsim("optimize", tiny_trace, *OPTIONS, *vary)
    assert (answer.code, answer.err) == (1, "")
    assert answer.out.startswith("optimize: 2 trials: 2 infeasible")


def test_a_file_says_all(cgsim, tiny_trace, tmp_path):
    (tmp_path / "search.yaml").write_text(
        f"{{traces: {tiny_trace}, hardware: edge-16x16, vary: {{array.rows: [4, 8]}}, "
        "objectives: cycles, trials: 3}"
    )
    answer = cgsim("optimize", "--search", "search.yaml", "--workers", 1, "--no-plot", "-o", "s")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("search: 3 trials: ")
    answer = cgsim("optimize", "--search", "search.yaml", "--trials", 4)
    assert answer.err == "cgsim: error: --search says all of it: expected no trials beside\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "optimize: expected TRACE, or --search FILE (see cgsim optimize --help)"),
        (
            ["x", "--hardware", "edge-16x16", "--vary", "array.rows=4,8"],
            "optimize: expected --objective FIGURE, or --search FILE (see cgsim optimize --help)",
        ),
        (
            ["x", "--vary", "array.rows=4..x"],
            "--vary array.rows=4..x: expected KEY=LOW..HIGH, LOW..HIGH:STEP or LOW..HIGH:log, got 'x'",
        ),
        (["--search", "none.yaml"], "none.yaml: no such file, expected a search in YAML"),
    ],
)
def test_refusals(cgsim, arguments, message):
    answer = cgsim("optimize", *arguments)
    assert (answer.code, answer.out, answer.err) == (2, "", f"cgsim: error: {message}\n")
