"""Two configurations on the same samples."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import cgsim
from cgsim.cli import main
from cgsim.errors import CgsimError
from cgsim.results.files import write_parquet
from cgsim.results.paired import Side, paired, side_of_run
from cgsim.results.sides import _batch, load_side
from cgsim.results.statistics import COUNTS, sample_counts
from cgsim.trace import synthesize, tiny_network
from tests.results.conftest import HARDWARE, PROVENANCE, make_columns

LENGTH = 40


def side(name, factor=1.0, noise=0.0, samples=LENGTH, seed=0, **changes):
    """Images that differ widely, on a configuration that takes `factor` as long, give or take `noise`."""
    images = np.random.default_rng(7).uniform(500, 1500, samples)
    own = images * factor * (1 + noise * np.random.default_rng(seed).standard_normal(samples))
    return Side(name, {"sample": np.arange(samples), **dict.fromkeys(COUNTS, own)}, **changes)


def test_pairs_tell_what_two_intervals_do_not():
    """Half a percent between images that differ by a factor of three."""
    found = paired(side("a"), side("b", 0.995, 0.005, seed=1))
    assert found.decided
    assert 1.002 < found.speedup.low < found.speedup.value < found.speedup.high < 1.008
    assert found.speedup.value == pytest.approx(1 / 0.995, abs=0.002)
    assert found.faster + found.slower == LENGTH
    assert found.faster > found.slower
    assert found.notes == ()


def test_the_other_way_round():
    first, second = side("a"), side("b", 0.9, 0.05)
    ours, theirs = paired(first, second), paired(second, first)
    assert ours.speedup.low == pytest.approx(1 / theirs.speedup.high, rel=2e-3)
    assert (ours.faster, ours.slower) == (theirs.slower, theirs.faster)


def test_equal_ones_are_not_told_apart():
    found = paired(side("a"), side("b", 1.0, 0.05, seed=3))
    assert not found.decided
    assert found.speedup.low < 1 < found.speedup.high
    same = paired(side("a"), side("a"))
    assert (same.speedup.low, same.speedup.high, same.equal) == (1.0, 1.0, LENGTH)
    assert not same.decided


def test_how_often_equal_ones_are_told_apart():
    """One time in twenty: 1000 trials, 0.05 ± 0.007 if all is well."""
    told = sum(
        paired(side("a"), side("b", 1.0, 0.05, seed=seed), resamples=500, seed=seed).decided
        for seed in range(1000)
    )
    assert 20 <= told <= 80


def test_only_samples_of_both_count_whatever_their_order():
    first, second = side("a"), side("b", 0.5)
    some = np.array([30, 2, 17, 9, 39])
    fewer = Side("b", {name: values[some] for name, values in second.counts.items()})
    found = paired(first, fewer)
    assert (found.samples, found.faster) == (5, 5)
    assert found.speedup.value == pytest.approx(2.0)
    assert found.notes == ("5 samples are in both, of 40 and 5",)


def test_batches_count_as_one():
    assert paired(side("a", batch=4), side("b", 0.9, 0.1, batch=2)).speedup.samples == 10
    assert paired(side("a", batch=4), side("b", 0.9, 0.1, batch=6)).speedup.samples == math.ceil(40 / 12)


def test_one_sample_tells_nothing_of_others():
    found = paired(side("a", samples=1), side("b", 0.5, samples=1))
    assert found.speedup.value == pytest.approx(2.0)
    assert not found.speedup.known
    assert not found.decided


@pytest.mark.parametrize(
    ("first", "second", "changes", "problem"),
    [
        (side("a", data="CIFAR-10, test"), side("b", data="photographs"), {},
         "a and b: their samples are not the same images: CIFAR-10, test, photographs"),
        (side("a"), Side("b", {"sample": np.array([50]), **dict.fromkeys(COUNTS, np.ones(1))}), {},
         "a and b: they have no sample in common"),
        (side("a", trace="x", names="1", of=40), side("b", trace="y", names="2", of=40), {},
         "a and b: two traces whose samples have different names, expected the same images"),
        (side("a", trace="x", names="1", of=64), side("b", trace="y", names="2", of=40), {},
         r"a and b: two traces whose samples \(64 and 40\) have different names"),
        (side("a", trace="x", of=64), side("b", trace="y", of=40), {},
         "a and b: two traces of 64 and 40 samples, whose names are not known: expected the same images"),
        (side("a"), side("b"), {"mode": "gate"}, "mode: expected gated or dense, got 'gate'.*gated"),
        (side("a"), side("b"), {"level": 1.0}, "level: expected a share between 0 and 1"),
    ],
)  # fmt: skip
def test_refusals(first, second, changes, problem):
    with pytest.raises(CgsimError, match=problem):
        paired(first, second, **changes)


def test_two_traces_are_paired_by_position():
    (note,) = paired(side("a", trace="x"), side("b", trace="y")).notes
    assert note.startswith("two traces: samples are paired by position")


def test_traces_of_the_same_images_need_no_note():
    """Two methods, recorded on the same images."""
    assert paired(side("a", trace="x", names="1"), side("b", trace="y", names="1")).notes == ()


def test_runs_know_the_names_of_their_samples(tmp_path):
    """Of a folder, of a row of a sweep, and of an open run alike."""
    made = {
        name: str(
            synthesize(tiny_network(), tmp_path / f"{name}.trace.parquet", samples=n, seed=n, density=d)
        )
        for name, n, d in (("a", 4, 0.3), ("b", 4, 0.5), ("longer", 5, 0.3))
    }
    runs = {name: cgsim.simulate(trace, "edge-16x16") for name, trace in made.items()}
    assert runs["a"].paired(runs["b"]).notes == ()
    with pytest.raises(CgsimError, match=r"whose samples \(4 and 5\) have different names"):
        runs["a"].paired(runs["longer"])
    runs["a"].save(tmp_path / "run")
    cgsim.sweep([made["b"], made["longer"]], "edge-16x16", {}, workers=1, output=tmp_path / "s")
    assert paired(load_side(tmp_path / "run"), load_side(f"{tmp_path / 's'}:0")).notes == ()
    with pytest.raises(CgsimError, match="have different names"):
        paired(load_side(tmp_path / "run"), load_side(f"{tmp_path / 's'}:1"))


@pytest.fixture
def two_runs(make_run, tmp_path):
    """Folders of two runs; all gated cycles of the second are halved, rounded up."""
    columns = make_columns(samples=8)
    faster = columns | {"gated_cycles": -(-columns["gated_cycles"] // 2)}
    make_run(columns).save(tmp_path / "slow")
    make_run(faster).save(tmp_path / "fast")
    return str(tmp_path / "slow"), str(tmp_path / "fast")


def test_runs(two_runs, make_run):
    found = paired(*map(load_side, two_runs))
    assert found.speedup.value == pytest.approx(2.0, rel=1e-3)
    assert found.faster == 8
    columns = make_columns(samples=8)
    run = make_run(columns)
    assert run.paired(run).speedup.value == 1.0
    assert side_of_run(run).name == "resnet20-cgnet on asic-28nm"
    assert side_of_run(run).data == "CIFAR-10 (JPEG copy)"


def test_the_command(two_runs, capsys):
    assert main(["paired", *two_runs]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "The second has the lower latency on 8 of 8 samples" in text
    assert "the second takes fewer cycles than the first" in " ".join(text.split())
    assert main(["paired", *two_runs, "--json", "--mode", "dense"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["speedup"]["value"] == 1.0
    assert (told["mode"], told["samples"], told["equal"], told["decided"]) == ("dense", 8, 8, False)


def test_the_command_says_why_not(two_runs, capsys, tmp_path):
    assert main(["paired", two_runs[0], str(tmp_path / "none")]) == 2
    assert "no such folder, expected one of cgsim simulate, or FOLDER:ROW" in capsys.readouterr().err


@pytest.fixture
def sweep_folder(make_run, tmp_path):
    """`samples.parquet` of two rows, as `cgsim sweep` writes it."""
    table = {"row": [], "trace": []}
    for key, batch, factor in (("aa10", 1, 1), ("aa2f", 2, 3)):
        columns = make_columns(samples=4)
        columns["gated_cycles"] = columns["gated_cycles"] * factor
        hardware = HARDWARE | {"mapping": {"batch": batch}}
        own = sample_counts(make_run(columns, hardware=hardware))
        for name, values in own.items():
            table.setdefault(name, []).extend(values.tolist())
        for name, value in (("row", key), ("trace", "resnet20-cgnet")):
            table[name] += [value] * 4
    arrays = {k: v if isinstance(v[0], str) else np.array(v) for k, v in table.items()}
    origin = {"traces": {"resnet20-cgnet": PROVENANCE["trace"]}}
    write_parquet(tmp_path / "samples.parquet", arrays, {}, {"provenance": origin})
    return tmp_path


@pytest.mark.parametrize(("batch", "samples"), [(1, 5), (2, 5), (4, 5), (5, 5), (3, 9)])
def test_batches_show_in_the_figures(make_run, batch, samples):
    run = make_run(make_columns(samples=samples), hardware=HARDWARE | {"mapping": {"batch": batch}})
    assert _batch(sample_counts(run)) == batch


def test_a_real_sweep(tmp_path):
    trace = synthesize(tiny_network(), tmp_path / "t.trace.parquet", samples=6, density=0.3)
    grid = {"mapping.batch": [1, 2], "array.rows": [8, 16]}
    folder = tmp_path / "sweep"
    table = cgsim.sweep(str(trace), "edge-16x16", grid, workers=1, output=folder)
    cgsim.simulate(str(trace), cgsim.load_hardware("edge-16x16", {"array.rows": 16})).save(tmp_path / "run")
    rows = table.to_dict("records")
    for place, row in enumerate(rows):
        assert load_side(f"{folder}:{place}").batch == row["mapping.batch"]
        found = paired(load_side(f"{folder}:{place}"), load_side(tmp_path / "run"))
        own = next(r for r in rows if r["array.rows"] == 16 and r["mapping.batch"] == 1)
        assert found.speedup.value == pytest.approx(row["gated_cycles"] / own["gated_cycles"])
        assert found.notes == ()


def test_rows_of_a_sweep(sweep_folder):
    first, second = load_side(f"{sweep_folder}:0"), load_side(f"{sweep_folder}:aa2")
    assert (first.batch, second.batch) == (1, 2)
    assert first.trace == second.trace == "00" * 32
    assert first.data == "CIFAR-10 (JPEG copy)"
    found = paired(first, second)
    assert found.speedup.value == pytest.approx(1 / 3)
    assert (found.speedup.samples, found.slower) == (2, 4)


def test_numbers_of_rows_are_those_of_the_table(sweep_folder):
    """It has the runs that failed, too."""
    write_parquet(sweep_folder / "sweep.parquet", {"row": ["aa2f", "ff", "aa10"]}, {}, {})
    assert load_side(f"{sweep_folder}:0").batch == 2
    assert load_side(f"{sweep_folder}:2").batch == 1
    with pytest.raises(CgsimError, match=r"samples\.parquet: row '1' has no samples: its run failed"):
        load_side(f"{sweep_folder}:1")


@pytest.mark.parametrize(
    ("row", "problem"),
    [("", "expected .*:ROW, with a row of the sweep"), (":aa", "2 rows begin with 'aa', expected 0 to 1"),
     (":7", "no row '7', expected 0 to 1 or the beginning of a key")],
)  # fmt: skip
def test_rows_that_are_not_there(sweep_folder, row, problem):
    with pytest.raises(CgsimError, match=problem):
        load_side(f"{sweep_folder}{row}")


def test_samples_of_something_else(tmp_path):
    write_parquet(tmp_path / "samples.parquet", {"row": ["a"], "macs": np.ones(1)}, {}, PROVENANCE)
    with pytest.raises(CgsimError, match="column 'sample' is missing, expected samples of cgsim sweep"):
        load_side(f"{tmp_path}:0")
