from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cgsim import CgsimError
from cgsim.cli import main
from cgsim.models import Dataset, build_network, commands, derive_network, difficulty, run_difficulty, train
from cgsim.models.data import ImageSet, image_set
from cgsim.models.difficulty import Difficulty, GateUse, measure_difficulty
from cgsim.models.evaluation import evaluate
from cgsim.models.layers.batch_shaping import batch_shaped_layers


def normalize(raw):
    return torch.from_numpy(raw / np.float32(128)) - 1


def made(loss, macs) -> Difficulty:
    loss, macs = np.asarray(loss, float), np.asarray(macs, np.int64)
    return Difficulty(loss, macs, loss < 1, macs > 0, {"a": GateUse(1, 2, 3)})


def pictures(count: int = 60) -> ImageSet:
    rng = np.random.default_rng(0)
    return image_set(
        rng.integers(0, 256, (count, 1, 12, 12)).astype(np.uint8), rng.integers(0, 4, count), "test", "noise"
    )


@pytest.mark.parametrize("method", ["none", "cgnet", "batch-shaping", "mixture-of-depths"])
def test_mean_is_what_evaluation_counts(method, monkeypatch):
    torch.manual_seed(0)
    gated = build_network("resnet14", method, in_channels=1, classes=4)
    plain = build_network("resnet14", in_channels=1, classes=4)
    images = pictures()
    for _ in range(3):
        gated(normalize(images.images))
    gated.train()
    monkeypatch.setattr(difficulty, "batch_size_for", lambda _data: 25)  # the last batch is a part
    found = measure_difficulty(gated, plain, images, normalize, normalize)
    assert gated.training
    network = derive_network(gated, (1, 12, 12), "resnet14")
    macs = derive_network(plain, (1, 12, 12), "resnet14").dense_macs
    seen = evaluate(gated, images, normalize, network, reference_macs=macs)
    assert macs / found.macs.mean() == pytest.approx(seen.flop_reduction, rel=1e-12)
    assert (seen.flop_reduction == 1) == (method == "none")
    assert found.gated_correct.mean() == pytest.approx(seen.accuracy)
    with torch.no_grad():
        logits = plain.eval()(normalize(images.images))
    wanted = F.cross_entropy(logits, torch.tensor(images.labels), reduction="none")
    np.testing.assert_allclose(found.loss, wanted.numpy(), rtol=1e-4)
    assert found.ungated_correct.tolist() == (logits.argmax(1).numpy() == images.labels).tolist()
    assert set(found.gates) == set(seen.density)
    if method == "none":
        assert found.rank_correlation is None
        assert set(found.macs) == {macs}


def test_each_image_has_its_own_macs_and_gates_fall_in_three_kinds():
    torch.manual_seed(0)
    model = build_network("resnet8", "batch-shaping", in_channels=1, classes=4)
    first = batch_shaped_layers(model)[0]
    for layer in batch_shaped_layers(model):
        nn.init.constant_(layer.gate_network.fc2.bias, 1e6)
    with torch.no_grad():
        first.gate_network.fc2.bias[:3] = -1e6  # always off
        first.gate_network.fc2.bias[3:5] = 0
        first.gate_network.fc2.weight[3:5] = 0
        first.gate_network.fc2.weight[3:5, 0] = 1.0  # on where the first hidden feature is above zero
        first.gate_network.norm.bias[0] = 0
    images = pictures()
    model.eval()
    with torch.no_grad():
        stem = F.relu(model.bn1(model.conv1(normalize(images.images))))
        first.gate_network.norm.running_mean.copy_(first.gate_network.fc1(stem.mean((2, 3))).quantile(0.9, 0))
        on = first.gates(stem).sum(1).numpy()
    assert set(on) == {11, 13}
    found = measure_difficulty(model, model, images, normalize, normalize)
    network = derive_network(model, (1, 12, 12), "resnet8")
    each = 2 * 144 * 16 * 9  # an output channel of conv1 and an input channel of conv2
    gates = sum(layer.gate_network_macs for layer in network.layers)
    assert found.macs.tolist() == [network.dense_macs + gates - (16 - count) * each for count in on]
    assert found.gates["layer1.0.conv1"] == GateUse(always_on=11, always_off=3, conditional=2)
    assert found.gates["layer2.0.conv1"] == GateUse(32, 0, 0)


def test_parts_go_from_easy_to_hard():
    loss = [5.0, 0.1, 3.0, 0.2, 4.0, 0.3]
    found = made(loss, [50, 1, 30, 2, 40, 3])
    assert found.rank_correlation == pytest.approx(1)
    easy, hard = found.parts(2)
    assert (easy.images, easy.macs, hard.macs) == (3, 2.0, 40.0)
    assert easy.ungated_loss == pytest.approx(0.2)
    assert (easy.ungated_accuracy, hard.ungated_accuracy) == (1, 0)
    assert hard.macs_error == pytest.approx(10 / np.sqrt(3))
    summary = found.summary(2)
    assert summary["hard_over_easy"] == 20
    assert summary["gates"] == {"a": {"always_on": 1, "always_off": 2, "conditional": 3}}
    assert made(loss, [1, 50, 2, 40, 3, 30]).rank_correlation < -0.5


def test_too_many_parts():
    with pytest.raises(CgsimError) as error:
        made([1, 2, 3], [1, 2, 3]).parts(2)
    assert str(error.value) == (
        "difficulty: 3 images do not make 2 parts; expected 1 or more parts of at least two images each"
    )


def test_of_runs(dataset, tmp_path, monkeypatch, capsys):
    recipe = {"epochs": 1, "batch_size": 32, "precision": "float32"}
    for method, name in (("none", "plain"), ("batch-shaping", "gated")):
        train(
            data=dataset,
            output=tmp_path / name,
            method=method,
            network="resnet8",
            overrides=recipe,
            progress=False,
        )
    found = run_difficulty(tmp_path / "gated", tmp_path / "plain", dataset, samples=20)
    monkeypatch.setattr(commands, "load_dataset", lambda _path: dataset)
    monkeypatch.setattr(difficulty, "load_dataset", lambda _path: dataset)
    command = ["evaluate", str(tmp_path / "gated"), "--data", "D", "--limit", "20", "--difficulty"]
    assert main([*command, "--json"]) == 2
    assert "--difficulty needs --ungated RUN" in capsys.readouterr().err
    command += ["--ungated", str(tmp_path / "plain")]
    assert main([*command, "--json"]) == 0
    summary = found.summary()
    assert json.loads(capsys.readouterr().out)["difficulty"] == json.loads(json.dumps(summary))
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(index for index, line in enumerate(lines) if "tenths of the images" in line) + 1
    macs = [int(line.split()[1].replace(",", "")) for line in lines[start : start + 10]]
    assert macs == [round(part["macs"]) for part in summary["parts"]]
    assert f"  hard over easy {summary['hard_over_easy']:.3f}" in lines
    assert len(found.macs) == 20
    assert sum(vars(found.gates["layer1.0.conv1"]).values()) == 16
    other = Dataset("other", tuple("wxyz"), dataset.train, dataset.test)
    with pytest.raises(CgsimError, match="trained on quadrants"):
        run_difficulty(tmp_path / "gated", tmp_path / "plain", other)
