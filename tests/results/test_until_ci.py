"""`simulate(..., until_ci=...)`: as many samples as it takes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import cgsim
from cgsim.cli import main
from cgsim.errors import CgsimError
from cgsim.simulation import _until
from cgsim.trace import synthesize, tiny_network

SAMPLES = 150


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "tiny.trace.parquet"
    return cgsim.load_trace(synthesize(tiny_network(), path, samples=SAMPLES, density=0.3))


@pytest.fixture(scope="module")
def whole(trace):
    return cgsim.simulate(trace, "edge-16x16")


def target(run, times):
    """A share that this run's interval is `times` as wide as."""
    return run.confidence()["speedup"].relative / times


def test_it_stops_when_it_knows_enough(trace, whole):
    share = target(whole, 0.8)
    run = cgsim.simulate(trace, "edge-16x16", until_ci=share)
    told = run.provenance["until_ci"]
    assert told["reached"]
    assert (told["share"], told["of"], told["level"], told["seed"]) == (share, SAMPLES, 0.95, 0)
    assert told["samples"] == run.samples < SAMPLES
    assert told["relative_half_width"] == run.confidence()["speedup"].relative <= share


def test_it_is_a_run_of_those_samples(trace, whole):
    run = cgsim.simulate(trace, "edge-16x16", until_ci=target(whole, 0.8))
    chosen = run.by_sample()["sample"]
    assert len(set(chosen)) == len(chosen)
    again = cgsim.simulate(trace, "edge-16x16", samples=chosen.tolist())
    pd.testing.assert_frame_equal(run.layers, again.layers)
    assert (run.mapping, run.fused) == (again.mapping, again.fused)


def test_all_samples_may_not_be_enough(trace, whole):
    share = target(whole, 2)
    run = cgsim.simulate(trace, "edge-16x16", until_ci=share, check=True)
    told = run.provenance["until_ci"]
    assert (told["reached"], told["samples"]) == (False, SAMPLES)
    assert told["needed"] == run.samples_needed(share) == pytest.approx(4 * SAMPLES, rel=0.1)
    ours, theirs = run.summary(), whole.summary()
    assert [ours[name] for name in ours] == pytest.approx([theirs[name] for name in theirs], nan_ok=True)


def test_the_order_follows_the_seed(trace, whole):
    share = target(whole, 0.5)
    runs = [cgsim.simulate(trace, "edge-16x16", until_ci=share, seed=seed) for seed in (0, 0, 1)]
    first, same, other = (run.by_sample()["sample"].tolist() for run in runs)
    assert first == same != other
    some = range(100, 150)
    within = cgsim.simulate(trace, "edge-16x16", samples=some, until_ci=share).by_sample()["sample"]
    assert set(within.tolist()) <= set(some)


def test_batches_stay_whole(trace):
    hardware = cgsim.load_hardware("edge-16x16", {"mapping.batch": 4})
    run = cgsim.simulate(trace, hardware, until_ci=0.0001)
    again = cgsim.simulate(trace, hardware, samples=run.by_sample()["sample"].tolist())
    pd.testing.assert_frame_equal(run.layers, again.layers)
    assert run.samples == SAMPLES
    assert run.confidence()["speedup"].samples == -(-SAMPLES // 4)


def test_looks_are_few_and_the_last_batch_is_never_short():
    """Of 102 samples in batches of 4: 32 batches at first are all there are."""
    asked = []

    class ToldError(Exception):
        pass

    def replayed(own):
        asked.append(len(own))
        raise ToldError

    for count in (102, 129, 131, 132):
        with pytest.raises(ToldError):
            _until(0.01, np.arange(count), 4, replayed, None)
    assert asked == [102, 129, 131, 128]


def test_a_trace_of_one_sample(trace):
    told = cgsim.simulate(trace, "edge-16x16", samples=1, until_ci=0.1).provenance["until_ci"]
    assert (told["reached"], told["relative_half_width"], told["needed"]) == (False, None, None)


@pytest.mark.parametrize("share", [0, 1, -0.1, 5])
def test_shares_that_are_none(trace, share):
    with pytest.raises(CgsimError, match=r"until_ci: expected a share between 0 and 1, such as 0\.01, got"):
        cgsim.simulate(trace, "edge-16x16", until_ci=share)


def test_the_command(trace, whole, tmp_path, capsys):
    command = ["simulate", str(trace.path), "--hardware", "edge-16x16", "-o", str(tmp_path)]
    assert main([*command, "--until-ci", f"{100 * target(whole, 0.8)}%"]) == 0
    assert f"of {SAMPLES} samples were enough: the speedup is known to ±" in capsys.readouterr().out
    assert main([*command, "--until-ci", str(target(whole, 2))]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"all {SAMPLES} samples were not enough for ±" in out
    assert "would be needed" in out
    assert main([*command, "--samples", "1", "--until-ci", "1%"]) == 0
    assert "has no confidence interval" in " ".join(capsys.readouterr().out.split())
    assert main([*command, "--until-ci", "1%", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["until_ci"]["share"] == 0.01


@pytest.mark.parametrize("text", ["7", "0", "100%", "one", "nan", "-1%"])
def test_the_command_refuses(trace, text, capsys):
    assert main(["simulate", str(trace.path), "--hardware", "edge-16x16", f"--until-ci={text}"]) == 2
    assert f"expected a share between 0 and 1, such as 1% or 0.01, got '{text}'" in capsys.readouterr().err
