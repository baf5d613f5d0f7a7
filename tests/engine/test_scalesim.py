"""Dense `scalesim` cycles against SCALE-Sim's own (tests/data/scalesim/README.md)."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cgsim.engine.run import run
from cgsim.trace import Metadata, Network, Sample, TraceWriter, load_trace
from cgsim.trace.network import Layer
from tests.engine.machines import hardware

TABLE = Path(__file__).parent.parent / "data" / "scalesim" / "dense_cycles.csv"
ROWS = [row for row in csv.DictReader(TABLE.read_text().splitlines()) if row["dataflow"] == "ws"]
ARRAYS = sorted({(int(row["rows"]), int(row["cols"])) for row in ROWS})


@pytest.mark.parametrize(("rows", "cols"), ARRAYS)
def test_weight_stationary_cycles_are_equal(tmp_path: Path, rows: int, cols: int) -> None:
    table = [row for row in ROWS if (int(row["rows"]), int(row["cols"])) == (rows, cols)]
    layers = []
    for number, row in enumerate(table):  # each GEMM as a 1 x 1 convolution of M pixels
        m, n, k = int(row["M"]), int(row["N"]), int(row["K"])
        layers.append(Layer(f"{number}", "conv2d", (k, 1, m), (n, 1, m)))
    path = tmp_path / "gemm.trace.parquet"
    target = hardware(rows=rows, cols=cols, pipelining="scalesim", weight_kib=65536, activation_kib=65536)
    for layer, row in zip(layers, table, strict=True):
        with TraceWriter(path, Network("gemm", (layer,)), Metadata("gemm", "dense")) as writer:
            writer.append(Sample("0"), {})
        (cycles,) = run(load_trace(path), target).columns["dense_array_cycles"]
        assert cycles == int(row["compute_cycles"]), row


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 111
