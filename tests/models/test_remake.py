"""The command in a trace's metadata makes the runs again."""

from __future__ import annotations

import shlex

import pytest

import cgsim
from cgsim.cli import build_parser
from cgsim.models import Recipe, checkpoint, commands, load_recipe, train, training
from cgsim.models.remake import recipe_commands

QUICK = Recipe(epochs=1, batch_size=16, rate=0.05, crop_padding=1, flip=False, milestones=(0.5, 0.75))


@pytest.fixture
def chain(dataset, tmp_path):
    common = {"data": dataset, "network": "resnet8", "recipe": QUICK, "progress": False, "limit": 32}
    base, other, run = tmp_path / "base", tmp_path / "other", tmp_path / "run"
    strided = {"architecture.stem_stride": 2}
    train(output=base, method="none", overrides=strided, **common)
    train(output=other, method="none", overrides=strided, seed=9, **common)
    changed = {"gating.target": 0.6, "gating.norm_variant": "separate", **strided}
    train(output=run, overrides=changed, init=base, teacher=other, seed=4, **common)
    return base, other, run


def test_the_whole_chain_is_told(chain):
    base, other, run = (checkpoint.read_config(path) for path in chain)
    told = recipe_commands(run, 8, other).split(" && ")
    assert [command.rsplit(maxsplit=1)[-1] for command in told] == ["RUN0", "RUN1", "RUN", "TRACE"]
    assert "--init RUN1 --teacher RUN0" in told[2]
    assert "--seed 9" in told[0]
    assert "--seed 0" in told[1]
    assert told[3] == "cgsim record RUN --data DATA --samples 8 --ungated RUN0 -o TRACE"
    # One run that is base, teacher and comparison is trained once.
    same = run | {"teacher": run["init"]}
    told = recipe_commands(same, 8, base).split(" && ")
    assert len(told) == 3
    assert "--init RUN0 --teacher RUN0" in told[1]


def test_the_told_commands_make_the_same_configurations(chain, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "load_dataset", lambda path: dataset)
    monkeypatch.chdir(tmp_path)
    _base, other, run = (checkpoint.read_config(path) for path in chain)
    for command in recipe_commands(run, 8, other).split(" && ")[:-1]:
        arguments = build_parser().parse_args([*shlex.split(command)[1:], "--json"])
        arguments.run(arguments)
    again = checkpoint.read_config("RUN")
    for key in ("recipe", "method", "network", "seed", "dataset", "distilled"):
        assert again[key] == run[key]
    for key in ("init", "teacher"):
        assert again[key]["config"]["recipe"] == run[key]["config"]["recipe"]
    for told, path in zip(("RUN1", "RUN0", "RUN"), chain, strict=True):  # not a bit differs
        tensors, before = (checkpoint.read_checkpoint(found)[0] for found in (tmp_path / told, path))
        assert before
        assert tensors.keys() == before.keys()
        assert all((tensors[name] == before[name]).all() for name in before)


def test_a_recipe_by_two_names_is_one_run(chain):
    base, _other, run = (checkpoint.read_config(path) for path in chain)
    assert base["recipe_name"] != "none-short"
    told = recipe_commands(run, 8, base | {"recipe_name": "none-short"}).split(" && ")
    assert [command.rsplit(maxsplit=1)[-1] for command in told] == ["RUN0", "RUN1", "RUN", "TRACE"]
    assert "--init RUN0 --teacher RUN1" in told[2]


@pytest.mark.parametrize(
    ("file", "runs"), [("sha256:0", ["RUN0", "RUN"]), ("sha256:1", ["RUN0", "RUN1", "RUN"])]
)
def test_runs_of_two_files_of_weights_are_two(chain, file, runs):
    base, _other, run = (checkpoint.read_config(path) for path in chain)
    first, second = (
        base | {"init": {"name": "w.pth", "checksum": checksum, "config": None}}
        for checksum in ("sha256:0", file)
    )
    begun = run | {"init": run["init"] | {"config": second}, "teacher": None, "distilled": False}
    told = recipe_commands(begun, 8, first).split(" && ")
    assert [command.rsplit(maxsplit=1)[-1] for command in told] == [*runs, "TRACE"]


def test_version_1_said_only_that_there_was_a_teacher(chain):
    _base, other, run = (checkpoint.read_config(path) for path in chain)
    old = run | {"init": None, "teacher": None}
    told = recipe_commands(old, 8, other)
    assert "--teacher RUN0" in told
    assert told.index("-o RUN0") < told.index("--teacher RUN0")


def test_a_file_of_weights_is_named(chain):
    run = checkpoint.read_config(chain[2])
    about = {"name": "w.pth", "checksum": "sha256:0", "config": None}
    told = recipe_commands(run | {"init": about, "teacher": None, "distilled": False}, 8, None)
    assert "--init WEIGHTS " in told


def test_a_shipped_recipe_is_told_by_its_name(dataset, tmp_path):
    options = {"network": "resnet8", "progress": False, "limit": 32}
    for name, wanted in (("short", "--recipe short"), ("cgnet-paper-postactivation", None)):
        run = tmp_path / name
        train(data=dataset, output=run, recipe=name, overrides={"epochs": 1, "batch_size": 16}, **options)
        told = recipe_commands(checkpoint.read_config(run), 8, None)
        assert (wanted or f"--recipe {name}") in told
        assert told.count("--set") == 1
        assert "--set batch_size=16" in told


def test_metadata_of_a_trace(chain, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "load_dataset", lambda path: dataset)
    base, other, run = map(str, chain)
    output = str(tmp_path / "t.parquet")
    options = {"data": "D", "samples": 6, "ungated": other, "progress": False}
    commands.record_command(run, output=output, **options)
    about = cgsim.load_trace(output).metadata.method_parameters
    wanted = load_recipe(QUICK, {"gating.target": 0.6, "gating.norm_variant": "separate"}, "cgnet").gating
    assert {key: about[key] for key in wanted} == wanted
    assert about["init"] == {
        "name": "base",
        "checksum": checkpoint.checksum(chain[0] / "checkpoint.safetensors"),
    }
    assert about["teacher"]["name"] == "other"
    trace = cgsim.load_trace(output)
    assert about["reference_macs"] == trace.network.dense_macs
    assert "RUN1" in trace.metadata.command
    commands.record_command(base, output=output, data="D", samples=6, progress=False)
    dense = cgsim.load_trace(output)
    assert dense.metadata.method == "dense"
    assert dense.gated_layers == ()
    assert dense.metadata.method_parameters["reference_macs"] == dense.network.dense_macs
