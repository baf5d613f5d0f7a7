"""What came out of a run: derived figures, tables, plots and files. Nothing here runs anything."""

from __future__ import annotations

from cgsim.results import figures
from cgsim.results.files import write_json, write_parquet
from cgsim.results.provenance import provenance
from cgsim.results.run import Run

__all__ = ["Run", "figures", "provenance", "write_json", "write_parquet"]
