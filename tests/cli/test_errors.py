from __future__ import annotations

import errno
import json

import pytest

from cgsim.errors import CgsimError


def test_missing_trace(cgsim):
    answer = cgsim("simulate", "no.trace.parquet", "--hardware", "asic-28nm")
    assert answer == (2, "", "cgsim: error: no.trace.parquet: no such file\n")


def test_truncated_trace(cgsim, tiny_trace, tmp_path):
    broken = tmp_path / "broken.trace.parquet"
    broken.write_bytes(tiny_trace.read_bytes()[:-100])
    answer = cgsim("simulate", broken.name, "--hardware", "asic-28nm")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("cgsim: error: broken.trace.parquet: ")
    assert answer.err.count("\n") == 1


def test_unknown_hardware(cgsim, tiny_trace):
    answer = cgsim("simulate", tiny_trace, "--hardware", "asic-28mn")
    message = "hardware 'asic-28mn': no such name or file (did you mean 'asic-28nm'?)"
    assert answer == (2, "", f"cgsim: error: {message}\n")


def test_unknown_key(cgsim, tiny_trace):
    answer = cgsim("simulate", tiny_trace, "--hardware", "asic-28nm", "--set", "array.row=16")
    message = "hardware 'asic-28nm': array.row: unknown key (did you mean 'rows'?)"
    assert answer == (2, "", f"cgsim: error: {message}\n")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("array.rows=8,16",
         "--set array.rows: 2 values where one is expected; a list makes a sweep: use cgsim sweep"),
        ("array.rows", "setting 'array.rows': expected key=value, such as array.rows=16"),
        ("array.rows=", "setting 'array.rows=': expected key=value, such as array.rows=16"),
    ],
)  # fmt: skip
def test_bad_setting(cgsim, tiny_trace, setting, message):
    answer = cgsim("simulate", tiny_trace, "--hardware", "asic-28nm", "--set", setting)
    assert answer == (2, "", f"cgsim: error: {message}\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--timeline-layers", "conv1"), "--timeline-layers: expected --timeline FILE with it"),
        (("--timeline-sample", "0"), "--timeline-sample: expected --timeline FILE with it"),
        (("--timeline", "t.json", "--timeline-sample", "9"),
         "timeline: sample 9 is not in the trace, which has samples 0 to 2"),
        (("--timeline", "t.json", "--timeline-layers", "nothing"), "timeline: unknown layer 'nothing'"),
    ],
)  # fmt: skip
def test_timelines_of_nothing(cgsim, tiny_trace, tmp_path, options, message):
    answer = cgsim("simulate", tiny_trace, "--hardware", "edge-16x16", *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"cgsim: error: {message}")
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_setting_given_twice(cgsim, tiny_trace):
    answer = cgsim(
        "simulate", tiny_trace, "--hardware", "edge-16x16", "--set", "array.rows=8", "--set", "array.rows=4"
    )
    assert answer == (2, "", "cgsim: error: --set array.rows: given twice\n")


def test_impossible_value(cgsim, tiny_trace):
    answer = cgsim("simulate", tiny_trace, "--hardware", "edge-16x16", "--set", "array.rows=-3")
    assert answer.code == 2
    assert "array.rows" in answer.err
    assert answer.err.count("\n") == 1


def test_unwritable_output(cgsim, tiny_trace, tmp_path):
    (tmp_path / "file").write_text("")
    answer = cgsim("simulate", tiny_trace, "--hardware", "edge-16x16", "-o", "file/out")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "cgsim: error: file/out: cannot be made a folder, 'file' is not one\n"


def test_interrupted_simulation_leaves_nothing(cgsim, tiny_trace, tmp_path, monkeypatch):
    def interrupt(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("cgsim.results.files.to_json_text", interrupt)
    answer = cgsim("simulate", tiny_trace, "--hardware", "edge-16x16", "--plot", "-o", "result")
    assert (answer.code, answer.out, answer.err) == (130, "", "cgsim: interrupted\n")
    assert list(tmp_path.rglob("*.*")) == []


def test_a_plot_that_fails_leaves_the_result(cgsim, tiny_trace, tmp_path, monkeypatch):
    def refuse(*args, **keywords):
        raise CgsimError("plot: nothing to draw")

    monkeypatch.setattr("cgsim.results.figures.stacked_cycles.cycles", refuse)
    answer = cgsim("simulate", tiny_trace, "--hardware", "edge-16x16", "--plot", "-o", "result")
    assert answer == (2, "", "cgsim: error: plot: nothing to draw\n")
    names = {path.name for path in (tmp_path / "result").iterdir()}
    assert names == {"layers.parquet", "summary.json", "speedup_vs_flops.png"}


def test_interrupted_before_anything_is_counted(cgsim, tiny_trace, tmp_path, monkeypatch):
    def interrupt(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("cgsim.simulation.run", interrupt)
    answer = cgsim("simulate", tiny_trace, "--hardware", "edge-16x16", "-o", "result")
    assert answer == (130, "", "cgsim: interrupted\n")
    assert list(tmp_path.rglob("*.*")) == []


def test_a_library_that_is_missing_is_one_line(cgsim, monkeypatch):
    def load(*_, name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("cgsim.hardware.available_hardware", lambda: load(name="numba"))
    message = "numba is not installed; cgsim doctor tells how to get it"
    assert cgsim("hardware", "list") == (2, "", f"cgsim: error: {message}\n")
    monkeypatch.setattr("cgsim.hardware.available_hardware", lambda: load(name="cgsim.nothing"))
    with pytest.raises(ModuleNotFoundError):  # a fault of cgsim
        cgsim("hardware", "list")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError("9 TiB"), 2, "cgsim: error: out of memory: 9 TiB\n"),
        (MemoryError(), 2, "cgsim: error: out of memory\n"),
        (OSError(errno.ENOSPC, "No space left on device", "x.json"), 2,
         "cgsim: error: x.json: No space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "cgsim: error: x: Permission denied\n"),
    ],
)  # fmt: skip
def test_errors_of_the_system_are_one_line(cgsim, monkeypatch, error, code, message):
    def fail(*args, **keywords):
        raise error

    monkeypatch.setattr("cgsim.hardware.available_hardware", fail)
    assert cgsim("hardware", "list") == (code, "", message)


def test_errors_leave_stdout_empty_with_json(cgsim):
    answer = cgsim("simulate", "no.trace.parquet", "--hardware", "asic-28nm", "--json")
    assert (answer.code, answer.out) == (2, "")


def test_synth_refuses_densities_beside_a_model_trace(cgsim, tiny_trace):
    answer = cgsim(
        "trace", "synth", "tiny", "--like", tiny_trace, "--density", "0.2", "-o", "x.trace.parquet"
    )
    message = "--density and --like exclude each other: --like takes the statistics of its trace"
    assert answer == (2, "", f"cgsim: error: {message}\n")


@pytest.mark.parametrize("positions", ["a", "1-", "-3", "3-1", "", "1,,2"])
def test_bad_positions(cgsim, tiny_trace, positions):
    answer = cgsim("trace", "subset", tiny_trace, f"--samples={positions}", "-o", "x.trace.parquet")
    message = f"--samples {positions!r}: expected positions and ranges, such as 0-7,20"
    assert answer == (2, "", f"cgsim: error: {message}\n")


def test_positions_beyond_the_trace(cgsim, tiny_trace):
    answer = cgsim("trace", "subset", tiny_trace, "--samples", "0-99999999999", "-o", "x.trace.parquet")
    message = "--samples '0-99999999999': the trace has 3 samples, 0 to 2"
    assert answer == (2, "", f"cgsim: error: {message}\n")


def test_missing_torch_is_told(cgsim, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    answer = cgsim("train", "--data", "x", "-o", "y")
    message = "torch is not installed; training and recording need: pip install 'cgsim[models]'"
    assert answer == (2, "", f"cgsim: error: {message}\n")


def test_missing_data_is_told(cgsim):
    answer = cgsim("train", "--data", "nowhere", "-o", "y", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("cgsim: error: data 'nowhere': no such file or directory")
    assert answer.err.count("\n") == 1


def test_json_errors_of_hardware_check(cgsim, tmp_path):
    (tmp_path / "bad.yaml").write_text("name: x\n")
    answer = cgsim("hardware", "check", "asic-28nm", "bad.yaml", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("cgsim: error: bad.yaml: ")


def test_written_json_is_what_is_printed(cgsim):
    answer = cgsim("hardware", "show", "asic-28nm", "--json")
    assert json.loads(answer.out)["name"] == "asic-28nm"
