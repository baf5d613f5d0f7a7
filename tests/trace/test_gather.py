"""Gathers and partial additions in a trace (Mixture-of-Depths)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cgsim import CgsimError
from cgsim.trace import Layer, Metadata, Network, Sample, TraceWriter, load_trace, writer
from cgsim.trace.check import check_trace
from cgsim.trace.statistics import stats

X = (10, 3, 4)
GATHER = Layer("g", "gather", X, (3, 3, 4), producers=("x",), gate="channel")


def network(*changes: Layer) -> Network:
    layers = {
        "x": Layer("x", "conv2d", (2, 3, 4), X),
        "s": Layer("s", "gate_network", X, (10, 1, 1), producers=("x",), gate_network_macs=40),
        "g": GATHER,
        "h": Layer("h", "conv2d", (3, 3, 4), (3, 3, 4), producers=("g",)),
        "sum": Layer("sum", "add", X, X, producers=("x", "h")),
        "y": Layer("y", "conv2d", X, (5, 3, 4), producers=("sum",)),
    }
    return Network("net", tuple((layers | {layer.name: layer for layer in changes}).values()))


def picks(samples: int, k: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([rng.permutation(10) < k for _ in range(samples)])


def write(path: Path, gates: np.ndarray) -> None:
    with TraceWriter(path, network(), Metadata("net", "mixture-of-depths")) as out:
        out.append_batch([Sample(str(index)) for index in range(len(gates))], {"g": gates})


def test_write_and_read(tmp_path: Path) -> None:
    path, gates = tmp_path / "t.trace.parquet", picks(5)
    write(path, gates)
    trace = load_trace(path)
    assert Network.from_json(network().to_json()) == trace.network == network()
    assert np.array_equal(trace.bits("g"), gates)
    assert trace.packed("g").shape == (5, 2)
    assert trace.on_counts("g").tolist() == [3] * 5
    assert trace.gated_macs("g").tolist() == [0] * 5
    dense = 12 * (2 * 10 + 3 * 3 + 10 * 5)
    assert trace.network.dense_macs == dense
    assert trace.flop_reduction() == dense / (dense + 40)
    assert check_trace(path)["gate_bytes_per_sample"] == 2
    (own,) = stats(trace)
    assert (own["layer"], own["density"]) == ("g", pytest.approx(0.3))


def test_what_follows_reads_channels_that_are_all_on() -> None:
    net = network()
    assert not any(net.input_sources(layer) for layer in net.layers)
    assert net.is_partial(net.by_name["sum"])
    assert net.added_channels(net.by_name["sum"]) == 3


@pytest.mark.parametrize("k", [2, 4])
def test_a_gather_takes_as_many_channels_as_it_has(k: int, tmp_path: Path) -> None:
    path, gates = tmp_path / "t.trace.parquet", picks(4)
    gates[2] = picks(1, k)[0]
    with pytest.raises(CgsimError, match=f"layer 'g': a gather of 3 channels, but a sample has {k} gates on"):
        write(path, gates)


def test_a_file_with_other_channels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, gates = tmp_path / "t.trace.parquet", picks(4)
    gates[2] = False
    monkeypatch.setattr(writer, "check_gathered", lambda *_: None)
    write(path, gates)
    with pytest.raises(CgsimError, match="a gather of 3 channels, but sample 2 has 0 gates on"):
        load_trace(path).packed("g")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (replace(GATHER, gate="none"), "'g': a gather has 'channel' gates.*got gate 'none'"),
        (replace(GATHER, gate="static"), "'g': a gather has 'channel' gates.*got gate 'static'"),
        (replace(GATHER, off_outputs="constant"), "'g': a gather has.*off_outputs 'constant'"),
        (replace(GATHER, out_shape=(11, 3, 4)), r"'g': out_shape \[11, 3, 4\].*must be \[1 to 10, 3, 4\]"),
        (replace(GATHER, out_shape=(3, 2, 4)), r"'g': out_shape \[3, 2, 4\].*must be \[1 to 10, 3, 4\]"),
        (replace(GATHER, gate_network_macs=1), "'g': gate_network_macs 1 would count twice"),
        (
            Layer("sum", "add", X, X, producers=("h", "x")),
            r"'sum': in_shape \[10, 3, 4\] contradicts the shape \[3, 3, 4\] of its producer 'h'",
        ),
        (
            Layer("sum", "add", X, X, producers=("x", "x", "h")),
            r"'sum': in_shape \[10, 3, 4\] contradicts the shape \[3, 3, 4\] of its producer 'h'",
        ),
        (
            Layer("y", "conv2d", X, (5, 3, 4), producers=("x",)),
            "'y': reads 'x', which the partial addition 'sum' has changed in place",
        ),
    ],
)
def test_contradictions(changed: Layer, message: str) -> None:
    with pytest.raises(CgsimError, match=message):
        network(changed)
