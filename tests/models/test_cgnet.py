"""Two-sided gates, whole channels, and thresholds that begin at a density."""

from __future__ import annotations

import itertools
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cgsim import CgsimError
from cgsim.models import CGConv2d, Normalize, build_network, calibrate_thresholds, derive_network, record
from cgsim.models.cosimulation import CosimulationNetwork
from cgsim.models.evaluation import GateTap
from cgsim.models.layers.gates import least_on, straight_through_window, whole_channels
from cgsim.models.layers.thresholds import gated_layers, threshold_loss
from cgsim.models.methods import make_method
from cgsim.models.quantize import quantize


def trained(layer: CGConv2d, seed: int = 0) -> CGConv2d:
    """The layer at inference, with statistics and thresholds that a training could have left."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.decision_norm.running_mean.uniform_(-1, 1, generator=generator)
        layer.decision_norm.running_var.uniform_(0.5, 2, generator=generator)
        layer.threshold.uniform_(-1, 0.5, generator=generator)
        if layer.two_sided:
            layer.threshold_high.uniform_(0.5, 1.5, generator=generator)
    return layer.eval()


@pytest.mark.parametrize("sparse", [False, True])
def test_the_window_has_the_gradient_of_the_product_of_sigmoids(sparse):
    torch.manual_seed(0)
    z = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    low = torch.tensor([-1.0, -0.5, 0.2], dtype=torch.float64)[:, None, None].requires_grad_()
    high = torch.tensor([1.0, 0.0, 0.9], dtype=torch.float64)[:, None, None].requires_grad_()
    upstream = torch.randn_like(z)
    gates = straight_through_window(z, low, high, 1.5, sparse)
    inside = (z > low) & (z < high)
    assert torch.equal(gates, inside.double())
    assert 0 < int(inside.sum()) < inside.numel()
    found = torch.autograd.grad(gates, (z, low, high), upstream)
    smooth = torch.sigmoid(1.5 * (z - low)) * torch.sigmoid(1.5 * (high - z))
    wanted = torch.autograd.grad(smooth, (z, low, high), upstream * inside if sparse else upstream)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@given(
    share=st.integers(0, 100).map(lambda cents: cents / 100),
    pixels=st.integers(1, 60),
    seed=st.integers(0, 20),
)
def test_a_channel_is_off_exactly_if_its_share_is_below(share, pixels, seed):
    generator = torch.Generator().manual_seed(seed)
    gates = (torch.rand(2, 3, pixels, 1, generator=generator) > 0.5).to(torch.bfloat16)
    kept = whole_channels(gates, share)
    for sample in range(2):
        for channel in range(3):
            before, after = gates[sample, channel], kept[sample, channel]
            enough = Fraction(int(before.sum()), pixels) >= Fraction(str(share))
            assert torch.equal(after, before if enough else torch.zeros_like(before))
    assert least_on(share, pixels) - 1 < Fraction(str(share)) * pixels <= least_on(share, pixels)


def test_gradients_pass_through_a_channel_that_is_off():
    gates = torch.tensor([[[[1.0, 0, 0, 0]], [[1.0, 1, 1, 0]]]], requires_grad=True)
    kept = whole_channels(gates, 0.5)
    assert kept.tolist() == [[[[0, 0, 0, 0]], [[1, 1, 1, 0]]]]
    kept.backward(torch.arange(8.0).view(1, 2, 1, 4))
    assert gates.grad.flatten().tolist() == list(range(8))


@given(
    p=st.sampled_from([2, 4]),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 3)]),
    stride=st.sampled_from([(1, 1), (2, 1)]),
    dilation=st.sampled_from([1, 2]),
    two_sided=st.booleans(),
    share=st.sampled_from([0.0, 0.3, 0.6]),
    norm=st.sampled_from(["after", "separate"]),
    shuffle=st.booleans(),
    base=st.sampled_from(["groups", "first"]),
    seed=st.integers(0, 99),
)
def test_the_output_is_all_sums_where_on_and_base_sums_where_off(
    p, kernel, stride, dilation, two_sided, share, norm, shuffle, base, seed
):
    torch.manual_seed(seed)
    padding = (kernel[0] // 2, kernel[1] // 2)
    layer = CGConv2d(
        2 * p,
        3 * p,
        kernel,
        stride,
        padding,
        dilation,
        partitions=p,
        two_sided=two_sided,
        channel_share=share,
        norm=norm,
        shuffle=shuffle,
        base=base,
    )
    trained(layer, seed)
    x = torch.randn(2, 2 * p, 6, 6)
    with torch.no_grad():
        gates, seen = layer.gates(x), layer.arrange(x)
        weight = layer.weight.clone()
        for n in range(3 * p):
            for c in range(2 * p):
                if c // 2 != (n // 3 if base == "groups" else 0):
                    weight[n, c] = 0
        base_sums = F.conv2d(seen, weight, None, stride, padding, dilation)
        full = F.conv2d(seen, layer.weight, None, stride, padding, dilation)
        z = layer.decision_norm(base_sums)
        on = z > layer.threshold[:, None, None]
        if two_sided:
            on &= z < layer.threshold_high[:, None, None]
        enough = on.flatten(2).double().mean(2) >= share
        wanted = on & enough[:, :, None, None]
        bounds = [bound[:, None, None] for bound in layer.thresholds()]
        if all(
            float((z - bound).detach().abs().min()) > 1e-5 for bound in bounds
        ):  # no tie that rounding turns
            assert torch.equal(gates, wanted)
        results = (
            (layer.norm_gated(full), layer.norm_ungated(base_sums))
            if norm == "separate"
            else (full, base_sums)
        )
        torch.testing.assert_close(layer(x), torch.where(gates, *results), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.masked_forward(x, gates), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("two_sided", [False, True])
def test_training_and_inference_decide_alike_on_the_statistics_of_the_batch(two_sided):
    torch.manual_seed(0)
    layer = CGConv2d(4, 4, two_sided=two_sided, channel_share=0.2)
    layer.threshold.data.fill_(-0.4)
    base = layer.base_sums(torch.randn(8, 4, 6, 6)).detach()
    learning = layer.train().decide(base)
    layer.decision_norm.running_mean.copy_(base.mean((0, 2, 3)))
    layer.decision_norm.running_var.copy_(base.var((0, 2, 3), unbiased=False))
    assert torch.equal(learning, layer.eval().decide(base))
    assert 0.1 < float(learning.detach().mean()) < 0.9


def test_gradients_reach_both_thresholds():
    torch.manual_seed(0)
    layer = CGConv2d(4, 4, two_sided=True, sparse_backprop=False)
    layer(torch.randn(2, 4, 5, 5)).square().sum().backward()
    for threshold in layer.thresholds():
        assert (threshold.grad != 0).all()


def test_more_target_gates_more_one_and_two_sided():
    for two_sided in (False, True):
        shares = []
        for target in (-1.0, 0.0, 0.5, 1.0, 2.0):
            layer = CGConv2d(4, 4, two_sided=two_sided, target=target)
            z = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
            low, high = (*layer.targets(), float("inf"))[:2]
            shares.append(float(((z > low) & (z < high)).double().mean()))
            assert shares[-1] == pytest.approx(1 - NormalDist().cdf(target), abs=0.01)
        assert shares == sorted(shares, reverse=True)
        loss = threshold_loss(CGConv2d(4, 8, two_sided=two_sided, target=0.0))
        assert float(loss.detach()) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("density", [0.05, 0.3, 0.85])
def test_calibrated_thresholds_leave_the_density_in_every_channel(density, two_sided):
    torch.manual_seed(1)
    model = build_network(
        "resnet8", "cgnet", in_channels=1, classes=4, gating={"sides": "two" if two_sided else "one"}
    )
    x = torch.randn(64, 1, 12, 12)
    calibrate_thresholds(model, [x], density)
    with torch.no_grad(), GateTap(model.train()) as tap:
        model(x)
    assert len(tap.gates) == 6
    for name, gates in tap.gates.items():
        share = gates.double().mean((0, 2, 3))
        pixels = gates.shape[2] * gates.shape[3] * len(x)
        assert float((share - density).abs().max()) < 3 / pixels, name
    with torch.no_grad(), GateTap(model.eval()) as tap:
        model(x)  # inference takes the unbiased variance
    assert all(abs(float(gates.double().mean()) - density) < 0.02 for gates in tap.gates.values())
    assert {module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}


def test_calibration_takes_the_mean_over_batches_and_leaves_the_model_in_its_mode():
    torch.manual_seed(2)
    model = nn.Sequential(CGConv2d(4, 8), nn.BatchNorm2d(8), nn.Dropout(0.9)).eval()
    model[0].train()
    batches = torch.randn(3, 16, 4, 5, 5).unbind()
    alone = []
    for batch in batches:
        calibrate_thresholds(model, [batch], 0.25)
        alone.append((model[0].threshold.detach().clone(), model[1].running_mean.clone()))
    calibrate_thresholds(model, batches, 0.25)
    torch.testing.assert_close(model[0].threshold.detach(), torch.stack([a for a, _ in alone]).mean(0))
    model[0].eval()
    with torch.no_grad():
        base = torch.cat([model[0].base_sums(batch) for batch in batches])
    torch.testing.assert_close(model[0].decision_norm.running_mean, base.mean((0, 2, 3)))
    assert not model[2].training
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("batches", "density", "message"),
    [
        ([], 0.5, "thresholds: no inputs to calibrate with; expected 1 batch or more"),
        ([torch.zeros(1, 4, 3, 3)], 0.0, "density must be above 0 and below 1, got 0.0"),
        ([torch.zeros(1, 4, 3, 3)], 1.0, "density must be above 0 and below 1, got 1.0"),
    ],
)
def test_thresholds_that_cannot_be_calibrated_are_refused(batches, density, message):
    with pytest.raises(CgsimError, match=message):
        calibrate_thresholds(CGConv2d(4, 4), batches, density)


def test_a_model_without_gates_is_calibrated_as_it_is():
    model = nn.Conv2d(1, 1, 1)
    before = model.weight.clone()
    calibrate_thresholds(model, [torch.zeros(1, 1, 2, 2)], 0.5)
    assert torch.equal(model.weight, before)


def test_sides_follow_the_activation():
    method = make_method("cgnet")
    made = {name: method.conv(8, 8, 1, activation=name) for name in ("relu", "relu6", "sigmoid", "tanh")}
    assert {name: layer.two_sided for name, layer in made.items()} == {
        "relu": False,
        "relu6": False,
        "sigmoid": True,
        "tanh": True,
    }
    assert type(method.conv(8, 8, 1)) is nn.Conv2d
    linear = make_method("cgnet", {"gate_linear": True})
    assert linear.conv(8, 8, 1).two_sided
    assert not make_method("cgnet", {"gate_linear": True, "sides": "one"}).conv(8, 8, 1).two_sided
    assert make_method("cgnet", {"sides": "two"}).conv(8, 8, 1, activation="relu").two_sided
    for role in ("stem", "shortcut"):
        assert type(linear.conv(8, 8, 1, role=role, activation="relu")) is nn.Conv2d
    assert type(linear.conv(8, 8, 3, groups=8, activation="relu")) is nn.Conv2d


def test_thresholds_have_their_own_rate_and_begin_at_the_density():
    method = make_method("cgnet", {"threshold_rate": 10, "initial_density": 0.2, "sides": "two"})
    torch.manual_seed(0)
    model = build_network("resnet8", method, in_channels=1, classes=4)
    factors = {name: method.rate_factor(name, parameter) for name, parameter in model.named_parameters()}
    fast = {name for name, factor in factors.items() if factor == 10}
    assert fast == {name for name in factors if "threshold" in name}
    assert set(factors.values()) == {1, 10}
    asked = []

    def images(count):
        asked.append(count)
        return torch.randn(96, 1, 8, 8)  # fewer than asked for: a small data set

    method.prepare(model, images)
    assert asked == [256]
    low = torch.cat([layer.threshold.detach() for layer in gated_layers(model)])
    assert float(low.mean()) < -0.1
    before = [layer.threshold.clone() for layer in gated_layers(model)]
    make_method("cgnet").prepare(model, images)
    assert all(torch.equal(a, b.threshold) for a, b in zip(before, gated_layers(model), strict=True))
    assert asked == [256]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": "last"}, r"gating: base 'last' is not known"),
        ({"sides": "both"}, r"gating: sides 'both' is not known"),
        ({"channel_share": 1.5}, "gating: channel_share must be 0 to 1, got 1.5"),
        ({"initial_density": 0}, "gating: initial_density must be 0.001 to 0.999, got 0"),
        ({"threshold_rate": -1}, "gating: threshold_rate must be 0 or more, got -1"),
        ({"channel_shar": 0.1}, r"unknown key 'channel_shar' \(did you mean 'channel_share'\?\)"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(CgsimError, match=message):
        make_method("cgnet", settings)


def test_a_layer_refuses_a_share_that_is_none():
    with pytest.raises(CgsimError, match="CGConv2d: channel_share must be 0 to 1, got 2"):
        CGConv2d(4, 4, channel_share=2)


def test_two_sided_and_whole_channel_gates_are_recorded_and_recomputed(dataset, tmp_path):
    torch.manual_seed(3)
    gating = {"sides": "two", "channel_share": 0.4, "partitions": 2}
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4, gating=gating)
    for _ in range(2):
        model(torch.randn(16, 1, 12, 12))
    for layer in gated_layers(model):
        layer.threshold.data.uniform_(-1, 0.3)
    trace = record(model, dataset.test, tmp_path / "t.parquet", samples=12, verify="all")
    assert trace.network == derive_network(model, (1, 12, 12), "model")
    whole = 0
    for layer in trace.gated_layers:
        counts = trace.bits(layer.name).sum(2)
        least = least_on(0.4, layer.pixels)
        assert ((counts == 0) | (counts >= least)).all()
        whole += int(np.sum(counts == 0))
    assert whole > 0
    assert trace.flop_reduction() > 1


def test_a_base_of_the_first_channels_is_recorded_with_one_group(dataset, tmp_path):
    torch.manual_seed(4)
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4, gating={"base": "first"})
    trace = record(model, dataset.test, tmp_path / "t.parquet", samples=4, verify="all")
    assert {(layer.base_channels, layer.base_groups) for layer in trace.gated_layers} == {
        (4, 1),
        (8, 1),
        (16, 1),
    }
    layer = CGConv2d(8, 3, base="first")  # output channels need no division
    assert layer.base_weight().shape == (3, 2, 3, 3)
    with pytest.raises(CgsimError, match="6 input channels are not divisible into 4 groups"):
        CGConv2d(6, 8, base="first")
    with pytest.raises(CgsimError, match=r"base 'last' is not known \(valid: groups, first\)"):
        CGConv2d(8, 8, base="last")


@pytest.mark.parametrize("norm", ["after", "separate"])
def test_frozen_norms_keep_their_statistics_but_learn(norm):
    torch.manual_seed(5)
    gating = {"freeze_norms": True, "norm_variant": norm}
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4, gating=gating)
    x = torch.randn(32, 1, 8, 8)
    calibrate_thresholds(model, [x], 0.4)
    affine = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d) and module.affine]
    assert affine
    assert all(float(module.running_mean.abs().sum()) == 0 for module in affine)
    for layer in gated_layers(model):
        assert float(layer.decision_norm.running_mean.abs().sum()) > 0
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.train()(x).square().sum().backward()
    assert all(torch.equal(before[name], value) for name, value in model.named_buffers())
    assert all(float(module.weight.grad.abs().sum()) > 0 for module in affine)
    first = gated_layers(model)[0]
    inputs = torch.rand(4, 16, 8, 8)
    assert torch.equal(first.train().gates(inputs), first.eval().gates(inputs))


def test_a_quantised_case_holds_both_thresholds_and_the_count(dataset, tmp_path):
    torch.manual_seed(6)
    gating = {"sides": "two", "channel_share": 0.3, "partitions": 2}
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4, gating=gating)
    for _ in range(2):
        model(torch.randn(16, 1, 12, 12))
    for layer in gated_layers(model):
        layer.threshold.data.uniform_(-1, 0.3)
    normalize = Normalize((0.3,), (0.3,))
    integers = quantize(model.eval(), dataset.train, normalize)
    trace = record(integers, dataset.test, tmp_path / "q.parquet", samples=2, normalize=integers.input)
    net = CosimulationNetwork(integers, dataset.test.images[:2], trace)
    off = 0
    for sample, name in itertools.product(range(2), gated_names(trace)):
        case = net.case(sample, name)
        assert case.upper.dtype == np.int32
        wanted = (case.base > case.thresholds[:, None]) & (case.base < case.upper[:, None])
        few = wanted.sum(1) < case.least_on
        assert np.array_equal(case.gates, wanted & ~few[:, None])
        off += int(np.sum(few & wanted.any(1)))
    assert off > 0


def gated_names(trace):
    return [layer.name for layer in trace.gated_layers]
