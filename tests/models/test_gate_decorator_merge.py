from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from cgsim import CgsimError
from cgsim.cli import main
from cgsim.models import Recipe, commands, load_model, merge, merge_command, train
from cgsim.models.evaluation import Normalize, evaluate
from cgsim.models.graph import derive_network
from cgsim.models.layers.gated_norm import GatedBatchNorm2d, PrunableConv2d
from cgsim.models.merging import shrink
from cgsim.models.pruning import executed_macs, masks_of
from cgsim.models.runs import reference_macs
from cgsim.trace import load_trace
from cgsim.trace.pack import unpack_bits
from tests.models.pruned import decorated, prune_at_random

NETWORKS = [
    ("resnet14", (1, 12, 12), {}),
    ("resnet14", (1, 12, 12), {"order": "after_add", "activation": "tanh"}),
    ("resnet18", (3, 32, 32), {"stem": "cifar"}),
    ("resnet50", (3, 32, 32), {}),
    ("vgg16-cifar", (3, 16, 16), {"width": 16}),
    ("vgg16-bn", (3, 224, 224), {"width": 4}),
    ("mobilenetv2", (3, 32, 32), {"stem_stride": 1}),
]


@pytest.mark.parametrize(("network", "image", "architecture"), NETWORKS)
@pytest.mark.parametrize("least_share", [0.0, 0.3])
def test_the_merged_network_computes_what_the_pruned_one_does(network, image, architecture, least_share):
    model = decorated(network, image[0], **architecture)
    whole = derive_network(model, image, network)
    # With nothing kept for sure, most layers come down to a single filter.
    prune_at_random(
        model, image, share=0.97 if least_share == 0 else 0.3, target=3.0, least_share=least_share
    )
    merged, widths = merge(model, image)
    assert not any(isinstance(module, PrunableConv2d | GatedBatchNorm2d) for module in merged.modules())
    x = torch.randn(3, *image, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(x)
        assert expected.std() > 1e-6
        torch.testing.assert_close(merged(x), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    smaller = derive_network(merged, image, network)
    assert smaller.dense_macs == executed_macs(whole, masks_of(model)) < whole.dense_macs
    assert {layer.gate for layer in smaller.layers} == {"none"}
    for name, mask in masks_of(model).items():
        assert widths[name][1] == int(mask.sum())
    # The masked network is untouched, and the widths alone make the same network again.
    again = copy.deepcopy(model)
    shrink(again, json.loads(json.dumps(widths)))
    again.load_state_dict(merged.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(x), merged(x))


def test_a_network_from_which_nothing_was_pruned_keeps_its_widths():
    model = decorated("resnet8")
    merged, widths = merge(model, (1, 12, 12))
    assert widths["layer2.0.conv1"] == [16, 32]
    assert sum(p.numel() for p in merged.parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc": None}, "merged network: widths of another network: 'fc' is missing in the widths"),
        ({"new": [1, 1]}, "merged network: widths of another network: 'new' is missing in the network"),
        (
            {"conv1": [1, 17]},
            "merged network: 'conv1': widths must be two whole numbers from 1 to [1, 16], got [1, 17]",
        ),
        (
            {"conv1": "x"},
            "merged network: 'conv1': widths must be two whole numbers from 1 to [1, 16], got 'x'",
        ),
    ],
)
def test_widths_of_another_network_are_refused(change, message):
    model = decorated("resnet8")
    widths = merge(model, (1, 12, 12))[1] | change
    widths = {name: width for name, width in widths.items() if width is not None}
    with pytest.raises(CgsimError) as caught:
        shrink(model, widths)
    assert str(caught.value) == message


def test_a_depthwise_convolution_keeps_as_many_channels_as_it_reads():
    model = decorated("mobilenetv2", 3)
    widths = merge(model, (3, 32, 32))[1] | {"features.1.conv.0.0": [31, 32]}
    with pytest.raises(CgsimError) as caught:
        shrink(model, widths)
    assert str(caught.value) == (
        "merged network: 'features.1.conv.0.0': widths must be two whole numbers from 1 to [32, 32], "
        "and equal, got [31, 32]"
    )


@pytest.fixture(scope="module")
def runs(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    common = {"batch_size": 16, "crop_padding": 1, "flip": False}
    plain = Recipe(method="none", epochs=1, rate=0.05, **common)
    gating = {"target_reduction": 2.0, "prune_share": 0.2, "tock_epochs": 0, "final_epochs": 0}
    recipe = Recipe(method="gate-decorator", epochs=1, rate=0.02, gating=gating, **common)
    for name, chosen, init in (("plain", plain, None), ("pruned", recipe, folder / "plain")):
        train(
            data=dataset,
            output=folder / name,
            network="resnet8",
            recipe=chosen,
            init=init,
            progress=False,
        )
    return folder, merge_command(str(folder / "pruned"), output=str(folder / "merged"))


def test_a_merged_run_loads_and_evaluates_like_the_pruned_one(runs, dataset):
    folder, told = runs
    found = {}
    for name in ("pruned", "merged"):
        model, config, state = load_model(folder / name)
        normalize = Normalize(tuple(config["dataset"]["mean"]), tuple(config["dataset"]["deviation"]))
        network = derive_network(model, (1, 12, 12), "resnet8")
        reference = reference_macs(config)
        result = evaluate(model, dataset.test, normalize, network, reference_macs=reference)
        found[name] = (result.accuracy, round(result.flop_reduction, 6), state["history"], reference)
        assert result.loss == pytest.approx(state["history"][-1]["test_loss"], rel=1e-4)
    assert found["pruned"] == found["merged"]
    assert told["flop_reduction"] == pytest.approx(found["merged"][1], abs=1e-5)
    assert told["macs_ungated"] == found["merged"][3]
    assert 2.0 <= told["flop_reduction"] < 2.2
    assert told["parameters"] < told["parameters_ungated"] == 77364
    assert told["difference"] <= 1e-4
    assert all(type(module) is not PrunableConv2d for module in model.modules())
    assert isinstance(model.conv1, nn.Conv2d)


def test_both_traces_tell_the_same_work(runs, dataset, tmp_path, monkeypatch):
    folder, _told = runs
    monkeypatch.setattr(commands, "load_dataset", lambda _path: dataset)
    traces = {}
    for name in ("pruned", "merged"):
        path = tmp_path / f"{name}.trace.parquet"
        result = commands.record_command(
            str(folder / name),
            data="quadrants",
            output=str(path),
            samples=4,
            ungated=str(folder / "plain"),
            verify="all",
            progress=False,
        )
        assert result["flop_reduction_test_set"] == pytest.approx(2.0, abs=0.2)
        traces[name] = load_trace(path)
    pruned, merged = traces["pruned"], traces["merged"]
    assert {layer.gate for layer in pruned.network.layers if layer.operator == "conv2d"} == {"static"}
    assert {layer.off_outputs for layer in pruned.network.layers} == {"zero"}
    model = load_model(folder / "pruned")[0]
    for name, mask in masks_of(model).items():
        packed = pruned.packed(name)
        assert np.array_equal(unpack_bits(packed.reshape(1, -1), len(mask))[0], mask)
    assert {layer.gate for layer in merged.network.layers} == {"none"}
    reference = pruned.metadata.method_parameters["reference_macs"]
    assert reference == merged.metadata.method_parameters["reference_macs"] == pruned.network.dense_macs
    assert pruned.metadata.flop_reduction == pytest.approx(reference / merged.network.dense_macs)
    for name, trace in traces.items():
        assert trace.metadata.method == "gate-decorator"
        assert trace.metadata.accuracy_gated is not None
        assert trace.metadata.accuracy_ungated is not None
        assert trace.metadata.method_parameters["merged"] is (name == "merged")
        assert trace.metadata.method_parameters["target_reduction"] == 2.0
    assert pruned.metadata.accuracy_gated == merged.metadata.accuracy_gated
    assert " && cgsim merge RUN -o MRUN && cgsim record MRUN --data DATA" in merged.metadata.command
    assert "merge" not in pruned.metadata.command


def test_a_merged_run_can_be_quantised(runs, dataset, tmp_path, monkeypatch):
    folder, told = runs
    monkeypatch.setattr(commands, "load_dataset", lambda _path: dataset)
    output = str(tmp_path / "integers")
    options = {"data": "quadrants", "output": output, "calibration": 32, "progress": False}
    with pytest.raises(CgsimError, match=r"'conv1': PrunableConv2d cannot .*; `cgsim merge` first"):
        commands.quantize_command(str(folder / "pruned"), **options)
    found = commands.quantize_command(str(folder / "merged"), **options)
    assert found["flop_reduction_quantized"] == round(told["macs_ungated"] / told["macs"], 4) > 1
    model, config, _state = load_model(output)
    assert derive_network(model, (1, 12, 12), "resnet8").dense_macs == told["macs"]
    assert reference_macs(config) == told["macs_ungated"]


def test_merging_through_the_command_line(runs, tmp_path, capsys):
    folder, told = runs
    assert main(["merge", str(folder / "pruned"), "-o", str(tmp_path / "again")]) == 0
    out = capsys.readouterr().out
    assert out == (
        f"{tmp_path / 'again'}: {told['parameters']} of 77364 parameters, "
        f"FLOP reduction {told['flop_reduction']:.2f}\n"
    )
    assert main(["merge", "--json", str(folder / "pruned"), "-o", str(tmp_path / "third")]) == 0
    assert json.loads(capsys.readouterr().out)["widths"] == told["widths"]


def test_what_cannot_be_merged_is_told(runs, tmp_path):
    folder, _told = runs
    expected = "expected a run of `cgsim train --method gate-decorator`"
    for name, why in (("plain", "of method 'none'"), ("merged", "merged already")):
        with pytest.raises(CgsimError) as caught:
            merge_command(str(folder / name), output=str(tmp_path / "new"))
        assert str(caught.value) == f"run {str(folder / name)!r}: {why}; {expected}"
    with pytest.raises(CgsimError) as caught:
        merge_command(str(folder / "pruned"), output=str(folder / "merged"))
    assert str(caught.value) == f"run {str(folder / 'merged')!r} exists; name another directory"


def test_widths_of_a_damaged_configuration_are_told(runs, tmp_path):
    folder, _told = runs
    for file in (folder / "merged").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["merged"]["widths"]["conv1"] = [1, 99]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CgsimError, match=r"'conv1': widths must be two whole numbers from 1 to \[1, 16\]"):
        load_model(tmp_path)
    config["merged"] = {}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CgsimError, match=r"config\.json: merged: expected widths"):
        load_model(tmp_path)
