"""The search for good accelerators: proposals, runs, and what is best of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.errors import CgsimError
from cgsim.explore.execution import execute
from cgsim.explore.executors import Executor
from cgsim.explore.figures_of_merit import FIGURES, Summary
from cgsim.explore.front import best_of
from cgsim.explore.grid import Point
from cgsim.explore.plan import Plan
from cgsim.explore.process_executor import ProcessExecutor
from cgsim.explore.proposals import Values, make_proposer, space_of
from cgsim.explore.runs import choose_executor
from cgsim.explore.search import TRACE, Search
from cgsim.explore.search_files import write_search
from cgsim.explore.tasks import row_key
from cgsim.hardware import Hardware
from cgsim.results.files import check_folder

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Trial:
    """A proposal of a search and what became of it."""

    number: int
    trace: str
    settings: Values
    figures: dict[str, float] = field(default_factory=dict)
    excess: list[float] = field(default_factory=list)
    error: str = ""
    refused: bool = False
    """The configuration does not exist; nothing was run."""


def optimize(
    search: Search | str | os.PathLike[str] | Mapping[str, Any],
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: bool = False,
    command: str = "",
) -> pd.DataFrame:
    """Search for the accelerators that are best in several figures at once.

    Trials are proposed in batches and run like those of a sweep. The proposals follow from the search and its
    seed alone, and the results folder keeps every run: an interrupted search that is started again proposes
    the same trials, takes the finished ones from the folder, and ends as if it had never stopped.

    Args:
        search: a Search, the path of its YAML file, or its keys.
        workers: processes; all CPUs by default, 1 runs in this process.
        executor: where the runs happen, instead of `workers` processes of this machine.
        output: results folder, for `trials.parquet`, `pareto.json` and the runs.
        progress: show a progress bar on the terminal.
        command: the command line, for the provenance.

    Returns:
        One row for each trial: `trial`, `state`, `trace`, the keys that vary, the figures of objectives and
        constraints, `excess` (over the limit missed most, relative to it) and `error`. States: `front` (no
        other feasible trial is better in one objective and as good in the others), `feasible`, `infeasible`
        (a constraint is missed), `refused` (no valid configuration), `failed`.

    Raises:
        CgsimError: anything in the search is refused, or the output cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM; it says how many trials are done.
    """
    if isinstance(search, Mapping):
        search = Search.from_dict(search)
    elif not isinstance(search, Search):
        search = Search.load(search)
    opened = search.opened()
    folder = None if output is None else Path(output)
    if folder is not None:
        check_folder(folder)
    own = choose_executor(workers, search.batch, search.base.name) if executor is None else executor
    kept = own if executor is None and isinstance(own, ProcessExecutor) else nullcontext()
    with kept:  # the same processes for all batches
        trials = _searched(search, opened, folder, own, progress)
    table = _table(search, trials)
    if folder is not None:
        write_search(folder, search, opened, table, command)
    return table


def _searched(
    search: Search, opened: Plan, folder: Path | None, executor: Executor, progress: bool
) -> list[Trial]:
    from tqdm import tqdm

    proposer = make_proposer(search, space_of(search, opened.traces))
    trials: list[Trial] = []
    known: dict[str, Summary] = {}
    with tqdm(
        total=search.trials, disable=not progress, unit="trial", desc=search.base.name, dynamic_ncols=True
    ) as bar:
        while len(trials) < search.trials:
            asked = proposer.ask(min(search.batch, search.trials - len(trials)))
            if not asked:  # the grid has no more
                break
            batch = [
                Trial(len(trials) + place, values.pop(TRACE, next(iter(opened.traces))), values)
                for place, values in enumerate(asked)
            ]
            try:
                _run(search, opened, batch, known, folder, executor)
            except KeyboardInterrupt:
                again = "" if folder is None else "; the same command goes on"
                raise KeyboardInterrupt(f"{len(trials)} of {search.trials} trials done{again}") from None
            told = [
                [one.figures[name] for name in search.objectives] if one.figures else None for one in batch
            ]
            proposer.tell(told, [one.excess for one in batch])
            trials += batch
            bar.update(len(batch))
    return trials


def _run(
    search: Search,
    opened: Plan,
    batch: list[Trial],
    known: dict[str, Summary],
    folder: Path | None,
    executor: Executor,
) -> None:
    """Run what is not `known` of a batch, each accelerator once, and fill in what became of its trials."""
    accelerators: dict[int, Hardware] = {}
    wanted: dict[str, dict[str, Point]] = {}
    keys: dict[int, str] = {}
    for trial in batch:
        trial.excess = [float("inf")] * len(search.constraints)
        try:
            changed = search.accelerator.override(trial.settings)
        except CgsimError as error:
            trial.error, trial.refused = str(error), True
            continue
        trial.settings = {key: changed.get(key) for key in trial.settings}
        key = row_key(opened.traces[trial.trace], changed, opened.samples)
        accelerators[trial.number], keys[trial.number] = changed, key
        if key not in known:
            wanted.setdefault(trial.trace, {})[key] = Point(trial.settings, changed)
    failed: dict[str, str] = {}
    for name, points in wanted.items():
        plan = Plan(search.base.name, {name: opened.traces[name]}, list(points.values()), opened.samples)
        done = execute(plan, folder, executor)
        known |= done.rows
        failed |= done.failed
    for trial in batch:
        found = keys.get(trial.number)
        if found in known:
            _fill_in(search, trial, known[found], accelerators[trial.number])
        elif found is not None:
            trial.error = failed[found]


def _fill_in(search: Search, trial: Trial, summary: Summary, hardware: Hardware) -> None:
    names = dict.fromkeys([*search.objectives, *(one.name for one in search.constraints)])
    figures = {name: FIGURES[name].value(summary, hardware) for name in names}
    missing = [name for name, value in figures.items() if value != value]
    if missing:
        trial.error = f"the run of trace {trial.trace!r} has no {', '.join(missing)}"
        return
    trial.figures = figures
    trial.excess = [one.excess(figures) for one in search.constraints]


def _table(search: Search, trials: list[Trial]) -> pd.DataFrame:
    import pandas as pd

    feasible = [trial for trial in trials if trial.figures and max(trial.excess, default=0.0) <= 0]
    less = [FIGURES[name].better == "less" for name in search.objectives]
    values = [[trial.figures[name] for name in search.objectives] for trial in feasible]
    best = {trial.number for trial, good in zip(feasible, best_of(values, less), strict=True) if good}
    allowed = {trial.number for trial in feasible}
    figures = dict.fromkeys([*search.objectives, *(one.name for one in search.constraints)])
    rows = []
    for trial in trials:
        if trial.figures:
            state = (
                "front" if trial.number in best else "feasible" if trial.number in allowed else "infeasible"
            )
        else:
            state = "refused" if trial.refused else "failed"
        rows.append(
            {
                "trial": trial.number,
                "state": state,
                "trace": trial.trace,
                **{axis.key: trial.settings[axis.key] for axis in search.axes},
                **{name: trial.figures.get(name, float("nan")) for name in figures},
                "excess": max(trial.excess, default=0.0),
                "error": trial.error,
            }
        )
    return pd.DataFrame(rows)
