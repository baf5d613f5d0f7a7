"""What deciding costs, against a count by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cgsim
from cgsim.errors import CgsimError
from cgsim.models import record, register, registry
from cgsim.models.deciders import decider_cost

IMAGES = [(torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long))]


class Choosing(nn.Module):
    """A 3 x 3 convolution of stride 2, computed where a convolution of one channel says so."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2, padding=1)
        self.choose = nn.Conv2d(3, 1, 3, 2, padding=1)

    def mask(self, x):
        return self.choose(x) > 0

    def forward(self, x):
        return self.conv(x) * self.mask(x)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    register(
        Choosing,
        lambda module, inputs, output: module.mask(inputs[0]),
        "pixel",
        conv=lambda module: module.conv,
        gate_network=lambda module: module.choose,
    )


def recorded(tmp_path, name="t"):
    torch.manual_seed(0)
    return record(nn.Sequential(Choosing()), IMAGES, tmp_path / f"{name}.trace.parquet")


@pytest.mark.parametrize(
    ("decider", "macs", "weights"),
    [
        (nn.Conv2d(3, 1, 3, padding=1), 8 * 8 * 27, 27),
        (nn.Conv2d(3, 6, 3, stride=2, groups=3), 3 * 3 * 6 * 9, 6 * 9),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 8)),
         3 * 16 + 16 * 8, 3 * 16 + 16 * 8),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(4, 2)),
         64 * 12 + 8, 12 + 8),
        (nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 2), 2 * 64 * 9, 9),  # one layer, twice
        (nn.Sequential(nn.Flatten(2), nn.Linear(64, 2)), 3 * 64 * 2, 64 * 2),  # for each channel
        (nn.AdaptiveAvgPool2d(1), 0, 0),
    ],
    ids=["conv", "grouped", "linear", "mixed", "twice", "per channel", "nothing"],
)  # fmt: skip
def test_counts_by_hand(decider, macs, weights):
    decider.train()
    assert decider_cost(decider, IMAGES[0][0]) == (macs, weights)
    assert decider.training
    assert not decider._forward_hooks


def test_a_convolution_that_decides_is_recorded_and_its_weights_are_read_once(tmp_path):
    """27 weights at 4 x 4 pixels: 432 MACs; not 432 weights."""
    trace = cgsim.load_trace(recorded(tmp_path).path)
    (layer,) = trace.network.layers
    assert (layer.gate_network_macs, layer.gate_network_weights) == (16 * 27, 27)
    run = cgsim.simulate(trace, "edge-16x16", check=True)
    register(Choosing, lambda m, inputs, output: m.mask(inputs[0]), "pixel", conv=lambda m: m.conv)
    without = cgsim.simulate(recorded(tmp_path, "bare"), "edge-16x16", check=True)
    for name, more in (("gated_macs", 16 * 27), ("gated_offchip_bytes", 27), ("dense_macs", 0)):
        assert run.summary()[name] - without.summary()[name] == 4 * more, name
    lanes = cgsim.load_hardware("edge-16x16").vector_unit.lanes
    decides = run.summary()["gated_decision_cycles"] - without.summary()["gated_decision_cycles"]
    assert decides == 4 * -(-16 * 27 // lanes)


def test_one_of_two_ways_to_tell():
    with pytest.raises(CgsimError, match="Choosing: gate_network and gate_network_macs exclude each other"):
        register(Choosing, lambda *_: None, "pixel", gate_network=lambda m: m.choose, gate_network_macs=7)
