"""Synthetic traces: seeded, on target, and with the statistics they were asked or fitted for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cgsim.errors import CgsimError
from cgsim.trace import (
    LayerProfile,
    Metadata,
    Network,
    Profile,
    Sample,
    Trace,
    TraceWriter,
    check_trace,
    fit,
    load_trace,
    resnet18_imagenet,
    stats,
    synthesize,
    tiny_network,
    transplant,
)
from cgsim.trace.gaussian import gaussian_field
from cgsim.trace.network import INPUT
from cgsim.trace.networks import Builder

if TYPE_CHECKING:
    from pathlib import Path


def small_network() -> Network:
    make = Builder((3, 32, 32))
    x = make.conv("stem", INPUT, 16)
    for i, (channels, stride) in enumerate([(16, 1), (32, 2), (32, 1), (64, 2)]):
        x = make.conv(f"c{i}", x, channels, stride=stride, p=4)
    make.linear("fc", make.global_pool("pool", x), 10)
    return make.network("small")


def convolved(path: Path, network: Network, samples: int) -> Trace:
    """Gates as CGNet makes them: base sums of random convolutions over smooth random inputs."""
    rng = np.random.default_rng(3)
    gated = [layer for layer in network.layers if layer.gate != "none"]
    weights = {x.name: rng.standard_normal((x.out_channels, x.base_channels, 3, 3)) for x in gated}
    limits = {x.name: rng.normal(1.0, 0.5, (x.out_channels, 1, 1)) for x in gated}
    with TraceWriter(path, network, Metadata("convolved", "user")) as writer:
        for index in range(samples):
            strength, gates = np.exp(rng.normal(0, 0.3)), {}
            for x in gated:
                channels, height, width = x.in_shape
                shape = (channels, height + 2, width + 2)
                image = (
                    gaussian_field(rng, shape, 3.0, 1.5) + gaussian_field(rng, (1, *shape[1:]), 4.0, 1.0) / 2
                )
                image = np.maximum(image + 0.3 * rng.standard_normal((channels, 1, 1)), 0)
                view = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(1, 2))
                view = view[:, :: x.stride[0], :: x.stride[1]]
                each, base = x.out_channels // x.base_groups, x.base_channels
                sums = np.concatenate([
                    np.tensordot(weights[x.name][g * each : (g + 1) * each],
                                 view[g * base : (g + 1) * base], axes=([1, 2, 3], [0, 3, 4]))
                    for g in range(x.base_groups)
                ])  # fmt: skip
                gates[x.name] = sums * (strength / sums.std()) > limits[x.name]
            writer.append(Sample(str(index)), gates)
    return load_trace(path)


def test_same_seed_same_content(tmp_path: Path) -> None:
    network = tiny_network()
    one = load_trace(synthesize(network, tmp_path / "a", samples=5, seed=4, flop_reduction=2.0))
    two = load_trace(synthesize(network, tmp_path / "b", samples=5, seed=4, flop_reduction=2.0))
    three = load_trace(synthesize(network, tmp_path / "c", samples=5, seed=5, flop_reduction=2.0))
    assert one.checksum == two.checksum
    assert one.layer_checksums == two.layer_checksums
    assert one.checksum != three.checksum
    assert one.metadata.method == "synthetic"
    assert one.metadata.seed == 4
    json.dumps(one.metadata.method_parameters)


def test_resnet18_meets_its_flop_reduction(tmp_path: Path) -> None:
    path = synthesize(resnet18_imagenet(), tmp_path / "x", samples=1, density=0.12, flop_reduction=2.8)
    assert check_trace(path)["flop_reduction"] == pytest.approx(2.8, rel=0.005)


@pytest.mark.parametrize("gate", ["activation", "pixel", "channel", "static"])
def test_every_granularity_meets_its_target(tmp_path: Path, gate: Any) -> None:
    network = tiny_network(channels=32, size=16, gate=gate)
    path = synthesize(network, tmp_path / "x", samples=64, density=0.4, channel_spread=0.5)
    trace = load_trace(path)
    for layer in trace.gated_layers:
        assert trace.density(layer.name).mean() == pytest.approx(0.4, abs=0.05)
    if gate != "static":
        path = synthesize(network, tmp_path / "y", samples=32, flop_reduction=1.7)
        assert load_trace(path).flop_reduction() == pytest.approx(1.7, rel=0.005)


def test_chosen_statistics_come_out(tmp_path: Path) -> None:
    network = tiny_network(channels=32, size=32)
    layers = {"b": {"density": 0.3, "correlation_length": 6.0, "channel_correlation": 0.4}}
    path = synthesize(
        network, tmp_path / "x", samples=32, density=0.1, correlation_length=1.0, layers=layers,
        channel_correlation=0.0, sample_variation=0.0, channel_spread=0.0,
    )  # fmt: skip
    a, b = stats(load_trace(path))
    assert a["density"] == pytest.approx(0.1, rel=0.05)
    assert b["density"] == pytest.approx(0.3, rel=0.05)
    assert a["cross_channel_correlation"] == pytest.approx(0, abs=0.01)
    assert b["cross_channel_correlation"] > 0.15
    assert a["spatial_correlation"] < 0.3 < 0.5 < b["spatial_correlation"]


@pytest.mark.parametrize("source", ["convolved", "synthetic"])
def test_fitted_statistics_come_back(tmp_path: Path, source: str) -> None:
    network = small_network()
    if source == "convolved":
        first = convolved(tmp_path / "a", network, 48)
    else:
        path = synthesize(
            network, tmp_path / "a", samples=48, seed=9, channel_spread=1.5, sample_variation=0.1
        )
        first = load_trace(path)
    second = load_trace(transplant(fit(first), network, tmp_path / "b", samples=48, seed=1))
    old, new = pd.DataFrame(stats(first)), pd.DataFrame(stats(second))
    assert new["density"].to_numpy() == pytest.approx(old["density"].to_numpy(), rel=0.06)
    for key, tolerance in (
        ("horizontal_agreement", 0.015),
        ("vertical_agreement", 0.015),
        ("spatial_correlation", 0.03),
        ("cross_channel_correlation", 0.02),
        ("any_of_4x4_pixels", 0.04),
        ("channels_off", 0.06),
    ):
        assert new[key].to_numpy() == pytest.approx(old[key].to_numpy(), abs=tolerance), key
    for layer in first.gated_layers:
        channels = [np.sort(t.bits(layer.name).mean(axis=(0, 2))) for t in (first, second)]
        assert np.abs(channels[0] - channels[1]).mean() < 0.03
        spread = [t.density(layer.name).std() / t.density(layer.name).mean() for t in (first, second)]
        assert spread[1] == pytest.approx(spread[0], abs=0.15)


def test_transplant_keeps_depth_profile_and_dead_channels(tmp_path: Path) -> None:
    network = small_network()
    gates: dict[str, Any] = {}
    with TraceWriter(tmp_path / "a", network, Metadata("m", "user")) as writer:
        rng = np.random.default_rng(0)
        for index in range(16):
            for i, layer in enumerate(x for x in network.layers if x.gate != "none"):
                gates[layer.name] = rng.random(layer.gate_shape) < 0.05 + 0.1 * i
                gates[layer.name][: layer.out_channels // 4] = False
            writer.append(Sample(str(index)), gates)
    profile = fit(load_trace(tmp_path / "a"))
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile
    assert profile.source["samples"] == 16
    assert max(layer.offset_share + abs(layer.field_within) for layer in profile.layers) < 0.05
    trace = load_trace(transplant(profile, tiny_network(channels=64, size=16), tmp_path / "b", samples=16))
    densities = [0.75 * (0.05 + 0.1 * i) for i in range(4)]
    found = stats(trace)
    assert found[0]["density"] == pytest.approx(densities[0], rel=0.1)
    assert found[-1]["density"] == pytest.approx(densities[-1], rel=0.1)
    assert (trace.bits("b").mean(axis=(0, 2)) == 0).sum() == 16
    half = profile.at(0.5, 16)
    assert np.mean(half.densities) == pytest.approx(np.mean(densities), rel=0.1)


def test_base_groups_are_fitted_and_transplanted(tmp_path: Path) -> None:
    """Channels of one base group go together, those of two groups do not."""
    network = tiny_network(channels=16, size=16)
    with TraceWriter(tmp_path / "a", network, Metadata("m", "user")) as writer:
        rng = np.random.default_rng(0)
        for index in range(32):
            gates = {}
            for layer in (x for x in network.layers if x.gate != "none"):
                field = np.repeat(gaussian_field(rng, (4, 16, 16), 2.0, 1.0), 4, axis=0)
                gates[layer.name] = field + gaussian_field(rng, (16, 16, 16), 2.0, 1.0) > 1.2
            writer.append(Sample(str(index)), gates)
    profile = fit(load_trace(tmp_path / "a"))
    for layer in profile.layers:
        assert layer.field_within == pytest.approx(0.5, abs=0.05)
        assert layer.field_between == pytest.approx(0.0, abs=0.05)
        assert layer.length == pytest.approx(2.0, rel=0.1)
    path = transplant(profile, tiny_network(channels=32, size=16), tmp_path / "b", samples=32)
    for layer in fit(load_trace(path)).layers:
        assert layer.field_within == pytest.approx(0.5, abs=0.08)
        assert layer.field_between == pytest.approx(0.0, abs=0.05)


def test_channel_densities_keep_their_mean() -> None:
    profile = LayerProfile(0.0, (0.0, 0.1, 0.9))
    for channels in (1, 2, 3, 7, 64):
        found = profile.channel_densities(channels)
        assert found.mean() == pytest.approx(1 / 3)
        assert (np.diff(found) >= -1e-12).all()


def test_targets_out_of_reach_are_refused(tmp_path: Path) -> None:
    network = tiny_network()
    for target in (0.5, 1.0, 50.0):
        with pytest.raises(CgsimError, match="out of reach for tiny"):
            synthesize(network, tmp_path / "x", flop_reduction=target)
    static = tiny_network(channels=4, gate="static")
    with pytest.raises(CgsimError, match="cannot be met"):
        synthesize(static, tmp_path / "x", flop_reduction=1.517)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 0}, "samples"),
        ({"seed": -1}, "seed"),
        ({"density": 1.5}, "density"),
        ({"density": float("nan")}, "density"),
        ({"channel_spread": -1.0}, "spread"),
        ({"correlation_length": float("inf")}, "synth: correlation_length must lie between"),
        ({"correlation_length": 0.0}, "length"),
        ({"channel_correlation": 1.5}, "synth: channel_correlation must lie between"),
        ({"sample_variation": -0.1}, "synth: sample_variation must lie between"),
        ({"layers": {"c": {}}}, "'c' has no gates"),
        ({"layers": {"a": {"densty": 0.1}}}, "'density'"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CgsimError, match=message):
        synthesize(tiny_network(), tmp_path / "x", **arguments)
    assert not list(tmp_path.iterdir())


def test_nothing_to_fit_and_nothing_to_gate(tools: Any, tmp_path: Path) -> None:
    dense = tiny_network(gated=False)
    with pytest.raises(CgsimError, match="no gated layers"):
        synthesize(dense, tmp_path / "x")
    with pytest.raises(CgsimError, match="no gates to fit"):
        fit(load_trace(tools.write(tmp_path / "x", dense, {}, 2)))
    for data in (None, {}, {"layers": [{}]}, {"layers": [], "layer_correlation": 0, "source": {}}):
        with pytest.raises(CgsimError, match="profile"):
            Profile.from_json(data)


def test_fit_of_every_granularity_and_of_extreme_gates(tools: Any, tmp_path: Path) -> None:
    network = tools.mixed()
    for density in (0.0, 0.3, 1.0):
        path = tools.write(tmp_path / "x", network, tools.gates(network, 3, density=density), 3)
        again = load_trace(transplant(fit(load_trace(path)), network, tmp_path / "y", samples=3))
        if density != 0.3:
            assert [again.density(x.name).tolist() for x in again.gated_layers] == [[density] * 3] * 4
