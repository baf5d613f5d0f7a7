"""Where the energy goes: per layer, stacked by component."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cgsim.engine.columns import MODES
from cgsim.errors import CgsimError
from cgsim.results import style
from cgsim.results.derive import ratio
from cgsim.results.energy_groups import ENERGY_GROUPS
from cgsim.results.figures.layer_sums import LayerSums
from cgsim.results.figures.stacked_layers import Part, needs_of, stacked
from cgsim.results.phase_colours import ENERGY_COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table

_UJ = 1e-6
"""Of a pJ."""


def energy(layers: Table, path: str | os.PathLike[str] | None = None, *, title: str = "") -> Figure:
    """Draw where the energy goes: per layer one dense and one gated bar, stacked by component.

    Bars are means per image in µJ; the number is the layer's energy reduction.

    Args:
        layers: a row per sample and layer: `run.layers`; cycles, MACs and energies.
        path: PNG, SVG or PDF to write.
        title: what was run, such as "resnet20-cgnet on asic-28nm".

    Raises:
        CgsimError: a column is missing, no energy is known, or `path` cannot be written.
    """
    parts = [
        Part(tuple(f"{name}_energy_pj" for name in names), label, ENERGY_COLOURS[label])
        for label, names in ENERGY_GROUPS.items()
    ]
    sums = LayerSums(layers, [*needs_of(parts), *(f"{mode}_energy_pj" for mode in MODES)], "energy")
    dense, gated = (sums.layers[f"{mode}_energy_pj"] for mode in MODES)
    if not dense.sum() > 0:
        raise CgsimError("energy: not known of this accelerator, it has no table of costs (docs/energy.md)")
    figure, axes = stacked(sums, parts, ratio(dense, gated), _UJ, lambda value: f"{value:g}")
    both = [f"{sums.total[f'{mode}_energy_pj'] * _UJ / sums.samples:.4g}" for mode in MODES]
    style.dress(
        axes,
        title=f"{title}: where the energy goes".removeprefix(": "),
        x=f"µJ per image (upper bar dense, in all {both[0]}; lower bar gated, {both[1]})",
        grid="x",
    )
    if path is not None:
        style.write(figure, path)
    return figure
