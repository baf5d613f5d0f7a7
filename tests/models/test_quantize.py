"""Quantised networks: integers as defined, decisions as the float network's, files and errors."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from cgsim import CgsimError
from cgsim.models import CGConv2d, Normalize, build_network, derive_network, record, registry
from cgsim.models.comparison import compare
from cgsim.models.evaluation import evaluate
from cgsim.models.methods import METHODS
from cgsim.models.quantize import quantize
from cgsim.models.quantized_layers import QuantizedCGConv2d, QuantizedConv2d, Requantize
from tests.conftest import VALIDATE
from tests.models.integers import Reference

NORMALIZE = Normalize((0.3,), (0.3,))
BLOCKS = [(f"layer{stage}.0", 1 + (stage > 1)) for stage in (1, 2, 3)]
KINDS = [
    {
        "method": method,
        "gating": {"norm_variant": norm, "shuffle": shuffle, "partitions": partitions, **more}
        if method == "cgnet"
        else {},
        "architecture": {"order": order},
    }
    for method, norm, shuffle, order, partitions, more in (
        ("cgnet", "after", False, "before_add", 4, {}),
        ("cgnet", "separate", True, "before_add", 2, {"sides": "two"}),
        ("cgnet", "separate", False, "after_add", 4, {"channel_share": 0.3, "base": "first"}),
        (
            "cgnet",
            "after",
            True,
            "after_add",
            2,
            {"sides": "two", "channel_share": 0.25, "gate_linear": True},
        ),
        ("none", "after", False, "before_add", 4, {}),
        ("none", "after", False, "after_add", 4, {}),
    )
]


def network(kind, seed=0):
    """A ResNet-8 with batch norms, thresholds and weights that a training could have left."""
    torch.manual_seed(seed)
    model = build_network("resnet8", in_channels=1, classes=4, **kind)
    for _ in range(3):
        model(torch.randn(8, 1, 12, 12))
    for module in model.modules():
        if isinstance(module, CGConv2d):
            module.threshold.data.uniform_(*((-1.5, -0.5) if module.two_sided else (-0.5, 1)))
            if module.two_sided:
                module.threshold_high.data.uniform_(0, 1)
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            module.weight.data.uniform_(-0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
    return model.eval()


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    return request.param


def test_the_forward_pass_is_the_defined_integer_computation(kind, dataset):
    model = quantize(network(kind), dataset.train, NORMALIZE)
    images = dataset.test.images[: 8 if VALIDATE else 2]
    with torch.no_grad():
        logits = model(model.input(images)) / model.logits.scale
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    reference = Reference(state, kind, BLOCKS)
    gating = registry.gating_modules(model)
    for index, image in enumerate(images):
        assert logits[index].tolist() == reference(image).tolist()
        assert set(reference.gates) == set(gating)
    inputs = {}
    for name, module in gating.items():
        module.register_forward_pre_hook(lambda _m, x, name=name: inputs.__setitem__(name, x[0].clone()))
    model(model.input(images[-1:]))
    for name, module in gating.items():
        base, sums, gates = (value[0].numpy() for value in module.sums(inputs[name]))
        assert np.array_equal(gates, reference.gates[name])
        assert np.array_equal(sums, reference.sums[name])
        assert np.array_equal(base[~gates], sums[~gates])
        assert 0 < gates.mean() < 1


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
def test_decisions_are_the_real_comparison(kind, dataset):
    model = network(kind)
    quantized = quantize(model, dataset.train, NORMALIZE)
    inputs = {}
    gating = registry.gating_modules(quantized)
    for name, module in gating.items():
        module.register_forward_pre_hook(lambda _m, x, name=name: inputs.__setitem__(name, x[0].clone()))
    quantized(quantized.input(dataset.test.images[:2]))
    for name, module in gating.items():
        base = module.base_sums(module.arrange(inputs[name]))
        gates = module.decide(base)
        step = [
            Fraction(float(module.input_scale)) * Fraction(scale) for scale in module.weight_scale.tolist()
        ]
        bounds = [bound.tolist() for bound in model.get_submodule(name).comparison_thresholds()]
        for channel, (one, *real) in enumerate(zip(step, *bounds, strict=True)):
            values = np.unique(base[:, channel].numpy())
            on = {int(value) for value in np.unique(base[:, channel][gates[:, channel]].numpy())}
            low, high = (*map(Fraction, real), None)[:2]
            assert on == {
                int(value)
                for value in values
                if int(value) * one > low and (high is None or int(value) * one < high)
            }


def test_the_integer_network_is_near_the_float_one(kind, dataset):
    model = network(kind)
    quantized = quantize(model, dataset.train, NORMALIZE)
    found = derive_network(model, (1, 12, 12), "resnet8")
    assert derive_network(quantized, (1, 12, 12), "resnet8") == found
    with torch.no_grad():
        real = model(NORMALIZE(dataset.test.images))
        near = quantized(quantized.input(dataset.test.images))
    error = float((real - near).std() / real.std())
    assert error < 0.35  # random networks are far more sensitive than trained ones
    both = compare(model, quantized, dataset.test, NORMALIZE, found)
    assert both.original == evaluate(model, dataset.test, NORMALIZE, found)
    assert both.quantized == evaluate(quantized, dataset.test, quantized.input, found)
    assert both.predictions_changed == float((real.argmax(1) != near.argmax(1)).double().mean())
    assert (both.gates_changed > 0) == (kind["method"] == "cgnet")
    assert both.gates_changed < 0.1
    assert abs(both.quantized.flop_reduction / both.original.flop_reduction - 1) < 0.05


def test_weights_and_activations_are_int8_and_padding_is_zero(dataset):
    quantized = quantize(network(KINDS[0]), dataset.train, NORMALIZE)
    seen = []
    for module in quantized.modules():
        if isinstance(module, QuantizedConv2d):
            module.register_forward_hook(lambda _m, x, y: seen.append((x[0].dtype, y.dtype)))
            assert module.weight.dtype == torch.int8
            largest = module.weight.long().abs().flatten(1).max(1).values
            assert largest.tolist() == [127] * len(largest)
    quantized(quantized.input(dataset.test.images[:1]))
    assert set(seen) == {(torch.int8, torch.int32)}
    for name in ("input", "norm1", "layer1.0.join"):
        scale = float(quantized.get_submodule(name).scale)
        assert np.frexp(scale)[0] == 0.5  # a power of two, and 0 stands for 0: there is no zero point
    value = (np.arange(256) / 255 - 0.3) / 0.3
    steps = np.floor(value / float(quantized.input.scale) + 0.5).clip(-128, 127)
    assert np.abs(quantized.input.table[0].numpy() - steps).max() <= 1
    assert np.mean(quantized.input.table[0].numpy() == steps) > 0.98


def test_quantising_leaves_the_model_as_it_was(dataset):
    model = network(KINDS[0]).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = quantize(model, dataset.train, NORMALIZE).state_dict()
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    again = quantize(model, dataset.train, NORMALIZE).state_dict()
    assert all(torch.equal(first[name], value) for name, value in again.items())
    assert not any(module._forward_hooks for module in model.modules())


def test_recorded_gates_are_recomputed_to_the_bit(dataset, tmp_path, monkeypatch):
    quantized = quantize(network(KINDS[0]), dataset.train, NORMALIZE)
    trace = record(
        quantized, dataset.test, tmp_path / "q.parquet", samples=6, normalize=quantized.input, verify="all"
    )
    inputs = {}
    gating = registry.gating_modules(quantized)
    for name, module in gating.items():
        module.register_forward_pre_hook(lambda _m, x, name=name: inputs.__setitem__(name, x[0].clone()))
    quantized(quantized.input(dataset.test.images[:6]))
    for name, module in gating.items():
        assert np.array_equal(trace.bits(name), module.gates(inputs[name]).flatten(2).numpy())

    def one_wrong(module, inputs, _output):
        gates = module.gates(inputs[0]).clone()
        gates[0, 0, 0, 0] = ~gates[0, 0, 0, 0]
        return gates

    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    own = registry.registration(gating["layer1.0.conv1"])
    registry.register(
        QuantizedCGConv2d,
        one_wrong,
        "activation",
        base=own.base,
        recompute_fn=own.recompute_fn,
        exact=True,
    )
    with pytest.raises(CgsimError, match=r"differs by .* expected at most 0e\+00"):
        record(quantized, dataset.test, tmp_path / "w.parquet", samples=2, normalize=quantized.input)
    assert not (tmp_path / "w.parquet").exists()


def test_what_has_no_integer_form_is_refused(dataset):
    model = network(KINDS[0])
    for broken, message in (
        (
            nn.Sequential(nn.Conv2d(1, 4, 3)),
            "quantize: Sequential has no integer form; expected a CIFAR ResNet",
        ),
        (_with(model, "layer2.0.conv1", nn.Conv2d(16, 32, 3, 2, 1)), "layer 'layer2.0.conv1': Conv2d cannot"),
        (
            _with(model, "layer2.0.conv1", nn.ConvTranspose2d(16, 32, 3)),
            "ConvTranspose2d cannot be quantised",
        ),
        (
            _with(model, "bn1", nn.GroupNorm(2, 16)),
            "layer 'conv1': GroupNorm behind a convolution; expected nn.Batch",
        ),
    ):
        with pytest.raises(CgsimError, match=message):
            quantize(broken, dataset.train, NORMALIZE)


def test_an_activation_without_an_integer_form_is_refused(dataset):
    model = network({**KINDS[0], "architecture": {"activation": "tanh"}})
    assert all(module.two_sided for module in model.modules() if isinstance(module, CGConv2d))
    with pytest.raises(CgsimError, match="quantize: the activation 'tanh' has no integer form; expected 're"):
        quantize(model, dataset.train, NORMALIZE)


def test_there_must_be_calibration_images(dataset):
    with pytest.raises(CgsimError, match="no calibration images; expected 1 or more"):
        quantize(network(KINDS[0]), dataset.train.spread(0), NORMALIZE)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("conv1.weight", "quantize: norm1: its largest value on the calibration images is nan"),
        ("layer1.0.conv1.threshold", "quantize: layer 'layer1.0.conv1': a gate's threshold is not finite"),
        (
            "layer3.0.bn2.running_mean",
            "quantize: layer3.0.norm2: its largest value on the calibration images",
        ),
    ],
)
def test_numbers_that_are_not_finite_are_refused(place, message, dataset):
    model = network(KINDS[0])
    model.state_dict()[place].view(-1)[0] = float("nan")
    with pytest.raises(CgsimError, match=message):
        quantize(model, dataset.train, NORMALIZE)


def test_a_requantisation_says_what_it_does():
    assert "3, low=0, high=127" in repr(Requantize(3, low=0))


def _with(model, name, module):
    import copy

    changed = copy.deepcopy(model)
    parent, _dot, child = name.rpartition(".")
    setattr(changed.get_submodule(parent), child, module)
    return changed


def test_the_kinds_cover_every_choice():
    gated = [kind["gating"] for kind in KINDS if kind["method"] == "cgnet"]
    assert len(gated) < len(KINDS)
    for key in ("norm_variant", "shuffle", "partitions", "sides", "channel_share", "base"):
        assert len({str(gating.get(key)) for gating in gated}) >= 2
    pairs = itertools.product(("after", "separate"), ("before_add", "after_add"))
    cgnet = [kind for kind in KINDS if kind["method"] == "cgnet"]
    assert {(k["gating"]["norm_variant"], k["architecture"]["order"]) for k in cgnet} == set(pairs)


@pytest.mark.parametrize("method", METHODS)
def test_no_block_of_any_method_is_left_out(method, dataset):
    """Every convolution has its integer form, or the network is refused by a layer's name."""
    shape = {"in_channels": 1, "classes": 4}
    model = build_network("resnet14", method, **shape).eval()
    if method in ("none", "cgnet"):
        convs = {name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | CGConv2d)}
        quantized = quantize(model, dataset.train, NORMALIZE)
        assert convs | {"fc"} == {
            name for name, module in quantized.named_modules() if isinstance(module, QuantizedConv2d)
        }
        return
    layer = {"mixture-of-depths": r"layer1\.1'"}.get(method, "")
    with pytest.raises(CgsimError, match=f"quantize: layer '{layer}"):
        quantize(model, dataset.train, NORMALIZE)


def test_networks_without_an_integer_form_are_told_what_has_one(dataset):
    model = build_network("vgg16-cifar", in_channels=1, classes=4, architecture={"width": 1})
    with pytest.raises(CgsimError, match="VGG has no integer form; expected a CIFAR ResNet"):
        quantize(model, dataset.train, NORMALIZE)
