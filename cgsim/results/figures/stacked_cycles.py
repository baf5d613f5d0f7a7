"""Where the cycles go: per layer, stacked by phase and stall cause."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch

from cgsim.engine.columns import MODES, PHASES, STALLS
from cgsim.results import naming, style
from cgsim.results.figures.layer_sums import LayerSums
from cgsim.results.phase_colours import PHASE_COLOURS, STALL_COLOURS, STALL_HATCH
from cgsim.results.tables import compact, trimmed
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table

_SHIFTS = (-0.2, 0.2)
"""Of the dense bar above and the gated one below, in rows."""


def cycles(
    layers: Table,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    hardware: Mapping[str, Any] | None = None,
) -> Figure:
    """Draw where the cycles go: per layer one dense and one gated bar, stacked by phase and stall cause.

    Bars are means per image. Hatched parts are stalls. Layers go from top to bottom in execution order.

    Args:
        layers: a row per sample and layer: `run.layers`; cycles, and their phases and stalls.
        path: PNG, SVG or PDF to write.
        title: what was run, such as "resnet20-cgnet on asic-28nm".
        hardware: values of its file (`run.provenance["hardware"]`): its dataflow names a phase.

    Raises:
        CgsimError: a column is missing, or `path` cannot be written.
    """
    parts = _parts()
    needs = [f"{mode}_{column}_cycles" for column, _, _ in parts for mode in MODES]
    sums = LayerSums(layers, needs, "cycles")
    total = sums.total
    figure = style.Plot(7.2, 1.6 + 0.27 * len(sums.names))
    axes = figure.add_subplot()
    position = np.arange(len(sums.names), dtype=float)
    shown: list[Patch] = []
    start = {mode: np.zeros(len(sums.names)) for mode in MODES}
    for column, colour, hatch in parts:
        used = 0.0
        for mode, shift in zip(MODES, _SHIFTS, strict=True):
            part = sums.layers[f"{mode}_{column}_cycles"] / sums.samples
            axes.barh(position + shift, part, 0.36, left=start[mode], color=colour, hatch=hatch,
                      edgecolor="white" if hatch else colour, linewidth=0)  # fmt: skip
            start[mode] += part
            used += total[f"{mode}_{column}_cycles"]
        if used > 0.001 * (total["dense_cycles"] + total["gated_cycles"]):
            label = naming.shown(column, hardware or {"array": {}})
            shown.append(Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label, linewidth=0))
    longest = max(start["dense"].max(), start["gated"].max())
    for mode, shift in zip(MODES, _SHIFTS, strict=True):
        for row, end in enumerate(start[mode]):
            gain = f" {sums.layers['speedup'][row]:.2f}×" if mode == "gated" else ""
            text = f" {mode}{gain}" if row == 0 else gain
            axes.text(end, row + shift, text, fontsize=style.SMALL - 1.5, va="center", ha="left")
    axes.set_yticks(position, [shorten(name, 26) for name in sums.names])
    axes.set_ylim(len(sums.names) - 0.45, -0.55)
    axes.set_xlim(0, 1.1 * max(longest, 1))
    axes.xaxis.set_major_formatter(lambda value, _: trimmed(value))
    dense, gated = (compact(total[f"{mode}_cycles"] / sums.samples) for mode in MODES)
    style.dress(
        axes,
        title=f"{title}: where the cycles go".removeprefix(": "),
        x=f"cycles per image (upper bar dense, in all {dense}; lower bar gated, {gated})",
        grid="x",
    )
    figure.legend(handles=shown, fontsize=style.SMALL, loc="outside lower center", ncols=4, frameon=False)
    if path is not None:
        style.write(figure, path)
    return figure


def _parts() -> list[tuple[str, str, str]]:
    """Name in columns, colour and hatch of every part, in the order in which they are stacked."""
    busy = [(name, PHASE_COLOURS[name], "") for name in ("base", "conditional")]
    busy += [(name, PHASE_COLOURS[name], "") for name in PHASES if name not in ("base", "conditional")]
    return busy + [(f"{name}_stall", STALL_COLOURS[name], STALL_HATCH) for name in STALLS]
