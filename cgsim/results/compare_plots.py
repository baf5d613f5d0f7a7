"""Plots of a comparison: savings, accuracy, latency of all methods; a panel per network and accelerator."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cgsim.errors import CgsimError
from cgsim.results import style
from cgsim.results.compare_methods import Look, is_ungated, look_of, looks, method_of
from cgsim.results.tables import trimmed

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    from cgsim.results.compare import Comparison

PathLike = str | os.PathLike[str]
Row = Mapping[str, Any]
Panel = tuple[str, str, list[Row]]
"""Data set and model, accelerator, rows."""

_ACROSS = 3
"""Panels beside each other, at most."""
_WIDTH, _HEIGHT = 3.5, 3.1
_CLOUD = 400
"""Samples of a trace that are drawn as points; of more, as many at equal distances."""
_UNGATED = Line2D(
    [], [], color=style.BLACK, marker="*", markersize=9, linestyle="none", label="ungated network"
)
_IMAGE = Line2D([], [], color=style.GREY, marker=".", markersize=4, linestyle="none", label="one image")


class ComparisonPlots:
    """The plots of a comparison, as methods; each returns the figure and writes it if given a path."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    def speedup(self, path: PathLike | None = None) -> Figure:
        """Speedup against FLOP reduction: a mark per trace, a small point per image, the ideal as a line."""
        label, ideal = "speedup (cycles)", "ideal: speedup = FLOP reduction"
        return _savings(self._comparison, "speedup", label, ideal, path)

    def offchip(self, path: PathLike | None = None) -> Figure:
        """Reduction of off-chip bytes against FLOP reduction, drawn as `speedup`."""
        label, ideal = "reduction of off-chip bytes", "bytes fall as MACs do"
        return _savings(self._comparison, "offchip_reduction", label, ideal, path)

    def accuracy(self, path: PathLike | None = None) -> Figure:
        """Accuracy against cycles per image; a thin line from the fastest image to the 99th percentile.

        Traces whose accuracy is not known are left out. Raises CgsimError if that leaves none.
        """
        return _accuracy(self._comparison, path)

    def latency(self, path: PathLike | None = None) -> Figure:
        """Latency of every image, as a distribution per trace, with median and 99th percentile."""
        from cgsim.results.compare_latency import latency

        return latency(self._comparison, path)


def panels(comparison: Comparison) -> list[list[Panel]]:
    """Return the panels of each network (data set and model), in the order of the rows."""
    subjects: dict[str, dict[str, list[Row]]] = {}
    for row in comparison.rows:
        subject = ", ".join(filter(None, [row["dataset"], row["model"]]))
        subjects.setdefault(subject, {}).setdefault(str(row["hardware"]), []).append(row)
    return [[(subject, name, rows) for name, rows in own.items()] for subject, own in subjects.items()]


def grid_of(
    comparison: Comparison, height: Callable[[list[Panel]], float], width: float = _WIDTH
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


def _savings(comparison: Comparison, figure_of: str, label: str, ideal: str, path: PathLike | None) -> Figure:
    figure, made = grid_of(comparison, lambda _: _HEIGHT)
    look = looks(comparison.rows)
    for panel, axes, first in made:
        rows = panel[2]
        seen = [(1.0, 1.0)]
        for row in rows:
            own = comparison.samples_of(row)
            x, y = thinned(own["flop_reduction"]), thinned(own[figure_of])
            if _gated(row):
                axes.scatter(
                    x, y, s=4, color=look_of(row).colour, alpha=0.35, linewidths=0, rasterized=True,
                    zorder=2,
                )  # fmt: skip
            seen += [*zip(x, y, strict=True), (row["flop_reduction"], row[figure_of])]
        _series(axes, rows, look, lambda row: (row["flop_reduction"], row[figure_of]))
        axes.plot([1], [1], marker="*", markersize=10, color=style.BLACK, linestyle="none", zorder=6)
        good = np.array([pair for pair in seen if np.isfinite(pair).all()])
        (low_x, low_y), (high_x, high_y) = good.min(axis=0), good.max(axis=0)
        pad_x, pad_y = 0.06 * max(high_x - low_x, 0.2), 0.08 * max(high_y - low_y, 0.2)
        axes.set_xlim(low_x - pad_x, high_x + pad_x)
        axes.set_ylim(low_y - pad_y, max(high_y + pad_y, min(high_x, 1.15 * high_y)))
        axes.axline((1, 1), slope=1, color=style.BLACK, linewidth=1.0, zorder=1)
        axes.axhline(1, color=style.GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        style.dress(axes, title=title(panel), x="FLOP reduction", y=label if first else "")
    line = Line2D([], [], color=style.BLACK, linewidth=1.0, label=ideal)
    return finish(figure, look, [_UNGATED, _IMAGE, line], path)


def _accuracy(comparison: Comparison, path: PathLike | None) -> Figure:
    known = [row for row in comparison.rows if row["accuracy"] is not None]
    if not known:
        raise CgsimError("compare: no trace tells its accuracy; there is nothing to draw against cycles")
    kept = type(comparison)(known, _kept_samples(comparison, known))
    figure, made = grid_of(kept, lambda _: _HEIGHT)
    look = looks(known)
    for panel, axes, first in made:
        rows = panel[2]
        for row in rows:
            latency = kept.samples_of(row)["latency_cycles"]
            ends = [latency.min(), np.percentile(latency, 99)]
            axes.plot(ends, [100 * row["accuracy"]] * 2, color=look_of(row).colour, linewidth=1.0,
                      alpha=0.7, zorder=2)  # fmt: skip
        _series(axes, rows, look, lambda row: (row["cycles"], 100 * row["accuracy"]))
        ungated = {(row["baseline_cycles"], row["baseline_accuracy"]) for row in rows}
        for cycles, accuracy in ungated:
            if accuracy is not None:
                axes.plot([cycles], [100 * accuracy], marker="*", markersize=10, color=style.BLACK,
                          linestyle="none", zorder=6)  # fmt: skip
        best = [100 * accuracy for _, accuracy in ungated if accuracy is not None]
        if best:
            axes.axhline(max(best) - 1, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        axes.margins(0.08, 0.1)
        axes.xaxis.set_major_formatter(lambda value, _: trimmed(value))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        label = "accuracy, whole test set (%)" if first else ""
        style.dress(axes, title=title(panel), x="cycles per image", y=label)
    below = Line2D([], [], color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)),
                   label="1 point below ungated")  # fmt: skip
    span = Line2D([], [], color=style.GREY, linewidth=1.0, label="fastest image to 99th percentile")
    return finish(figure, look, [_UNGATED, below, span], path)


def _series(
    axes: Axes, rows: Sequence[Row], look: Mapping[str, Look], place: Callable[[Row], tuple[float, float]]
) -> None:
    """Draw a mark per row; those of a method are joined in the order of their FLOP reduction."""
    methods: dict[str, list[Row]] = {}
    for row in rows:
        if not is_ungated(row):
            methods.setdefault(method_of(row), []).append(row)
    for method, own in methods.items():
        points = [place(row) for row in sorted(own, key=lambda row: float(row["flop_reduction"]))]
        points = [point for point in points if all(map(math.isfinite, point))]
        if points:
            axes.plot(*zip(*points, strict=True), **look[method].line, zorder=5)


def _gated(row: Row) -> bool:
    return bool(row["gates"]) and row["gates"] != "static"


def _kept_samples(comparison: Comparison, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    parts = [comparison.samples_of(row) for row in rows]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def thinned(values: np.ndarray) -> np.ndarray:
    """Return at most _CLOUD of the values, at equal distances."""
    if len(values) <= _CLOUD:
        return values
    return values[np.linspace(0, len(values) - 1, _CLOUD).astype(int)]
