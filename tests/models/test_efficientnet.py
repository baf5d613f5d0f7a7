from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from cgsim import CgsimError, load_trace
from cgsim.models import evaluate_command, merge, pictures, record_command, train_command
from cgsim.models.graph import derive_network
from cgsim.models.layers import placement
from cgsim.models.layers.cgnet import CGConv2d
from cgsim.models.layers.gated_norm import gated_norms
from cgsim.models.loading import load_dataset
from cgsim.models.methods import make_method
from cgsim.models.networks import efficientnet_lite
from cgsim.models.networks.build import build_network
from cgsim.models.networks.efficientnet_lite import EfficientNetLite0, from_published, is_published
from cgsim.models.pictures import Pictures
from cgsim.models.rotation import spaces_of
from cgsim.models.runs import load_model, preprocessing
from cgsim.models.warm_start import adopt
from tests.models.pruned import prune_at_random

GATING = {"base": "first", "freeze_norms": True, "rotate": True, "initial_reduction": 1.5}


def build(method="none", gating=None, **architecture):
    return build_network(
        "efficientnet-lite0", method, in_channels=3, classes=10, gating=gating, architecture=architecture
    )


def settle(model, seed=0):
    """Norms as after training: every one with statistics, factors and offsets of its own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.fc.weight *= 0.05  # classes that are in doubt, or there is no gradient
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.affine:
                for tensor, low, high in (
                    (module.weight, 0.5, 1.5),
                    (module.bias, -0.3, 0.3),
                    (module.running_mean, -0.3, 0.3),
                    (module.running_var, 0.5, 1.5),
                ):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return model


def images(count, size=32, seed=1):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def shallow(monkeypatch):
    """EfficientNet-Lite0 with fewer blocks, of every kind it has."""
    stages = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (3, 5, 2, 6, 40))
    monkeypatch.setattr(efficientnet_lite, "STAGES", stages)
    monkeypatch.setattr(efficientnet_lite, "HEAD", 64)


def test_size_is_the_published():
    """4,652,008 parameters (the paper: 4.7 M).

    The 407 M of the paper count more than convolutions and the linear layer: 385 M.
    """
    model = EfficientNetLite0(3, 1000, make_method("none"))
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008
    with torch.device("meta"):
        network = derive_network(EfficientNetLite0(3, 1000, make_method("none")), (3, 224, 224), "e")
    assert network.dense_macs == 385_187_552
    by_name = network.by_name
    assert by_name["blocks.15.project"].out_shape == (320, 7, 7)
    assert by_name["stem"].out_shape == (32, 112, 112)
    assert by_name["head"].in_shape == (320, 7, 7)


def same_padding(x, weight, stride, groups):
    """A convolution as TensorFlow pads it ("SAME"): what is odd goes to the right and the bottom."""
    pads = []
    for size, kernel in zip(x.shape[:1:-1], weight.shape[:1:-1], strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, None, stride, groups=groups)


def forward_as_published(weights, x):
    """The published network written down directly, from the published names."""

    def norm(x, name):
        mean, var, weight, bias = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    x = F.relu6(norm(same_padding(x, weights["_conv_stem.weight"], 2, 1), "_bn0"))
    index = 0
    for repeats, _kernel, stride, expansion, _outputs in efficientnet_lite.STAGES:
        for repeat in range(repeats):
            block, before = f"_blocks.{index}", x
            step = stride if repeat == 0 else 1
            if expansion != 1:
                x = F.relu6(norm(F.conv2d(x, weights[f"{block}._expand_conv.weight"]), f"{block}._bn0"))
            depthwise = weights[f"{block}._depthwise_conv.weight"]
            x = F.relu6(norm(same_padding(x, depthwise, step, len(depthwise)), f"{block}._bn1"))
            x = norm(F.conv2d(x, weights[f"{block}._project_conv.weight"]), f"{block}._bn2")
            x = x + before if step == 1 and x.shape == before.shape else x
            index += 1
    x = F.relu6(norm(F.conv2d(x, weights["_conv_head.weight"]), "_bn1"))
    return F.linear(x.mean((2, 3)), weights["_fc.weight"], weights["_fc.bias"])


def published_names(state):
    names = {}
    outer = {ours: theirs for theirs, ours in efficientnet_lite._PARTS.items()}
    inner = {ours: theirs for theirs, ours in efficientnet_lite._BLOCK_PARTS.items()}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] == "blocks":
            names[f"_blocks.{parts[1]}.{inner[parts[2]]}.{parts[3]}"] = tensor
        else:
            names[f"{outer[parts[0]]}.{parts[1]}"] = tensor
    return names


@pytest.mark.parametrize("size", [64, 50, 33])
def test_published_weights_give_the_published_network(size):
    """At even sizes TensorFlow's padding is one-sided, at odd ones it is not."""
    published = published_names(settle(build(), seed=3).state_dict())
    assert is_published(published)
    model = build().eval()
    model.load_state_dict(from_published(published))
    x = images(2, size)
    with torch.no_grad():
        wanted, found = forward_as_published(published, x), model(x)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(CgsimError, match=r"'_blocks.0._se_reduce.weight' is no tensor of EfficientNet-Lite0"):
        from_published({**published, "_blocks.0._se_reduce.weight": torch.zeros(1)})


def test_gate_decorator_computes_the_trained_network_and_merges_what_is_left(shallow):
    """Statistics so small that EfficientNet's own epsilon decides: as in the published weights."""
    trained = settle(build())
    with torch.no_grad():
        for module in trained.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var *= 1e-3
                module.num_batches_tracked.fill_(1)
    method = make_method("gate-decorator")
    model = build(method)
    model.load_state_dict(trained.state_dict(), strict=False)
    method.prepare(model, lambda count: images(count))
    x = images(3)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), trained.eval()(x), rtol=1e-4, atol=1e-4)
    assert {norm.momentum for norm in gated_norms(model).values()} == {efficientnet_lite.MOMENTUM}
    prune_at_random(model, (3, 32, 32), target=2.0)
    merged, _widths = merge(model, (3, 32, 32))
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(merged(x), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_init_takes_a_file_of_published_weights(tmp_path, shallow):
    published = published_names(settle(build()).state_dict())
    torch.save(published, tmp_path / "weights.pth")
    method = make_method("cgnet")
    model = build(method)
    adoption = adopt(model, method, tmp_path / "weights.pth", "efficientnet-lite0", None)
    assert set(adoption.taken) == set(from_published(published))
    assert not adoption.unused
    assert torch.equal(
        model.blocks[1].depthwise.weight, published["_blocks.1._depthwise_conv.weight"].flip(2, 3)
    )


def test_spaces_are_written_and_read_as_the_network_is_built():
    model = build()
    names = {module: name for name, module in model.named_modules()}
    found = [
        ([names[conv] for conv, _ in space.writers], [names[conv] for conv, _ in space.readers])
        for space in spaces_of(model)
    ]
    assert found[0] == (["blocks.0.project"], ["blocks.1.expand"])
    assert found[3] == (
        ["blocks.5.project", "blocks.6.project", "blocks.7.project"],
        ["blocks.6.expand", "blocks.7.expand", "blocks.8.expand"],
    )
    assert found[-1] == (["blocks.15.project"], ["head"])
    readers = [name for _writers, own in found for name in own]
    assert len(readers) == len(set(readers)) == 16
    with pytest.raises(CgsimError, match="CifarResNet has no linear spaces"):
        spaces_of(build_network("resnet8", in_channels=3, classes=2))


def gated(shallow_images, **changes):
    torch.manual_seed(0)
    method = make_method("cgnet", GATING | changes)
    model = settle(build(method))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    method.prepare(model, lambda count: shallow_images[:count])
    return model.eval(), before


def test_a_rotation_changes_no_output(shallow):
    x = images(24)
    model, before = gated(x)
    plain = build().eval()
    plain.load_state_dict({name: before[name] for name in plain.state_dict()})
    assert not torch.equal(model.blocks[1].expand.weight, before["blocks.1.expand.weight"])
    for layer in model.modules():
        if isinstance(layer, CGConv2d):
            layer.threshold.data.fill_(-1e4)
    with torch.no_grad():
        torch.testing.assert_close(model(images(4, seed=9)), plain(images(4, seed=9)), rtol=1e-3, atol=1e-3)


def test_rotated_inputs_are_uncorrelated_and_ordered_by_use(shallow):
    x = images(24)
    model, _before = gated(x)
    seen = []
    for layer in model.modules():
        if isinstance(layer, CGConv2d):
            layer.threshold.data.fill_(-1e4)
    block = model.blocks[1]  # the only reader of its space
    block.expand.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(x)
    flat = torch.cat(seen).transpose(0, 1).flatten(1).double()
    correlation = flat @ flat.T / flat.shape[1]
    size = correlation.diagonal().sqrt()
    correlation /= size[:, None] * size
    torch.testing.assert_close(correlation, torch.eye(len(flat), dtype=torch.float64), atol=1e-3, rtol=0)
    norm = block.expand_bn
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    carried = (block.expand.weight[:, :, 0, 0] * scale[:, None]).square().sum(0) * size**2
    assert (carried.diff() <= carried.max() * 1e-3).all()
    written = model.blocks[0].project.weight[:, :, 0, 0].square().sum(1)
    read = block.expand.weight[:, :, 0, 0].square().sum(0)
    torch.testing.assert_close(written, read, rtol=1e-3, atol=0)


@pytest.mark.parametrize("reduction", [2.3, 3.0])
def test_thresholds_begin_at_the_wanted_reduction(shallow, monkeypatch, reduction):
    monkeypatch.setattr(placement, "PIXELS", 10_000)
    x = images(32)
    model, _before = gated(x, initial_reduction=reduction)
    layers = [layer for layer in model.modules() if isinstance(layer, CGConv2d)]
    placed = [layer.threshold.detach().clone() for layer in layers]
    inputs = {}
    for layer in layers:  # with every gate on: thresholds are placed on what the ungated network computes
        layer.threshold.data.fill_(-1e4)
        layer.register_forward_pre_hook(lambda layer, given: inputs.update({layer: given[0]}))
    dense = executed = 0.0
    with torch.no_grad():
        model(x)
        for layer, threshold in zip(layers, placed, strict=True):
            layer.threshold.data.copy_(threshold)
            gates = layer.gates(inputs[layer])
            dense += gates.numel() * layer.in_channels
            executed += layer.base_channels * (gates.numel() + 3 * gates.sum().item())
    assert dense / executed == pytest.approx(reduction, rel=0.01)


def test_thresholds_spare_the_channels_that_matter():
    """Two channels alike in every way, but that the logits read one of them ten times as strongly."""
    from cgsim.models.layers.placement import place_thresholds

    torch.manual_seed(0)
    conv = CGConv2d(8, 2, 1, 1, 0, partitions=4, base="first", freeze_norm=True)
    conv.weight.data[1] = conv.weight.data[0]
    norm = nn.BatchNorm2d(2)
    linear = nn.Linear(2, 3)
    linear.weight.data = torch.tensor([[1.0, 0.1], [-1.0, -0.1], [0.0, 0.0]])
    model = nn.Sequential(conv, norm, nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    x = torch.randn(16, 8, 5, 5)
    place_thresholds(model, [(conv, norm)], [x], 1.5)
    gates = conv.eval().gates(x).float().mean((0, 2, 3))
    assert gates[0] > gates[1] + 0.1
    executed = (2 + 6 * gates.mean().item()) / 8
    assert 1 / executed == pytest.approx(1.5, rel=0.05)
    for wrong in (1.0, 4.0, 9.0):
        with pytest.raises(CgsimError, match=r"initial_reduction must be above 1 and below 4\.00"):
            place_thresholds(model, [(conv, norm)], [x], wrong)
    with pytest.raises(CgsimError, match="no inputs"):
        place_thresholds(model, [(conv, norm)], [], 1.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_norms": False}, "rotate needs freeze_norms: true"),
        ({"norm_variant": "separate"}, "rotate needs freeze_norms: true and norm_variant: after"),
        ({"initial_density": 0.5}, "give initial_density or initial_reduction, not both"),
        ({"initial_reduction": None}, "rotate needs initial_reduction or initial_density"),
        ({"gate_linear": True}, "for gates with one threshold only"),
        ({"shuffle": True}, "rotate excludes order_channels and shuffle"),
        ({"base": "groups"}, "gating: rotate needs base: first"),
    ],
)
def test_settings_that_do_not_go_together(changes, message):
    with pytest.raises(CgsimError, match=message):
        make_method("cgnet", GATING | changes)


def test_a_prepared_model_is_left_alone(shallow):
    x = images(16)
    model, _before = gated(x)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    make_method("cgnet", GATING).prepare(model, lambda count: x[:count])
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_a_gated_network_is_traced_with_the_first_inputs_as_base(shallow):
    model, _before = gated(images(16))
    network = derive_network(model, (3, 32, 32), "e")
    layers = [layer for layer in network.layers if layer.gate == "activation"]
    assert [layer.name for layer in layers] == [f"blocks.{i}.expand" for i in range(1, 6)] + ["head"]
    assert all((layer.base_channels, layer.base_groups) == (layer.in_shape[0] // 4, 1) for layer in layers)
    assert np.prod(network.by_name["blocks.1.depthwise"].out_shape) == 96 * 8 * 8


@pytest.fixture
def photographs(tmp_path):
    """Ten small pictures of five classes, without splits."""
    for index in range(10):
        pixels = np.random.default_rng(index).integers(0, 256, (6, 7, 3), np.uint8)
        path = tmp_path / "photos" / f"n{index % 5:08d}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((70, 60), Image.Resampling.BICUBIC).save(path)
    return str(tmp_path / "photos")


def test_from_published_weights_to_a_trace(tmp_path, shallow, photographs, monkeypatch):
    """Weights become a run, which teaches a gated one; both are compared, and the trace says how."""
    monkeypatch.setattr(pictures, "SIDE", 32)
    monkeypatch.setattr(pictures, "SHORTER_SIDE", 40)
    torch.save(published_names(settle(plain(5)).state_dict()), tmp_path / "weights.pth")
    base, run, trace = (str(tmp_path / name) for name in ("base", "run", "e.trace.parquet"))
    common = {"network": "efficientnet-lite0", "data": photographs, "progress": False, "threads": 1}
    made = train_command(
        output=base, recipe="none-efficientnet-lite0", init=str(tmp_path / "weights.pth"), **common
    )
    assert [row["kind"] for row in made["history"]] == ["init"]
    settings = {"batch_size": 4, "epochs": 2}
    options = {"recipe": "cgnet-efficientnet-lite0", "init": base, "teacher": base, "settings": settings}
    result = train_command(output=run, **options, **common)
    assert len(result["history"]) == 2
    found = evaluate_command(run, data=photographs, ungated=base, progress=False)
    assert found["samples"] == 2
    assert found["agreement"] == (classes_of(run, photographs) == classes_of(base, photographs)).mean()
    assert found["gated_layers_reduction"] > found["flop_reduction"] > 1
    recorded = record_command(run, data=photographs, output=trace, samples=2, ungated=base, progress=False)
    assert recorded["accuracy_ungated"] == made["accuracy"]
    metadata = load_trace(trace).metadata
    assert metadata.dataset == "10 ImageNet photographs"
    assert metadata.method_parameters["agreement_with_ungated"] == found["agreement"]
    assert metadata.method_parameters["gated_layers_reduction"] == round(found["gated_layers_reduction"], 4)
    assert "--recipe none-efficientnet-lite0" in metadata.command
    assert "--init WEIGHTS" in metadata.command

    again = str(tmp_path / "again")  # killed after the first epoch, and resumed
    crops = Pictures.crops
    monkeypatch.setattr(Pictures, "crops", interrupted(crops, after=2))
    with pytest.raises(KeyboardInterrupt):
        train_command(output=again, **options, **common)
    monkeypatch.setattr(Pictures, "crops", crops)
    resumed = train_command(output=again, **options, **common, resume=True)
    for row, other in zip(result["history"], resumed["history"], strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}


def classes_of(run, data):
    """What a run's network takes the test images for, by a forward pass of one's own."""
    model, config, _state = load_model(run)
    with torch.no_grad():
        logits = model.eval()(preprocessing(model, config)(load_dataset(data).test.images[:]))
    return logits.argmax(1).numpy()


def interrupted(crops, after):
    """Crops that are interrupted once `after` batches were cut."""
    count = iter(range(after))

    def cut(*arguments):
        if next(count, None) is None:
            raise KeyboardInterrupt
        return crops(*arguments)

    return cut


def plain(classes):
    return build_network("efficientnet-lite0", in_channels=3, classes=classes)


def test_nothing_to_train_and_nothing_to_begin_with(tmp_path, photographs):
    with pytest.raises(CgsimError, match=r"recipe: epochs 0 trains nothing; it needs weights .*\(init\)"):
        train_command(
            output=str(tmp_path / "run"),
            data=photographs,
            network="efficientnet-lite0",
            recipe="none-efficientnet-lite0",
        )


def test_pixel_statistics_must_fit(tmp_path, photographs):
    for settings, message in (
        ({"pixel_mean": [0.5]}, "expected as many numbers in both"),
        ({"pixel_mean": [0.5], "pixel_deviation": [1]}, "pixel_mean has 1 numbers, .* have 3 channels"),
    ):
        with pytest.raises(CgsimError, match=message):
            train_command(
                output=str(tmp_path / "run"), data=photographs, network="resnet8", settings=settings
            )
