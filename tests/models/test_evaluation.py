"""What an evaluation says of gated layers, and what a network without such MACs leaves out."""

from __future__ import annotations

import pytest

import cgsim
from cgsim.cli import main
from cgsim.models import Recipe, commands, record_command, train

QUICK = Recipe(epochs=1, batch_size=16, rate=0.05, crop_padding=1, flip=False)


@pytest.mark.parametrize(("method", "told"), [("cgnet", True), ("mixture-of-depths", False), ("none", False)])
def test_only_layers_with_macs_have_a_reduction(dataset, tmp_path, monkeypatch, capsys, method, told):
    """A gather of Mixture-of-Depths has gates but no MACs."""
    monkeypatch.setattr(commands, "load_dataset", lambda _path: dataset)
    run, trace = str(tmp_path / "run"), str(tmp_path / "t.parquet")
    options = {"network": "resnet14", "recipe": QUICK, "progress": False, "limit": 32}
    train(data=dataset, output=run, method=method, **options)
    assert main(["evaluate", run, "--data", "D"]) == 0
    out = capsys.readouterr().out
    assert ("in gated layers" in out) == told
    assert ("of the gates on" in out) == (method != "none")
    found = commands.evaluate_command(run, data="D", progress=False)["gated_layers_reduction"]
    assert (found is not None) == told
    record_command(run, data="D", samples=4, output=trace, progress=False)
    about = cgsim.load_trace(trace).metadata.method_parameters
    assert about.get("gated_layers_reduction") == (round(found, 4) if told else None)
    assert ("gated_layers_reduction" in about) == told
