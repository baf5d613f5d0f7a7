"""Channels that are off, and what their readers save: equal to a count of every MAC by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.errors import CgsimError
from cgsim.trace import INPUT, Layer, Metadata, Network, Sample, TraceWriter, check_trace, load_trace
from cgsim.trace.macs import count_parts, executed_macs, expected_macs, parts
from cgsim.trace.pack import pack_bits
from tests.conftest import VALIDATE
from tests.trace.graphs import count_one_by_one, networks, random_gates

if TYPE_CHECKING:
    from pathlib import Path


@settings(max_examples=3000 if VALIDATE else 60)
@given(networks(), st.integers(0, 999), st.sampled_from([0.0, 0.3, 0.6, 1.0]), st.integers(1, 3))
def test_equal_to_counting_every_mac(
    tools: Any, tmp_path_factory: Any, network: Network, seed: int, density: float, block: int
) -> None:
    samples = 4
    gates = random_gates(network, samples, seed, density)
    trace = load_trace(tools.write(tmp_path_factory.mktemp("t") / "x", network, gates, samples, block))
    twins = [count_one_by_one(network, gates, sample) for sample in range(samples)]
    for layer in network.layers:
        name = layer.name
        assert trace.gated_macs(name).tolist() == [twin.macs[name] for twin in twins]
        assert trace.channels_on(name).tolist() == [twin.channels[name] for twin in twins]
        inputs = trace.inputs_on(name)
        if inputs is None:
            assert all(all(twin.inputs[name]) for twin in twins)
            assert not network.input_sources(layer)
        else:
            assert inputs.tolist() == [twin.inputs[name] for twin in twins]
            chosen = [3, 0, 3]
            assert (trace.inputs_on(name, chosen) == inputs[chosen]).all()  # type: ignore[operator]
    total = sum(sum(twin.macs.values()) for twin in twins)
    reduction = network.dense_macs * samples / total if total else None
    assert trace.flop_reduction() == trace.metadata.flop_reduction == reduction
    assert check_trace(trace.path)["flop_reduction"] == reduction
    if density in (0.0, 1.0):
        share = dict.fromkeys(gates, density)
        assert expected_macs(network, share) * samples == pytest.approx(total)


def convolution(name: str, producer: str, channels: int = 4, gate: Any = "none", **more: Any) -> Layer:
    shape = (channels, 3, 3)
    return Layer(name, "conv2d", shape, shape, producers=(producer,), gate=gate, **more)


def test_off_channels_follow_pools_and_additions_and_end_at_convolutions(tools: Any, tmp_path: Path) -> None:
    network = Network(
        "graph",
        (
            convolution("a", INPUT, gate="channel"),
            convolution("b", INPUT, gate="static"),
            Layer("pool", "pool", (4, 3, 3), (4, 3, 3), (3, 3), padding=(1, 1), producers=("a",)),
            Layer("both", "add", (4, 3, 3), (4, 3, 3), producers=("pool", "b")),
            Layer("image", "add", (4, 3, 3), (4, 3, 3), producers=("both", INPUT)),
            convolution("reader", "both"),
            convolution("after", "reader"),
            convolution("whole", "image"),
            Layer("mean", "global_pool", (4, 3, 3), (4, 1, 1), producers=("both",)),
            Layer("fc", "linear", (4, 1, 1), (2, 1, 1), producers=("mean",)),
            Layer("flat", "linear", (36, 1, 1), (2, 1, 1), producers=("a",)),
        ),
    )
    assert network.channel_sources["both"] == ("a", "b")
    assert network.channel_sources["image"] == ()
    gates = {
        "a": np.array([[1, 0, 0, 0], [0, 1, 0, 1]], bool),
        "b": np.array([0, 0, 1, 0], bool),
    }
    trace = load_trace(tools.write(tmp_path / "x", network, gates, 2))
    union = [[True, False, True, False], [False, True, True, True]]
    for name in ("reader", "mean", "fc"):
        inputs = trace.inputs_on(name)
        assert inputs is not None
        assert inputs.tolist() == union
    assert trace.inputs_on("after") is None
    assert trace.inputs_on("whole") is None
    assert trace.channels_on("mean").tolist() == union
    assert trace.channels_on("reader").all()
    flat = trace.inputs_on("flat", [1])
    assert flat is not None
    assert flat.tolist() == [[False] * 9 + [True] * 9 + [False] * 9 + [True] * 9]
    assert trace.gated_macs("a").tolist() == [9 * 4, 9 * 4 * 2]
    assert trace.gated_macs("reader").tolist() == [9 * 4 * 2, 9 * 4 * 3]
    assert trace.gated_macs("after").tolist() == [9 * 16] * 2
    assert trace.gated_macs("flat").tolist() == [2 * 9, 2 * 18]


def test_base_and_conditional_part_lose_their_own_inputs() -> None:
    layer = Layer("x", "conv2d", (4, 1, 2), (4, 1, 2), gate="activation", base_channels=1, base_groups=2)
    gates = np.array([[[1, 0], [1, 1], [0, 0], [0, 1]]], bool)
    on = count_parts(layer, pack_bits(gates))
    assert parts(layer) == 2
    assert on.tolist() == [[3, 1]]
    inputs = np.array([[False, True, True, False]])
    # The base of block 0 is input 0, which is off: no base MACs, and 3 gates x inputs 1 and 2. The base of
    # block 1 is input 1, on: 4 outputs, and 1 gate x input 2.
    assert executed_macs(layer, on, inputs).tolist() == [0 + 3 * 2 + 4 + 1 * 1]
    assert executed_macs(layer, on).tolist() == [8 + 4 * 3]


def test_static_gates_may_come_last(tools: Any, tmp_path: Path) -> None:
    network = Network("n", (convolution("a", INPUT, gate="static"), convolution("b", "a", gate="channel")))
    gates = random_gates(network, 5, 1, 0.5)
    first = load_trace(tools.write(tmp_path / "a", network, gates, 5))
    with TraceWriter(tmp_path / "b", network, Metadata("tiny", "user"), block_samples=2) as writer:
        for index in range(5):
            writer.append(Sample(f"s{index}", index % 10, index % 3), {"b": gates["b"][index]})
        writer.set_static("a", gates["a"])
        with pytest.raises(CgsimError, match=r"b: layer 'a': its static gates are set already$"):
            writer.set_static("a", gates["a"])
    second = load_trace(tmp_path / "b")
    assert second.metadata.flop_reduction == first.metadata.flop_reduction == second.flop_reduction()
    assert second.checksum == first.checksum


def test_a_network_pruned_for_all_samples(tools: Any, tmp_path: Path) -> None:
    network = Network("n", (convolution("a", INPUT, gate="static"), convolution("b", "a")))
    trace = load_trace(tools.write(tmp_path / "a", network, {"a": np.array([1, 0, 1, 0], bool)}, 3))
    assert trace.gated_macs("a").tolist() == [9 * 4 * 2] * 3
    assert trace.gated_macs("b").tolist() == [9 * 2 * 4] * 3
    assert trace.flop_reduction() == trace.metadata.flop_reduction == 2


def test_evaluation_counts_what_the_trace_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from cgsim.models import Normalize, record, register, registry
    from cgsim.models.data import image_set
    from cgsim.models.evaluation import evaluate
    from cgsim.models.graph import derive_network

    monkeypatch.setattr(registry, "_registry", dict(registry._registry))

    class Chosen(torch.nn.Conv2d):  # type: ignore[name-defined,misc]
        def mask(self, x: Any) -> Any:
            return (x.mean((1, 2, 3))[:, None] * (7 + torch.arange(self.out_channels))).sin() > 0.2

        def forward(self, x: Any) -> Any:
            return super().forward(x) * self.mask(x)[:, :, None, None]

    class Pruned(torch.nn.Conv2d):  # type: ignore[name-defined,misc]
        def forward(self, x: Any) -> Any:
            return super().forward(x) * (torch.arange(self.out_channels) % 3 > 0)[:, None, None]

    class Model(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Chosen(1, 6, 3), Pruned(1, 6, 3)
            self.d, self.fc = torch.nn.Conv2d(6, 6, 3, groups=3), torch.nn.Linear(6 * 36, 3)

        def forward(self, x: Any) -> Any:
            y = self.d(torch.relu(self.a(x)) + self.b(x))
            return self.fc(y.flatten(1))

    register(Chosen, lambda module, inputs, output: module.mask(inputs[0]), "channel", gate_network_macs=50)
    register(Pruned, lambda module, inputs, output: torch.arange(module.out_channels) % 3, "static")
    torch.manual_seed(0)
    model = Model().eval()
    images = np.random.default_rng(0).integers(0, 256, (11, 1, 10, 10)).astype(np.uint8)
    data = image_set(images, np.zeros(11, np.int64), "test", "noise")
    normalize = Normalize((0.5,), (0.25,))
    network = derive_network(model, (1, 10, 10), "model")
    result = evaluate(model, data, normalize, network, batch_size=4)
    trace = record(model, data, tmp_path / "x", normalize=normalize, batch_size=3)
    assert network.input_sources(network.by_name["d"]) == ("a", "b")
    assert 0 < trace.density("a").mean() < 1
    assert len(set(trace.gated_macs("d").tolist())) > 1
    assert result.flop_reduction == trace.flop_reduction() == check_trace(trace.path)["flop_reduction"]
    assert result.density["a"] == pytest.approx(trace.density("a").mean())
    assert result.density["b"] == pytest.approx(4 / 6)
