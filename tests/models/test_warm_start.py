from __future__ import annotations

import json
import re

import pytest
import torch

from cgsim import CgsimError
from cgsim.models import Recipe, build_network, checkpoint, commands, load_model, train
from cgsim.models.methods import METHODS, make_method
from cgsim.models.warm_start import adopt, require_same_architecture

QUICK = Recipe(epochs=1, batch_size=16, rate=0.05, crop_padding=1, flip=False)
BASE = {
    "network": "resnet8",
    "method": "none",
    "recipe": QUICK,
    "progress": False,
    "limit": 48,
    "seed": 1,
}


@pytest.fixture(scope="module")
def base(dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "base"
    return train(data=dataset, output=output, **BASE).run


def gated(dataset, base, output, **options):
    options = {"method": "cgnet", "network": "resnet8", "recipe": QUICK, "progress": False} | options
    return train(data=dataset, output=output, init=base, limit=48, **options)


def test_every_tensor_of_the_same_name_and_shape_is_taken(base):
    model = build_network("resnet8", "cgnet", in_channels=1, classes=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = adopt(model, make_method("cgnet"), base, "resnet8", checkpoint.read_config(base))
    weights = checkpoint.weights(checkpoint.read_checkpoint(base)[0])
    assert set(found.taken) == set(weights)
    assert found.unused == ()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name] if name in found.taken else before[name])
    assert {name.rsplit(".", 1)[-1] for name in found.kept} == {
        "threshold",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    total = len(found.taken) + len(found.kept)
    told = f"init: {len(weights)} of {total} tensors from 'B'; new: threshold (6), running_mean (6)"
    assert found.describe("B").startswith(told)


def test_tensors_of_other_shapes_stay_as_they_were(base):
    model = build_network("resnet8", "none", in_channels=1, classes=7)
    found = adopt(model, make_method("none"), base, "resnet8", None)
    assert set(found.kept) == set(found.unused) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_all_that_it_does_not_replace(dataset, tmp_path, method):
    base = train(data=dataset, output=tmp_path / "base", **BASE | {"network": "resnet14"}).run
    model = build_network("resnet14", method, in_channels=1, classes=4)
    found = adopt(model, make_method(method), base, "resnet14", checkpoint.read_config(base))
    weights = checkpoint.weights(checkpoint.read_checkpoint(base)[0])
    replaced = {name for name in weights if re.match(r"layer\d\.1\.", name)}
    assert len(replaced) > 20
    assert set(found.unused) == (replaced if method == "mixture-of-depths" else set())


def test_the_configuration_says_what_training_began_with(dataset, base, tmp_path, capsys):
    result = gated(dataset, base, tmp_path / "run", progress=True)
    assert capsys.readouterr().out.startswith("init: ")
    config = checkpoint.read_config(result.run)
    assert config["init"] == {
        "name": "base",
        "checksum": checkpoint.checksum(base / "checkpoint.safetensors"),
        "config": checkpoint.read_config(base),
    }
    assert config["teacher"] is None
    load_model(result.run)


def test_training_begins_with_the_weights(dataset, base, tmp_path):
    options = {"method": "none", "overrides": {"rate": 1e-9}}
    near = gated(dataset, base, tmp_path / "near", **options).model.state_dict()
    weights = checkpoint.weights(checkpoint.read_checkpoint(base)[0])
    for name, value in near.items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(value, weights[name], atol=1e-5, rtol=1e-5)


def test_resuming_needs_the_same_beginning(dataset, base, tmp_path):
    gated(dataset, base, tmp_path / "run")
    with pytest.raises(CgsimError, match="cannot resume: init was"):
        gated(dataset, None, tmp_path / "run", resume=True)
    other = tmp_path / "base"
    train(data=dataset, output=other, method="none", network="resnet8", recipe=QUICK, seed=2, progress=False)
    with pytest.raises(CgsimError, match=r"cannot resume: init.checksum was 'sha256:"):
        gated(dataset, other, tmp_path / "run", resume=True)
    gated(dataset, base, tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_network_is_refused(dataset, base, tmp_path):
    with pytest.raises(CgsimError) as error:
        gated(dataset, base, tmp_path / "run", network="resnet14")
    assert str(error.value) == (
        f"init {str(base)!r}: a checkpoint of another network: resnet8, expected resnet14"
    )
    with pytest.raises(CgsimError, match="no weight has the name and shape of one of resnet8"):
        adopt(
            build_network("resnet8", in_channels=1, classes=4, architecture={"width": 20}),
            make_method("none"),
            base,
            "resnet8",
            None,
        )
    assert not (tmp_path / "run").exists()


def test_weights_of_channels_in_another_order_are_refused(dataset, base, tmp_path):
    shuffle = {"gating.shuffle": True}
    with pytest.raises(CgsimError, match=r"its input channels are not shuffled, .* the same gating.shuffle"):
        gated(dataset, base, tmp_path / "run", overrides=shuffle)
    other = gated(dataset, None, tmp_path / "shuffled", overrides=shuffle).run
    with pytest.raises(CgsimError, match="its input channels are shuffled for 4 partitions"):
        gated(dataset, other, tmp_path / "run", overrides=shuffle | {"gating.partitions": 2})
    assert not (tmp_path / "run").exists()
    gated(dataset, other, tmp_path / "run", overrides=shuffle)


@pytest.mark.parametrize(
    ("key", "value", "before"),
    [
        ("order", "after_add", "before_add"),
        ("activation", "relu6", "relu"),
        ("stem_stride", 2, 1),
        ("width", 8, 16),
    ],
)
def test_a_run_of_another_architecture_is_refused(dataset, base, tmp_path, key, value, before):
    with pytest.raises(CgsimError) as error:
        gated(dataset, base, tmp_path / "run", overrides={f"architecture.{key}": value})
    told = f"init {str(base)!r}: trained with architecture.{key} {before!r}, this recipe says {value!r}"
    assert str(error.value) == told
    assert not (tmp_path / "run").exists()


def test_architectures_that_are_written_otherwise_but_mean_the_same_are_taken(base):
    config = checkpoint.read_config(base)
    same = build_network("resnet8", in_channels=1, classes=4, architecture={"order": "before_add"})
    assert not adopt(same, make_method("none"), base, "resnet8", config).kept
    require_same_architecture("x", "efficientnet-lite0", {"dropout": 0.0}, {}, "this recipe says")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("source", METHODS)
def test_only_runs_whose_weights_mean_the_same_are_taken(base, source, method):
    settings = {"divisor": 4} if method == "mixture-of-depths" else {}
    model = build_network("resnet8", method, in_channels=1, classes=4, gating=settings)
    config = checkpoint.read_config(base) | {"method": source}
    begin = (model, make_method(method, settings), base, "resnet8", config)
    if source == "gate-decorator":
        with pytest.raises(CgsimError, match=r"pruned: its norms are gated; .* 'none' .*cgsim merge"):
            adopt(*begin)
        with pytest.raises(CgsimError, match="merged: its layers have fewer channels"):
            adopt(*begin[:4], config | {"merged": {}})
    elif source in ("none", method):
        adopt(*begin)
    else:
        with pytest.raises(CgsimError, match=f"a run of method '{source}', expected 'none'"):
            adopt(*begin)


def test_weights_of_an_imagenet_resnet_need_its_order(tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "resnet18.safetensors"
    shape = {"in_channels": 3, "classes": 4}
    published = build_network("resnet18", **shape).eval()
    save_file({name: value.contiguous() for name, value in published.state_dict().items()}, file)
    method = make_method("none")
    before = build_network("resnet18", **shape, architecture={"order": "before_add"})
    with pytest.raises(CgsimError, match=r"expected --set architecture\.order=after_add"):
        adopt(before, method, file, "resnet18", None)
    begun = build_network("resnet18", **shape).eval()
    adopt(begun, method, file, "resnet18", None)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(begun(x), published(x))


def test_an_ungated_run_of_another_architecture_is_refused(dataset, base, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "load_dataset", lambda _path: dataset)
    other = Recipe(epochs=1, batch_size=16, architecture={"order": "after_add"})
    options = {"network": "resnet8", "recipe": other, "limit": 16, "progress": False}
    run = str(train(data=dataset, output=tmp_path / "run", method="cgnet", **options).run)
    told = f"run {str(base)!r}: trained with architecture.order 'before_add', run {run!r} has 'after_add'"
    common = {"data": "D", "ungated": str(base), "progress": False}
    for command, more in (
        (commands.evaluate_command, {}),
        (commands.record_command, {"output": str(tmp_path / "t.parquet"), "samples": 2}),
    ):
        with pytest.raises(CgsimError) as error:
            command(run, **common, **more)
        assert str(error.value) == told


def test_bases_that_are_none_are_refused(dataset, base, tmp_path):
    for name, message in (("nowhere", "no config.json"), ("untrained", "no checkpoint.safetensors")):
        if name == "untrained":
            (tmp_path / name).mkdir()
            (tmp_path / name / "config.json").write_text((base / "config.json").read_text())
        with pytest.raises(CgsimError, match=message):
            gated(dataset, tmp_path / name, tmp_path / "run")


def test_a_file_of_weights(dataset, base, tmp_path):
    from safetensors.torch import save_file

    weights = checkpoint.weights(checkpoint.read_checkpoint(base)[0])
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / "w.safetensors")
    first = gated(dataset, tmp_path / "w.safetensors", tmp_path / "one")
    second = gated(dataset, base, tmp_path / "two")
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name])
    assert checkpoint.read_config(first.run)["init"]["config"] is None


def version_1(config):
    """A configuration as version 1 wrote it."""
    recipe = {key: value for key, value in config["recipe"].items() if key not in ("method", "gating")}
    for key in ("architecture", "optimizer", "ema_decay", "label_smoothing"):
        del recipe[key]
    recipe |= {"order": "before_add", "partitions": 4, "target": 1.0, "threshold_weight": 0.0001}
    recipe |= {"alpha": 2.0, "sparse_backprop": True, "norm": "after", "shuffle": False}
    old = {key: value for key, value in config.items() if key not in ("init", "teacher")}
    return old | {"version": 1, "recipe": recipe, "recipe_name": "short"}


@pytest.mark.parametrize("method", ["none", "cgnet"])
def test_runs_of_version_1_are_read(dataset, tmp_path, method):
    recipe = Recipe(epochs=1, batch_size=16, architecture={"order": "before_add"})
    run = tmp_path / "run"
    train(data=dataset, output=run, method=method, network="resnet8", recipe=recipe, progress=False)
    config = checkpoint.read_config(run)
    (run / "config.json").write_text(json.dumps(version_1(config)))
    tensors, state = checkpoint.read_checkpoint(run)
    for row in state["history"]:
        del row["kind"]
    from safetensors.torch import save_file

    save_file(tensors, run / "checkpoint.safetensors", {"cgsim.state": json.dumps(state)})
    read = checkpoint.read_config(run)
    assert read["recipe_name"] == f"{method}-short"
    assert read["recipe"]["architecture"] == {"order": "before_add"}
    if method == "cgnet":
        assert read["recipe"]["gating"]["norm_variant"] == "after"
    _model, _config, state = load_model(run)
    assert state["history"][0]["kind"] == "train"
