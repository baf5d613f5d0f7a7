from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cgsim import CgsimError
from cgsim.models import CGConv2d, build_network, derive_network, registry
from cgsim.trace import Layer
from cgsim.trace.macs import expected_macs


@pytest.mark.parametrize("method", ["none", "cgnet"])
def test_resnet20_at_cifar_shape(method):
    model = build_network("resnet20", method, in_channels=3, classes=10)
    network = derive_network(model, (3, 32, 32), "resnet20")
    # He et al. count 40.55 M with parameter-free shortcuts; two projections add 0.26 M.
    assert network.dense_macs == 40_551_040 + 2 * 16 * 32 * 16 * 16
    assert [layer.operator for layer in network.layers].count("add") == 9
    gated = [layer.name for layer in network.layers if layer.gate == "activation"]
    assert len(gated) == (18 if method == "cgnet" else 0)
    by_name = network.by_name
    assert by_name["layer2.0.add"].producers == ("layer2.0.conv2", "layer2.0.shortcut")
    assert by_name["layer2.1.conv1"].producers == ("layer2.0.add",)
    assert by_name["layer1.0.add"].producers == ("layer1.0.conv2", "conv1")
    assert by_name["fc"].producers == ("pool",)
    if method == "cgnet":
        layer = by_name["layer3.0.conv1"]
        assert (layer.base_channels, layer.base_groups, layer.stride) == (8, 4, (2, 2))
        assert layer.base_reduction == 8 * 9


def test_macs_of_a_gated_layer_follow_the_formula():
    model = nn.Sequential(CGConv2d(8, 16, 3, 1, 1, partitions=4))
    network = derive_network(model, (8, 6, 5), "one")
    density = 0.3
    expected = 6 * 5 * 16 * 9 * 8 * (1 / 4 + 3 / 4 * density)
    assert expected_macs(network, {"0": density}) == pytest.approx(expected)


def test_only_first_convolutions_are_gated_in_the_original_order():
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4, architecture={"order": "after_add"})
    names = [name for name, module in model.named_modules() if isinstance(module, CGConv2d)]
    assert names == ["layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1"]


def test_functional_operations_are_followed():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3, padding="same")
            self.b = nn.Conv2d(4, 4, 1, bias=False)
            self.pool = nn.MaxPool2d(2)
            self.drop = nn.Dropout()
            self.fc = nn.Linear(4 * 16, 5)

        def forward(self, x):
            x = self.pool(F.hardswish(self.a(x)))
            y = self.b(x)
            y *= torch.sigmoid(y)
            y += x
            y = F.avg_pool2d(y, 3, 1, 1)
            return self.fc(self.drop(torch.flatten(y, 1)) * 2)

    network = derive_network(Net(), (3, 8, 8), "net")
    assert [(layer.name, layer.operator, layer.producers) for layer in network.layers] == [
        ("a", "conv2d", ("input",)),
        ("pool", "pool", ("a",)),
        ("b", "conv2d", ("pool",)),
        ("add", "add", ("b", "pool")),
        ("pool_2", "pool", ("add",)),
        ("fc", "linear", ("pool_2",)),
    ]
    assert network.by_name["a"].padding == (1, 1)


def test_a_mean_over_the_image_is_a_global_pool():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(1, 4, 3)
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.a(x).mean((2, 3)))

    network = derive_network(Net(), (1, 8, 8), "net")
    assert [layer.operator for layer in network.layers] == ["conv2d", "global_pool", "linear"]


def two_branches(combine):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return combine(self.a(x), self.b(x))

    return Net()


def interleave(a, b):
    return a.view(1, 2, 2, 4, 4).transpose(1, 2).reshape(1, 4, 4, 4) + b


@pytest.mark.parametrize(
    ("combine", "function"),
    [
        (lambda a, b: torch.cat([a, b], 1), "cat"),
        (lambda a, b: a * b, "mul"),
        (lambda a, b: a[:, :2], "__getitem__"),
        (lambda a, b: F.conv2d(a, torch.ones(4, 4, 1, 1)), "conv2d"),
        (lambda a, b: torch.add(a, b, alpha=2), "add"),
        (interleave, "view"),
    ],
)
def test_what_a_trace_cannot_express_is_refused_by_name(combine, function):
    with pytest.raises(CgsimError, match=f"module 'the model': .* its call of '{function}'"):
        derive_network(two_branches(combine), (4, 4, 4), "net")


def test_a_shuffle_changes_the_order_of_inputs_and_not_the_layer():
    plain, shuffled = (
        derive_network(nn.Sequential(CGConv2d(8, 4, shuffle=shuffle)), (8, 4, 4), "net")
        for shuffle in (False, True)
    )
    assert plain == shuffled


class _Swap(nn.Module):
    """Two layers of a trace in one module, and a second input."""

    def forward(self, x, y):
        return F.conv2d(x, torch.ones(y.shape[1], x.shape[1], 1, 1)) + y

    def trace_layers(self, name, inputs, output, producers):
        assert [tuple(value.shape) for value in (*inputs, output)] == [
            (1, 4, 6, 6),
            (1, 2, 6, 6),
            (1, 2, 6, 6),
        ]
        inner = Layer(f"{name}.inner", "conv2d", (4, 6, 6), (2, 6, 6), producers=producers[:1])
        return [inner, Layer(name, "add", (2, 6, 6), (2, 6, 6), producers=(inner.name, producers[1]))]


def test_a_module_may_say_itself_which_layers_it_is():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.swap = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 1), _Swap()
            self.c = nn.Conv2d(2, 2, 1)

        def forward(self, x):
            a, b = self.a(x), self.b(x)
            return self.c(self.swap(a, self.swap(a, b)))

    network = derive_network(Net(), (3, 6, 6), "net")
    assert [(layer.name, layer.producers) for layer in network.layers] == [
        ("a", ("input",)),
        ("b", ("input",)),
        ("swap.inner", ("a",)),
        ("swap", ("swap.inner", "b")),
        ("swap_2.inner", ("a",)),
        ("swap_2", ("swap_2.inner", "swap")),
        ("c", ("swap_2",)),
    ]


def test_a_module_with_layers_of_its_own_needs_inputs_of_known_origin():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.swap = nn.Conv2d(3, 4, 1), _Swap()

        def forward(self, x):
            return self.swap(self.a(x), torch.zeros(1, 2, 6, 6))

    with pytest.raises(CgsimError, match="module 'swap': cannot tell which layer made its input"):
        derive_network(Net(), (3, 6, 6), "net")


class _Adaptive(nn.Module):
    def __init__(self, size, functional):
        super().__init__()
        self.a, self.pool, self.b = nn.Conv2d(1, 4, 1), nn.AdaptiveAvgPool2d(size), nn.Conv2d(4, 2, 1)
        self.size, self.functional = size, functional

    def forward(self, x):
        x = self.a(x)
        return self.b(F.adaptive_avg_pool2d(x, self.size) if self.functional else self.pool(x))


@pytest.mark.parametrize("functional", [False, True])
def test_an_adaptive_pool_is_an_ordinary_one_where_it_divides_the_image(functional):
    network = derive_network(_Adaptive((4, 2), functional), (1, 8, 6), "net")
    layer = network.layers[1]
    assert (layer.operator, layer.kernel, layer.stride) == ("pool", (2, 3), (2, 3))
    assert layer.out_shape == (4, 4, 2)
    same = derive_network(_Adaptive((8, 6), functional), (1, 8, 6), "net")
    assert [layer.operator for layer in same.layers] == ["conv2d", "conv2d"]
    one = derive_network(_Adaptive(1, functional), (1, 8, 6), "net")
    assert one.layers[1].operator == "global_pool"
    with pytest.raises(CgsimError, match=r"from \[8, 6\] to \[3, 3\] pixels; .*windows are of one size"):
        derive_network(_Adaptive(3, functional), (1, 8, 6), "net")


def test_a_model_without_layers_is_refused():
    with pytest.raises(CgsimError, match="no convolution or linear layer"):
        derive_network(nn.ReLU(), (1, 4, 4), "net")


def test_hooks_and_mode_are_gone_afterwards():
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4).train()
    derive_network(model, (1, 8, 8), "net")
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["resnet21", "vgg15", "resnet2"])
def test_unknown_networks_are_refused(name):
    with pytest.raises(CgsimError, match=r"not known|6n \+ 2"):
        build_network(name, "none", in_channels=1, classes=4)


def test_unknown_method_is_refused():
    with pytest.raises(CgsimError, match="did you mean 'cgnet'"):
        build_network("resnet8", "cgnett", in_channels=1, classes=4)


class _Clamp(nn.Module):
    def __init__(self, **limits):
        super().__init__()
        self.limits = limits

    def forward(self, x):
        return x.clamp(**self.limits)


class _Channels(nn.Conv2d):
    """A convolution that switches whole output channels off."""


@pytest.mark.parametrize(
    ("between", "kept"),
    [
        ((nn.ReLU(),), "zero"),
        ((nn.MaxPool2d(2), nn.ReLU(), nn.Dropout()), "zero"),
        ((nn.ReLU6(),), "zero"),
        ((nn.Hardtanh(),), "zero"),
        ((nn.Hardtanh(0.5, 1.0),), "constant"),
        ((_Clamp(min=0),), "zero"),
        ((_Clamp(max=-1),), "constant"),
        ((_Clamp(min=torch.tensor(0.0)),), "constant"),
        ((nn.BatchNorm2d(4), nn.ReLU()), "constant"),
        ((nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(4)), "constant"),
        ((nn.Sigmoid(),), "constant"),
    ],
)
def test_channels_that_are_off_stay_zero_only_without_a_bias(monkeypatch, between, kept):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    registry.register(_Channels, lambda module, inputs, output: output.mean((2, 3)) > 0, "channel")
    model = nn.Sequential(_Channels(3, 4, 3), *between, _Channels(4, 5, 1), nn.ReLU(), nn.Conv2d(5, 2, 1))
    network = derive_network(model, (3, 8, 8), "channels")
    first, *others = [layer for layer in network.layers if layer.gate == "channel"]
    assert (first.off_outputs, others[0].off_outputs) == (kept, "zero")
    reads = [network.input_sources(layer) for layer in network.layers if layer.operator == "conv2d"]
    assert reads == [(), ("0",) if kept == "zero" else (), (others[0].name,)]


def test_a_constant_behind_a_sum_belongs_to_all_its_operands(monkeypatch):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.norm = _Channels(3, 4, 1), _Channels(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.left(x) + self.right(x))

    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    registry.register(_Channels, lambda module, inputs, output: output.mean((2, 3)) > 0, "channel")
    network = derive_network(Net(), (3, 4, 4), "sum")
    assert [layer.off_outputs for layer in network.layers] == ["constant", "constant", "zero"]
