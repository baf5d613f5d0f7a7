"""A run that is killed at any moment and resumed ends as one that was never stopped."""

from __future__ import annotations

import shutil

import pytest
import torch

from cgsim.models import Recipe, checkpoint, load_model, train, trainer
from cgsim.models.methods import METHODS
from cgsim.models.registry import gating_modules

QUICK = Recipe(epochs=2, batch_size=16, rate=0.05, crop_padding=1, flip=True)
VARIANTS = {
    "none": {},
    "cgnet": {"gating.threshold_weight": 0.02},
    "batch-shaping": {},
    "mixture-of-depths": {"gating.divisor": 4, "gating.ratio": 4},
    "gate-decorator": {
        "gating.target_reduction": 1.2,
        "gating.tick_images": 32,
        "gating.prune_share": 0.1,
        "gating.ticks_per_tock": 1,
        "gating.tock_epochs": 1,
        "gating.final_epochs": 0,
    },
    "none with an average": {"ema_decay": 0.8, "label_smoothing": 0.1},
    "cgnet in bfloat16": {"precision": "bfloat16", "ema_decay": 0.5},
}
NETWORKS = {"mixture-of-depths": "resnet14"}
"""Others than resnet8, which has one block in a stage: Mixture-of-Depths leaves that as it is."""
MOMENTS = ("before the first checkpoint", "in a later unit", "between checkpoint and log")


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def bases(dataset, tmp_path_factory):
    """Ungated runs by network."""
    folder = tmp_path_factory.mktemp("runs")
    options = {"method": "none", "recipe": QUICK, "progress": False, "limit": 48}
    return {
        network: train(data=dataset, output=folder / network, network=network, **options).run
        for network in ("resnet8", "resnet14")
    }


@pytest.fixture(scope="module", params=VARIANTS)
def whole(request, dataset, bases, tmp_path_factory):
    """A run that was never stopped, and the options that it was made with."""
    network = NETWORKS.get(request.param, "resnet8")
    base = bases[network]
    options = {
        "data": dataset,
        "method": request.param.split()[0],
        "network": network,
        "recipe": QUICK,
        "overrides": VARIANTS[request.param],
        "init": base,
        "teacher": base if "average" in request.param else None,
        "limit": 64,
        "seed": 3,
        "progress": False,
    }
    return train(output=tmp_path_factory.mktemp("whole") / "run", **options), options


def same(first, second):
    one, two = checkpoint.read_checkpoint(first)[0], checkpoint.read_checkpoint(second)[0]
    assert one.keys() == two.keys()
    return [key for key in one if not torch.equal(one[key], two[key])]


def rows(history):
    return [{**row, "seconds": 0} for row in history]


def test_every_method_is_tried():
    assert {name.split()[0] for name in VARIANTS} >= set(METHODS)


def test_the_network_has_what_the_method_makes(whole):
    result, options = whole
    assert bool(gating_modules(result.model)) == (options["method"] != "none")


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed(whole, tmp_path, monkeypatch, moment):
    result, options = whole
    calls = 0
    step, log = trainer.Trainer._step, checkpoint.write_log
    units = len(result.history)

    def killed_step(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == (2 if moment == MOMENTS[0] else 6):  # four steps make an epoch
            raise KilledError
        return step(self, *arguments)

    def killed_log(run, history):
        if len(history) == units - 1:
            raise KilledError
        log(run, history)

    with monkeypatch.context() as patched:
        if moment == MOMENTS[2]:
            patched.setattr(checkpoint, "write_log", killed_log)
        else:
            patched.setattr(trainer.Trainer, "_step", killed_step)
        with pytest.raises(KilledError):
            train(output=tmp_path / "run", **options)
    torch.rand(100)  # the global random state is not what a resumed run depends on
    again = train(output=tmp_path / "run", resume=True, **options)
    assert rows(again.history) == rows(result.history)
    assert same(result.run, tmp_path / "run") == []
    header, *lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert len(lines) == units
    assert header.startswith("epoch,kind,")


def test_resuming_a_finished_run_changes_nothing(whole, tmp_path):
    result, options = whole
    shutil.copytree(result.run, tmp_path / "run")
    (tmp_path / "run" / "log.csv").unlink()  # killed just before it was written
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    again = train(output=tmp_path / "run", resume=True, **options)
    assert rows(again.history) == rows(result.history)
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before
    assert (tmp_path / "run" / "log.csv").read_text() == (result.run / "log.csv").read_text()


def test_the_model_that_was_evaluated_is_the_one_that_is_kept(whole, dataset):
    """Above all with a moving average: its weights are evaluated, loaded and recorded."""
    from cgsim.models import Normalize, derive_network, evaluate

    result, _options = whole
    model, config, _state = load_model(result.run)
    about = config["dataset"]
    normalize = Normalize(tuple(about["mean"]), tuple(about["deviation"]))
    network = derive_network(model, tuple(about["shape"]), config["network"])
    found = evaluate(model, dataset.test, normalize, network)
    assert round(found.accuracy, 6) == result.accuracy
    assert round(found.loss, 6) == result.history[-1]["test_loss"]


def test_a_moving_average_lags_behind_the_weights(whole):
    result, options = whole
    tensors, _state = checkpoint.read_checkpoint(result.run)
    averaged, trained = checkpoint.weights(tensors), checkpoint.weights(tensors, trained=True)
    assert averaged.keys() == trained.keys()
    decay = options["overrides"].get("ema_decay", 0)
    different = not torch.equal(averaged["conv1.weight"], trained["conv1.weight"])
    assert different == (decay > 0)
    for name, value in averaged.items():
        if "running_" in name or "num_batches" in name:
            assert torch.equal(value, trained[name])


def test_the_moving_average_is_the_defined_one():
    model = torch.nn.Linear(1, 1, bias=False)
    average = trainer.averaged(model, Recipe(ema_decay=0.9))
    expected = None
    for value in (1.0, 2.0, -1.0):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update_parameters(model)
        expected = value if expected is None else 0.9 * expected + 0.1 * value
        assert float(average.module.weight.detach()) == pytest.approx(expected)
    assert trainer.averaged(model, Recipe()) is None
