"""A run as a Markdown page: table, plots, provenance."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cgsim.results.files import to_json_text, write_text
from cgsim.results.tables import ratio_text

if TYPE_CHECKING:
    from cgsim.results.run import Run


def report(run: Run, path: str | os.PathLike[str], plots: Sequence[str] = ()) -> None:
    """Write the report of a run; `plots` are the names of images beside it.

    Raises CgsimError if `path` cannot be written.
    """
    total = run.summary()
    origin = run.provenance
    trace, hardware = origin["trace"], origin["hardware"]
    metadata = trace["metadata"]
    lines = [
        f"# {trace['name']} on {hardware['name']}",
        "",
        f"Speedup **{ratio_text(total['speedup'])}** at a FLOP reduction of "
        f"**{ratio_text(total['flop_reduction'])}**: efficiency **{ratio_text(total['efficiency'])}**. "
        f"Off-chip traffic falls by a factor of {ratio_text(total['offchip_reduction'])}.",
        "",
        "```text",
        run.table(),
        "```",
        "",
    ]
    lines += [line for name in plots for line in (f"![{name.partition('.')[0]}]({name})", "")]
    lines += [
        "## Provenance",
        "",
        f"- command: `{origin['command']}`" if origin["command"] else "- made through the Python interface",
        f"- cgsim {origin['cgsim']}, {origin['created']}",
        f"- trace: `{trace['path']}`, checksum `{trace['checksum']}`",
        f"- the trace was made by: `{metadata.get('command') or 'unknown'}`",
        "",
        "Hardware:",
        "",
        "```json",
        to_json_text(hardware),
        "```",
        "",
        "Every figure per sample and layer: `layers.parquet`; totals with units: `summary.json`.",
        "",
    ]
    write_text(path, "\n".join(lines))
