"""A plan executed: resumed, interrupted, with failures, with samples spread over tasks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cgsim
from cgsim.errors import CgsimError
from cgsim.explore import Plan, ProcessExecutor, SerialExecutor, execute, grid_points
from cgsim.explore.cutting import Cutter, address
from cgsim.explore.opened import forget_traces, open_trace
from cgsim.explore.pieces import piece_slices
from cgsim.explore.store import done_runs
from cgsim.explore.tasks import SAMPLE_FIGURES, Outcome, run_task
from cgsim.trace import synthesize, tiny_network

ROOT = Path(__file__).parents[2]
TINY = 1 / 1024  # one byte, in KiB
GRID = {"array.rows": [4, 8], "buffers.weight_kib": [144, TINY]}
"""Half of these points fail."""


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    return [
        str(synthesize(tiny_network(), folder / f"{name}.trace.parquet", samples=10, density=density))
        for name, density in (("sparse", 0.1), ("dense", 0.7))
    ]


def plan_of(paths, grid, samples=None):
    points = grid_points(cgsim.load_hardware("edge-16x16"), grid)
    traces = {Path(path).name.partition(".")[0]: cgsim.load_trace(path) for path in paths}
    return Plan("sweep", traces, points, samples)


class Counting(SerialExecutor):
    """Counts the runs that are done, and can be interrupted after some."""

    def __init__(self, stop_after=None):
        self.runs = 0
        self.stop_after = stop_after

    def run(self, function, tasks):
        for task in tasks:
            if self.runs == self.stop_after:
                raise KeyboardInterrupt
            self.runs += len(task.keys)
            yield function(task)


def test_rows_samples_and_failures(paths, tmp_path):
    plan = plan_of(paths, GRID)
    found = execute(plan, tmp_path, SerialExecutor())
    runs = list(plan.runs())
    assert len(found) == len(runs) == 8
    assert list(found.rows) == [run.key for run in runs if run.point.settings["buffers.weight_kib"] == 144]
    assert list(found.failed) == [run.key for run in runs if run.key not in found.rows]
    assert all("buffers.weight_kib needs" in error for error in found.failed.values())
    for run in runs:
        if run.key in found.rows:
            whole = cgsim.simulate(plan.traces[run.trace], run.point.hardware)
            assert repr(found.rows[run.key]) == repr(whole.summary())
            samples = found.samples[run.key]
            assert tuple(samples) == SAMPLE_FIGURES
            for name in ("dense_cycles", "gated_cycles", "gated_macs", "dense_offchip_bytes"):
                assert samples[name].sum() == found.rows[run.key][name]
                assert samples[name].dtype == np.int64
            assert list(samples["sample"]) == list(range(10))


def test_an_interrupted_plan_goes_on_and_repeats_nothing(paths, tmp_path):
    plan = plan_of(paths, GRID)
    expected = execute(plan, None, SerialExecutor())
    with pytest.raises(KeyboardInterrupt, match=r"^3 of 8 runs done; the same command goes on$"):
        execute(plan, tmp_path, Counting(stop_after=3))
    assert len(done_runs(tmp_path, [run.key for run in plan.runs()])) == 3
    with pytest.raises(KeyboardInterrupt, match=r"^5 of 8 runs done; the same"):
        execute(plan, tmp_path, Counting(stop_after=2))
    last = Counting()
    assert repr(execute(plan, tmp_path, last)) == repr(expected)
    assert last.runs == 3
    idle = Counting()
    assert repr(execute(plan, tmp_path, idle)) == repr(expected)
    assert idle.runs == 0
    with pytest.raises(KeyboardInterrupt, match=r"^3 of 8 runs done$"):
        execute(plan, None, Counting(stop_after=3))


def test_other_plans_of_the_folder_are_left_alone(paths, tmp_path):
    small, large = plan_of(paths[:1], {"array.rows": [4]}), plan_of(paths, {"array.rows": [4, 8]})
    execute(small, tmp_path, SerialExecutor())
    counting = Counting()
    assert len(execute(large, tmp_path, counting)) == 4
    assert counting.runs == 3
    assert list(execute(small, tmp_path, Counting(stop_after=0)).rows) == [run.key for run in small.runs()]


def test_failures_are_repeated_when_asked(paths, tmp_path, monkeypatch):
    plan = plan_of(paths[:1], {"array.rows": [4, 8]})

    def broken(*arguments, **options):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("cgsim.explore.tasks.simulate", broken)
        found = execute(plan, tmp_path, SerialExecutor())
    assert [error.partition(" (")[0] for error in found.failed.values()] == ["MemoryError"] * 2
    idle, again = Counting(), Counting()
    assert execute(plan, tmp_path, idle).failed == found.failed
    found = execute(plan, tmp_path, again, retry_failed=True)
    assert (idle.runs, again.runs) == (0, 2)
    assert not found.failed
    assert len(found.rows) == 2


def test_runs_that_were_not_checked_are_checked_when_asked(paths, tmp_path):
    plan = plan_of(paths[:1], {"array.rows": [4, 8]})
    runs = []
    for check in (False, False, True, True, False):
        counting = Counting()
        execute(plan, tmp_path, counting, check=check)
        runs.append(counting.runs)
    assert runs == [2, 0, 2, 0, 0]


def test_processes_in_any_order_give_the_same(paths, tmp_path):
    plan = plan_of(paths, GRID)
    expected = repr(execute(plan, None, SerialExecutor()))
    assert repr(execute(plan, tmp_path, ProcessExecutor(2))) == expected

    class Backwards:
        workers = 1

        def run(self, function, tasks):
            yield from map(function, reversed(list(tasks)))

    assert repr(execute(plan, None, Backwards())) == expected


def test_progress(paths, capsys):
    execute(plan_of(paths, GRID), None, SerialExecutor(), progress=True)
    told = capsys.readouterr().err
    assert "8/8" in told
    assert "4 failed" in told


def test_a_trace_that_changes_fails_and_is_opened_anew(paths, tmp_path):
    path = tmp_path / "x.trace.parquet"
    path.write_bytes(Path(paths[0]).read_bytes())
    plan = plan_of([path], {})

    class Meddler:
        workers = 1

        def run(self, function, tasks):
            for task in tasks:
                path.write_bytes(Path(paths[1]).read_bytes())
                yield function(task)

    (error,) = execute(plan, None, Meddler()).failed.values()
    assert error == f"{path}: changed since the runs began"


def test_traces_at_addresses(paths, tmp_path, monkeypatch):
    """Workers open a trace by its address, wherever they are; a relative path is made absolute for them."""
    import fsspec

    with fsspec.open("memory://there/x.trace.parquet", "wb") as file:
        file.write(Path(paths[0]).read_bytes())
    monkeypatch.chdir(Path(paths[0]).parent)
    expected = None
    for path in ("memory://there/x.trace.parquet", f"file://{paths[0]}", "sparse.trace.parquet"):
        plan = plan_of([path], {})
        (task,) = Cutter(plan, list(plan.runs()), 1, False).tasks()
        assert task.trace == (path if "://" in path else paths[0])
        monkeypatch.chdir(tmp_path)
        (found,) = run_task(task)
        monkeypatch.chdir(Path(paths[0]).parent)
        expected = expected or repr(found.summary)
        assert repr(found.summary) == expected
    assert address("s3://bucket/x") == "s3://bucket/x"


def test_open_traces_are_kept_while_there_is_room(paths, monkeypatch):
    forget_traces()
    sums = [cgsim.load_trace(path).checksum for path in paths]
    first = open_trace(paths[0], sums[0])
    assert open_trace(paths[1], sums[1]) is not first
    assert open_trace(paths[0], sums[0]) is first
    monkeypatch.setattr("cgsim.explore.opened.MOST_BYTES", 1)
    forget_traces()
    second = open_trace(paths[1], sums[1])
    assert open_trace(paths[1], sums[1]) is second  # one is kept however large it is
    open_trace(paths[0], sums[0])
    assert open_trace(paths[1], sums[1]) is not second
    with pytest.raises(CgsimError, match=r"changed since the runs began$"):
        open_trace(paths[0], sums[1])


def test_another_version_of_cgsim_takes_no_part(paths):
    import dataclasses

    plan = plan_of(paths[:1], {})
    (task,) = Cutter(plan, list(plan.runs()), 1, False).tasks()
    (found,) = run_task(dataclasses.replace(task, version="0.0.1"))
    assert found.error == f"the worker has cgsim {cgsim.__version__}, expected 0.0.1"


# Pieces


@given(st.integers(1, 200), st.integers(1, 64), st.integers(1, 16))
def test_pieces_cover_all_samples_and_cut_no_batch(samples, size, batch):
    found = list(piece_slices(samples, size, batch))
    assert [place for piece in found for place in range(samples)[piece]] == list(range(samples))
    assert all(piece.start % batch == 0 for piece in found)
    if len(found) > 1:
        assert all(
            piece.stop - piece.start >= max(batch, size if piece != found[-1] else 1) for piece in found
        )


@pytest.mark.parametrize("chosen", [None, (9, 3, 0, 4, 7, 1, 2)])
@pytest.mark.parametrize("split", [1, 3, 100])
def test_runs_whose_samples_are_spread_are_the_same(paths, tmp_path, chosen, split):
    plan = plan_of(paths[1:], {"mapping.batch": [1, 3, 4], "buffers.weight_kib": [144, TINY]}, chosen)
    whole = execute(plan, None, SerialExecutor(), check=True)
    assert len(whole.rows) == 3
    assert len(whole.failed) == 3

    class Backwards:
        workers = 2

        def run(self, function, tasks):
            yield from map(function, reversed(list(tasks)))

    spread = execute(plan, tmp_path, Backwards(), check=True, split_samples=split)
    assert repr(spread) == repr(whole)
    assert repr(execute(plan, tmp_path, Counting(stop_after=0), check=True)) == repr(whole)


def test_pieces_after_one_that_failed_are_not_sent(paths):
    plan = plan_of(paths[:1], {"buffers.weight_kib": TINY})
    counting = Counting()
    found = execute(plan, None, counting, split_samples=1)
    assert counting.runs == 1
    assert len(found.failed) == 1


@pytest.mark.parametrize("split", [0, -3])
def test_a_bad_split(paths, split):
    with pytest.raises(CgsimError, match=f"split_samples: expected an integer of 1 or more, got {split}$"):
        execute(plan_of(paths, {}), None, SerialExecutor(), split_samples=split)


# The size of tasks


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 8), st.floats(0, 10))
def test_tasks_hold_every_run_once_whatever_they_take(points, workers, seconds):
    plan = plan_of(_PATHS, {"array.rows": list(range(1, points + 1))})
    runs = list(plan.runs())
    cutter = Cutter(plan, runs, workers, True)
    seen = []
    for task in cutter.tasks():
        assert task.check
        if not seen:
            assert len(task.keys) == 1
        assert len(task.keys) <= max(1, (len(runs) - len(seen)) // workers)
        if seconds > 0.5 and len(seen) > 1:
            assert len(task.keys) == 1
        for key in task.keys:
            seen.append(key)
            cutter.note(Outcome(key, {}, seconds=seconds))
    assert seen == [run.key for run in runs]


def test_slow_runs_that_share_the_dense_network_stay_together(paths):
    grid = {"array.rows": list(range(1, 13)), "dma.conditional_fetch": ["on_demand", "eager"]}
    plan = plan_of(paths[:1], grid)
    runs = list(plan.runs())
    cutter = Cutter(plan, runs, 2, False)
    sizes = []
    for task in cutter.tasks():
        sizes.append(len(task.keys))
        assert len({hardware["array"]["rows"] for hardware in task.hardware}) == 1
        cutter.note(Outcome(task.keys[0], {}, seconds=9.0))
    assert sizes == [2] * 11 + [1] * 2  # the last ones alone, so that both workers end together


_PATHS: list[str] = []


@pytest.fixture(autouse=True)
def _known_paths(paths):
    _PATHS[:] = paths


# Ends from outside


SCRIPT = """
import sys
from pathlib import Path
import cgsim
from cgsim.explore import Plan, ProcessExecutor, SerialExecutor, execute, grid_points

if __name__ == "__main__":
    points = grid_points(cgsim.load_hardware("edge-16x16"), {"array.rows": list(range(1, 201))})
    plan = Plan("sweep", {"x": cgsim.load_trace(sys.argv[1])}, points)
    execute(plan, Path(sys.argv[2]), ProcessExecutor(1) if sys.argv[3] == "processes" else SerialExecutor())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sends signals")
@pytest.mark.parametrize(
    ("how", "where"),
    [(signal.SIGINT, "serial"), (signal.SIGTERM, "processes"), (signal.SIGKILL, "serial")],
)
def test_a_process_that_is_ended_keeps_what_it_did(paths, tmp_path, how, where):
    script, results = tmp_path / "script.py", tmp_path / "results"
    script.write_text(SCRIPT)
    journal = results / "parts" / "journal.jsonl"
    process = subprocess.Popen(
        [sys.executable, str(script), paths[0], str(results), where],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        while process.poll() is None and not (journal.exists() and journal.stat().st_size > 20_000):
            time.sleep(0.02)
        assert process.poll() is None
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    points = grid_points(cgsim.load_hardware("edge-16x16"), {"array.rows": list(range(1, 201))})
    plan = Plan("sweep", {"x": cgsim.load_trace(paths[0])}, points)
    done = len(done_runs(results, [run.key for run in plan.runs()]))
    assert 3 <= done < 200
    if how != signal.SIGKILL:
        assert errors.rstrip().endswith(
            f"KeyboardInterrupt: {done} of 200 runs done; the same command goes on"
        )
    counting = Counting()
    found = execute(plan, results, counting)
    assert counting.runs == 200 - done
    assert len(found.rows) == 200


def test_pieces_are_kept_until_their_run_is_whole(paths, tmp_path):
    plan = plan_of(paths[:1], {"mapping.batch": [1, 2]})
    expected = execute(plan, None, SerialExecutor())
    pieces = tmp_path / "parts" / "pieces"
    with pytest.raises(KeyboardInterrupt, match=r"^0 of 2 runs done; the same command goes on$"):
        execute(plan, tmp_path, Counting(stop_after=3), split_samples=2)
    assert len(list(pieces.iterdir())) == 3
    with pytest.raises(KeyboardInterrupt):
        execute(plan, tmp_path, Counting(stop_after=0), split_samples=2, check=True)
    next(pieces.iterdir()).write_bytes(b"damaged")
    last = Counting()
    assert repr(execute(plan, tmp_path, last, split_samples=2)) == repr(expected)
    assert last.runs == 10 - 2  # of five pieces each
    assert not pieces.exists()


def test_pieces_of_runs_that_are_whole_are_cleared_away(paths, tmp_path):
    plan = plan_of(paths[:1], {})
    with pytest.raises(KeyboardInterrupt):
        execute(plan, tmp_path, Counting(stop_after=2), split_samples=4)
    assert len(list((tmp_path / "parts" / "pieces").iterdir())) == 2
    execute(plan, tmp_path, SerialExecutor())  # not spread this time
    assert not (tmp_path / "parts" / "pieces").exists()


def test_all_pieces_are_kept_but_their_run_is_not(paths, tmp_path, monkeypatch):
    plan = plan_of(paths[:1], {})
    expected = execute(plan, None, SerialExecutor())

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("cgsim.explore.spreading.join_pieces", die)
        with pytest.raises(Killed):
            execute(plan, tmp_path, SerialExecutor(), split_samples=5)
    kept = next((tmp_path / "parts" / "pieces").iterdir())
    kept.with_name(kept.name.replace("-0-5", "-5-10")).write_bytes(kept.read_bytes())  # as good as kept
    counting = Counting()
    assert repr(execute(plan, tmp_path, counting, split_samples=5)) == repr(expected)
    assert counting.runs == 1


def test_progress_of_spread_runs_is_in_samples(paths, capsys):
    execute(plan_of(paths, GRID), None, SerialExecutor(), progress=True, split_samples=3)
    told = capsys.readouterr().err
    assert "80/80" in told
    assert "sample" in told


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(paths, tmp_path):
    """A real worker process is killed while the plan runs on two."""
    plan = plan_of(paths, {"array.rows": list(range(1, 21))})
    expected = repr(execute(plan, None, SerialExecutor()))
    killed = []

    class Killing(ProcessExecutor):
        def run(self, function, tasks):
            for count, found in enumerate(super().run(function, tasks)):
                if count == 2:
                    child = multiprocessing.active_children()[0]
                    killed.append(child.pid)
                    child.kill()
                yield found

    assert repr(execute(plan, tmp_path, Killing(2))) == expected
    assert len(killed) == 1
    assert repr(execute(plan, tmp_path, Counting(stop_after=0))) == expected
