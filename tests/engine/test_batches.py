"""Whole runs in batches, with more or fewer column groups, and with a learned channel order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgsim.engine.alone import array_cycles
from cgsim.engine.columns import ACCESSES, MODES
from cgsim.engine.run import run
from cgsim.trace import INPUT, Network, Trace, load_trace, synthesize
from cgsim.trace.networks import build_network
from tests.engine.machines import hardware
from tests.engine.traces import COUNTED, Columns, conv, rows, traced
from tests.trace.graphs import random_gates

DATAFLOWS = ["ws", "is", "os"]


def batched(trace: Trace, batch: int, samples: list[int] | None = None, **changes: Any) -> Columns:
    """All counts of all layers: [samples, layers] each."""
    columns = run(trace, hardware(batch=batch, column_groups=2, **changes), samples, check=True).columns
    count = len(set(columns["sample"].tolist()))
    return {name: columns[name].reshape(count, -1) for name in (*COUNTED, "gated_macs", "density")}


@pytest.fixture
def activation(tmp_path: Path) -> Callable[[int, bool], Trace]:
    """Traces of a network with gates per activation; of random samples, or of one sample several times."""

    def make(samples: int, alike: bool) -> Trace:
        network = build_network("tiny")
        gates = random_gates(network, samples, 3, 0.3)
        if alike:
            gates = {name: np.repeat(bits[:1], samples, axis=0) for name, bits in gates.items()}
        return traced(tmp_path, network, gates, samples)

    return make


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_the_last_batch_may_be_smaller(activation: Callable[[int, bool], Trace], dataflow: str) -> None:
    """Five samples in twos: the fifth is a batch of its own, the others' rows are what their batches took."""
    trace = activation(5, False)
    every = batched(trace, 2, dataflow=dataflow)
    for samples in ([0, 1], [2, 3], [4]):
        own = batched(trace, 2, samples, dataflow=dataflow)
        for name, values in own.items():
            assert np.array_equal(every[name][samples], values, equal_nan=name.endswith("_pj")), name
    made = {f"{mode}_{name}" for mode in MODES for name in ACCESSES}  # some of each sample's own MACs
    for name in COUNTED:  # shares of a batch differ by one at most, phases apart from their sum
        whole = name.removesuffix("_cycles") in ("dense", "gated") or name.endswith("offchip_bytes")
        if not whole and name not in made and not name.endswith("_pj"):
            shares = every[name][:4].reshape(2, 2, -1)
            assert (np.ptp(shares, axis=1) <= 1).all()
            assert (shares[:, 0] >= shares[:, 1]).all()


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_batches_of_equal_samples_are_equal(activation: Callable[[int, bool], Trace], dataflow: str) -> None:
    trace = activation(6, True)
    found = batched(trace, 3, dataflow=dataflow)
    single = batched(trace, 1, dataflow=dataflow)
    for name, values in found.items():
        assert np.array_equal(values[:3], values[3:], equal_nan=name.endswith("_pj")), name
    assert np.array_equal(found["gated_macs"], single["gated_macs"])
    assert np.array_equal(found["density"], single["density"])
    # folds that samples share are loaded once
    assert found["gated_array_cycles"].sum() < single["gated_array_cycles"].sum()
    assert found["dense_array_cycles"].sum() < single["dense_array_cycles"].sum()


def test_a_batch_takes_what_the_array_takes_for_all_its_pixels(
    activation: Callable[[int, bool], Trace],
) -> None:
    trace = activation(5, False)
    target = hardware(batch=2, column_groups=2)
    columns = run(trace, target, check=True).columns
    for layer in trace.network.layers:
        if not layer.on_array:
            continue
        found = rows(columns, "gated_array_cycles", layer.name)
        for batch in ([0, 1], [2, 3], [4]):
            gates = trace.bits(layer.name, batch) if layer.gate != "none" else None
            assert found[batch].sum() == array_cycles(layer, target, gates, len(batch))


def test_more_column_groups_never_stream_more(tmp_path: Path) -> None:
    """A narrower slot needs the pixels of fewer channels. Blocks that fill whole column folds."""
    layer = conv("a", INPUT, 4, 16, gate="activation", base_channels=2)
    rng = np.random.default_rng(5)
    gates = {"a": rng.random((4, 16, 25)) < rng.choice([0, 0.1, 0.3, 0.7], (4, 16, 1))}
    trace = traced(tmp_path, Network("one", (layer,)), gates, 4)
    found = [
        run(trace, hardware(rows=4, cols=8, column_groups=groups), check=True).columns[
            "gated_conditional_cycles"
        ]
        for groups in (1, 2, 4, 8)
    ]
    for fewer, more in zip(found[1:], found[:-1], strict=True):
        assert (fewer <= more).all()
        assert fewer.sum() < more.sum()


def test_groups_that_wait_later_wait_less(tmp_path: Path) -> None:
    trace = load_trace(synthesize(build_network("tiny"), tmp_path / "t.trace.parquet", 4, density=0.3))
    found = {
        sync: run(trace, hardware(rows=4, cols=4, column_groups=4, group_sync=sync), check=True).columns
        for sync in ("fold", "tile", "layer")
    }
    cycles = [columns["gated_array_cycles"] for columns in found.values()]
    assert (cycles[0] >= cycles[1]).all()
    assert (cycles[1] >= cycles[2]).all()
    assert cycles[0].sum() > cycles[1].sum()
    assert all(np.array_equal(found["fold"]["gated_macs"], one["gated_macs"]) for one in found.values())


def test_a_learned_channel_order_changes_no_macs(tmp_path: Path) -> None:
    """Channels that gate together, put apart: the order that is learned from the first half finds them."""
    layer = conv("a", INPUT, 4, 8, gate="activation", base_channels=2)
    halves = np.random.default_rng(2).random((6, 2, 25)) < 0.3
    gates = {"a": halves[:, np.arange(8) % 2]}
    trace = traced(tmp_path, Network("one", (layer,)), gates, 6)
    natural, clustered = (
        run(trace, hardware(column_groups=1, channel_order=order), check=True).columns
        for order in ("natural", "clustered")
    )
    assert np.array_equal(natural["gated_macs"], clustered["gated_macs"])
    own = hardware(column_groups=1)
    wanted = [
        array_cycles(layer, own, bits[np.argsort(np.arange(8) % 2, kind="stable")]) for bits in gates["a"]
    ]
    assert clustered["gated_array_cycles"].tolist() == wanted
    assert (clustered["gated_array_cycles"] < natural["gated_array_cycles"]).all()
