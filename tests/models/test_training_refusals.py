"""What must not spoil a run: weights that are not finite, steps that overflow, other machines, bad input."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from cgsim import CgsimError
from cgsim.cli import main
from cgsim.models import Recipe, checkpoint, train, trainer, training
from cgsim.models.layers.gated_norm import GatedBatchNorm2d
from cgsim.models.recipe import available_recipes, load_recipe

QUICK = Recipe(method="none", epochs=2, batch_size=16, rate=0.05, crop_padding=1, flip=False)


def run(dataset, output, recipe=QUICK, **options):
    return train(data=dataset, output=output, network="resnet8", recipe=recipe, progress=False, **options)


@pytest.mark.parametrize("epoch", [1, 2])
def test_weights_spoilt_by_the_last_step_of_an_epoch_are_not_kept(dataset, tmp_path, monkeypatch, epoch):
    steps = len(dataset.train) // QUICK.batch_size
    calls = 0
    original = trainer.Trainer._learn

    def poisoned(self, *arguments):
        nonlocal calls
        calls += 1
        original(self, *arguments)
        if calls == epoch * steps:
            self.model.conv1.weight.data[0] = torch.nan

    monkeypatch.setattr(trainer.Trainer, "_learn", poisoned)
    with pytest.raises(
        CgsimError, match=rf"'conv1.weight' is not finite after epoch {epoch} \(train\); the last"
    ):
        run(dataset, tmp_path / "run")
    assert (tmp_path / "run" / checkpoint.CHECKPOINT).exists() == (epoch == 2)
    if epoch == 2:
        tensors, state = checkpoint.read_checkpoint(tmp_path / "run")
        assert state["epoch"] == 1
        assert all(value.isfinite().all() for value in tensors.values())


def test_weights_that_evaluate_to_nan_are_not_kept(dataset, tmp_path, monkeypatch):
    steps = len(dataset.train) // QUICK.batch_size
    calls = 0
    original = trainer.Trainer._learn

    def poisoned(self, *arguments):
        nonlocal calls
        calls += 1
        original(self, *arguments)
        if calls == 2 * steps:
            self.model.fc.weight.data.fill_(3e38)  # finite, its logits are not

    monkeypatch.setattr(trainer.Trainer, "_learn", poisoned)
    with pytest.raises(CgsimError, match=r"the test loss is nan after epoch 2 \(train\); the last"):
        run(dataset, tmp_path / "run")
    _tensors, state = checkpoint.read_checkpoint(tmp_path / "run")
    assert state["epoch"] == 1


def scaled(monkeypatch, scale):
    """Losses are scaled as on a GPU in float16."""
    made = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda _device, enabled: made("cpu", init_scale=scale))


def test_a_run_with_scaled_losses_starts_and_resumes(dataset, tmp_path, monkeypatch):
    scaled(monkeypatch, 1024.0)
    whole = run(dataset, tmp_path / "whole")
    original = trainer.Trainer.unit

    def stop(self, plan, done):
        if done == 1:
            raise KeyboardInterrupt
        return original(self, plan, done)

    monkeypatch.setattr(trainer.Trainer, "unit", stop)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "cut")
    monkeypatch.setattr(trainer.Trainer, "unit", original)
    again = run(dataset, tmp_path / "cut", resume=True)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])


def test_steps_that_overflow_leave_no_scores(dataset, tmp_path, monkeypatch):
    run(dataset, tmp_path / "plain")
    scaled(monkeypatch, 2.0**127)
    loss = trainer.task_loss
    monkeypatch.setattr(trainer, "task_loss", lambda *arguments: 1e4 * loss(*arguments))
    tallied = 0
    original = GatedBatchNorm2d.tally

    def tally(self):
        nonlocal tallied
        tallied += 1
        assert self.weight.grad.isfinite().all()
        original(self)

    monkeypatch.setattr(GatedBatchNorm2d, "tally", tally)
    gating = {"target_reduction": 1.2, "tock_epochs": 0, "final_epochs": 0}
    recipe = dataclasses.replace(QUICK, method="gate-decorator", epochs=1, gating=gating)
    run(dataset, tmp_path / "pruned", recipe, init=tmp_path / "plain")
    assert tallied


@pytest.mark.parametrize(("key", "value"), [("processes", 2), ("device", "cuda")])
def test_a_run_goes_on_where_it_began(dataset, tmp_path, key, value):
    run(dataset, tmp_path / "run")
    path = tmp_path / "run" / checkpoint.CONFIG
    config = json.loads(path.read_text())
    config["environment"][key] = value
    path.write_text(json.dumps(config))
    with pytest.raises(CgsimError, match=f"cannot resume: {key} was {value!r}, now"):
        run(dataset, tmp_path / "run", resume=True)
    del config["environment"][key]  # as runs of earlier versions have it
    path.write_text(json.dumps(config))
    assert len(run(dataset, tmp_path / "run", resume=True).history) == 2


@pytest.mark.parametrize("role", ["init", "teacher"])
def test_images_are_normalised_alike(dataset, tmp_path, role):
    run(dataset, tmp_path / "plain")
    other = dataclasses.replace(QUICK, pixel_mean=(0.25,), pixel_deviation=(0.5,))
    with pytest.raises(
        CgsimError, match=rf"{role} '.*plain': trained with pixel_mean .*, this run has \[0.25\]"
    ):
        run(dataset, tmp_path / "run", other, **{role: tmp_path / "plain"})
    assert not (tmp_path / "run" / checkpoint.CHECKPOINT).exists()


def test_milestones_are_exact():
    """The trainer counts in fractions; a float 0.9 is above nine tenths."""
    stepped = [load_recipe(name) for name in available_recipes()]
    stepped = [recipe for recipe in stepped if recipe.schedule == "step"]
    assert stepped
    for recipe in stepped:
        for count, share in enumerate(recipe.milestones, start=1):
            at = Fraction(str(share))
            assert recipe.rate_at(at) == recipe.rate * 0.1**count
            assert recipe.rate_at(at - Fraction(1, 10**6)) == recipe.rate * 0.1 ** (count - 1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"milestones": (0.9, 0.1)}, "recipe: milestones: expected rising shares"),
        ({"milestones": (0.5, 1.5)}, "recipe: milestones: expected rising shares"),
        ({"momentum": 0.0}, "recipe: momentum 0 goes with nesterov: false only"),
    ],
)
def test_settings_that_contradict_one_another(changes, told):
    with pytest.raises(CgsimError, match=told):
        dataclasses.replace(QUICK, **changes)


def test_one_image_is_no_batch_for_batch_shaping(dataset, tmp_path):
    recipe = dataclasses.replace(QUICK, method="batch-shaping", batch_size=1)
    with pytest.raises(CgsimError, match="batch_size 1: batch-shaping needs 2 images or more for each of 1"):
        run(dataset, tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()


def test_labels_are_classes(dataset):
    labels = np.array(dataset.test.labels)
    labels[3] = 77
    with pytest.raises(CgsimError, match=r"test image .*: label 77, expected 0 to 3"):
        dataclasses.replace(dataset, test=dataclasses.replace(dataset.test, labels=labels))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_have_a_range(dataset, tmp_path, seed):
    with pytest.raises(CgsimError, match=rf"seed: expected 0 to 4294967295, got {seed}"):
        run(dataset, tmp_path / "run", seed=seed)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--device", "cuda:99"], "device 'cuda:99': this machine has"),
        (["--method", "mixture-of-depths"], "network 'resnet8': with these settings mixture-of-depths gates"),
        (["--set", "architecture.width=1000000"], "out of memory: "),
        (["--set", "rate="], "--set 'rate=': expected a value behind '='"),
        (["--network", "vgg16-bn"], "network 'vgg16-bn': it cannot take images of 1 x 12 x 12: "),
    ],
)
def test_the_command_line_passes_on_what_it_takes(dataset, tmp_path, monkeypatch, capsys, options, told):
    monkeypatch.setattr(training, "load_dataset", lambda _path: dataset)
    output = tmp_path / "run"
    common = ["--method", "none", "--network", "resnet8", "--data", "D", "-o", str(output)]
    assert main(["train", *common, *options]) == 2
    assert capsys.readouterr().err.startswith(f"cgsim: error: {told}")
    assert not output.exists()
