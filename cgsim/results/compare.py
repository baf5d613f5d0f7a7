"""A comparison of traces on accelerators, shown as plots and kept as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.results import files
from cgsim.results.compared import DESCRIPTIONS, SAMPLE_DESCRIPTIONS, UNITS, Compared

if TYPE_CHECKING:
    import pandas as pd

    from cgsim.results.compare_plots import ComparisonPlots

TABLE_FILE = "compare.parquet"
SAMPLES_FILE = "samples.parquet"
ABOUT_FILE = "compare.json"


class Comparison(Compared):
    """The result of `cgsim.compare`."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per trace and accelerator."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    @property
    def plot(self) -> ComparisonPlots:
        """Plots: `plot.speedup("speedup.png")`, and so `offchip`, `accuracy` and `latency`."""
        from cgsim.results.compare_plots import ComparisonPlots

        return ComparisonPlots(self)

    def to_json(self) -> dict[str, Any]:
        """Return one JSON object: `rows`, `failed`, `notes`, `units`, `provenance`; unknown: null."""
        return {
            "rows": files.plain(self.rows),
            "failed": self.failed,
            "notes": self.notes,
            "units": self.units,
            "provenance": files.plain(self.provenance),
        }

    def save(self, folder: str | os.PathLike[str]) -> list[str]:
        """Write the three files into `folder`, which is made if missing; return their names.

        Raises CgsimError if it cannot be written.
        """
        target = Path(folder)
        origin = {"provenance": self.provenance}
        columns = {name: _column([row[name] for row in self.rows]) for name in self.rows[0]}
        files.write_parquet(target / TABLE_FILE, columns, self.units, origin, DESCRIPTIONS)
        files.write_parquet(target / SAMPLES_FILE, self.samples, UNITS, origin, SAMPLE_DESCRIPTIONS)
        about = {key: value for key, value in self.to_json().items() if key != "rows"}
        files.write_json(target / ABOUT_FILE, {"table": TABLE_FILE, "rows": len(self.rows), **about})
        return [TABLE_FILE, SAMPLES_FILE, ABOUT_FILE]

    def __repr__(self) -> str:
        traces, hardware = (len({row[key] for row in self.rows}) for key in ("trace", "hardware"))
        return f"Comparison({traces} traces on {hardware} accelerators)"


def _column(values: Sequence[Any]) -> np.ndarray | list[Any]:
    """Return a column for Parquet: figures that a trace does not have are NaN."""
    if all(value is None or isinstance(value, float) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return list(values)
