"""Channels ordered for the groups of CGConv2d: the same function, more of it in the base sums."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cgsim import CgsimError
from cgsim.models import CGConv2d, build_network
from cgsim.models.grouping import _all_on, order_channels
from cgsim.models.layers.cgnet import rest_mask
from cgsim.models.layers.thresholds import gated_layers
from cgsim.models.methods import make_method
from tests.conftest import VALIDATE

NETWORKS = [
    ("resnet8", {"order": "before_add"}, {}),
    ("resnet8", {"order": "after_add"}, {"base": "first"}),
    ("resnet8", {"order": "before_add"}, {"partitions": 2, "sides": "two", "channel_share": 0.2}),
]
if VALIDATE:
    NETWORKS += [("vgg16-cifar", {}, {}), ("mobilenetv2", {}, {}), ("resnet18", {}, {"base": "first"})]


def trained(network, architecture, gating):
    """A gated network whose norms a training could have left."""
    torch.manual_seed(0)
    model = build_network(
        network, "cgnet", in_channels=3, classes=4, gating=gating, architecture=architecture
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.5)
    return model.eval()


@pytest.mark.parametrize(("network", "architecture", "gating"), NETWORKS, ids=str)
def test_the_function_stays_and_the_base_holds_more(network, architecture, gating):
    model = trained(network, architecture, gating)
    x = torch.rand(2, 3, 32, 32)
    layers = {str(number): layer for number, layer in enumerate(gated_layers(model))}
    with torch.no_grad():
        with _all_on(layers):
            before = model(x)
        thresholds = sorted(torch.cat([layer.threshold for layer in layers.values()]).tolist())
        first, second = order_channels(model, x)
        with _all_on(layers):
            after = model(x)
    assert float((before - after).abs().max()) < 1e-4 * float(before.abs().max())
    assert second > first + 0.02
    assert sorted(torch.cat([layer.threshold for layer in layers.values()]).tolist()) == thresholds
    again, best = order_channels(model, x)
    assert again == pytest.approx(second, abs=1e-5)  # what was found is what the network now has
    assert best >= again  # and is kept where nothing better turns up
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_groups_that_exist_are_found():
    torch.manual_seed(1)
    model = nn.Sequential(
        CGConv2d(8, 16), nn.BatchNorm2d(16), nn.ReLU(), CGConv2d(16, 8), nn.BatchNorm2d(8), nn.ReLU()
    )
    scramble = torch.randperm(16)
    with torch.no_grad():
        model[0].weight *= 1 - rest_mask(16, 8, 4)
        model[3].weight *= 1 - rest_mask(8, 16, 4)
        model[0].weight.copy_(model[0].weight[scramble])
        model[3].weight.copy_(model[3].weight[:, scramble])
    before, after = order_channels(model, torch.rand(2, 8, 6, 6))
    assert before < 0.6
    assert after == pytest.approx(1)
    assert float(model[0].rest_weight().detach().abs().max()) == 0
    assert float(model[3].rest_weight().detach().abs().max()) == 0


def test_important_channels_come_first():
    torch.manual_seed(2)
    model = nn.Sequential(CGConv2d(8, 16, base="first"), nn.ReLU(), CGConv2d(16, 8, base="first"))
    with torch.no_grad():
        model[2].weight[:, [3, 7, 9, 14]] *= 10
        strong = model[0].weight[[3, 7, 9, 14]].clone()
    before, after = order_channels(model, torch.rand(2, 8, 6, 6))
    assert after > before + 0.2
    assert torch.equal(model[0].weight[:4], strong)


def test_a_new_model_is_ordered_and_one_that_goes_on_is_not():
    method = make_method("cgnet", {"order_channels": True, "initial_density": 0.6})
    torch.manual_seed(3)
    model = build_network("resnet8", method, in_channels=1, classes=4)
    x = torch.rand(64, 1, 12, 12)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    method.prepare(model, lambda _count: x)
    ordered = {name: value.clone() for name, value in model.state_dict().items()}
    assert not torch.equal(before["layer1.0.conv1.weight"], ordered["layer1.0.conv1.weight"])
    assert not torch.equal(before["layer1.0.conv1.threshold"], ordered["layer1.0.conv1.threshold"])
    method.prepare(model, lambda _count: x)
    assert all(torch.equal(ordered[name], value) for name, value in model.state_dict().items())


def test_a_model_without_gates_is_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4))
    before = model[0].weight.clone()
    assert order_channels(model, torch.rand(1, 3, 5, 5)) == (1.0, 1.0)
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(CGConv2d(8, 8, shuffle=True)),
            "expected gated layers with one kind of groups, not shuffled",
        ),
        (nn.Sequential(CGConv2d(8, 8), CGConv2d(8, 8, partitions=2)), "one kind of groups"),
        (
            nn.Sequential(CGConv2d(8, 8), nn.PReLU(8)),
            "module '1': a trace cannot express its call of 'prelu'",
        ),
        (nn.Sequential(CGConv2d(8, 8), nn.GroupNorm(2, 8)), "module '1': GroupNorm is not understood"),
        (
            nn.Sequential(CGConv2d(8, 8), nn.ReLU(), nn.BatchNorm2d(8), CGConv2d(8, 8)),
            "module '2': cannot tell which layer is before it",
        ),
    ],
)
def test_models_that_cannot_be_followed_are_refused(model, message):
    with pytest.raises(CgsimError, match=message):
        order_channels(model, torch.rand(1, 8, 5, 5))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_order_and_shuffle_exclude_one_another():
    with pytest.raises(CgsimError, match="order_channels and shuffle exclude one another"):
        make_method("cgnet", {"order_channels": True, "shuffle": True})
