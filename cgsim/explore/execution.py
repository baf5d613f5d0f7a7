"""A plan is executed: what is in the results folder stays, the rest is run, and every outcome is kept."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cgsim.errors import CgsimError
from cgsim.explore.cutting import Cutter
from cgsim.explore.executors import Executor
from cgsim.explore.opened import forget_traces
from cgsim.explore.plan import Plan, Planned
from cgsim.explore.spreading import Spread
from cgsim.explore.stopping import stop_on_terminate
from cgsim.explore.store import Store
from cgsim.explore.tasks import Outcome, run_task


@dataclass
class Executed:
    """What became of the runs of a plan, by their keys (`Planned.key`)."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The figures of `Run.summary`."""
    samples: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """The figures of each sample (`tasks.sample_figures`), int64 [S]."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why there are no figures, in one line."""

    def add(self, outcome: Outcome) -> None:
        """Take in the outcome of a run."""
        if outcome.summary is None:
            self.failed[outcome.key] = outcome.error
        else:
            self.rows[outcome.key] = outcome.summary
            self.samples[outcome.key] = outcome.samples or {}

    def __len__(self) -> int:
        return len(self.rows) + len(self.failed)


def execute(
    plan: Plan,
    folder: Path | None,
    executor: Executor,
    *,
    progress: bool = False,
    check: bool = False,
    retry_failed: bool = False,
    split_samples: int | None = None,
) -> Executed:
    """Run what is missing of a plan; return all of it.

    Args:
        plan: the runs.
        folder: results folder; every outcome is kept in its `parts/` the moment it arrives, and a run that is
            there is not repeated. Runs of other plans in it are left alone. None keeps nothing.
        executor: where the runs happen.
        progress: show a progress bar on the terminal.
        check: verify conservation of cycles, bytes and MACs in every run; runs of the folder that were not
            checked are then repeated.
        retry_failed: run again what failed in the folder.
        split_samples: spread each run over workers, about so many samples for each (whole batches); the
            figures are the same.

    Returns:
        Rows, samples and failures; a run that fails does not stop the others.

    Raises:
        CgsimError: the folder is refused (`Store`), two traces are the same, `split_samples` is not 1 or
            more, or the executor cannot work.
        KeyboardInterrupt: Ctrl-C or SIGTERM; it says how many runs are done, and the folder has them.
    """
    if split_samples is not None and split_samples < 1:
        raise CgsimError(
            f"{plan.name}: split_samples: expected an integer of 1 or more, got {split_samples!r}"
        )
    runs = list(plan.runs())
    forget_traces()
    with (
        stop_on_terminate(),
        nullcontext() if folder is None else Store(folder) as store,
    ):
        known = {} if store is None else store.states([run.key for run in runs])
        todo = [run for run in runs if _wanted(known.get(run.key), check, retry_failed)]
        fresh = Executed()
        try:
            _run(plan, todo, fresh, store, executor, progress, check, split_samples, len(runs))
        except KeyboardInterrupt:
            done = len(runs) - len(todo) + len(fresh)
            again = "" if store is None else "; the same command goes on"
            raise KeyboardInterrupt(f"{done} of {len(runs)} runs done{again}") from None
        missing = [run.key for run in runs if run.key not in fresh.rows and run.key not in fresh.failed]
        old = {} if store is None else store.outcomes(missing)
    whole = Executed()
    for run in runs:  # in the plan's order, whatever the order of arrival
        if run.key in fresh.rows:
            whole.rows[run.key], whole.samples[run.key] = fresh.rows[run.key], fresh.samples[run.key]
        elif run.key in fresh.failed:
            whole.failed[run.key] = fresh.failed[run.key]
        else:
            whole.add(old[run.key])
    return whole


def _wanted(known: Outcome | None, check: bool, retry_failed: bool) -> bool:
    if known is None:
        return True
    if known.summary is None:
        return retry_failed
    return check and not known.checked


def _run(
    plan: Plan,
    todo: list[Planned],
    fresh: Executed,
    store: Store | None,
    executor: Executor,
    progress: bool,
    check: bool,
    split_samples: int | None,
    total: int,
) -> None:
    """Run `todo`, put outcomes into `fresh` and `store` as they come."""
    from tqdm import tqdm

    cutter = Cutter(plan, todo, executor.workers, check)
    spread = None
    if split_samples is not None:
        spread = Spread(plan, todo, split_samples, check, None if store is None else store.pieces)
    if spread is None:
        work, unit, runs = cutter.tasks(), "run", total
    else:
        work, unit, runs = spread.tasks(), "sample", spread.samples + total - len(todo)
    old = total - len(todo)
    bar = tqdm(total=runs, initial=old, disable=not progress, unit=unit, desc=plan.name, dynamic_ncols=True)
    with bar, closing(executor.run(run_task, work)) as arriving:  # type: ignore[type-var]
        for found in arriving:
            for outcome in found:
                whole = outcome if spread is None else spread.add(outcome)
                if whole is not None:
                    if store is not None:
                        store.add(whole)
                    if spread is not None:
                        spread.forget(whole.key)
                    fresh.add(whole)
                    cutter.note(whole)
            bar.update(old + (len(fresh) if spread is None else spread.done) - bar.n)
            if fresh.failed:
                bar.set_postfix_str(f"{len(fresh.failed)} failed")
