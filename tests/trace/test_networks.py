"""Networks by name: gated as the methods do, and synthetic gates whose readers save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cgsim.errors import CgsimError
from cgsim.trace import Network, build_network, load_trace, resnet20_cifar, synthesize
from cgsim.trace.synth import tied
from tests.trace.graphs import count_one_by_one

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_gates_lie_where_the_methods_put_them(name: str) -> None:
    gated = {
        gate: {layer.name for layer in build_network(name, gate).layers if layer.gate != "none"}
        for gate in ("activation", "pixel", "channel", "static", "none")
    }
    blocks = {n.removesuffix(".conv1") for n in gated["channel"]}
    assert len(blocks) == (8 if name == "resnet18" else 9)
    assert gated["none"] == set()
    assert gated["channel"] == {f"{block}.conv1" for block in blocks}
    assert gated["activation"] == gated["pixel"] == {f"{block}.conv{i}" for block in blocks for i in (1, 2)}
    shortcuts = {f"layer{stage}.0.shortcut" for stage in ((2, 3, 4) if name == "resnet18" else (2, 3))}
    assert gated["static"] == gated["pixel"] | shortcuts | {"conv1"}
    assert {build_network(name, gate).dense_macs for gate in gated} == {
        1_814_073_344 if name == "resnet18" else 40_813_184
    }


def test_unknown_gates_are_told() -> None:
    with pytest.raises(CgsimError) as caught:
        build_network("resnet20", "chanel")
    assert str(caught.value) == "network 'resnet20': gate 'chanel' is not known (did you mean 'channel'?)"


def test_gate_networks_of_a_batch_shaping_network() -> None:
    network = build_network("resnet20", "channel")
    first, later = network.by_name["layer1.0.conv1"], network.by_name["layer2.0.conv1"]
    assert first.gate_network_macs == 16 * 16 + 16 * 16
    assert later.gate_network_macs == 16 * 16 + 16 * 32
    for name in ("layer1.0", "layer3.2"):
        assert network.input_sources(network.by_name[f"{name}.conv2"]) == (f"{name}.conv1",)
        assert network.input_sources(network.by_name[f"{name}.add"]) == ()


def test_static_gates_of_added_channels_are_one_draw(tmp_path: Path) -> None:
    network = build_network("resnet20", "static")
    first = tied(network)
    assert {name for name, of in first.items() if of == "conv1"} == {
        "conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2"
    }  # fmt: skip
    assert first["layer2.0.shortcut"] == first["layer2.1.conv2"] == "layer2.0.conv2"
    assert first["layer2.1.conv1"] == "layer2.1.conv1"
    trace = load_trace(synthesize(network, tmp_path / "x", samples=3, density=0.5, seed=2))
    for name, of in first.items():
        assert (trace.bits(name) == trace.bits(of)).all()
    assert (trace.bits("layer1.0.conv1") != trace.bits("layer1.1.conv1")).any()
    assert (trace.channels_on("layer1.2.add") == trace.bits("conv1")).all()
    fc = trace.inputs_on("fc")
    assert fc is not None
    assert (fc == trace.bits("layer3.2.conv2")).all()


@pytest.mark.parametrize("gate", ["channel", "static", "pixel", "activation"])
def test_every_granularity_meets_a_target_that_counts_readers(tmp_path: Path, gate: str) -> None:
    network = resnet20_cifar(gate=gate)  # type: ignore[arg-type]
    trace = load_trace(synthesize(network, tmp_path / "x", samples=4, flop_reduction=2.0))
    within = {"static": 0.02, "channel": 0.005}.get(gate, 0.001)
    assert trace.flop_reduction() == pytest.approx(2.0, rel=within)
    executed = sum(int(trace.gated_macs(layer.name).sum()) for layer in network.layers)
    assert trace.metadata.flop_reduction == network.dense_macs * 4 / executed


def test_macs_of_a_pruned_network_are_those_of_the_smaller_one(tmp_path: Path) -> None:
    """Sliced out, as Gate Decorator leaves it: a network without gates that executes what the trace says."""
    network = build_network("resnet20", "static")
    trace = load_trace(synthesize(network, tmp_path / "x", samples=1, density=0.5, seed=3))
    for layer in network.layers:
        if layer.on_array:
            inputs = trace.inputs_on(layer.name)
            read = layer.in_shape[0] if inputs is None else int(inputs.sum())
            made = int(trace.channels_on(layer.name).sum())
            taps = layer.kernel[0] * layer.kernel[1]
            assert trace.gated_macs(layer.name).tolist() == [layer.pixels * taps * read * made]


def test_a_small_batch_shaping_network_one_by_one(tmp_path: Path) -> None:
    small = Network("small", build_network("tiny", "channel").layers)
    trace = load_trace(synthesize(small, tmp_path / "x", samples=2, density=0.5))
    gates: dict[str, Any] = {layer.name: trace.bits(layer.name) for layer in trace.gated_layers}
    twins = [count_one_by_one(small, gates, sample) for sample in range(2)]
    for layer in small.layers:
        assert trace.gated_macs(layer.name).tolist() == [twin.macs[layer.name] for twin in twins]
    assert np.array_equal(trace.inputs_on("b"), trace.bits("a"))


def test_resnet20_is_the_network_that_is_trained() -> None:
    pytest.importorskip("torch")
    from cgsim.models import build_network as build_model
    from cgsim.models.graph import derive_network

    model = build_model("resnet20", "cgnet", in_channels=3, classes=10)
    derived = derive_network(model, (3, 32, 32), "resnet20")
    own = resnet20_cifar()
    assert {layer.name: layer for layer in derived.layers} == own.by_name
