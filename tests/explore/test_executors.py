"""Executors: results in any order, a dead worker, a bug, Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cgsim.errors import CgsimError
from cgsim.explore import ProcessExecutor, SerialExecutor
from cgsim.explore.executors import available_cpus
from tests.explore import workers

ROOT = Path(__file__).parents[2]
TASKS = [workers.task(name) for name in ("first", "second", "third", "fourth")]


def test_serial_runs_in_order_and_in_this_process():
    results = list(SerialExecutor().run(workers.echo, TASKS))
    assert [outcome.key for (outcome,) in results] == [task.keys[0] for task in TASKS]
    assert {outcome.summary["pid"] for (outcome,) in results} == {os.getpid()}


def test_processes_run_every_task_elsewhere():
    results = list(ProcessExecutor(2).run(workers.echo, TASKS))
    assert {outcome.key for (outcome,) in results} == {task.keys[0] for task in TASKS}
    assert os.getpid() not in {outcome.summary["pid"] for (outcome,) in results}
    assert not multiprocessing.active_children()


def by_key(results):
    return {outcome.key: outcome for found in results for outcome in found}


def test_a_dead_worker_costs_nothing(tmp_path):
    mark = str(tmp_path / "died")
    tasks = [workers.task(name, trace=mark) for name in ("first", "second", "third")]
    found = by_key(ProcessExecutor(2).run(workers.die_once, tasks))
    assert set(found) == {"first", "second", "third"}
    assert all(outcome.summary for outcome in found.values())
    assert Path(mark).exists()
    assert not multiprocessing.active_children()


def test_only_the_run_that_kills_its_workers_is_given_up():
    tasks = [workers.task("first"), workers.task("good", "bad", "fine"), workers.task("last")]
    found = by_key(ProcessExecutor(1).run(workers.die_of_bad, tasks))
    assert set(found) == {"first", "good", "bad", "fine", "last"}
    assert [key for key, outcome in found.items() if outcome.summary is None] == ["bad"]
    assert found["bad"].error == (
        "its worker process ended abruptly each time it was tried, perhaps for want of memory"
    )


def test_workers_that_cannot_start_are_told(monkeypatch):
    monkeypatch.setattr("cgsim.explore.process_executor._start_worker", workers.never_start)
    with pytest.raises(CgsimError, match=r"^worker processes end as soon as they start, perhaps for want"):
        list(ProcessExecutor(2).run(workers.echo, TASKS))
    assert not multiprocessing.active_children()


def test_tasks_are_taken_as_there_is_room():
    taken = []

    def tasks():
        for given in TASKS:
            taken.append(given)
            yield given

    results = ProcessExecutor(1).run(workers.echo, tasks())
    next(results)
    assert len(taken) == 1
    assert len([*results]) == 3


def test_processes_are_kept_in_a_block():
    with ProcessExecutor(1) as executor:
        pids = {
            outcome.summary["pid"]
            for _ in range(2)
            for outcome in by_key(executor.run(workers.echo, TASKS)).values()
        }
        assert len(pids) == 1
        results = executor.run(workers.sleep, TASKS)
        next(results)
        results.close()  # what still runs is ended, and the next run has a new process
        assert not multiprocessing.active_children()
        (again,) = by_key(executor.run(workers.echo, TASKS[:1])).values()
        assert again.summary["pid"] not in pids
    assert not multiprocessing.active_children()


def test_a_kept_process_that_died_is_replaced():
    with ProcessExecutor(1) as executor:
        list(executor.run(workers.echo, TASKS[:1]))
        (child,) = multiprocessing.active_children()
        child.kill()
        child.join()
        assert len(by_key(executor.run(workers.echo, TASKS))) == 4


def test_a_bug_comes_through_with_its_note():
    with pytest.raises(ZeroDivisionError) as caught:
        list(ProcessExecutor(1).run(workers.fail, TASKS[:1]))
    assert "with first" in caught.value.__notes__


def test_closing_early_ends_the_processes():
    results = ProcessExecutor(1).run(workers.sleep, TASKS)
    next(results)
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 30
    assert not multiprocessing.active_children()


def test_cpus():
    assert ProcessExecutor().workers == available_cpus() >= 1


SCRIPT = """
import sys
from cgsim.explore import ProcessExecutor
from tests.explore import workers

if __name__ == "__main__":
    tasks = [workers.task(name) for name in ("first", "second", "third")]
    for (outcome,) in ProcessExecutor(1).run(workers.sleep, tasks):
        print(outcome.summary["pid"], flush=True)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.parametrize("how", ["terminal", "parent alone", "parent killed"])
def test_interrupt_leaves_no_process(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout
        worker = int(process.stdout.readline())
        if how == "terminal":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT if how == "parent alone" else signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)
    if how != "parent killed":
        assert errors.count("Traceback") == 1
        assert errors.rstrip().endswith("KeyboardInterrupt")
