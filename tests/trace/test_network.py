"""Networks: the builders, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from cgsim.errors import CgsimError
from cgsim.trace import Layer, Network, build_network, executed_macs, resnet18_imagenet, tiny_network


def test_resnet18_has_the_published_macs() -> None:
    network = resnet18_imagenet()
    assert network.dense_macs == 1_814_073_344
    assert resnet18_imagenet(gated=False).dense_macs == 1_814_073_344
    gated = [layer for layer in network.layers if layer.gate != "none"]
    assert len(gated) == 16
    assert all(layer.base_channels * 4 == layer.in_shape[0] and layer.base_groups == 4 for layer in gated)
    assert all(layer.kernel == (3, 3) for layer in gated)
    assert sum(layer.operator == "add" for layer in network.layers) == 8
    assert network.by_name["fc"].in_shape == (512, 1, 1)
    assert not [layer for layer in resnet18_imagenet(gated=False).layers if layer.gate != "none"]


def test_json_round_trip() -> None:
    for network in (resnet18_imagenet(p=2), tiny_network(gate="pixel"), tiny_network(gated=False)):
        assert Network.from_json(network.to_json()) == network


def test_unknown_network_names_the_nearest() -> None:
    with pytest.raises(CgsimError, match="resnet18"):
        build_network("resnet81")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out_shape": (8, 5, 6)}, "'a'.*contradicts its input"),
        ({"in_shape": (8, 7, 7), "out_shape": (8, 7, 7)}, "'a'.*contradicts the shape"),
        ({"in_shape": (0, 6, 6)}, "'a'.*positive"),
        ({"stride": (1 << 25, 1)}, "'a'.*above"),
        ({"padding": (1 << 25, 1)}, "'a'.*above"),
        (
            {"gate_network_macs": 8, "gate_network_weights": 9},
            r"'a': gate_network_weights: expected 0 to 8 \(gate_network_macs\), got 9",
        ),
        ({"gate_network_weights": -1}, "'a': gate_network_weights: expected 0 to 0"),
        ({"gate_network_macs": 1 << 61}, "'a'.*MACs"),
        ({"groups": 3}, "'a'.*groups"),
        ({"base_channels": 8, "base_groups": 1}, "'a'.*conditional path"),
        ({"base_channels": 0, "base_groups": 1}, "'a'.*base_channels"),
        ({"base_groups": 3}, "'a'.*"),
        ({"gate": "pixel"}, "'a'.*'activation'"),
        ({"gate": "pixels"}, "'a'.*'pixel'"),
        ({"operator": "conv"}, "'a'.*'conv2d'"),
        ({"producers": ("conv",)}, "'a'.*'conv1'"),
        ({"producers": ("conv1", "conv1")}, "'a'.*at most 1 producers"),
        ({"name": "conv1"}, "taken"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    network = tiny_network()
    layers = [dataclasses.replace(x, **change) if x.name == "a" else x for x in network.layers]
    with pytest.raises(CgsimError, match=message):
        Network("broken", tuple(layers))


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"name": "x", "layers": 3}, {"name": "x", "layers": []}, {"name": 1, "layers": [{}]},
     {"name": "x", "layers": [{"name": "a"}]}, {"name": "x", "layers": [{"name": "a", "kernal": 3}]}],
)  # fmt: skip
def test_malformed_json_is_refused(data: Any) -> None:
    with pytest.raises(CgsimError):
        Network.from_json(data)


def test_executed_macs_by_granularity() -> None:
    shapes: dict[str, Any] = {"in_shape": (8, 2, 3), "out_shape": (4, 2, 3)}
    on = np.array([0, 3, 24])
    layer = Layer("x", "conv2d", **shapes, gate="activation", base_channels=2, gate_network_macs=7)
    assert executed_macs(layer, on).tolist() == [6 * 4 * 2 + 7, 6 * 4 * 2 + 3 * 6 + 7, layer.dense_macs + 7]
    layer = Layer("x", "conv2d", **shapes, gate="pixel")
    assert executed_macs(layer, np.array([0, 2, 6])).tolist() == [0, 2 * 4 * 8, layer.dense_macs]
    for gate in ("channel", "static"):
        layer = Layer("x", "conv2d", **shapes, gate=gate)  # type: ignore[arg-type]
        assert executed_macs(layer, np.array([0, 1, 4])).tolist() == [0, 6 * 8, layer.dense_macs]
    layer = Layer("x", "conv2d", **shapes)
    assert executed_macs(layer, np.array([0])).tolist() == [layer.dense_macs]


def test_importing_networks_loads_no_libraries() -> None:
    code = (
        "import sys, cgsim.trace.network, cgsim.trace.networks\n"
        "print([m for m in ('pyarrow', 'pandas', 'numpy', 'fsspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_layers_may_be_unconnected() -> None:
    """A layer without producers reads an input of its own, of any shape."""
    shapes: list[tuple[int, int, int]] = [(3, 8, 8), (5, 4, 4), (3, 8, 8)]
    layers = [Layer(f"{i}", "conv2d", shape, shape, producers=()) for i, shape in enumerate(shapes)]
    layers.append(Layer("reader", "conv2d", (5, 4, 4), (2, 4, 4), producers=("1",)))
    network = Network("list", tuple(layers))
    assert Network.from_json(network.to_json()) == network
    with pytest.raises(CgsimError, match=r"'sum': add takes 2 or more producers"):
        Network("list", (*layers, Layer("sum", "add", (3, 8, 8), (3, 8, 8), producers=())))
