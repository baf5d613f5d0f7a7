"""Dask: real schedulers and workers, some of which are killed."""

from __future__ import annotations

import os
import signal

import pytest

import cgsim
from cgsim.errors import CgsimError
from cgsim.explore import Plan, SerialExecutor, execute, grid_points
from cgsim.trace import synthesize, tiny_network
from tests.explore import workers
from tests.explore.cluster import cluster

pytest.importorskip("distributed", reason="needs the extra cluster: pip install 'cgsim[cluster]'")

from cgsim.explore.dask_executor import DaskExecutor


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster"), workers=2) as made:
        yield made


@pytest.fixture
def executor(running):
    with DaskExecutor(running.address) as made:
        yield made


def by_key(results):
    return {outcome.key: outcome for found in results for outcome in found}


def test_every_task_is_done_on_a_worker(executor):
    found = by_key(executor.run(workers.echo, (workers.task(str(number)) for number in range(20))))
    assert set(found) == {str(number) for number in range(20)}
    assert os.getpid() not in {outcome.summary["pid"] for outcome in found.values()}
    assert by_key(executor.run(workers.echo, [])) == {}


def test_an_executor_is_used_again_and_closed_early(executor):
    results = executor.run(workers.echo, (workers.task(str(number)) for number in range(100)))
    next(results)
    results.close()
    assert set(by_key(executor.run(workers.echo, [workers.task("again")]))) == {"again"}


def test_a_bug_comes_through(executor):
    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(executor.run(workers.fail, [workers.task("first")]))


def test_a_dead_worker_costs_nothing(executor, tmp_path):
    mark = tmp_path / "died"
    tasks = [workers.task(name, trace=str(mark)) for name in ("first", "second", "third", "fourth")]
    found = by_key(executor.run(workers.die_once, tasks))
    assert {key for key, outcome in found.items() if outcome.summary} == {
        "first", "second", "third", "fourth",
    }  # fmt: skip
    assert mark.exists()


def test_only_the_run_that_kills_its_workers_is_given_up(executor):
    tasks = [workers.task("first"), workers.task("good", "bad", "fine"), workers.task("last")]
    found = by_key(executor.run(workers.die_of_bad, tasks))
    assert set(found) == {"first", "good", "bad", "fine", "last"}
    assert [key for key, outcome in found.items() if outcome.summary is None] == ["bad"]
    assert found["bad"].error == (
        "its worker process ended abruptly each time it was tried, perhaps for want of memory"
    )


def test_a_sweep_whose_worker_is_killed_is_the_same(executor, tmp_path):
    """A worker is killed in the middle by its process number; nothing is lost, and nothing differs."""
    path = synthesize(tiny_network(), tmp_path / "x.trace.parquet", samples=4, density=0.3)
    points = grid_points(
        cgsim.load_hardware("edge-16x16"), {"array.rows": [4, 8, 16, 32], "array.cols": [8, 16]}
    )
    plan = Plan("sweep", {"x": cgsim.load_trace(path)}, points)
    expected = execute(plan, None, SerialExecutor())

    class Killing:
        workers = 2
        killed = False

        def run(self, function, tasks):
            for found in executor.run(function, tasks):
                if not self.killed:
                    self.killed = True
                    pids = executor._client.run(os.getpid)
                    os.kill(next(iter(pids.values())), signal.SIGKILL)
                yield found

    executing = Killing()
    found = execute(plan, tmp_path / "results", executing)
    assert executing.killed
    assert repr(found) == repr(expected)  # NaN is not equal to itself
    spread = execute(plan, None, executor, split_samples=2)
    assert repr(spread) == repr(expected)


def test_nothing_at_the_address():
    with pytest.raises(CgsimError, match=r"^tcp://127.0.0.1:9: no Dask scheduler answers; an address is"):
        DaskExecutor("tcp://127.0.0.1:9", timeout=0.3)
    with pytest.raises(CgsimError, match=r"^nonsense://x: no Dask scheduler answers"):
        DaskExecutor("nonsense://x", timeout=0.3)


def test_no_worker_and_a_lost_scheduler(tmp_path):
    with cluster(tmp_path) as made:
        with pytest.raises(CgsimError, match=r"the Dask scheduler has no worker after 0.2 s$"):
            DaskExecutor(made.address, timeout=0.2)
        made.start(nanny=False)
        with DaskExecutor(made.address) as executor:
            results = executor.run(workers.sleep, [workers.task("first"), workers.task("second")])
            next(results)
            made.processes[0].kill()
            with pytest.raises(CgsimError, match="lost the Dask scheduler"):
                next(results)
