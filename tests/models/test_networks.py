from __future__ import annotations

import pytest
import torch
from torch import nn

from cgsim import CgsimError
from cgsim.models import CGConv2d, build_network, derive_network
from cgsim.models.methods import METHODS, make_method
from cgsim.models.networks.build import NETWORKS
from cgsim.trace import build_network as described_network


def ungated(name, classes, size):
    with torch.device("meta"):  # shapes alone: VGG-16 has 138 million weights
        model = build_network(name, in_channels=3, classes=classes)
        return model, derive_network(model, (3, size, size), name)


PUBLISHED = [
    # torchvision's documentation: parameters and GFLOPS (MACs) of its weights of the same name, at 224 x 224.
    ("resnet18", 1000, 224, 1_814_073_344, 11_689_512),
    ("resnet34", 1000, 224, 3_663_761_408, 21_797_672),
    ("resnet50", 1000, 224, 4_089_184_256, 25_557_032),
    ("resnet101", 1000, 224, 7_801_405_440, 44_549_160),
    ("resnet152", 1000, 224, 11_513_626_624, 60_192_808),
    ("vgg16", 1000, 224, 15_470_264_320, 138_357_544),
    ("mobilenetv2", 1000, 224, 300_774_272, 3_504_872),
    # He et al., section 4.2, count parameter-free shortcuts (40.55 M, 125.49 M); two projections
    # add 0.26 M, and as parameters their weights and norms.
    ("resnet20", 10, 32, 40_551_040 + 262_144, 269_722 + (16 * 32 + 32 * 64) + 2 * (32 + 64)),
    ("resnet56", 10, 32, 125_485_696 + 262_144, 855_770),  # Gate Decorator: 0.856 M
]


@pytest.mark.parametrize(("name", "classes", "size", "macs", "parameters"), PUBLISHED)
def test_published_macs_and_parameters(name, classes, size, macs, parameters):
    model, network = ungated(name, classes, size)
    assert network.dense_macs == macs
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_vgg16_with_norms_lacks_but_the_biases_of_the_published_one():
    model, network = ungated("vgg16-bn", 1000, 224)
    biases = sum(conv.out_channels for conv in model.modules() if isinstance(conv, nn.Conv2d))
    assert network.dense_macs == 15_470_264_320
    assert sum(parameter.numel() for parameter in model.parameters()) + biases == 138_365_992


def test_vgg16_for_cifar():
    model, network = ungated("vgg16-cifar", 10, 32)
    assert network.dense_macs == 313_201_664  # 313.2 M
    assert [layer.operator for layer in network.layers].count("conv2d") == 13
    # 14.72 M; the published 14.73 M have biases.
    assert sum(parameter.numel() for parameter in model.parameters()) == 14_724_042


def test_gate_decorators_figure_for_resnet56_counts_four_operations_per_normalised_value():
    _model, network = ungated("resnet56", 10, 32)
    normalised = sum(
        layer.out_shape[0] * layer.out_shape[1] * layer.out_shape[2]
        for layer in network.layers
        if layer.operator == "conv2d"
    )
    assert (network.dense_macs + 4 * normalised) / 1e6 == pytest.approx(127.93, abs=0.005)


def test_resnet18_is_the_network_of_the_synthetic_traces():
    _model, network = ungated("resnet18", 1000, 224)
    assert network.dense_macs == described_network("resnet18").dense_macs


def shape_of(name):
    return (3, 224, 224) if name in ("vgg16", "vgg16-bn") else (3, 32, 32)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_by_name_becomes_a_graph(name):
    with torch.device("meta"):
        model = build_network(name, in_channels=3, classes=7)
        network = derive_network(model, shape_of(name), name)
    assert network.layers[-1].out_shape == (7, 1, 1)
    convs = [layer for layer in network.layers if layer.operator == "conv2d"]
    assert len(convs) == sum(isinstance(module, nn.Conv2d) for module in model.modules())


SMALL = {
    "resnet8": {},
    "resnet14": {"order": "after_add"},
    "resnet18": {"width": 8},
    "resnet34": {"width": 8, "order": "before_add", "stem": "cifar"},
    "resnet50": {"width": 8, "stem": "cifar"},
    "vgg16-cifar": {"width": 8},
    "mobilenetv2": {"stem_stride": 1, "second_stride": 1},
}


def gated(network, method, **kwargs):
    torch.manual_seed(0)
    return build_network(
        network, method, in_channels=3, classes=5, architecture=SMALL[network] | kwargs.pop("also", {})
    )


def fits(network, method):
    family = {"resnet8": "cifar_resnet", "resnet14": "cifar_resnet", "vgg16-cifar": "vgg"}
    family |= {"mobilenetv2": "mobilenet"}
    return family.get(network, "resnet") in make_method(method).families


COMBINED = [(network, method) for network in SMALL for method in METHODS]


@pytest.mark.parametrize(("network", "method"), [pair for pair in COMBINED if fits(*pair)])
def test_every_method_trains_and_is_traced_on_its_networks(network, method):
    model = gated(network, method)
    x = torch.randn(4, 3, 16, 16)
    logits = model.train()(x)
    assert logits.shape == (4, 5)
    loss = logits.square().mean() + sum(
        value for value in (make_method(method).loss(model, 0.5),) if value is not None
    )
    loss.backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not idle, "parameters that nothing depends on"
    traced = derive_network(model, (3, 16, 16), network)
    gates = {layer.gate for layer in traced.layers} - {"none"}
    expected = {"none": set(), "cgnet": {"activation"}, "gate-decorator": {"static"}}
    if network == "resnet8":  # one block per stage, and the first is a standard block
        expected["mixture-of-depths"] = set()
    assert gates == expected.get(method, {"channel"})
    with torch.no_grad():
        one = model.eval()(x[:1])
        both = model(x[:2])
    torch.testing.assert_close(one[0], both[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("network", "method"), [pair for pair in COMBINED if not fits(*pair)])
def test_a_method_without_a_form_for_a_network_says_so(network, method):
    with pytest.raises(
        CgsimError, match=f"network '{network}': method '{method}' has no form for the family"
    ):
        gated(network, method)


@pytest.mark.parametrize(
    ("network", "order", "inner"),
    [
        ("resnet18", "after_add", {"conv1"}),
        ("resnet34", "before_add", {"conv1", "conv2"}),
        ("resnet50", "after_add", {"conv1", "conv2"}),
        ("resnet50", "before_add", {"conv1", "conv2", "conv3"}),
    ],
)
def test_cgnet_gates_the_convolutions_that_a_relu_follows(network, order, inner):
    model = gated(network, "cgnet", also={"order": order})
    names = [name for name, module in model.named_modules() if isinstance(module, CGConv2d)]
    assert {name.rsplit(".", 1)[1] for name in names} == inner
    blocks = sum(hasattr(module, "downsample") for module in model.modules())
    assert len(names) == blocks * len(inner)


def test_cgnet_gates_the_expansions_of_mobilenetv2():
    model = gated("mobilenetv2", "cgnet")
    convs = [module for module in model.modules() if isinstance(module, CGConv2d)]
    assert len(convs) == 17  # 16 blocks that expand, and the last convolution
    assert all(conv.kernel_size == (1, 1) for conv in convs)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu6"])
def test_another_activation_stands_wherever_the_relu_stood(name):
    functions = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu6": nn.functional.relu6}
    for order in ("before_add", "after_add"):
        plain = gated("resnet8", "none", also={"order": order}).eval()
        model = gated("resnet8", "none", also={"order": order, "activation": name}).eval()
        for module in plain.modules():
            if hasattr(module, "act"):
                module.act = functions[name]
        x = torch.randn(2, 3, 12, 12)
        with torch.no_grad():
            torch.testing.assert_close(model(x), plain(x))
    named = []

    class Spy(type(make_method("none"))):
        def conv(self, *args, activation=None, **kwargs):
            named.append(activation)
            return super().conv(*args, activation=activation, **kwargs)

    build_network("resnet8", Spy(), in_channels=3, classes=4, architecture={"activation": name})
    assert set(named) == {name, None}  # the method is told; None are the shortcuts


def test_the_strides_of_small_images():
    sizes = {}
    for stem, second in ((2, 2), (1, 2), (1, 1)):
        with torch.device("meta"):
            model = build_network(
                "mobilenetv2",
                in_channels=3,
                classes=10,
                architecture={"stem_stride": stem, "second_stride": second},
            )
            network = derive_network(model, (3, 32, 32), "mobilenetv2")
        sizes[stem, second] = network.by_name["features.18.0"].out_shape[1]
    assert sizes == {(2, 2): 1, (1, 2): 2, (1, 1): 4}


def test_dropout_stands_in_the_classifiers():
    for name in ("vgg16", "vgg16-bn", "mobilenetv2"):
        with torch.device("meta"):
            model = build_network(name, in_channels=3, classes=2, architecture={"dropout": 0.25})
        assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.25}


@pytest.mark.parametrize(
    ("network", "architecture", "message"),
    [
        (
            "resnet20",
            {"widht": 8},
            "network 'resnet20': architecture: unknown key 'widht'.*did you mean 'width'",
        ),
        ("resnet20", {"depth": 8}, "architecture: unknown key 'depth'"),
        ("resnet20", {"method": 8}, "architecture: unknown key 'method'"),
        ("resnet20", {"width": "8"}, "architecture: width must be int, got '8'"),
        ("resnet20", {"width": 0}, "architecture: width must be 1 or more, got 0"),
        ("resnet20", {"order": "before"}, "architecture: order 'before' is not known"),
        ("resnet20", {"activation": "gelu"}, "architecture: activation 'gelu' is not known"),
        ("resnet18", {"stem": "cifer"}, "stem 'cifer' is not known.*did you mean 'cifar'"),
        ("mobilenetv2", {"dropout": 2.0}, "dropout must be 0 to 1, got 2.0"),
        ("resnet21", {}, r"depth 21 must be 6n \+ 2"),
        ("vgg", {}, "network 'vgg' is not known.*did you mean 'vgg16'"),
    ],
)
def test_bad_architectures_are_refused(network, architecture, message):
    with pytest.raises(CgsimError, match=message):
        build_network(network, in_channels=3, classes=4, architecture=architecture)


def test_vgg16_without_norms_cannot_be_gated():
    with pytest.raises(
        CgsimError, match="method 'cgnet' needs batch norms, which it has not; use 'vgg16-bn'"
    ):
        build_network("vgg16", "cgnet", in_channels=3, classes=4)
