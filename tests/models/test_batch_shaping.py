from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import nn

from cgsim import CgsimError
from cgsim.models import build_network, derive_network, record
from cgsim.models.evaluation import evaluate
from cgsim.models.layers.batch_shaping import (
    BatchShapedConv2d,
    batch_shaped_layers,
    batch_shaping_loss,
    bin_concrete,
    l0_loss,
)
from cgsim.models.layers.beta_prior import DENSITY_RANGE, batch_shaping
from cgsim.models.layers.gate_start import start_gates
from cgsim.models.methods import make_method
from cgsim.models.methods.batch_shaping import BatchShaping

PRIORS = [(0.6, 0.4), (2.0, 3.0), (1.0, 1.0), (0.6, 2.0)]


def network(**gating) -> nn.Module:
    torch.manual_seed(1)
    return build_network("resnet8", "batch-shaping", in_channels=1, classes=4, gating=gating)


def settled(model: nn.Module, seed: int = 0) -> nn.Module:
    """At inference, with gates that differ between channels and samples."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in batch_shaped_layers(model):
            gate = layer.gate_network
            gate.norm.running_mean.uniform_(-0.2, 0.2, generator=generator)
            gate.norm.running_var.uniform_(0.01, 0.1, generator=generator)
            gate.fc2.bias.uniform_(-0.3, 0.3, generator=generator)
            layer.norm.running_mean.uniform_(-0.5, 0.5, generator=generator)
            layer.norm.bias.uniform_(-0.5, 0.5, generator=generator)
    return model.eval()


def images(count: int, seed: int = 0, size: int = 12) -> torch.Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


# The batch-shaping loss


@pytest.mark.parametrize(("a", "b"), PRIORS)
def test_gradient_is_exact(a, b):
    generator = torch.Generator().manual_seed(3)
    p = torch.rand(9, 5, dtype=torch.float64, generator=generator) * 0.9 + 0.05
    p.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: batch_shaping(values, a, b), p)


@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 12),
    columns=st.integers(1, 4),
    prior=st.sampled_from(PRIORS),
    row=st.integers(0, 11),
)
def test_each_value_gets_its_own_gradient(seed, count, columns, prior, row):
    """The formula for one value, found by its rank in its own column.

    Un-sorting with the wrong permutation, or sorting over channels, gives another one.
    """
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.02, 0.98, (count, columns))
    p = torch.tensor(values, requires_grad=True)
    upstream = torch.tensor(rng.normal(size=columns))
    batch_shaping(p, *prior).backward(upstream)
    row %= count
    for column in range(columns):
        rank = 1 + int((values[:, column] < values[row, column]).sum())
        error = rank / (count + 1) - stats.beta.cdf(values[row, column], *prior)
        density = stats.beta.pdf(values[row, column], *prior)
        expected = -2 * density * error / count * float(upstream[column])
        assert float(p.grad[row, column]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("a", "b"), PRIORS)
def test_loss_of_many_values_is_the_integral(a, b):
    """For values of another distribution G the loss tends to the integral of (G - F)^2 dG (by quadrature)."""
    count = 20_001
    grid = (np.arange(count) + 0.5) / count
    other = stats.beta(1.5, 0.8)
    values = torch.tensor(other.ppf(grid))[:, None]
    wanted, _error = integrate.quad(
        lambda x: (other.cdf(x) - stats.beta.cdf(x, a, b)) ** 2 * other.pdf(x), 0, 1, limit=200
    )
    assert float(batch_shaping(values, a, b)[0]) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(("a", "b"), PRIORS)
def test_distribution_function_is_the_integral_of_the_density(a, b):
    """One value alone: its loss is (1/2 - F)^2, and F the integral of the density."""
    for x in (0.03, 0.4, 0.93):
        mass, _error = integrate.quad(
            lambda t: t ** (a - 1) * (1 - t) ** (b - 1), 0, x, weight=None, limit=300
        )
        whole = math.gamma(a) * math.gamma(b) / math.gamma(a + b)
        loss = float(batch_shaping(torch.tensor([[x]], dtype=torch.float64), a, b)[0])
        assert loss == pytest.approx((0.5 - mass / whole) ** 2, rel=1e-7)


def test_values_of_the_prior_cost_nothing_and_others_are_drawn_to_it():
    count = 500
    grid = (np.arange(1, count + 1)) / (count + 1)
    exact = torch.tensor(stats.beta.ppf(grid, 0.6, 0.4))[:, None]
    assert float(batch_shaping(exact)[0]) < 1e-20
    p = 0.5 + torch.linspace(-0.01, 0.01, 24, dtype=torch.float64)[:, None]
    p = torch.logit(p).requires_grad_()
    before = float(batch_shaping(torch.sigmoid(p)).detach())
    optimizer = torch.optim.Adam([p], 0.1)
    for _step in range(100):
        optimizer.zero_grad()
        batch_shaping(torch.sigmoid(p)).sum().backward()
        optimizer.step()
    after = float(batch_shaping(torch.sigmoid(p)).detach())
    assert before > 0.03
    assert after < before / 50


def test_ends_of_the_range_have_finite_gradients():
    p = torch.tensor([[0.0], [1e-30], [0.5], [1.0]], requires_grad=True)
    loss = batch_shaping(p)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    highest = 2 * DENSITY_RANGE[1] * 1 / 4
    assert float(p.grad.abs().max()) <= highest
    assert float(p.grad[0].abs()) > 1  # the density is limited, not set to nothing


def test_order_of_the_batch_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(30, 3, generator=generator, dtype=torch.float64).requires_grad_()
    order = torch.randperm(30, generator=generator)
    batch_shaping(p).sum().backward()
    shuffled = p.detach()[order].requires_grad_()
    batch_shaping(shuffled).sum().backward()
    torch.testing.assert_close(shuffled.grad, p.grad[order])


# Gates


def test_random_gates_are_on_as_often_as_their_probability():
    torch.manual_seed(0)
    for logit in (-2.0, 0.0, 1.5):
        gates = bin_concrete(torch.full((40_000,), logit))
        assert set(gates.tolist()) <= {0.0, 1.0}
        assert float(gates.mean()) == pytest.approx(1 / (1 + math.exp(-logit)), abs=0.01)


def test_gradient_of_random_gates_is_that_of_the_soft_ones():
    logits = torch.linspace(-3, 3, 50, dtype=torch.float64).requires_grad_()
    torch.manual_seed(7)
    gates = bin_concrete(logits, 0.5)
    gates.sum().backward()
    torch.manual_seed(7)
    uniform = torch.rand(50, dtype=torch.float64)
    soft = torch.sigmoid((logits.detach() + torch.logit(uniform)) / 0.5)
    torch.testing.assert_close(logits.grad, soft * (1 - soft) / 0.5)
    torch.testing.assert_close(gates.detach(), (soft > 0.5).double())


# The layer


@given(
    ins=st.integers(1, 4),
    outs=st.integers(1, 5),
    kernel=st.sampled_from([1, 3]),
    stride=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_output_is_the_direct_formula(ins, outs, kernel, stride, seed):
    torch.manual_seed(seed)
    layer = settled(nn.Sequential(BatchShapedConv2d(ins, outs, kernel, stride, kernel // 2)), seed)[0]
    x = torch.randn(3, ins, 5, 5)
    with torch.no_grad():
        y = layer(x)
        gate = layer.gate_network
        hidden = x.mean((2, 3)) @ gate.fc1.weight.T
        hidden = (hidden - gate.norm.running_mean) / torch.sqrt(gate.norm.running_var + gate.norm.eps)
        on = F.relu(hidden) @ gate.fc2.weight.T + gate.fc2.bias > 0
        full = F.conv2d(x, layer.weight, None, stride, kernel // 2)
        full = full - layer.norm.running_mean[:, None, None]
        full = full / torch.sqrt(layer.norm.running_var + layer.norm.eps)[:, None, None]
        full = F.relu(full + layer.norm.bias[:, None, None])
        assert torch.equal(layer.gates(x), on)
        torch.testing.assert_close(y, full * on[:, :, None, None], atol=1e-5, rtol=1e-5)
        assert torch.equal(layer.masked_forward(x, on), y)
        inverted = layer.masked_forward(x, ~on)
        torch.testing.assert_close(inverted + y, full, atol=1e-5, rtol=1e-5)


def test_gates_decide_in_float32_under_lower_precision():
    layer = settled(nn.Sequential(BatchShapedConv2d(3, 8)))[0]
    x = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        assert layer.gate_network(x).dtype == torch.float32
        on = layer.gates(x)
    assert torch.equal(on, layer.gates(x))
    assert y.dtype == torch.bfloat16
    assert not y[~on].any()


def test_gate_networks_learn_from_the_task_alone():
    model = network().train()
    F.cross_entropy(model(images(16)), torch.arange(16) % 4).backward()
    for layer in batch_shaped_layers(model):
        for parameter in layer.gate_network.parameters():
            assert parameter.grad.abs().sum() > 0


def test_copies_hold_no_graph():
    model = network().train()
    model(images(8))
    again = copy.deepcopy(model)
    assert all(layer.logits is None for layer in batch_shaped_layers(again))
    assert all(layer.logits is not None for layer in batch_shaped_layers(model))


# The method


def test_first_convolution_of_each_block_is_gated():
    model = network()
    gated = [name for name, module in model.named_modules() if isinstance(module, BatchShapedConv2d)]
    assert gated == ["layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1"]
    for name in gated:
        assert isinstance(model.get_submodule(name.replace("conv1", "bn1")), nn.Identity)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_activations_that_the_gated_layer_does_not_have_are_refused(activation):
    architecture = {"activation": activation}
    with pytest.raises(CgsimError, match=f"activation '{activation}': .*expected 'relu' or 'relu6'"):
        build_network("resnet8", "batch-shaping", in_channels=1, classes=4, architecture=architecture)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("order", ["before_add", "after_add"])
def test_with_all_gates_on_it_is_the_ungated_network(order, activation):
    shape = {"in_channels": 1, "classes": 4, "architecture": {"order": order, "activation": activation}}
    torch.manual_seed(0)
    plain = build_network("resnet14", "none", **shape)
    plain.train()
    plain(images(8))
    gated = build_network("resnet14", "batch-shaping", **shape)
    method, own = make_method("batch-shaping"), gated.state_dict()
    taken = {}
    for name, value in plain.state_dict().items():
        adopted = method.adopted(name)
        taken[adopted if adopted in own else name] = value
    assert {name for name in own if name not in taken} == {name for name in own if ".gate_network." in name}
    gated.load_state_dict(taken, strict=False)
    for layer in batch_shaped_layers(gated):
        nn.init.constant_(layer.gate_network.fc2.bias, 1e6)
    x = images(5, 1)
    torch.testing.assert_close(gated.eval()(x), plain.eval()(x))


@pytest.mark.parametrize(("name", "gated_per_block", "blocks"), [("resnet18", 1, 8), ("resnet50", 2, 16)])
def test_all_but_the_last_convolution_of_imagenet_blocks_are_gated(name, gated_per_block, blocks):
    shape = {"in_channels": 3, "classes": 10}
    gated = build_network(name, "batch-shaping", **shape)
    with torch.device("meta"):
        plain = build_network(name, "none", **shape)
        dense = derive_network(plain, (3, 64, 64), name).dense_macs
    layers = derive_network(gated, (3, 64, 64), name).layers
    on_channels = [layer for layer in layers if layer.gate == "channel"]
    assert len(on_channels) == gated_per_block * blocks
    assert {layer.off_outputs for layer in on_channels} == {"zero"}
    assert sum(layer.dense_macs for layer in layers) == dense
    own, method = gated.state_dict(), BatchShaping()
    taken = {method.adopted(key) if method.adopted(key) in own else key for key in plain.state_dict()}
    assert taken == {key for key in own if ".gate_network." not in key}


def test_adopted_names_leave_the_stem_and_others_alone():
    method = BatchShaping()
    assert method.adopted("layer2.1.bn1.running_var") == "layer2.1.conv1.norm.running_var"
    assert method.adopted("layer2.1.bn2.weight") == "layer2.1.conv2.norm.weight"
    for name in ("bn1.weight", "layer1.0.conv1.weight", "layer1.0.shortcut_bn.weight", "layer1.0.bn3.bias"):
        assert method.adopted(name) == name


def test_schedules():
    method = BatchShaping(shaping_weight=0.75, l0_weight=2.0)
    assert method.weights_at(0) == (0.75, 0)
    assert method.weights_at(0.1) == pytest.approx((0.375, 0))
    assert method.weights_at(0.2) == pytest.approx((0, 0))
    assert method.weights_at(0.4) == pytest.approx((0, 1.0))
    assert method.weights_at(0.6) == pytest.approx((0, 2.0))
    assert method.weights_at(1.0) == (0, 2.0)
    at_once = BatchShaping(shaping_until=0, l0_from=0, l0_until=0, l0_weight=2.0)
    assert at_once.weights_at(0) == (0, 2.0)


def test_loss_is_the_sum_of_both_and_forgets_the_batch():
    method = BatchShaping(l0_weight=3.0, shaping_until=0.6, l0_from=0.0, l0_until=0.5, l0_target=0.1)
    model = network().train()
    model(images(16))
    layers = batch_shaped_layers(model)
    p = [torch.sigmoid(layer.logits.detach()) for layer in layers]
    shaping = sum(float(batch_shaping(found).mean()) for found in p)
    mean = sum(float(found.mean()) for found in p) / len(p)
    assert float(batch_shaping_loss(model).detach()) == pytest.approx(shaping, rel=1e-5)
    share = sum(float((layer.logits > 0).float().mean()) for layer in layers) / len(layers)
    assert float(l0_loss(model).detach()) == pytest.approx(mean, rel=1e-5)
    assert share > 0.1
    loss = method.loss(model, 0.3)
    assert float(loss.detach()) == pytest.approx(0.375 * shaping + 1.8 * (share - 0.1), rel=1e-5)
    loss.backward()
    assert all(layer.logits is None for layer in layers)
    assert BatchShaping(shaping_weight=0, l0_weight=0).loss(model, 0.5) is None


def test_gates_stop_at_the_target():
    method = BatchShaping(l0_weight=50.0, l0_from=0, l0_until=0, l0_target=0.3, shaping_weight=0)
    model = network(initial_logit=2.0).train()
    parameters = [p for name, p in model.named_parameters() if ".gate_network." in name]
    optimizer = torch.optim.SGD(parameters, 0.2)
    for _step in range(60):
        optimizer.zero_grad()
        model(images(16))
        method.loss(model, 1.0).backward()
        optimizer.step()
    model(images(16))
    assert float(l0_loss(model, 0.01).detach()) == pytest.approx(0.29, abs=0.05)


def test_no_decay_on_gates_and_their_own_rate():
    method, model = BatchShaping(gate_rate=3.0), network()
    for name, parameter in model.named_parameters():
        gate = ".gate_network." in name
        assert method.no_decay(name, parameter) == (gate or parameter.ndim <= 1)
        assert method.rate_factor(name, parameter) == (3.0 if gate else 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "gating: temperature must be above 0, got 0.0"),
        ({"l0_weight": -1}, "gating: l0_weight must be 0 or more, got -1.0"),
        ({"l0_from": 0.7}, "gating: l0_from 0.7 is after l0_until 0.6"),
        ({"l0_target": 1.2}, "gating: l0_target must be 0 to 1, got 1.2"),
        (
            {"lo_weight": 1},
            "method 'batch-shaping': gating: unknown key 'lo_weight' (did you mean 'l0_weight'?)",
        ),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(CgsimError) as error:
        make_method("batch-shaping", settings)
    assert str(error.value) == message


# Beginning from what is seen


def test_gates_begin_with_the_prior_s_logits_and_keep_the_active_channels():
    model, x = network(), images(300, 5)
    for _ in range(3):
        model.train()(x)
    x = x * torch.linspace(0.2, 2.0, 300)[:, None, None, None]
    before = copy.deepcopy(model)
    start_gates(model, x, 0.8, 0.6, 0.4)
    assert model.training
    first = batch_shaped_layers(model)[0]
    stem = F.relu(model.eval().bn1(model.conv1(x)))
    with torch.no_grad():
        logits, activity = first.gate_network(stem), first.computed(stem).mean((2, 3))
    torch.testing.assert_close(logits.std(0), torch.full((16,), 3.3045), rtol=0.02, atol=0)
    torch.testing.assert_close((logits > 0).float().mean(0), torch.full((16,), 0.8), rtol=0, atol=0.01)
    active = activity.std(0) > 1e-3
    correlation = [
        float(torch.corrcoef(torch.stack((logits[:, c], activity[:, c])))[0, 1])
        for c in range(16)
        if active[c]
    ]
    assert np.mean(correlation) > 0.9
    for name, value in before.state_dict().items():
        if ".gate_network." not in name:
            assert torch.equal(value, model.state_dict()[name])


def test_gates_that_have_learnt_are_left_alone():
    method, x = BatchShaping(start_images=50), images(50)
    fresh, learnt = network(), network()
    learnt.train()(x)
    before = [{k: v.clone() for k, v in model.state_dict().items()} for model in (fresh, learnt)]
    for model in (fresh, learnt):
        method.prepare(model, lambda count: x[:count])
    name = "layer1.0.conv1.gate_network.fc2.weight"
    assert not torch.equal(before[0][name], fresh.state_dict()[name])
    assert all(torch.equal(value, learnt.state_dict()[key]) for key, value in before[1].items())


# Evaluation and traces


def test_trace_has_channel_gates_and_the_gate_networks_macs(dataset, tmp_path):
    model = settled(network())
    net = derive_network(model, (1, 12, 12), "resnet8")
    by_name = net.by_name
    for stage, (inputs, width) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
        layer = by_name[f"layer{stage}.0.conv1"]
        assert layer.gate == "channel"
        assert layer.gate_network_macs == inputs * 16 + 16 * width
        assert layer.off_outputs == "zero"
        assert by_name[f"layer{stage}.0.conv2"].gate == "none"

    def normalize(raw):
        return torch.from_numpy(raw / np.float32(128)) - 1

    found = evaluate(model, dataset.test, normalize, net)
    trace = record(
        model,
        dataset.test,
        tmp_path / "a.trace.parquet",
        network_name="resnet8",
        normalize=normalize,
        verify="all",
    )
    assert trace.flop_reduction() == pytest.approx(found.flop_reduction, rel=1e-9)
    # By hand: gates of a sample decide what conv1 computes and what conv2 reads.
    x = normalize(dataset.test.images)
    executed = 0
    with torch.no_grad():
        y = F.relu(model.bn1(model.conv1(x)))
        for stage in (1, 2, 3):
            block = model.get_submodule(f"layer{stage}.0")
            on = int(block.conv1.gates(y).sum())
            first, second = by_name[f"layer{stage}.0.conv1"], by_name[f"layer{stage}.0.conv2"]
            executed += on * (first.dense_macs // first.out_channels)
            executed += on * (second.dense_macs // second.in_shape[0])
            executed += len(x) * first.gate_network_macs
            y = block(y)
    rest = sum(layer.dense_macs for layer in net.layers if not layer.name.endswith((".0.conv1", ".0.conv2")))
    assert found.flop_reduction == pytest.approx(
        net.dense_macs * len(x) / (executed + rest * len(x)), rel=1e-9
    )
    assert 0.05 < np.mean(list(found.density.values())) < 0.95
