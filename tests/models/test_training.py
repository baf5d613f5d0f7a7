from __future__ import annotations

import json
import math

import pytest
import torch
import torch.nn.functional as F

from cgsim import CgsimError
from cgsim.models import (
    Dataset,
    Recipe,
    build_network,
    checkpoint,
    commands,
    load_model,
    objective,
    train,
    trainer,
    training,
)
from cgsim.models.augmentation import Crops
from cgsim.models.methods import make_method
from cgsim.models.objective import distillation_loss
from cgsim.models.trainer import make_optimizer
from tests.models.conftest import synthetic

QUICK = Recipe(epochs=3, batch_size=16, rate=0.05, crop_padding=1, flip=False)
STRONG = {"gating.threshold_weight": 0.02}


def run(dataset, output, **options):
    options = {"method": "cgnet", "network": "resnet8", "recipe": QUICK, "progress": False} | options
    if options["method"] == "cgnet":
        options["overrides"] = STRONG | options.get("overrides", {})
    return train(data=dataset, output=output, **options)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    return run(dataset, tmp_path_factory.mktemp("runs") / "whole", seed=5)


class KilledError(Exception):
    pass


def same_tensors(first, second):
    one, two = checkpoint.read_checkpoint(first)[0], checkpoint.read_checkpoint(second)[0]
    assert one.keys() == two.keys()
    return all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("step", [0, 4])
def test_a_killed_run_resumes_to_the_same_result(whole, dataset, tmp_path, monkeypatch, step):
    calls = 0
    original = trainer.Trainer._step

    def killed(self, *arguments):
        nonlocal calls
        calls += 1
        if calls > 6 + step:  # in the second epoch
            raise KilledError
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "_step", killed)
        with pytest.raises(KilledError):
            run(dataset, tmp_path / "run", seed=5)
    assert len(checkpoint.read_checkpoint(tmp_path / "run")[1]["history"]) == 1
    torch.rand(100)  # the global random state is not what a resumed run depends on
    result = run(dataset, tmp_path / "run", seed=5, resume=True)
    assert same_tensors(whole.run, tmp_path / "run")
    for row, again in zip(whole.history, result.history, strict=True):
        assert {**row, "seconds": 0} == {**again, "seconds": 0}


def test_numbers_of_every_epoch_are_logged_and_the_network_learns(whole):
    rows = (whole.run / "log.csv").read_text().splitlines()
    assert rows[0] == (
        "epoch,kind,train_loss,train_accuracy,test_loss,test_accuracy,flop_reduction,mean_density,seconds"
    )
    assert len(rows) == 4
    assert whole.history[-1]["train_loss"] < whole.history[0]["train_loss"]
    assert whole.flop_reduction > 1.2
    assert {path.name for path in whole.run.iterdir()} == {"checkpoint.safetensors", "config.json", "log.csv"}


def test_another_seed_gives_another_run(whole, dataset, tmp_path):
    other = run(dataset, tmp_path / "run", seed=6)
    assert not same_tensors(whole.run, other.run)


def test_a_checkpoint_gives_the_model_back(whole, dataset):
    model, config, state = load_model(whole.run)
    assert not model.training
    assert config["recipe"]["gating"]["partitions"] == 4
    assert state["epoch"] == 3
    for key, value in whole.model.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    x = torch.randn(3, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(model(x), whole.model.eval()(x))


def test_resuming_with_other_settings_is_refused(whole, dataset):
    with pytest.raises(CgsimError, match=r"cannot resume: recipe.rate was 0.05, now 0.01"):
        run(dataset, whole.run, seed=5, overrides={"rate": 0.01}, resume=True)
    with pytest.raises(CgsimError, match="cannot resume: seed was 5, now 6"):
        run(dataset, whole.run, seed=6, resume=True)
    with pytest.raises(CgsimError, match="exists; go on with it"):
        run(dataset, whole.run, seed=5)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(dataset, tmp_path, monkeypatch):
    calls = 0

    def poisoned(logits, labels, **options):
        nonlocal calls
        options.pop("label_smoothing", None)
        loss = F.nll_loss(F.log_softmax(logits, 1), labels, **options)
        calls += "reduction" not in options
        return loss * math.nan if calls == 9 else loss

    monkeypatch.setattr(objective.F, "cross_entropy", poisoned)
    with pytest.raises(CgsimError, match=r"the loss is nan at epoch 2 \(train\), step 3"):
        run(dataset, tmp_path / "run")
    tensors, state = checkpoint.read_checkpoint(tmp_path / "run")
    assert state["epoch"] == 1
    assert all(value.isfinite().all() for value in tensors.values())


def test_an_ungated_network_trains_with_the_same_recipe_in_bfloat16(dataset, tmp_path):
    result = run(
        dataset, tmp_path / "run", method="none", overrides={"epochs": 1, "precision": "bfloat16"}, limit=32
    )
    assert result.flop_reduction == 1
    assert checkpoint.read_config(result.run)["dataset"]["train_images"] == 32
    assert all(parameter.dtype == torch.float32 for parameter in result.model.parameters())


@pytest.mark.parametrize("norm", ["after", "separate"])
def test_distillation_and_norms(dataset, tmp_path, whole, norm):
    changed = {"epochs": 1, "gating.norm_variant": norm}
    result = run(dataset, tmp_path / "run", overrides=changed, teacher=whole.run, limit=32)
    assert checkpoint.read_config(result.run)["distilled"]
    assert result.model.layer1[0].conv1.norm == norm
    load_model(result.run)


def test_a_teacher_of_other_data_is_refused(tmp_path, whole):
    other = Dataset("other", ("a", "b", "c", "d"), *(synthetic(8, "t", 0, (3, 12, 12)) for _ in range(2)))
    with pytest.raises(CgsimError, match=r"trained on quadrants with images .* but the data are other"):
        run(other, tmp_path / "run", teacher=whole.run)
    assert not (tmp_path / "run").exists()


def test_distillation_loss_is_the_weighted_sum():
    logits, teacher = torch.randn(4, 3), torch.randn(4, 3)
    labels = torch.tensor([0, 1, 2, 0])
    hard = F.cross_entropy(logits, labels)
    p = F.softmax(teacher / 2, 1)
    soft = (p * (p.log() - F.log_softmax(logits / 2, 1))).sum(1).mean()
    torch.testing.assert_close(
        distillation_loss(logits, teacher, labels, 0.3, 2.0), 0.7 * hard + 0.3 * 4 * soft
    )
    torch.testing.assert_close(distillation_loss(logits, logits, labels, 1.0, 2.0), torch.tensor(0.0))


def test_thresholds_and_norms_take_no_weight_decay():
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4)
    optimizer = make_optimizer(model, Recipe(weight_decay=0.1), make_method("cgnet"))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in decayed}
    assert names
    assert all(name.endswith("weight") and "bn" not in name for name in names)
    assert "layer1.0.conv1.threshold" not in names


def test_augmentation_crops_and_mirrors():
    import numpy as np

    images = torch.arange(2 * 16, dtype=torch.uint8).reshape(2, 1, 4, 4) + 1

    def augment(padding, flip, generator):
        return Crops.draw(len(images), padding, flip, generator).apply(images)

    same = augment(0, False, np.random.default_rng(0))
    assert torch.equal(same, images)
    generator = np.random.default_rng(0)
    seen = {tuple(augment(0, True, generator)[0, 0, 0].tolist()) for _ in range(20)}
    assert seen == {(1, 2, 3, 4), (4, 3, 2, 1)}
    padded = F.pad(images, (1, 1, 1, 1))
    windows = [padded[:, :, y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
    for _ in range(10):
        crop = augment(1, False, generator)
        assert any(torch.equal(crop[0], window[0]) for window in windows)


def test_damaged_and_foreign_runs_are_refused(whole, tmp_path):
    with pytest.raises(CgsimError, match=r"no config.json"):
        load_model(tmp_path)
    config = json.loads((whole.run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CgsimError, match=r"no checkpoint.safetensors"):
        load_model(tmp_path)
    data = (whole.run / "checkpoint.safetensors").read_bytes()
    for cut in (0, 7, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "checkpoint.safetensors").write_bytes(data[:cut])
        with pytest.raises(CgsimError, match="damaged or not of cgsim"):
            load_model(tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(data)
    (tmp_path / "config.json").write_text(json.dumps(config | {"network": "resnet14"}))
    with pytest.raises(
        CgsimError, match=r"a checkpoint of another model: 'layer1.1.conv1.weight' is missing"
    ):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"version": 3}))
    with pytest.raises(CgsimError, match="not of a cgsim run, version 1 or 2"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "key", ["method", "recipe", "seed", "distilled", "init", "teacher", "dataset", "environment"]
)
def test_a_configuration_without_a_key_is_refused(whole, tmp_path, key):
    config = json.loads((whole.run / "config.json").read_text())
    del config[key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CgsimError, match=rf"config\.json: {key}: missing, expected "):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (None, "seed", "x", "seed: expected a whole number, got 'x'"),
        (None, "dataset", 3, "dataset: expected a section, got 3"),
        (None, "recipe", [], "recipe: expected a section, got []"),
        ("dataset", "mean", [float("nan")], "dataset.mean: expected a list of numbers, got [nan]"),
        ("dataset", "mean", [], "dataset.mean: expected {} values, got []"),
        ("dataset", "shape", [], "dataset.shape: expected 3 values, got []"),
        (
            "dataset",
            "shape",
            [True, 2, 3],
            "dataset.shape: expected a list of whole numbers, got [True, 2, 3]",
        ),
        ("dataset", "classes", "ab", "dataset.classes: expected a list of texts, got 'ab'"),
        ("environment", "threads", -1, "environment.threads: expected a whole number, got -1"),
    ],
)
def test_a_configuration_of_other_values_is_refused(whole, tmp_path, section, key, value, message):
    config = json.loads((whole.run / "config.json").read_text())
    channels = config["dataset"]["shape"][0]
    (config[section] if section else config)[key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CgsimError) as error:
        load_model(tmp_path)
    assert str(error.value) == f"run {str(tmp_path)!r}: config.json: {message.format(channels)}"


def test_too_many_threads_are_refused(dataset, tmp_path):
    with pytest.raises(CgsimError, match="threads: expected 1 to 256, got 99999"):
        training.train(data=dataset, output=tmp_path, threads=99999)


def test_a_trace_that_is_a_folder_is_refused_before_the_evaluation(tmp_path):
    with pytest.raises(CgsimError, match="cannot be written: a folder, expected the name of a trace file"):
        commands.record_command("nowhere", data="nowhere", output=str(tmp_path))


def test_the_commands_from_training_to_trace(dataset, tmp_path, monkeypatch, capsys):
    import cgsim

    monkeypatch.setattr(training, "load_dataset", lambda path: dataset)
    monkeypatch.setattr(commands, "load_dataset", lambda path: dataset)
    common = {"data": "D", "network": "resnet8", "epochs": 1, "limit": 32}
    plain = commands.train_command(method="none", output=str(tmp_path / "plain"), **common, progress=False)
    assert capsys.readouterr().out == ""
    told = commands.train_command(output=str(tmp_path / "gated"), **common, seed=2)
    assert "epoch 1/1" in capsys.readouterr().out
    assert told["epochs"] == 1
    made = commands.record_command(
        told["run"],
        data="D",
        output=str(tmp_path / "t.parquet"),
        samples=10,
        ungated=plain["run"],
        progress=False,
    )
    trace = cgsim.load_trace(made["trace"])
    assert [sample.id for sample in trace.samples] == list(dataset.test.ids[::4])
    metadata = trace.metadata
    assert metadata.accuracy_gated == told["accuracy"]
    assert metadata.accuracy_ungated == plain["accuracy"]
    assert metadata.dataset == "quadrants"
    assert "--method cgnet --network resnet8 --data DATA --recipe short --epochs 1" in metadata.command
    assert "--limit 32" in metadata.command
    assert str(tmp_path) not in metadata.command
    result = commands.evaluate_command(told["run"], data="D", progress=False)
    assert result["accuracy"] == told["accuracy"]
    assert set(result["density"]) == {f"layer{i}.0.conv{j}" for i in (1, 2, 3) for j in (1, 2)}
    for arguments, message in (
        ({"samples": 41}, "samples must be 1 to 40"),
        ({"ungated": told["run"], "samples": 4}, "expected an ungated resnet8"),
        ({"output": str(tmp_path / "none" / "x")}, "none/x: cannot be written: no folder"),
    ):
        with pytest.raises(CgsimError, match=message):
            commands.record_command(
                told["run"], **{"data": "D", "output": "x", "progress": False} | arguments
            )


def test_data_of_another_shape_are_refused(whole, tmp_path, monkeypatch):
    other = Dataset("other", ("a", "b", "c", "d"), *(synthetic(8, "t", 0, (3, 12, 12)) for _ in range(2)))
    monkeypatch.setattr(commands, "load_dataset", lambda path: other)
    with pytest.raises(CgsimError, match="but the data are other"):
        commands.record_command(str(whole.run), data="D", output="x", samples=4, progress=False)
