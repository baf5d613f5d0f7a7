"""The traces of docs/results.md: what the page says of them must be in them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import cgsim

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "traces" / "trained"
FILES = sorted(FOLDER.glob("*.trace.parquet"))
METHODS = {"cgnet", "gate-decorator", "batch-shaping", "mixture-of-depths"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".trace")[0])
def test_each_says_where_it_comes_from(path):
    metadata = cgsim.load_trace(path).metadata
    assert metadata.command.count("cgsim train") >= 1
    assert 0.8 < metadata.accuracy_ungated < 0.95
    if metadata.method == "dense":
        assert metadata.accuracy_gated is None
    else:
        assert metadata.method in METHODS
        assert metadata.accuracy_gated > 0.75
    log = path.with_name(path.name.replace(".trace.parquet", ".log.csv"))
    rows = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
    told = metadata.accuracy_ungated if metadata.method == "dense" else metadata.accuracy_gated
    assert float(rows[-1]["test_accuracy"]) == pytest.approx(told, abs=5e-5)


@pytest.mark.parametrize("data", ["cifar10", "fashion"])
def test_every_method_is_there_at_three_strengths(data):
    found = [trace.metadata for trace in traces(data)]
    methods = [metadata.method for metadata in found]
    assert {method: methods.count(method) >= 3 for method in METHODS} == dict.fromkeys(METHODS, True)
    assert methods.count("dense") == 1
    assert len({metadata.dataset for metadata in found}) == 1


@pytest.mark.parametrize("data", ["cifar10", "fashion", "photographs"])
def test_the_page_says_what_is_in_them(data):
    """Method, accuracy, points and FLOP reduction; the other columns take a simulation."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = page.split(f"<!-- {data}: made")[1].split("<!-- end")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    found = traces(data)
    (ungated,) = (trace.metadata.accuracy_ungated for trace in found if trace.metadata.method == "dense")
    expected = []
    for trace in found:
        metadata = trace.metadata
        dense = metadata.method == "dense"
        accuracy = metadata.accuracy_ungated if dense else metadata.accuracy_gated
        executed = sum(int(trace.gated_macs(layer.name).sum()) for layer in trace.network.layers)
        reduction = metadata.method_parameters["reference_macs"] * trace.n_samples / executed
        points = f"{100 * (accuracy - ungated):+.2f}"
        method = "ungated" if dense else metadata.method
        expected.append([method, f"{100 * accuracy:.2f}", points, f"{reduction:.2f}"])
    assert sorted([row[0], *row[2:5]] for row in rows[2:]) == sorted(expected)


def traces(data):
    """All traces of one data set."""
    return [cgsim.load_trace(path) for path in FILES if path.name.startswith(f"{data}-")]


def test_they_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 40e6
