"""Plots of a comparison: savings, accuracy, latency of all methods; a panel per network and accelerator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cgsim.errors import CgsimError
from cgsim.results import style
from cgsim.results.compare_latency import latency
from cgsim.results.compare_methods import Look, is_ungated, look_of, looks, method_of
from cgsim.results.compare_panels import PathLike, Row, finish, grid_of, thinned, title
from cgsim.results.compared import Compared
from cgsim.results.tables import trimmed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHT = 3.1
"""Of a panel, in inches."""
_UNGATED = Line2D(
    [], [], color=style.BLACK, marker="*", markersize=9, linestyle="none", label="ungated network"
)
_IMAGE = Line2D([], [], color=style.GREY, marker=".", markersize=4, linestyle="none", label="one image")


class ComparisonPlots:
    """The plots of a comparison, as methods; each returns the figure and writes it if given a path."""

    def __init__(self, comparison: Compared) -> None:
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
        return latency(self._comparison, path)


def _savings(comparison: Compared, figure_of: str, label: str, ideal: str, path: PathLike | None) -> Figure:
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


def _accuracy(comparison: Compared, path: PathLike | None) -> Figure:
    known = [row for row in comparison.rows if row["accuracy"] is not None]
    if not known:
        raise CgsimError("compare: no trace tells its accuracy; there is nothing to draw against cycles")
    kept = Compared(known, _kept_samples(comparison, known))
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


def _kept_samples(comparison: Compared, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    parts = [comparison.samples_of(row) for row in rows]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
