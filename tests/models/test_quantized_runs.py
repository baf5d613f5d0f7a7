"""From a run to a quantised run, a trace and the layers in it; and what ships with cgsim."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import cgsim
from cgsim import CgsimError
from cgsim.models import Recipe, commands, load_cosimulation, load_model, quantized_file, train
from cgsim.models.cosimulation import load_shipped
from cgsim.models.quantize import quantize
from cgsim.models.quantized_layers import QuantizedCGConv2d
from cgsim.models.runs import load_quantized, preprocessing
from cgsim.shipped import shipped_dir
from tests.conftest import VALIDATE
from tests.models.integers import convolve

QUICK = Recipe(epochs=2, batch_size=16, rate=0.05, crop_padding=1, flip=False)


@pytest.fixture(scope="module")
def runs(dataset, tmp_path_factory):
    """A gated run, an ungated one, both quantised, and a trace of the gated one with its bundle."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "load_dataset", lambda path: dataset)
        for method in ("cgnet", "none"):
            train(
                data=dataset,
                output=folder / method,
                method=method,
                network="resnet8",
                recipe=QUICK,
                overrides={"gating.threshold_weight": 0.02} if method == "cgnet" else {},
                limit=64,
                progress=False,
            )
            told = commands.quantize_command(
                str(folder / method),
                data="D",
                output=str(folder / f"q-{method}"),
                calibration=40,
                progress=False,
            )
            (folder / f"{method}.json").write_text(json.dumps(told))
        commands.record_command(
            str(folder / "q-cgnet"),
            data="D",
            output=str(folder / "t.parquet"),
            samples=10,
            ungated=str(folder / "q-none"),
            bundle=str(folder / "t.safetensors"),
            verify="all",
            progress=False,
        )
    return folder


@pytest.fixture
def data(dataset, monkeypatch):
    monkeypatch.setattr(commands, "load_dataset", lambda path: dataset)
    return "D"


def test_a_quantised_run_says_what_it_lost(runs, dataset, data):
    for method in ("cgnet", "none"):
        told = json.loads((runs / f"{method}.json").read_text())
        before = commands.evaluate_command(str(runs / method), data=data, progress=False)
        after = commands.evaluate_command(str(runs / f"q-{method}"), data=data, progress=False)
        assert told["accuracy_float"] == before["accuracy"]
        assert told["accuracy_quantized"] == after["accuracy"]
        assert told["flop_reduction_float"] == pytest.approx(before["flop_reduction"], abs=1e-4)
        assert told["flop_reduction_quantized"] == pytest.approx(after["flop_reduction"], abs=1e-4)
        assert abs(before["accuracy"] - after["accuracy"]) <= 0.1
        config = json.loads((runs / f"q-{method}" / "config.json").read_text())
        assert config["quantization"]["accuracy_quantized"] == after["accuracy"]
        assert config["quantization"]["calibration_images"] == 40
    assert json.loads((runs / "none.json").read_text())["gates_changed"] == 0


def test_calibration_takes_images_of_the_training_only(runs, dataset):
    model, config, _state = load_model(runs / "cgnet")
    own, _config, _state = load_model(runs / "q-cgnet")
    chosen = dataset.train.spread(64).spread(40)  # the run was trained on 64 of the 96 images
    again = quantize(model, chosen, preprocessing(model, config)).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in own.state_dict().items())


def test_a_quantised_run_is_recorded(runs, dataset):
    trace = cgsim.load_trace(runs / "t.parquet")
    about = trace.metadata
    found = about.method_parameters["quantization"]
    assert found == json.loads((runs / "q-cgnet" / "config.json").read_text())["quantization"]
    assert about.accuracy_gated == found["accuracy_quantized"]
    assert about.accuracy_ungated == json.loads((runs / "none.json").read_text())["accuracy_quantized"]
    assert "cgsim quantize RUN --data DATA --calibration 40 -o QRUN" in about.command
    assert "cgsim quantize RUN0 --data DATA --calibration 40 -o QRUN0" in about.command
    assert about.command.endswith("cgsim record QRUN --data DATA --samples 10 --ungated QRUN0 -o TRACE")
    assert "integers (int8)" in about.notes
    model, _config, state = load_model(runs / "q-cgnet")
    assert state == {}
    with torch.no_grad():
        logits = model(model.input(dataset.test.spread(10).images))
    assert [sample.prediction for sample in trace.samples] == logits.argmax(1).tolist()


def test_an_ungated_quantised_run_is_recorded(runs, data, tmp_path):
    made = commands.record_command(
        str(runs / "q-none"), data=data, output=str(tmp_path / "d.parquet"), samples=3, progress=False
    )
    trace = cgsim.load_trace(made["trace"])
    assert trace.metadata.method == "dense"
    assert set(trace.metadata.method_parameters) == {"quantization", "reference_macs"}
    assert "cgsim quantize RUN " in trace.metadata.command
    assert trace.flop_reduction() == 1


def test_the_file_alone_is_recorded_again_with_the_same_gates(runs, data, tmp_path):
    again = tmp_path / "again.parquet"
    commands.record_command(
        str(runs / "t.safetensors"), data=data, output=str(again), samples=10, progress=False
    )
    first, second = cgsim.load_trace(runs / "t.parquet"), cgsim.load_trace(again)
    assert first.network == second.network
    for layer in first.gated_layers:
        assert np.array_equal(first.packed(layer.name), second.packed(layer.name))


def check_cases(net, samples, layers, by_hand):
    """Every case against the trace and, for the layers `by_hand`, against sums in NumPy."""
    for name in layers:
        for sample in samples:
            case = net.case(sample, name)
            layer = case.layer
            assert layer == net.trace.network.by_name[name]
            assert (case.inputs.dtype, case.weights.dtype) == (np.int8, np.int8)
            assert (case.base.dtype, case.outputs.dtype) == (np.int32, np.int32)
            assert case.inputs.shape == layer.in_shape
            assert case.outputs.shape == case.base.shape == (layer.out_channels, layer.pixels)
            if case.gates is not None:
                assert case.thresholds.dtype == np.int32
                assert np.array_equal(case.gates, net.trace.bits(name, [sample])[0])
                assert np.array_equal(case.gates, case.base > case.thresholds[:, None])
                assert np.array_equal(case.base[~case.gates], case.outputs[~case.gates])
            else:
                assert layer.gate == "none"
                assert case.thresholds is None
                assert np.array_equal(case.base, case.outputs)
            if name not in by_hand:
                continue
            full = convolve(case.inputs, case.weights, layer.stride, layer.padding).reshape(
                case.outputs.shape
            )
            if case.gates is None:
                assert np.array_equal(full, case.outputs)
                continue
            assert np.array_equal(full[case.gates], case.outputs[case.gates])
            weights = case.weights.copy()
            each = layer.out_channels // layer.base_groups
            for n in range(layer.out_channels):
                first = n // each * layer.base_channels
                weights[n, :first] = 0
                weights[n, first + layer.base_channels :] = 0
            base = convolve(case.inputs, weights, layer.stride, layer.padding).reshape(case.base.shape)
            assert np.array_equal(base, case.base)


def test_layers_come_with_operands_and_results(runs):
    net = load_cosimulation(runs / "t.safetensors", runs / "t.parquet")
    assert net.samples == 4
    assert net.layers == tuple(layer.name for layer in net.trace.network.layers if layer.on_array)
    check_cases(net, range(4), net.layers, net.layers if VALIDATE else ("conv1", "layer2.0.conv1", "fc"))
    for sample, layer, message in (
        (4, "conv1", "sample 4 has no image; expected 0 to 3"),
        (0, "conv9", "layer 'conv9' is not known"),
    ):
        with pytest.raises(CgsimError, match=message):
            net.case(sample, layer)


def test_gates_that_are_not_the_traces_are_refused(runs):
    stored = quantized_file.read(runs / "t.safetensors")
    model = load_quantized(stored)
    changed = next(module for module in model.modules() if isinstance(module, QuantizedCGConv2d))
    changed.threshold += 50
    images = quantized_file.image_set(stored).images
    net = cgsim.models.cosimulation.CosimulationNetwork(model, images, cgsim.load_trace(runs / "t.parquet"))
    with pytest.raises(CgsimError, match=r"layer 'layer1.0.conv1', sample 0: gates differ from the trace's"):
        net.case(0, "layer1.0.conv1")


def test_a_trace_of_other_samples_or_another_network_is_refused(runs, tmp_path):
    with pytest.raises(CgsimError, match=r"its image .* is not sample 1 of"):
        load_cosimulation(runs / "t.safetensors", shipped_dir("traces") / "resnet20-cgnet.trace.parquet")
    stored = quantized_file.read(runs / "t.safetensors")
    trace = cgsim.load_trace(shipped_dir("traces") / "resnet20-cgnet.trace.parquet")
    with pytest.raises(CgsimError, match="the trace is of another network than the model"):
        cgsim.models.cosimulation.CosimulationNetwork(
            load_quantized(stored), quantized_file.image_set(stored).images, trace
        )


def test_the_command_line_quantises(runs, data, tmp_path, capsys):
    from cgsim.cli import main

    arguments = ["quantize", str(runs / "cgnet"), "--data", "D", "--calibration", "8"]
    assert main([*arguments, "-o", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    assert "accuracy" in out
    assert "of the gates changed" in out
    assert main([*arguments, "-o", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration_images"] == 8
    assert (tmp_path / "a" / "quantized.safetensors").read_bytes() == (
        tmp_path / "b" / "quantized.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        (
            "cgnet",
            {"calibration": 65},
            r"quantize: calibration must be 1 to 64 \(the training images\), got 65",
        ),
        ("cgnet", {"calibration": 0}, "calibration must be 1 to 64"),
        ("q-cgnet", {}, "quantised already; expected a run of `cgsim train`"),
        ("t.safetensors", {}, "quantised already"),
        ("nowhere", {}, "no config.json; expected a directory made by `cgsim train`"),
        ("untrained", {}, "no checkpoint.safetensors; training has not finished an epoch"),
        ("cgnet", {"output": "q-none"}, "exists; name another directory"),
    ],
)
def test_runs_that_cannot_be_quantised_are_refused(runs, data, tmp_path, run, options, message):
    if run == "untrained":
        (runs / run).mkdir(exist_ok=True)
        shutil.copy(runs / "cgnet" / "config.json", runs / run)
    output = str(runs / options["output"]) if "output" in options else str(tmp_path / "q")
    with pytest.raises(CgsimError, match=message):
        commands.quantize_command(
            str(runs / run),
            data=data,
            progress=False,
            **{"calibration": 8, **options, "output": output},
        )
    assert not (tmp_path / "q").exists()


def test_a_quantised_run_is_no_teacher_and_is_not_trained_over(runs, dataset, tmp_path):
    common = {"data": dataset, "network": "resnet8", "recipe": QUICK, "progress": False}
    for options, message in (
        ({"output": tmp_path / "x", "teacher": runs / "q-none"}, "q-none': quantised; expected a run of"),
        ({"output": runs / "q-none", "method": "none"}, "q-none' exists"),
        ({"output": runs / "q-none", "method": "none", "resume": True}, "q-none' exists"),
    ):
        with pytest.raises(CgsimError, match=message):
            train(**common, **options)
    assert not (tmp_path / "x").exists()


def test_a_bundle_needs_a_quantised_run(runs, data, tmp_path):
    for options, message in (
        ({"bundle": str(tmp_path / "b")}, "not quantised; a bundle needs a run of `cgsim quantize`"),
        ({"bundle": str(tmp_path / "none" / "b")}, "none/b: cannot be written: no folder"),
    ):
        with pytest.raises(CgsimError, match=message):
            commands.record_command(
                str(runs / "cgnet"), data=data, output=str(tmp_path / "t"), samples=2, **options
            )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, t, h: t.pop("conv1.weight"), "'conv1.weight' is missing in the file"),
        (lambda c, t, h: t.update(more=torch.zeros(1)), "'more' is missing in the network"),
        (lambda c, t, h: t.update({"conv1.weight": t["conv1.weight"].int()}), "expected torch.int8"),
        (lambda c, t, h: t.update({"fc.weight": t["fc.weight"][:2]}), r"'fc.weight' is torch.int8 \[2"),
        (lambda c, t, h: t["norm1.shift"].fill_(40), "'norm1.shift' must be 0 to 31"),
        (lambda c, t, h: t["norm1.bias"].fill_(-(1 << 63)), r"'norm1.bias' must be below 2\^62"),
        (lambda c, t, h: t["norm1.multiplier"].fill_(1 << 20), "'norm1.multiplier' must be at most 65536"),
        (lambda c, t, h: t["norm1.scale"].fill_(0), "'norm1.scale' must be above 0"),
        (lambda c, t, h: t["conv1.weight"].fill_(-128), "'conv1.weight' must be -127 to 127"),
        (lambda c, t, h: t.update(images=t["images"][:, :, 1:]), "images of type torch.uint8 and shape"),
        (lambda c, t, h: t.update(images=t["images"].float()), "images of type torch.float32"),
        (lambda c, t, h: h.update(ids=["a"], labels=[1]), "1 ids, but 4 images"),
        (lambda c, t, h: h.update(ids=["a"]), "holds no ids and labels"),
        (lambda c, t, h: h.update(config=3), "its header holds no configuration"),
        (lambda c, t, h: c.pop("network"), "network: missing, expected a text"),
        (lambda c, t, h: c.update(recipe={"what": 1}), "recipe: unknown key 'what'"),
    ],
)
def test_damaged_files_are_refused(runs, tmp_path, change, message):
    from safetensors.torch import save_file

    stored = quantized_file.read(runs / "t.safetensors")
    config = json.loads(json.dumps(stored.config))
    tensors = {**{name: value.clone() for name, value in stored.tensors.items()}, "images": stored.images}
    header = {"config": config, "ids": stored.ids, "labels": stored.labels}
    change(config, tensors, header)
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    save_file(tensors, tmp_path / "x.safetensors", {quantized_file.HEADER: json.dumps(header)})
    with pytest.raises(CgsimError, match=message) as error:
        load_model(tmp_path / "x.safetensors")
    assert str(error.value).startswith("quantised network ")


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"text" * 40])
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CgsimError, match="damaged or no quantised network of cgsim"):
        load_model(tmp_path / "x")
    with pytest.raises(CgsimError, match="no such file"):
        quantized_file.read(tmp_path / "y")


def test_a_run_without_images_gives_no_cases(runs):
    with pytest.raises(CgsimError, match="holds no images; `cgsim record --bundle` writes a file with some"):
        load_cosimulation(runs / "q-cgnet" / "quantized.safetensors", runs / "t.parquet")


def test_the_shipped_network_makes_the_shipped_trace():
    net = load_shipped()
    about = net.trace.metadata
    found = about.method_parameters["quantization"]
    assert (about.dataset, about.split, about.method) == ("Fashion-MNIST", "test", "cgnet")
    assert net.samples == 4
    assert net.trace.n_samples == 128
    check_cases(
        net, range(4), net.layers, net.layers if VALIDATE else ("layer3.0.conv1", "layer3.0.shortcut")
    )
    assert about.accuracy_gated == found["accuracy_quantized"]
    assert found["accuracy_float"] - found["accuracy_quantized"] < 0.005
    assert found["gates_changed"] < 0.03
    right = np.mean([sample.label == sample.prediction for sample in net.trace.samples])
    assert abs(right - about.accuracy_gated) < 0.06  # 2.5 standard errors of 128 images
    stored = quantized_file.read(shipped_dir("traces") / "resnet20-cgnet-int8.safetensors")
    assert stored.config["quantization"] == found
    model = load_quantized(stored)
    with torch.no_grad():
        predictions = model(model.input(quantized_file.image_set(stored).images)).argmax(1).tolist()
    assert predictions == [sample.prediction for sample in net.trace.samples[:4]]
    assert Path(stored.path).stat().st_size < 1 << 20


def test_the_shipped_int8_trace_is_of_the_images_of_the_float_one():
    folder = shipped_dir("traces")
    first = cgsim.load_trace(folder / "resnet20-cgnet.trace.parquet")
    second = cgsim.load_trace(folder / "resnet20-cgnet-int8.trace.parquet")
    assert first.network == second.network
    assert [(s.id, s.label) for s in first.samples] == [(s.id, s.label) for s in second.samples]
    changed = [(first.bits(layer.name) != second.bits(layer.name)).mean() for layer in first.gated_layers]
    assert 0 < np.mean(changed) < 0.03
    about = second.metadata.method_parameters["quantization"]
    assert about["accuracy_float"] == first.metadata.accuracy_gated
