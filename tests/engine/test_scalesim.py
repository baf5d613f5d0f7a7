"""Dense `scalesim` cycles against SCALE-Sim's own (tests/data/scalesim/README.md)."""

from __future__ import annotations

import csv
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.engine.alone import array_cycles
from cgsim.engine.run import run
from cgsim.hardware import Hardware
from cgsim.trace import Metadata, Network, Sample, TraceWriter, load_trace
from cgsim.trace.network import Layer
from tests.engine.machines import hardware

TABLE = Path(__file__).parent.parent / "data" / "scalesim" / "dense_cycles.csv"
ROWS = list(csv.DictReader(TABLE.read_text().splitlines()))
CASES = sorted({(int(row["rows"]), int(row["cols"]), row["dataflow"]) for row in ROWS})


def target(rows: int, cols: int, dataflow: str) -> Hardware:
    """An array that counts as SCALE-Sim does."""
    sizes = {"weight_kib": 65536, "activation_kib": 65536, "accumulator_kib": 65536}
    return hardware(rows=rows, cols=cols, dataflow=dataflow, pipelining="scalesim", **sizes)


def gemm(name: str, m: int, n: int, k: int) -> Layer:
    """A GEMM as a 1 x 1 convolution of m pixels."""
    return Layer(name, "conv2d", (k, 1, m), (n, 1, m), producers=())


def layers(rows: int, cols: int, dataflow: str) -> dict[Layer, int]:
    """Layers of the table with their cycles."""
    chosen = [
        row for row in ROWS if (int(row["rows"]), int(row["cols"]), row["dataflow"]) == (rows, cols, dataflow)
    ]
    return {
        gemm(row["layer"], int(row["M"]), int(row["N"]), int(row["K"])): int(row["compute_cycles"])
        for row in chosen
    }


@pytest.mark.parametrize(("rows", "cols", "dataflow"), CASES)
def test_array_cycles_are_equal(rows: int, cols: int, dataflow: str) -> None:
    machine = target(rows, cols, dataflow)
    expected = layers(rows, cols, dataflow)
    assert {layer: array_cycles(layer, machine, None) for layer in expected} == expected


@pytest.mark.parametrize(("rows", "cols", "dataflow"), CASES)
def test_the_array_cycles_of_a_run_are_equal(tmp_path: Path, rows: int, cols: int, dataflow: str) -> None:
    expected = layers(rows, cols, dataflow)
    path = tmp_path / "gemm.trace.parquet"
    with TraceWriter(path, Network("gemm", tuple(expected)), Metadata("gemm", "dense")) as writer:
        writer.append(Sample("0"), {})
    columns = run(load_trace(path), target(rows, cols, dataflow)).columns
    assert columns["dense_array_cycles"].tolist() == list(expected.values())
    assert columns["gated_array_cycles"].tolist() == list(expected.values())


@given(
    array=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    m=st.integers(1, 200),
    n=st.integers(1, 200),
    k=st.integers(1, 200),
)
def test_any_gemm_takes_folds_of_equal_length(array: tuple[int, int], m: int, n: int, k: int) -> None:
    """The rule behind the table, for any shape: folds x length - 1, partly filled folds included."""
    rows, cols = array
    layer = gemm("x", m, n, k)
    expected = {
        "ws": ceil(k / rows) * ceil(n / cols) * (m + 2 * rows + cols - 2) - 1,
        "is": ceil(k / rows) * ceil(m / cols) * (n + 2 * rows + cols - 2) - 1,
        "os": ceil(m / rows) * ceil(n / cols) * (k + rows + cols - 2) - 1,
    }
    assert {
        dataflow: array_cycles(layer, target(rows, cols, dataflow), None) for dataflow in expected
    } == expected


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 333
    assert len(CASES) == 12
