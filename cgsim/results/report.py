"""A run as a Markdown page: table, plots, off-chip traffic by layer, provenance."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cgsim.engine.columns import MODES, TENSORS
from cgsim.results.derive import ratio
from cgsim.results.files import to_json_text, write_text
from cgsim.results.tables import compact, percent, ratio_text

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
    lines += [*_off_chip(run), ""]
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


_KINDS = {
    "weights": "weights",
    "activations read": "activations_read",
    "residual": "residual",
    "write": "write",
}
"""Columns of the table below, and the part of a tensor's name that tells which tensors each takes."""


def _off_chip(run: Run) -> list[str]:
    """Lines of a table: bytes per image and their reduction, by layer and in total."""
    layers, total = run.by_layer(), run.summary()
    simulated = any(total[f"{mode}_dram_clock"] for mode in MODES)
    names = [*map(str, layers["layer"]), "total"]

    def column(name: str) -> np.ndarray:
        return np.append(layers[name], total[name])

    heads = ["layer"]
    columns = [names]
    for title, part in _KINDS.items():
        dense, gated = (
            np.sum([column(f"{mode}_{tensor}_bytes") for tensor in TENSORS if part in tensor], axis=0)
            for mode in MODES
        )
        heads += [f"{title}, dense", "gated", "reduction"]
        columns += _compared(dense, gated, run.samples)
    heads += ["all, dense", "gated", "reduction", "bursts, dense", "gated"]
    columns += _compared(column("dense_offchip_bytes"), column("gated_offchip_bytes"), run.samples)
    columns += [[compact(n / run.samples) for n in column(f"{mode}_offchip_bursts")] for mode in MODES]
    if simulated:
        heads += ["row hits, dense", "gated"]
        columns += [[percent(share) for share in column(f"{mode}_row_hit_rate")] for mode in MODES]
    rows = [heads, ["---"] + ["--:"] * (len(heads) - 1), *map(list, zip(*columns, strict=True))]
    return ["## Off-chip traffic", "", "Bytes per image.", "", *(f"| {' | '.join(row)} |" for row in rows)]


def _compared(dense: np.ndarray, gated: np.ndarray, samples: int) -> list[list[str]]:
    reductions = [ratio_text(float(value)) for value in ratio(dense, gated)]
    return [[compact(n / samples) for n in dense], [compact(n / samples) for n in gated], reductions]
