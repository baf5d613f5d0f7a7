"""The plot of latencies: gates that depend on the input make latency depend on it, too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cgsim.results import style
from cgsim.results.compare_methods import Look, look_of, looks
from cgsim.results.compare_panels import finish, grid_of, title
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.figure import Figure

    from cgsim.results.compared import Compared

_LINE = 0.30
"""Height of a trace's line, in inches."""
_FEW = 100
"""Up to so many samples every one of them is a point; more are a shape only."""
_NAME = 36


def latency(comparison: Compared, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the latency of all samples: a line per trace, a panel per network and accelerator.

    The shape is a Gaussian kernel density (Scott's rule) from the fastest sample to the slowest, equally
    high for all traces. Beside it stands the 99th percentile over the median. The ungated network is a
    dashed line.
    """
    figure, made = grid_of(comparison, lambda line: 0.75 + _LINE * max(len(rows) for *_, rows in line), 4.2)
    for panel, axes, first in made:
        rows = panel[2]
        for place, row in enumerate(rows):
            per_ms = row["latency_ms_mean"] / comparison.samples_of(row)["latency_cycles"].mean()
            _distribution(axes, place, comparison.samples_of(row)["latency_cycles"] * per_ms, look_of(row))
            axes.annotate(f"{row['latency_spread']:.3f}", (1.01, place), xycoords=("axes fraction", "data"),
                          fontsize=style.SMALL, va="center", ha="left", annotation_clip=False)  # fmt: skip
        for value in sorted({float(row["baseline_latency_ms_mean"]) for row in rows}):
            axes.axvline(value, color=style.BLACK, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
        axes.annotate("p99 /\nmedian", (1.01, 1.0), xycoords="axes fraction", fontsize=style.SMALL - 1,
                      va="bottom", ha="left", color="#555555", annotation_clip=False)  # fmt: skip
        names = [shorten(str(row["trace"]), _NAME) for row in rows] if first else [""] * len(rows)
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.margins(x=0.05)
        style.dress(axes, title=title(panel), x="latency of an image (ms)", grid="x")
    others: list[Artist] = [
        Line2D([], [], color=style.BLACK, linewidth=1.0, linestyle=(0, (4, 2)), label="ungated network"),
        Line2D([], [], color=style.BLACK, marker="|", markersize=9, markeredgewidth=1.6, linestyle="none",
               label="99th percentile; mark: median"),
        Patch(facecolor=style.GREY, alpha=0.45, label="all images: density; points if few"),
    ]  # fmt: skip
    return finish(figure, looks(comparison.rows), others, path)


def _distribution(axes: Axes, place: int, values: np.ndarray, look: Look) -> None:
    """Draw one line: shape, points where they are few, median, 99th percentile."""
    if len(values) > 1 and np.ptp(values) > 1e-9 * values.max():
        parts = axes.violinplot(values, [place], orientation="horizontal", widths=0.75, showextrema=False)
        for body in cast("list[Collection]", parts["bodies"]):
            body.set(facecolor=look.colour, alpha=0.45, linewidth=0, zorder=2)
    if len(values) <= _FEW:
        # Spread over the line by a fixed sequence, so that equal latencies are seen apart.
        up = 0.22 * (2 * (np.arange(len(values)) * 0.618034 % 1) - 1)
        axes.scatter(values, place + up, s=3, color=look.colour, linewidths=0, zorder=3, rasterized=True)
    median, p99 = np.median(values), np.percentile(values, 99)
    axes.plot([p99], [place], marker="|", markersize=11, markeredgewidth=1.6, color=style.BLACK, zorder=4)
    axes.plot([median], [place], **look.line, zorder=5)
