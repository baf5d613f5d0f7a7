"""`cgsim report`: one file, what it tells, and refusals."""

from __future__ import annotations

from json import loads

import pytest


@pytest.fixture
def result(cgsim, tiny_trace):
    assert cgsim("simulate", tiny_trace, "--hardware", "edge-16x16", "-o", "run").code == 0
    return "run"


def test_a_file_is_written(cgsim, result, tmp_path):
    answer = cgsim("report", result, "-o", "x/report.html", "--title", "mine")
    size = (tmp_path / "x" / "report.html").stat().st_size
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"written: x/report.html ({size / 1e6:.1f} MB)\n"
    told = loads(cgsim("report", result, "-o", "x/report.html", "--title", "mine", "--json").out)
    assert told == {"results": ["run"], "report": "x/report.html", "bytes": size}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["run", "-o", "r.pdf"], "--output r.pdf: expected a file .html"),
    ],
)
def test_refusals(cgsim, result, tmp_path, arguments, message):
    answer = cgsim("report", *arguments)
    assert (answer.code, answer.out, answer.err) == (2, "", f"cgsim: error: {message}\n")
    assert not list(tmp_path.rglob("*.pdf"))
