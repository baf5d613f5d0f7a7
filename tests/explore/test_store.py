"""The results folder: what is in it survives any end, and is read back as it was."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cgsim.errors import CgsimError
from cgsim.explore import Outcome
from cgsim.explore.store import Store, done_runs
from cgsim.explore.tasks import row_key
from cgsim.hardware import load_hardware
from cgsim.hardware.tables import FOLDER
from cgsim.trace import load_trace
from cgsim.trace.networks import build_network
from cgsim.trace.synth import synthesize


def outcome(key, **summary):
    figures = {"cycles": 2**60 + 1, "speedup": 0.1 + 0.2, "efficiency": math.nan, "accuracy": None, **summary}
    samples = {"sample": np.arange(3), "gated_cycles": np.array([2**60 + 1, 0, -1])}
    return Outcome(key, figures, samples=samples, checked=True, seconds=0.25)


def failed(key, error="it does not fit"):
    return Outcome(key, None, error)


def same(one, two):
    assert repr(one) == repr(two)  # NaN is not equal to itself, arrays have no truth
    assert one.key == two.key
    if one.summary is not None:
        assert [type(value) for value in one.summary.values()] == [type(v) for v in two.summary.values()]


def parts(folder):
    return sorted(path.name for path in (folder / "parts").glob("*.parquet"))


JOURNAL = "parts/journal.jsonl"


def test_an_outcome_is_on_disk_when_add_returns(tmp_path):
    with Store(tmp_path) as store:
        for made in (outcome("a"), failed("b"), failed("c", "")):
            store.add(made)
            same(done_runs(tmp_path, [made.key])[made.key], made)  # read by someone else
        assert parts(tmp_path) == []


@pytest.mark.parametrize("killed", [True, False])
def test_outcomes_come_back_as_they_were(tmp_path, killed):
    made = {o.key: o for o in (outcome("a"), failed("b"), outcome("c", only_here=5), failed("d", ""))}
    store = Store(tmp_path)
    store.__enter__()
    for one in made.values():
        store.add(one)
    if killed:  # no part is written; the system takes the lock away
        store._journal.close()
        store._lock.release()
        assert parts(tmp_path) == []
    else:
        store.__exit__(None, None, None)
        assert (tmp_path / JOURNAL).read_bytes() == b""
    with Store(tmp_path) as store:
        assert parts(tmp_path) == ["000001.parquet"]
        found = store.outcomes(["a", "b", "c", "d", "e"])
        assert set(found) == set(made)
        assert {key: state.summary is None for key, state in store.states(["a", "b", "e"]).items()} == {
            "a": False,
            "b": True,
        }
        assert store.states(["a"])["a"].checked
    same(found["b"], made["b"])
    same(found["d"], made["d"])
    assert found["a"].summary.pop("only_here") is None  # a column that another run of the part has
    same(found["a"], made["a"])
    same(found["c"], made["c"])


def test_a_torn_line_is_cut_off_and_a_damaged_one_passed_over(tmp_path):
    with Store(tmp_path):
        pass
    journal = tmp_path / JOURNAL
    store = Store(tmp_path)
    store.__enter__()
    for key in "abc":
        store.add(outcome(key))
    store._journal.close()
    store._lock.release()
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (1, 8, 9, 40, len(lines[2]) - 1):
        journal.write_bytes(b"".join(lines[:2]) + lines[2][:cut])
        assert set(done_runs(tmp_path, "abc")) == {"a", "b"}
    damaged = lines[1].replace(b"speedup", b"speedux")
    journal.write_bytes(lines[0] + damaged + lines[2][:40])
    with Store(tmp_path) as store:
        assert set(store.states("abc")) == {"a"}
        store.add(outcome("d"))
        assert set(done_runs(tmp_path, "abcd")) == {"a", "d"}
    assert set(done_runs(tmp_path, "abcd")) == {"a", "d"}


def test_a_torn_line_is_never_continued(tmp_path):
    """The first outcome after a torn line stands on a line of its own."""
    from cgsim.explore.journal import Journal, read_journal

    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append(outcome("a"))
    journal.close()
    path.write_bytes(path.read_bytes() + b"0" * 70_000)  # longer than what is read at once
    journal = Journal(path)
    journal.append(outcome("b"))
    journal.close()
    assert [found.key for found in read_journal(path)] == ["a", "b"]


def test_the_latest_outcome_counts(tmp_path):
    with Store(tmp_path) as store:
        store.add(failed("a"))
    with Store(tmp_path) as store:
        store.add(failed("a", "again"))
        store.add(outcome("a"))
        same(store.outcomes("a")["a"], outcome("a"))
    with Store(tmp_path) as store:
        same(store.outcomes("a")["a"], outcome("a"))
    assert done_runs(tmp_path, "a")["a"].summary is not None


def test_a_long_journal_becomes_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr("cgsim.explore.store.MOST_JOURNAL_BYTES", 1000)
    with Store(tmp_path) as store:
        for number in range(20):
            store.add(outcome(str(number), cycles=number))
        assert len(parts(tmp_path)) > 2
    with Store(tmp_path) as store:
        found = store.outcomes([str(number) for number in range(20)])
    assert {key: one.summary["cycles"] for key, one in found.items()} == {str(n): n for n in range(20)}


@pytest.mark.parametrize("step", ["cgsim.explore.parts.write_json", "cgsim.explore.journal.Journal.clear"])
def test_a_kill_while_a_part_is_made(tmp_path, monkeypatch, step):
    """Before the index names the part, or before the journal is emptied: nothing is lost or double."""
    store = Store(tmp_path)
    store.__enter__()
    store.add(outcome("a"))
    store.add(failed("b"))

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(step, die)
        with pytest.raises(Killed):
            store.compact()
    store._journal.close()
    store._lock.release()
    assert set(done_runs(tmp_path, "ab")) == {"a", "b"}
    with Store(tmp_path) as store:
        found = store.outcomes("ab")
    same(found["a"], outcome("a"))
    same(found["b"], failed("b"))
    listed = json.loads((tmp_path / "parts" / "index.json").read_text())["parts"]
    assert [part["file"] for part in listed] == parts(tmp_path)


def test_what_a_kill_left_unfinished_is_cleared_away(tmp_path):
    left = tmp_path / "parts" / "pieces" / ".a-0-2.parquet.0a1b2c3d.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    with Store(tmp_path):
        assert not left.exists()


def test_two_writers_are_refused(tmp_path):
    with Store(tmp_path):
        with pytest.raises(CgsimError) as caught, Store(tmp_path):
            pass
        assert str(caught.value) == f"{tmp_path}: in use: another cgsim writes to it"
    with Store(tmp_path):
        pass


def test_places_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(CgsimError, match="cannot be made a folder, 'file' is not one"), Store(file):
        pass
    assert done_runs(tmp_path / "none", "a") == {}
    assert not (tmp_path / "none").exists()


def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path):
    store = Store(tmp_path)
    store.__enter__()
    store.add(outcome("a"))

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, line):
            return self.file.write(line[:20])

        def __getattr__(self, name):
            return getattr(self.file, name)

    store._journal._file = Full(store._journal._file)
    with pytest.raises(CgsimError) as caught:
        store.add(outcome("b"))
    assert str(caught.value) == f"{tmp_path / JOURNAL}: cannot be written: the disk is full"
    assert set(done_runs(tmp_path, "ab")) == {"a"}
    store._journal.close()
    store._lock.release()


def test_damaged_folders_are_told(tmp_path):
    with Store(tmp_path) as store:
        store.add(outcome("a"))
    index, part = tmp_path / "parts/index.json", tmp_path / "parts/000001.parquet"
    good = index.read_text(), part.read_bytes()

    def message():
        with pytest.raises(CgsimError) as caught, Store(tmp_path) as store:
            store.outcomes("a")
        return str(caught.value)

    index.write_text("{")
    assert message().startswith(f"{index}: damaged (")
    index.write_text(good[0].replace('"format": 1', '"format": 2'))
    assert message() == f"{index}: format 2, expected 1: it is of another cgsim"
    index.write_text(good[0])
    part.write_bytes(good[1][:-100])
    assert message().startswith(f"{part}: damaged: ")
    part.unlink()
    assert message() == f"{part}: no such file, but index.json beside it names it"


def test_a_run_is_another_one_once_its_table_of_costs_has_changed(tmp_path):
    table = tmp_path / "mine.yaml"
    text = (FOLDER / "28nm.yaml").read_text(encoding="utf-8")
    trace = load_trace(synthesize(build_network("tiny"), tmp_path / "tiny.trace.parquet", samples=1))
    hardware = load_hardware("asic-28nm")
    keys = [row_key(trace, hardware, None)]
    for energy in ("0.59211", "0.3"):
        table.write_text(text.replace("energy_pj: 0.59211", f"energy_pj: {energy}"), encoding="utf-8")
        own = hardware.override({"costs.table": str(table)})
        keys += [row_key(trace, own, None), row_key(trace, own, None)]
    assert keys[1] == keys[2]
    assert keys[3] == keys[4]
    assert len(set(keys)) == 3
