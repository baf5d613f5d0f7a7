"""The files of a finished search: the table of trials, and the front with where it comes from."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim import __version__
from cgsim.explore.figures_of_merit import FIGURES
from cgsim.explore.plan import Plan
from cgsim.explore.search import Search
from cgsim.hardware import Hardware
from cgsim.hardware.messages import fields, unit
from cgsim.results.files import write_json, write_parquet
from cgsim.results.provenance import provenance

if TYPE_CHECKING:
    import pandas as pd

TRIALS_FILE = "trials.parquet"
PARETO_FILE = "pareto.json"


def write_search(folder: Path, search: Search, opened: Plan, table: pd.DataFrame, command: str) -> None:
    """Write `trials.parquet` (a row per trial) and `pareto.json` (the front, units, provenance)."""
    known = {key: unit(one) for key, one in fields(Hardware)}
    known |= {name: figure.unit for name, figure in FIGURES.items()} | {"excess": "1"}
    units = {name: known.get(name, "") for name in table.columns}
    about = about_search(search, opened, command)
    columns = {name: table[name].to_numpy() for name in table.columns}
    write_parquet(folder / TRIALS_FILE, columns, units, {"provenance": about})
    front = table[table["state"] == "front"].drop(columns=["state", "error"])
    write_json(
        folder / PARETO_FILE,
        {
            "table": TRIALS_FILE,
            "trials": len(table),
            "states": table["state"].value_counts().to_dict(),
            "front": front.to_dict("records"),
            "units": units,
            "provenance": about,
        },
    )


def about_search(search: Search, opened: Plan, command: str) -> dict[str, Any]:
    """Return the provenance of a search."""
    hardware = search.accelerator
    return {
        "name": search.base.name,
        "traces": {name: provenance(trace, hardware)["trace"] for name, trace in opened.traces.items()},
        "hardware": hardware.to_dict(),
        "vary": {axis.key: axis.told() for axis in search.axes},
        "objectives": {name: FIGURES[name].better for name in search.objectives},
        "constraints": [str(one) for one in search.constraints],
        "trials": search.trials,
        "seed": search.seed,
        "sampler": search.sampler,
        "batch": search.batch,
        "samples": opened.samples,
        "cgsim": __version__,
        "command": command,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
