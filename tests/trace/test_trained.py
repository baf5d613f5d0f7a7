"""The traces of docs/results.md: what the page says of them must be in them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import cgsim

FOLDER = Path(__file__).parents[2] / "traces" / "trained"
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


@pytest.mark.parametrize(("data", "least"), [("cifar10", 1), ("fashion", 3)])
def test_every_method_is_there(data, least):
    found = [cgsim.load_trace(path).metadata for path in FILES if path.name.startswith(f"{data}-")]
    methods = [metadata.method for metadata in found]
    assert {method: methods.count(method) >= least for method in METHODS} == dict.fromkeys(METHODS, True)
    assert methods.count("dense") == 1
    assert len({metadata.dataset for metadata in found}) == 1


def test_they_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 40e6
