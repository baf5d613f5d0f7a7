"""Where the cycles go: per layer, stacked by phase and stall cause."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cgsim.engine.columns import MODES, PHASES, STALLS
from cgsim.results import naming, style
from cgsim.results.figures.layer_sums import LayerSums
from cgsim.results.figures.stacked_layers import Part, needs_of, stacked
from cgsim.results.phase_colours import PHASE_COLOURS, STALL_COLOURS, STALL_HATCH
from cgsim.results.tables import compact, trimmed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table


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
    parts = _parts(hardware or {"array": {}})
    sums = LayerSums(layers, needs_of(parts), "cycles")
    figure, axes = stacked(sums, parts, sums.layers["speedup"], 1, trimmed)
    dense, gated = (compact(sums.total[f"{mode}_cycles"] / sums.samples) for mode in MODES)
    style.dress(
        axes,
        title=f"{title}: where the cycles go".removeprefix(": "),
        x=f"cycles per image (upper bar dense, in all {dense}; lower bar gated, {gated})",
        grid="x",
    )
    if path is not None:
        style.write(figure, path)
    return figure


def _parts(hardware: Mapping[str, Any]) -> list[Part]:
    """All parts, in the order in which they are stacked."""
    busy = ["base", "conditional", *(name for name in PHASES if name not in ("base", "conditional"))]
    looks = [(name, PHASE_COLOURS[name], "") for name in busy]
    looks += [(f"{name}_stall", STALL_COLOURS[name], STALL_HATCH) for name in STALLS]
    return [
        Part((f"{name}_cycles",), naming.shown(name, hardware), colour, hatch)
        for name, colour, hatch in looks
    ]
