from __future__ import annotations

import json
from pathlib import Path

import pytest

SMALL = ("--hardware", "edge-16x16", "--set", "array.rows=4", "--set", "array.cols=4", "--set",
         "array.column_groups=2")  # fmt: skip


def load(text):
    def refuse(name):
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


def test_simulate_prints_a_table_and_writes_files(cgsim, tiny_trace, tmp_path):
    answer = cgsim("simulate", tiny_trace, *SMALL, "--check", "--plot", "-o", "out/x")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("total") for line in lines)
    names = ["layers.parquet", "summary.json", "report.md", "speedup_vs_flops.png", "cycles.png",
             "energy.png", "roofline.png", "latency.png", "bandwidth.png"]  # fmt: skip
    told = " ".join(line.strip() for line in lines[-2:])
    assert told == f"written to out/x: {', '.join(names)}"
    assert sorted(path.name for path in (tmp_path / "out" / "x").iterdir()) == sorted(names)
    assert all((tmp_path / "out" / "x" / name).stat().st_size > 500 for name in names)


def test_simulate_has_a_default_folder(cgsim, tiny_trace, tmp_path):
    assert cgsim("simulate", tiny_trace, *SMALL).code == 0
    assert (tmp_path / "out" / "tiny-edge-16x16" / "layers.parquet").is_file()


def test_simulate_json_is_one_document_and_writes_nothing(cgsim, tiny_trace, tmp_path):
    answer = cgsim("simulate", tiny_trace, *SMALL, "--samples", 2, "--json")
    assert (answer.code, answer.err) == (0, "")
    data = load(answer.out)
    assert data["summary"]["samples"] == 2
    assert len(data["layers"]) == 2 * data["summary"]["layers"]
    assert data["provenance"]["hardware"]["array"]["rows"] == 4
    assert data["provenance"]["command"].startswith("cgsim simulate ")
    assert data["units"]["gated_cycles"] == "cycles"
    assert list(tmp_path.iterdir()) == []
    assert data["summary"]["gated_cycles"] == sum(row["gated_cycles"] for row in data["layers"])


def test_report_names_the_plots_it_shows(cgsim, tiny_trace, tmp_path):
    assert cgsim("simulate", tiny_trace, *SMALL, "--plot", "--plot-format", "svg", "-o", "r").code == 0
    report = (tmp_path / "r" / "report.md").read_text()
    assert "![cycles](cycles.svg)" in report
    assert (tmp_path / "r" / "cycles.svg").is_file()
    assert "Speedup **" in report


def test_simulate_writes_a_timeline(cgsim, tiny_trace, tmp_path):
    options = ("--timeline", "t.json", "--timeline-layers", ":", "--timeline-sample", 1, "-o", "x")
    answer = cgsim("simulate", tiny_trace, *SMALL, *options)
    assert (answer.code, answer.err) == (0, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    data = load((tmp_path / "t.json").read_text())
    assert data["otherData"]["sample"] == 1
    assert data["otherData"]["command"].startswith("cgsim simulate ")
    one = cgsim("simulate", tiny_trace, *SMALL, "--timeline", "u.json", "--json")
    assert load(one.out)["summary"]["samples"] == 3
    assert len(load((tmp_path / "u.json").read_text())["traceEvents"]) < len(data["traceEvents"])


def test_sweep_writes_table_and_plot(cgsim, tiny_trace, tmp_path):
    grid = ("--set", "array.rows=4,8", "--set", "array.cols=8,16")
    answer = cgsim("sweep", tiny_trace, "--hardware", "edge-16x16", *grid, "--workers", 1, "-o", "s")
    assert (answer.code, answer.err) == (0, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert answer.out.count("tiny ") == 4
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "parts", "samples.parquet", "speedup_vs_array.png", "sweep.json", "sweep.parquet"
    ]  # fmt: skip


def test_sweep_json(cgsim, tiny_trace):
    options = ("--set", "array.rows=4,8", "--workers", 1, "--no-plot", "-o", "s", "--json")
    answer = cgsim("sweep", tiny_trace, "--hardware", "edge-16x16", *options)
    data = load(answer.out)
    assert [row["array.rows"] for row in data["rows"]] == [4, 8]
    assert data["units"]["speedup"] == "1"
    assert data["provenance"]["command"].startswith("cgsim sweep ")


@pytest.mark.parametrize("command", ["info", "check", "stats"])
def test_trace_commands_fit_80_columns_and_speak_json(cgsim, tiny_trace, command):
    answer = cgsim("trace", command, tiny_trace)
    assert (answer.code, answer.err) == (0, "")
    path_line = [line for line in answer.out.splitlines() if str(tiny_trace) not in line]
    assert max(map(len, path_line), default=0) <= 80
    assert load(cgsim("trace", command, tiny_trace, "--json").out)


def test_objects_among_the_parameters_are_rows_of_their_own(cgsim):
    from cgsim.trace import Metadata, Sample, TraceWriter, tiny_network

    told = {"scheme": "int8", "notes": {"x": 1}, "quantization": {"accuracy_float": 0.91, "calibration": 64}}
    metadata = Metadata("m", "dense", method_parameters=told, notes="kept")
    with TraceWriter("q.trace.parquet", tiny_network(gated=False), metadata) as writer:
        writer.append(Sample("0"), {})
    lines = cgsim("trace", "info", "q.trace.parquet").out.splitlines()
    rows = dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)
    assert rows["quantization"] == "accuracy_float 0.910, calibration 64"
    assert rows["notes"] == "kept"


def test_the_layers_of_a_shipped_trace_are_told_apart(cgsim):
    shipped = Path(__file__).parents[2] / "traces" / "resnet18-synthetic.trace.parquet"
    lines = cgsim("trace", "info", shipped).out.splitlines()
    layers = [line.split()[0] for line in lines[lines.index("") + 4 :]]
    assert len(layers) > 20
    assert len(set(layers)) == len(layers)
    assert not any("…" in layer for layer in layers)


def test_trace_synth_subset_merge(cgsim, tiny_trace):
    made = cgsim("trace", "synth", "tiny", "--samples", 4, "--seed", 3, "-o", "a.trace.parquet")
    assert made.out.startswith("a.trace.parquet: 4 samples, FLOP reduction ")
    assert cgsim("trace", "subset", "a.trace.parquet", "--samples", "0-1", "-o", "b.trace.parquet").code == 0
    assert cgsim("trace", "subset", "a.trace.parquet", "--samples", "3", "-o", "c.trace.parquet").code == 0
    merged = cgsim("trace", "merge", "b.trace.parquet", "c.trace.parquet", "-o", "d.trace.parquet", "--json")
    assert load(merged.out)["samples"] == 3
    like = cgsim(
        "trace", "synth", "tiny", "--like", "a.trace.parquet", "--samples", 2, "-o", "e.trace.parquet"
    )
    assert like.code == 0
    assert cgsim("trace", "check", *(f"{name}.trace.parquet" for name in "abcde")).code == 0


def test_hardware_shown_is_a_hardware_file(cgsim, tmp_path):
    shown = cgsim("hardware", "show", "asic-28nm", "--set", "array.rows=8").out
    (tmp_path / "mine.yaml").write_text(shown)
    assert cgsim("hardware", "check", "mine.yaml").out == "mine.yaml: ok (asic-28nm)\n"
    assert "rows: 8\n" in cgsim("hardware", "show", "mine.yaml").out


def test_hardware_list(cgsim):
    answer = cgsim("hardware", "list")
    assert max(map(len, answer.out.splitlines())) <= 80
    names = [item["name"] for item in load(cgsim("hardware", "list", "--json").out)["hardware"]]
    assert "asic-28nm" in names
    assert all(name in answer.out for name in names)


def test_trace_synth_of_every_granularity(cgsim):
    for gate in ("activation", "pixel", "channel", "static"):
        made = cgsim("trace", "synth", "resnet20", "--gate", gate, "--samples", 2, "-o", "g.trace.parquet")
        assert "2 samples, FLOP reduction" in made.out
        told = load(cgsim("trace", "info", "g.trace.parquet", "--json").out)
        assert {layer["gate"] for layer in told["layers"]} == {gate, "none"}
        assert told["command"].startswith(f"cgsim trace synth resnet20 --gate {gate}")
