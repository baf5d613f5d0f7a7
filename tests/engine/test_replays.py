"""Whole runs of traces with channels that are off, and with gate networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.engine.alone import array_cycles
from cgsim.engine.run import run
from cgsim.errors import CgsimError
from cgsim.trace import INPUT, Layer, Network, load_trace, synthesize
from cgsim.trace.networks import build_network
from tests.conftest import VALIDATE
from tests.engine.machines import accelerators, hardware
from tests.engine.traces import COUNTED, conv, rows, traced, without_gates
from tests.trace.graphs import count_one_by_one, networks, random_gates

DATAFLOWS = ["ws", "is", "os"]


@pytest.mark.parametrize("gate", ["activation", "pixel", "channel", "static"])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_every_granularity_is_conserved(tmp_path: Path, gate: str, dataflow: str) -> None:
    """With batches of which the last is smaller; without gate unit `static` gates alone save anything."""
    trace = load_trace(synthesize(build_network("tiny", gate), tmp_path / "t.trace.parquet", 5, density=0.4))
    keys: dict[str, Any] = {"dataflow": dataflow, "column_groups": 2}
    own = run(trace, hardware(**keys), check=True).columns
    assert own["gated_macs"].sum() < own["dense_macs"].sum()
    for changes in ({"batch": 2}, {"batch": 2, "group_sync": "layer", "pipelining": "serial"}):
        batched = run(trace, hardware(**keys, **changes), check=True).columns
        for name in ("gated_macs", "dense_macs", "density"):
            assert np.array_equal(batched[name], own[name])
    blind = run(trace, hardware(**keys, enabled=False), check=True).columns
    saved = blind["gated_array_cycles"].sum() < blind["dense_array_cycles"].sum()
    assert saved == (gate == "static")
    if gate != "static":
        for name in COUNTED:
            assert np.array_equal(blind[name], blind[name.replace("gated", "dense")])


@given(st.data(), networks(most=5), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=300 if VALIDATE else 30, deadline=None)
def test_random_networks(data: st.DataObject, network: Network, batch: int, seed: int) -> None:
    """Whatever is off: conserved, and MACs as many as the slow count finds; dense is the ungated network."""
    samples = 3
    gates = random_gates(network, samples, seed, 0.7)
    target = data.draw(accelerators(batch))
    with TemporaryDirectory() as folder:
        trace = traced(Path(folder), network, gates, samples)
        try:
            columns = run(trace, target, check=True).columns
            ungated = run(traced(Path(folder), without_gates(network), {}, samples), target).columns
        except CgsimError as error:
            assert "not replayed, expected equal parts" in str(error)
            assert any(layer.groups > 1 or layer.gate != "none" for layer in network.layers)
            return
    for name in COUNTED:
        assert columns[name.replace("gated", "dense")].sum() == ungated[name].sum()
    for sample in range(samples):
        counted = count_one_by_one(network, gates, sample)
        own = columns["sample"] == sample
        found = dict(zip(columns["layer"][own], columns["gated_macs"][own].tolist(), strict=True))
        fused = counted.macs.keys() - found.keys()
        assert all(network.by_name[name].operator == "add" for name in fused)
        assert found == {name: macs for name, macs in counted.macs.items() if name not in fused}


def pruned_network(sizes: dict[str, int], static: bool) -> Network:
    """Convolutions a, b (added up), c, a grouped d and a linear layer; `sizes`: channels of each."""
    gate: dict[str, Any] = {"gate": "static"} if static else {}
    a, c, d = sizes["a"], sizes["c"], sizes["d"]
    layers = [
        conv("a", INPUT, 3, a, **gate),
        conv("b", "a", a, a, **gate),
        Layer("sum", "add", (a, 5, 5), (a, 5, 5), producers=("b", "a")),
        conv("c", "sum", a, c, **gate),
        conv("d", "c", c, d, groups=2, **gate),
        Layer("pool", "global_pool", (d, 5, 5), (d, 1, 1), producers=("d",)),
        Layer("fc", "linear", (d, 1, 1), (10, 1, 1), producers=("pool",)),
    ]
    return Network("static" if static else "sliced", tuple(layers))


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_pruned_network_is_the_network_without_the_pruned_channels(
    tmp_path: Path, dataflow: str, enabled: bool
) -> None:
    kept = np.arange(12) % 3 != 1  # 8 of 12; of each half 4
    gates = dict.fromkeys("abcd", kept)
    pruned = traced(tmp_path, pruned_network(dict.fromkeys("abcd", 12), True), gates, 3)
    sliced = traced(tmp_path, pruned_network(dict.fromkeys("abcd", 8), False), {}, 3)
    for batch in (1, 2):
        target = hardware(dataflow=dataflow, column_groups=2, batch=batch, enabled=enabled)
        one, other = (run(trace, target, check=True).columns for trace in (pruned, sliced))
        for layer in ("a", "b", "c", "d", "fc"):
            found = rows(one, "gated_array_cycles", layer)
            assert np.array_equal(found, rows(other, "dense_array_cycles", layer))
            assert np.array_equal(rows(one, "gated_macs", layer), rows(other, "dense_macs", layer))
            assert found.sum() < rows(one, "dense_array_cycles", layer).sum()
        # nothing rides on a layer that computes some channels only, so `b` has no residual here
        for layer in ("a", "c", "d", "pool", "fc"):
            for name in COUNTED:
                if name.startswith("dense"):
                    found = rows(one, name.replace("dense", "gated"), layer)
                    assert np.array_equal(found, rows(other, name, layer)), (layer, name)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_inputs_are_off_through_an_addition_where_all_producers_are(tmp_path: Path, dataflow: str) -> None:
    network = Network(
        "sum",
        (
            conv("a", INPUT, 3, 6, gate="channel"),
            conv("b", INPUT, 3, 6, gate="channel"),
            Layer("sum", "add", (6, 5, 5), (6, 5, 5), producers=("a", "b")),
            conv("c", "sum", 6, 4),
        ),
    )
    a = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 1, 0]], bool)
    b = np.array([[1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 1]], bool)
    trace = traced(tmp_path, network, {"a": a, "b": b}, 3)
    target = hardware(dataflow=dataflow)
    columns = run(trace, target, check=True).columns
    for layer, outputs, inputs in (("a", a, [3] * 3), ("b", b, [3] * 3), ("c", None, [3, 1, 6])):
        counts = [4] * 3 if outputs is None else outputs.sum(axis=1).tolist()
        wanted = [
            array_cycles(conv("x", INPUT, i, o), target, None) if o else 0
            for i, o in zip(inputs, counts, strict=True)
        ]
        assert rows(columns, "gated_array_cycles", layer).tolist() == wanted
        macs = [25 * 9 * i * o for i, o in zip(inputs, counts, strict=True)]
        assert rows(columns, "gated_macs", layer).tolist() == macs
    # the sum is computed and stored where a channel is on
    assert rows(columns, "gated_activations_write_bytes", "sum").tolist() == [75, 25, 150]


@pytest.mark.parametrize("gate", ["none", "channel"])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_a_depthwise_layer_skips_the_groups_of_channels_that_are_off(
    tmp_path: Path, dataflow: str, gate: Any
) -> None:
    """Groups whose input is off compute nothing; if their output is on, it is a constant that is stored."""
    network = Network(
        "deep", (conv("a", INPUT, 3, 6, gate="channel"), conv("deep", "a", 6, 6, groups=6, gate=gate))
    )
    a = np.array([[1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]], bool)
    own = np.array([[1, 0, 1, 1, 1, 0], [0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 1]], bool)
    gates = {"a": a} | ({"deep": own} if gate == "channel" else {})
    target = hardware(dataflow=dataflow)
    columns = run(traced(tmp_path, network, gates, 3), target, check=True).columns
    if gate == "none":
        own = np.ones_like(a)
    computed = (a & own).sum(axis=1).tolist()
    wanted = [array_cycles(conv("x", INPUT, n, n, groups=n), target, None) if n else 0 for n in computed]
    assert rows(columns, "gated_array_cycles", "deep").tolist() == wanted
    assert rows(columns, "gated_macs", "deep").tolist() == [n * 25 * 9 for n in computed]
    assert rows(columns, "gated_activations_write_bytes", "deep").tolist() == (25 * own.sum(axis=1)).tolist()


INPUTS_DIFFER = "the inputs that are on differ between its 2 convolution groups"
OUTPUTS_DIFFER = "the outputs that are on differ between its 2 convolution groups"


@pytest.mark.parametrize(
    ("layer", "inputs", "own", "why"),
    [
        (conv("d", "a", 8, 8, groups=2), [1, 1, 1, 1, 1, 0, 1, 1], None, INPUTS_DIFFER),
        (
            conv("d", "a", 8, 8, groups=2, gate="channel"),
            [1] * 8,
            [1, 1, 1, 1, 1, 0, 0, 0],
            OUTPUTS_DIFFER,
        ),
        (
            conv("d", "a", 8, 8, groups=2, gate="activation", base_channels=1),
            [1, 1, 1, 1, 0, 0, 0, 0],
            np.ones((8, 25), bool),
            "a convolution group reads no input that is on",
        ),
        (
            conv("d", "a", 8, 8, gate="activation", base_channels=2, base_groups=2),
            [1, 1, 1, 0, 1, 1, 1, 1],
            np.ones((8, 25), bool),
            "its inputs that are on leave unequal base paths, or one of the paths empty",
        ),
        (
            conv("d", "a", 8, 8, gate="activation", base_channels=2),
            [0, 0, 1, 1, 1, 1, 1, 1],
            np.ones((8, 25), bool),
            "its inputs that are on leave unequal base paths, or one of the paths empty",
        ),
    ],
    ids=["inputs", "outputs", "no input", "unequal bases", "no base"],
)
def test_uneven_parts_are_refused(tmp_path: Path, layer: Layer, inputs: Any, own: Any, why: str) -> None:
    network = Network("uneven", (conv("a", INPUT, 3, 8, gate="channel"), layer))
    gates = {"a": np.array([inputs], bool)}
    if own is not None:
        gates["d"] = np.array([own], bool)
    trace = traced(tmp_path, network, gates, 1)
    with pytest.raises(CgsimError) as error:
        run(trace, hardware())
    assert str(error.value) == f"layer 'd': {why}: not replayed, expected equal parts that all compute"
    run(trace, hardware(enabled=False), check=True)


MACS = 333


def gated_by_network(own_layer: bool) -> Network:
    """A channel-gated layer whose gates a network of MACS MACs decides: its own, or a layer before it."""
    decider = Layer(
        "decide", "gate_network", (3, 5, 5), (6, 1, 1), producers=(INPUT,), gate_network_macs=MACS
    )
    gated = conv("a", INPUT, 3, 6, gate="channel", gate_network_macs=0 if own_layer else MACS)
    return Network("own" if own_layer else "with", ((decider,) if own_layer else ()) + (gated,))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_gate_network_counts_once(tmp_path: Path, batch: int) -> None:
    """As part of the gated layer or as a layer: weights once per batch, then a MAC per lane and cycle."""
    gates = {"a": np.random.default_rng(1).random((4, 6)) < 0.5}
    target = hardware(lanes=4, bytes_per_cycle=2, latency_cycles=10, batch=batch)
    columns = {own: run(traced(tmp_path, gated_by_network(own), gates, 4), target, check=True).columns
               for own in (False, True)}  # fmt: skip
    bare = replace(gated_by_network(False).layers[0], gate_network_macs=0)
    columns_bare = run(traced(tmp_path, Network("bare", (bare,)), gates, 4), target, check=True).columns

    bytes_read, cycles = MACS, -(-MACS // 2) + 10 + -(-MACS * batch // 4)
    alone = {name: rows(columns[True], name, "decide").reshape(-1, batch).sum(axis=1) for name in COUNTED}
    assert alone["gated_cycles"].tolist() == [cycles] * (4 // batch)
    assert alone["gated_weight_load_stall_cycles"].tolist() == [-(-MACS // 2) + 10] * (4 // batch)
    assert alone["gated_decision_cycles"].tolist() == [-(-MACS * batch // 4)] * (4 // batch)
    assert alone["gated_base_weights_read_bytes"].tolist() == [bytes_read] * (4 // batch)
    assert alone["gated_offchip_bytes"].tolist() == [bytes_read] * (4 // batch)
    for name in COUNTED:
        if name.startswith("dense"):
            assert (alone[name] == 0).all()
        with_own = columns[False][name].reshape(-1, batch).sum(axis=1)
        without = columns_bare[name].reshape(-1, batch).sum(axis=1)
        assert np.array_equal(with_own, without + alone[name])
    for found in columns.values():
        assert found["gated_macs"].sum() - columns_bare["gated_macs"].sum() == 4 * MACS
        assert found["dense_macs"].sum() == columns_bare["dense_macs"].sum()


def test_without_gate_unit_a_gate_network_does_not_run(tmp_path: Path) -> None:
    gates = {"a": np.ones((2, 6), bool)}
    for own in (False, True):
        columns = run(traced(tmp_path, gated_by_network(own), gates, 2), hardware(enabled=False), check=True)
        for name in (*COUNTED, "gated_macs"):
            found = columns.columns[name]
            assert np.array_equal(found, columns.columns[name.replace("gated", "dense")])
