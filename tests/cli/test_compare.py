"""`cgsim compare`: table, files, plots, JSON."""

from __future__ import annotations

import json

import pytest

from tests.explore.comparable import write

SMALL = ("--hardware", "edge-16x16", "--workers", 1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    told = {"accuracy_gated": 0.915}
    return [
        write(folder / f"{name}.trace.parquet", method, **told)
        for name, method in (("a-network-without-gates-at-all", "dense"), ("gated", "cgnet"))
    ]


def test_table_files_and_plots(cgsim, pair, tmp_path):
    answer = cgsim("compare", *pair, *SMALL, "--set", "array.cols=8,16", "-o", "c")
    assert (answer.code, answer.err) == (0, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "photos, tiny on edge-16x16, array.cols=8; ungated (trace" in answer.out
    assert answer.out.count("\ngated ") == 2
    assert "accuracy 91.50 %" in answer.out
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "accuracy_vs_cycles.png", "compare.json", "compare.parquet", "latency.png", "offchip_vs_flops.png",
        "parts", "samples.parquet", "speedup_vs_flops.png",
    ]  # fmt: skip


def test_without_accuracy_there_is_no_plot_of_it(cgsim, tiny_trace, tmp_path):
    answer = cgsim("compare", tiny_trace, *SMALL, "--plot-format", "svg", "-o", "c")
    assert (answer.code, answer.err) == (0, "")
    assert "note: no accuracy is known of tiny" in answer.out
    assert "acc." not in answer.out
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "compare.json", "compare.parquet", "latency.svg", "offchip_vs_flops.svg", "parts", "samples.parquet",
        "speedup_vs_flops.svg",
    ]  # fmt: skip


def test_json(cgsim, pair):
    words = ("--baseline", pair[0], "--no-plot", "--samples", 2, "--check", "-o", "c", "--json")
    answer = cgsim("compare", pair[1], *SMALL, *words)
    data = json.loads(answer.out)
    assert [(row["method"], row["samples"]) for row in data["rows"]] == [("cgnet", 2), ("dense", 2)]
    assert {row["baseline"] for row in data["rows"]} == {"a-network-without-gates-at-all"}
    assert data["units"]["latency_ms_p99"] == "ms"
    assert data["provenance"]["command"].startswith("cgsim compare ")


def test_bad_input(cgsim, pair, tmp_path):
    answer = cgsim("compare", *pair, *SMALL, "--hardware", "edge-16x16")
    assert answer == (2, "", "cgsim: error: compare: hardware 'edge-16x16' is there twice\n")
    answer = cgsim("compare", *pair, "--hardware", "edge-16x61")
    assert answer.err == (
        "cgsim: error: hardware 'edge-16x61': no such name or file (did you mean 'edge-16x16'?)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_runs_that_fail_are_told_and_the_exit_code_is_1(cgsim, pair):
    words = ("--set", f"buffers.weight_kib=144,{1 / 1024}", "--no-plot", "-o", "c")
    answer = cgsim("compare", *pair, *SMALL, *words)
    assert (answer.code, answer.err) == (1, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "no figures of 2 (again with --retry-failed):\n" in answer.out
    assert "95% confidence: speedups are known to ±" in answer.out
    told = json.loads(cgsim("compare", *pair, *SMALL, *words, "--json").out)
    assert [len(told[name]) for name in ("rows", "failed")] == [2, 2]
    assert cgsim("compare", *pair, *SMALL, "--set", f"buffers.weight_kib={1 / 1024}", "-o", "c").code == 2
