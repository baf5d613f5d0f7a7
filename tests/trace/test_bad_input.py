"""Splits and gates that disagree with their layer: one line that names the layer and what was expected."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cgsim.errors import CgsimError
from cgsim.trace import INPUT, Layer, Metadata, Network, Sample, TraceWriter, layout, load_trace, pack_bits
from cgsim.trace import tiny_network as tiny
from tests.trace.conftest import rewrite, write
from tests.trace.graphs import random_gates

GATED = Layer("a", "conv2d", (8, 3, 3), (8, 3, 3), gate="activation", base_channels=2, base_groups=4)


def refusal(*layers: Layer) -> str:
    with pytest.raises(CgsimError) as caught:
        Network("n", layers)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"base_channels": 0, "base_groups": 1},
            "layer 'a': base_channels is 0, but 'activation' gates need a base path, expected 1 to 7",
        ),
        (
            {"base_channels": 0},
            "layer 'a': base_channels is 0, but 'activation' gates need a base path, expected 1 to 2",
        ),
        (
            {"base_channels": 8, "base_groups": 1},
            "layer 'a': base_channels 8 is all of its input channels: no conditional path is left, "
            "expected 1 to 7",
        ),
        (
            {"base_channels": 4, "groups": 2, "base_groups": 1},
            "layer 'a': base_channels 4 is all of its input channels per group: no conditional path is left, "
            "expected 1 to 3",
        ),
        (
            {"base_channels": 1, "groups": 8, "base_groups": 1},
            "layer 'a': base_channels 1 is all of its input channels per group: no conditional path is left",
        ),
        (
            {"base_channels": 3},
            "layer 'a': base_channels 3 x base_groups 4 exceeds its 8 input channels, expected 1 to 2",
        ),
        (
            {"out_shape": (6, 3, 3)},
            "layer 'a': 6 output channels are not divisible by base_groups 4",
        ),
        (
            {"gate": "channel"},
            "layer 'a': a base path needs gates of granularity 'activation', not 'channel'",
        ),
        ({"gate": "none", "base_channels": 0}, "layer 'a': base_groups needs base_channels"),
        ({"off_outputs": "constant"}, "layer 'a': off_outputs needs 'channel' or 'static' gates"),
        ({"off_outputs": "zeros"}, "layer 'a': off_outputs 'zeros' is not known (did you mean 'zero'?)"),
    ],
)  # fmt: skip
def test_splits_without_base_or_without_conditional_path(change: dict[str, Any], message: str) -> None:
    assert refusal(dataclasses.replace(GATED, **change)) == message


def test_a_trace_with_such_a_split_is_refused_by_its_name(tmp_path: Path) -> None:
    network = Network("n", (GATED,))
    path = write(tmp_path / "good", network, random_gates(network, 2, 0, 0.5), 2)
    for base, told in (
        (0, "base_channels is 0, but 'activation' gates need a base path, expected 1 to 2"),
        (8, "base_channels 8 is all of its input channels: no conditional path is left, expected 1 to 7"),
    ):
        bad = rewrite(
            path, tmp_path / "bad", lambda d, b=base: d["network"]["layers"][0].update(base_channels=b)
        )
        with pytest.raises(CgsimError) as caught:
            load_trace(bad)
        assert str(caught.value) == f"{bad}: layer 'a': {told}"


def test_writer_refuses_gates_of_another_shape(tmp_path: Path) -> None:
    network = Network(
        "n",
        (
            dataclasses.replace(GATED, name="act"),
            Layer("pix", "conv2d", (8, 3, 3), (8, 3, 3), producers=("act",), gate="pixel"),
            Layer("chan", "conv2d", (8, 3, 3), (8, 3, 3), producers=("pix",), gate="channel"),
            Layer("stat", "conv2d", (8, 3, 3), (8, 3, 3), producers=("chan",), gate="static"),
        ),
    )
    gates = random_gates(network, 1, 0, 0.5)
    static = gates.pop("stat")
    good = {name: bits[0] for name, bits in gates.items()}
    path = tmp_path / "x"
    with TraceWriter(path, network, Metadata("tiny", "user")) as writer:
        for name, bad, message in (
            ("act", np.ones((8, 8), bool), "gates have shape [1, 8, 8], expected [1, 8, 9]"),
            ("act", np.ones((8, 3), np.uint8), "packed gates have shape [1, 8, 3], expected [1, 8, 2]"),
            ("pix", np.ones((3, 2), bool), "gates have shape [1, 3, 2], expected [1, 9]"),
            ("chan", np.ones((8, 1, 1), bool), "gates have shape [1, 8, 1, 1], expected [1, 8]"),
            ("chan", np.ones(8), "gates must be bool, or packed uint8, not float64"),
        ):
            with pytest.raises(CgsimError) as caught:
                writer.append(Sample("s"), good | {name: bad})
            assert str(caught.value) == f"{path}: layer {name!r}: {message}"
        with pytest.raises(CgsimError) as caught:
            writer.set_static("stat", np.ones((1, 8), bool))
        assert str(caught.value) == f"{path}: layer 'stat': gates have shape [1, 8], expected [8]"
        with pytest.raises(CgsimError) as caught:
            writer.set_static("chan", static)
        assert str(caught.value) == f"{path}: layer 'chan' takes no such gates (valid: stat)"
        writer.set_static("stat", static)
        writer.append(Sample("s"), good)
    assert load_trace(path).n_samples == 1


def test_reader_refuses_gates_of_another_shape(tmp_path: Path) -> None:
    network = tiny(size=5)
    path = write(tmp_path / "good", network, random_gates(network, 2, 0, 0.5), 2)
    table = pq.read_table(path, read_dictionary=["layer"])
    rows, digests, of_layer = table["gates"].to_pylist(), table["digest"].to_pylist(), []
    for index, (sample, layer) in enumerate(
        zip(table["sample"].to_pylist(), table["layer"].to_pylist(), strict=True)
    ):
        if layer == "b":
            rows[index] = rows[index][:-8]
            digests[index] = layout.row_digest(sample, layer, rows[index])
            of_layer.append(digests[index])
    schema = layout.schema()
    for name, values in (("gates", rows), ("digest", digests)):
        place = table.column_names.index(name)
        table = table.set_column(place, schema.field(name), pa.array(values, type=schema.field(name).type))
    hasher = layout.layer_hasher()
    hasher.update(b"".join(of_layer))
    bad = rewrite(
        path,
        tmp_path / "bad",
        lambda d: d["layer_checksums"].update(b=hasher.hexdigest()),
        table.cast(schema),
    )
    trace = load_trace(bad)
    with pytest.raises(CgsimError) as caught:
        trace.gates("b")
    expected = f"{bad}: layer 'b': 24 bytes of gates contradict its shape [8, 25], expected 32"
    assert str(caught.value) == expected


def test_reader_refuses_static_gates_of_another_shape(tmp_path: Path) -> None:
    network = Network("n", (Layer("a", "conv2d", (3, 4, 4), (11, 4, 4), gate="static"),))
    path = write(tmp_path / "good", network, {"a": np.ones(11, bool)}, 1)
    bad = rewrite(path, tmp_path / "bad", lambda d: d["static"].update(a="ff"))
    with pytest.raises(CgsimError) as caught:
        load_trace(bad)
    assert str(caught.value) == f"{bad}: layer 'a': static gates contradict its 11 output channels"


def test_recorder_refuses_gates_of_another_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from cgsim.models import record, register, registry

    monkeypatch.setattr(registry, "_registry", dict(registry._registry))

    class Gated(torch.nn.Conv2d):  # type: ignore[name-defined,misc]
        pass

    for granularity, shape, expected in (
        ("activation", (2, 8, 5, 4), [2, 8, 5, 5]),
        ("pixel", (2, 5, 4), [2, 5, 5]),
        ("channel", (2, 7), [2, 8]),
        ("static", (7,), [8]),
    ):
        register(
            Gated,
            lambda module, inputs, output, shape=shape: torch.ones(shape),
            granularity,
            base=lambda module: (1, 1),
        )
        if granularity != "activation":
            register(Gated, lambda module, inputs, output, shape=shape: torch.ones(shape), granularity)
        with pytest.raises(CgsimError) as caught:
            record(torch.nn.Sequential(Gated(3, 8, 3, padding=1)), [torch.zeros(2, 3, 5, 5)], tmp_path / "x")
        assert str(caught.value) == (
            f"layer '0': gates have shape {list(shape)}, expected {expected} for granularity {granularity!r}"
        )
    assert not list(tmp_path.iterdir())


def gate_network(name: str, producer: str, channels: int, macs: int) -> Layer:
    return Layer(
        name, "gate_network", (8, 3, 3), (channels, 1, 1), producers=(producer,), gate_network_macs=macs
    )


def test_gate_networks_are_told_in_either_of_two_ways_and_counted_once(tmp_path: Path) -> None:
    chan = Layer("chan", "conv2d", (8, 3, 3), (8, 3, 3), producers=("stem",), gate="channel")
    stem = Layer("stem", "conv2d", (8, 3, 3), (8, 3, 3), producers=(INPUT,))
    field = Network("n", (stem, dataclasses.replace(chan, gate_network_macs=200)))
    layers = Network(
        "n", (stem, gate_network("g1", "stem", 16, 120), gate_network("g2", "stem", 8, 80), chan)
    )
    assert field.dense_macs == layers.dense_macs == 2 * 9 * 64
    found = []
    for name, network in (("field", field), ("layers", layers)):
        trace = load_trace(write(tmp_path / name, network, {"chan": np.eye(8, dtype=bool)[:2]}, 2))
        assert Network.from_json(json.loads(json.dumps(network.to_json()))) == network
        assert (
            sum(trace.gated_macs(layer.name) for layer in network.layers).tolist()
            == [9 * 64 + 9 * 8 + 200] * 2
        )  # type: ignore[union-attr]
        found.append(trace.flop_reduction())
    assert found[0] == found[1]
    assert refusal(
        stem, gate_network("g", "stem", 8, 80), dataclasses.replace(chan, gate_network_macs=1)
    ) == (
        "layer 'chan': gate_network_macs 1 would count twice: the gate_network 'g' before it tells them, "
        "expected 0"
    )
    with_gates = dataclasses.replace(gate_network("g", "stem", 8, 80), gate="channel")
    assert refusal(stem, with_gates) == "layer 'g': only conv2d and linear layers carry gates"


def test_a_constant_behind_the_gate_is_read(tmp_path: Path) -> None:
    first = Layer("a", "conv2d", (4, 3, 3), (4, 3, 3), gate="channel", off_outputs="constant")
    second = Layer("b", "conv2d", (4, 3, 3), (4, 3, 3), producers=("a",))
    network = Network("n", (first, second))
    assert Network.from_json(json.loads(json.dumps(network.to_json()))) == network
    assert "off_outputs" not in second.to_json()
    trace = load_trace(write(tmp_path / "x", network, {"a": np.eye(4, dtype=bool)[:1]}, 1))
    assert trace.inputs_on("b") is None
    assert trace.channels_on("a").all()
    assert trace.gated_macs("a").tolist() == [9 * 4]
    assert trace.gated_macs("b").tolist() == [9 * 16]
    assert pack_bits(trace.bits("a")).tolist() == [[1]]
