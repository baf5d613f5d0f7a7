"""`cgsim trace import` and `cgsim hardware import`, from SCALE-Sim's files to its figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data" / "scalesim"


@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
def test_scale_sim_files_give_scale_sim_cycles(cgsim, dataflow):
    assert cgsim("trace", "import", DATA / "resnet18.csv", "-o", "r.trace.parquet").code == 0
    assert cgsim("hardware", "import", DATA / "example.cfg", "-o", "mine.yaml").code == 0
    answer = cgsim(
        "simulate",
        "r.trace.parquet",
        "--hardware",
        "mine.yaml",
        "--set",
        f"array.dataflow={dataflow}",
        "--json",
    )
    assert answer.err == ""
    with (DATA / "dense_cycles.csv").open() as file:
        table = {
            row["layer"]: int(row["compute_cycles"])
            for row in csv.DictReader(file)
            if (row["workload"], row["dataflow"]) == ("resnet18", dataflow)
        }
    layers = json.loads(answer.out)["layers"]
    assert {row["layer"]: row["dense_array_cycles"] for row in layers} == table
    assert {row["layer"]: row["gated_array_cycles"] for row in layers} == table


def test_trace_import_tells_what_it_did(cgsim):
    answer = cgsim("trace", "import", DATA / "resnet18.csv", "-o", "r.trace.parquet")
    lines = answer.out.splitlines()
    assert lines[0] == "r.trace.parquet: 21 layers from convolution form, 1.47G MACs, no gates"
    assert lines[1].startswith("note: lines 2, 7, 9, 12, 14 and 2 more: the last windows reach over the edge")
    assert max(map(len, lines)) <= 80
    told = json.loads(cgsim("trace", "import", DATA / "resnet18.csv", "-o", "r.trace.parquet", "--json").out)
    assert {key: told[key] for key in ("trace", "form", "layers", "samples")} == {
        "trace": "r.trace.parquet", "form": "conv", "layers": 21, "samples": 1
    }  # fmt: skip
    assert len(told["notes"]) == 1
    shown = cgsim("trace", "info", "r.trace.parquet")
    assert "Conv2_1a" in shown.out


def test_trace_import_of_gemms(cgsim, tmp_path):
    (tmp_path / "llm.csv").write_text("Layer,M,N,K,\nDP_qkv,196,192,384,\n")
    answer = cgsim("trace", "import", "llm.csv", "--samples", 4, "-o", "llm.trace.parquet")
    assert answer.out == "llm.trace.parquet: 1 layer from GEMM form, 14.5M MACs, no gates\n"
    assert json.loads(cgsim("trace", "info", "llm.trace.parquet", "--json").out)["samples"] == 4


def test_trace_import_refuses_a_bad_line(cgsim, tmp_path):
    (tmp_path / "bad.csv").write_text("Layer,M,N,K,\na,1,2,3,\nb,1,0,3,\n")
    message = "bad.csv: line 3: column 'N': expected an integer from 1 to 16777216, got '0'"
    answer = cgsim("trace", "import", "bad.csv", "-o", "bad.trace.parquet")
    assert answer == (2, "", f"cgsim: error: {message}\n")
    answer = cgsim("trace", "import", "bad.csv", "--form", "gem", "-o", "bad.trace.parquet")
    assert answer == (2, "", "cgsim: error: unknown --form 'gem' (did you mean 'gemm'?)\n")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_hardware_import_prints_or_writes_a_hardware_file(cgsim, tmp_path):
    printed = cgsim("hardware", "import", DATA / "example.cfg")
    assert (printed.code, printed.err) == (0, "")
    written = cgsim("hardware", "import", DATA / "example.cfg", "-o", "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == printed.out
    lines = written.out.splitlines()
    assert lines[0].startswith("mine.yaml: 32 x 32 ws array")
    assert sum(line.startswith("note: ") for line in lines) == 2
    assert max(map(len, lines[1:])) <= 80
    assert cgsim("hardware", "check", "mine.yaml").out == "mine.yaml: ok (resnet18_32x32_ws_CALC)\n"
    told = json.loads(cgsim("hardware", "import", DATA / "example.cfg", "--json").out)
    assert told["hardware"]["array"]["rows"] == 32
    assert (told["output"], len(told["notes"]), len(told["unused"])) == (None, 1, 21)


def test_hardware_import_refuses_a_bad_value(cgsim, tmp_path):
    text = (DATA / "example.cfg").read_text()
    (tmp_path / "bad.cfg").write_text(text.replace("Dataflow : ws", "Dataflow : rs"))
    message = "bad.cfg: [architecture_presets] Dataflow: expected ws, is or os, got 'rs'"
    answer = cgsim("hardware", "import", "bad.cfg", "-o", "bad.yaml")
    assert answer == (2, "", f"cgsim: error: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.cfg"]
