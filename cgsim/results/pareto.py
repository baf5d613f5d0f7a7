"""The plot of a search: every trial, and the front of those that nothing beats."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cgsim.errors import CgsimError, nearest
from cgsim.results import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS = {
    "infeasible": (style.GREY, "x", "a constraint is missed"),
    "feasible": (style.SKY, "o", "feasible"),
    "front": (style.VERMILLION, "D", "Pareto front"),
}


def pareto(
    table: pd.DataFrame,
    objectives: Mapping[str, str],
    path: str | os.PathLike[str] | None = None,
    units: Mapping[str, str] | None = None,
) -> Figure:
    """Draw the trials of a search, a panel for each pair of objectives; of one objective, its course.

    Args:
        table: result of `cgsim.optimize`: columns `trial`, `state` and the objectives.
        objectives: of each, whether "less" or "more" is better.
        path: PNG, SVG or PDF to write.
        units: of the objectives.

    With more than two objectives a point of the front may look beaten in one panel; it is not in another.
    Raises CgsimError if a column is missing, no trial has figures, or `path` cannot be written.
    """
    for name in ("trial", "state", *objectives):
        if name not in table.columns:
            raise CgsimError(f"pareto: column {name!r} is missing{nearest(name, map(str, table.columns))}")
    shown = table[table["state"].isin(list(_LOOKS))]
    if shown.empty:
        raise CgsimError("pareto: no trial has figures")
    names = list(objectives)
    pairs = list(itertools.combinations(names, 2)) or [("trial", names[0])]
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    figure = style.Plot(max(5.4, 3.9 * columns), 3.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (x, y) in zip(panels, pairs, strict=False):
        _panel(axes, shown, x, y, objectives)
        told = {name: _told(name, objectives, units or {}) for name in (x, y)}
        style.dress(axes, title="", x=told[x], y=told[y])
    for axes in panels[len(pairs) :]:
        axes.set_visible(False)
    panels[0].legend(fontsize=style.SMALL, frameon=False)
    if path is not None:
        style.write(figure, path)
    return figure


def _panel(axes: Axes, shown: pd.DataFrame, x: str, y: str, objectives: Mapping[str, str]) -> None:
    for state, (colour, marker, label) in _LOOKS.items():
        own = shown[shown["state"] == state]
        if len(own):
            size = 34 if state == "front" else 20
            axes.scatter(own[x], own[y], s=size, color=colour, marker=marker, label=label, linewidths=1.0)
    front = shown[shown["state"] == "front"].sort_values(x)
    if len(objectives) == 2 and len(front) > 1:
        axes.plot(front[x], front[y], color=_LOOKS["front"][0], linewidth=1.0, alpha=0.6, zorder=0)


def _told(name: str, objectives: Mapping[str, str], units: Mapping[str, str]) -> str:
    if name == "trial":
        return "trial"
    unit = units.get(name, "")
    return f"{name}{f' [{unit}]' if unit not in ('', '1') else ''} ({objectives[name]} is better)"
