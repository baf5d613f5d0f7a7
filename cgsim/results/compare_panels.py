"""What the plots of a comparison share: panels, their titles, the legend."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from cgsim.results import style
from cgsim.results.compare_methods import Look

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    from cgsim.results.compared import Compared

PathLike = str | os.PathLike[str]
Row = Mapping[str, Any]
Panel = tuple[str, str, list[Row]]
"""Data set and model, accelerator, rows."""

_ACROSS = 3
"""Panels beside each other, at most."""
_WIDTH = 3.5
_CLOUD = 400
"""Samples of a trace that are drawn as points; of more, as many at equal distances."""


def panels(comparison: Compared) -> list[list[Panel]]:
    """Return the panels of each network (data set and model), in the order of the rows."""
    subjects: dict[str, dict[str, list[Row]]] = {}
    for row in comparison.rows:
        subject = ", ".join(filter(None, [row["dataset"], row["model"]]))
        subjects.setdefault(subject, {}).setdefault(str(row["hardware"]), []).append(row)
    return [[(subject, name, rows) for name, rows in own.items()] for subject, own in subjects.items()]


def grid_of(
    comparison: Compared, height: Callable[[list[Panel]], float], width: float = _WIDTH
) -> tuple[style.Plot, Iterator[tuple[Panel, Axes, bool]]]:
    """Return a figure and its panels with their axes: networks below, accelerators beside each other.

    `height` gives that of the panels of one network, in inches. The flag tells the first panel of a line.
    """
    lines = [
        own[start : start + _ACROSS] for own in panels(comparison) for start in range(0, len(own), _ACROSS)
    ]
    heights = [height(line) for line in lines]
    across = max(map(len, lines))
    figure = style.Plot(max(1.0 + width * across, 4.6), 0.9 + sum(heights))
    grid = figure.add_gridspec(len(lines), across, height_ratios=heights)

    def axes() -> Iterator[tuple[Panel, Axes, bool]]:
        for i, line in enumerate(lines):
            for j, panel in enumerate(line):
                yield panel, figure.add_subplot(grid[i, j]), j == 0

    return figure, axes()


def finish(
    figure: style.Plot, shown: Mapping[str, Look], others: Sequence[Artist], path: PathLike | None
) -> Figure:
    """Add the legend below and write the figure if a path is given."""
    handles = [look.handle(label) for label, look in shown.items()]
    columns = max(2, min(4, int(figure.get_figwidth() / 1.9)))
    figure.legend(
        handles=[*handles, *others], fontsize=style.SMALL, loc="outside lower center", ncols=columns,
        frameon=False,
    )  # fmt: skip
    if path is not None:
        style.write(figure, path)
    return figure


def title(panel: Panel) -> str:
    """Return two short lines: network, accelerator."""
    subject, hardware, _ = panel
    return f"{subject}\n{hardware}"


def thinned(values: np.ndarray) -> np.ndarray:
    """Return at most _CLOUD of the values, at equal distances."""
    if len(values) <= _CLOUD:
        return values
    return values[np.linspace(0, len(values) - 1, _CLOUD).astype(int)]
