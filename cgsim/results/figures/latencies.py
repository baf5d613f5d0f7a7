"""How latency spreads over the images: the share of them that takes no longer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from cgsim.errors import CgsimError
from cgsim.results import style
from cgsim.results.figures.columns import common, names_of, numbers, taken, variant, varied
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table

COLUMNS = {
    "gated_latency_cycles": "gated",
    "dense_latency_cycles": "dense",
    "latency_cycles": "",
}
"""Columns of latencies and what they are of; a comparison has one network for each trace."""
_MOST = 14


def latency(
    samples: Table,
    path: str | os.PathLike[str] | None = None,
    *,
    clock_mhz: float | np.ndarray | None = None,
    title: str = "",
) -> Figure:
    """Draw the distribution of latencies: the share of the samples that take no longer, of every run.

    The circle is the median, the diamond the 99th percentile (linear interpolation, as in the summary).
    Dense execution is dashed.

    Args:
        samples: a row per run and sample: `samples.parquet` of a sweep or comparison, or the columns of
            `cgsim.results.statistics.sample_counts(run)`. `gated_latency_cycles`, `dense_latency_cycles` or
            `latency_cycles`; runs are told apart by `row`, else by `trace` and hardware keys.
        path: PNG, SVG or PDF to write.
        clock_mhz: clock, one for all or one for each row: latencies are then in ms, else in cycles.
        title: of the figure.

    Raises:
        CgsimError: a column is missing, there are more than 14 runs, or `path` cannot be written.
    """
    present = [name for name in COLUMNS if name in names_of(samples)]
    columns = numbers(samples, present or ("gated_latency_cycles",), "latency")
    length = len(next(iter(columns.values())))
    per_unit = 1.0 if clock_mhz is None else 1 / (np.broadcast_to(clock_mhz, length) * 1e3)
    unit = "cycles" if clock_mhz is None else "ms"
    runs = _runs(samples, length)
    if len(runs) > _MOST:
        raise CgsimError(
            f"latency: {len(runs)} runs, expected {_MOST} or fewer: keep some (--where KEY=VALUE)"
        )
    figure = style.Plot(6.2, 3.6 + 0.17 * len(runs) * len(present))
    axes = figure.add_subplot()
    handles: list[Artist] = []
    for number, (name, rows) in enumerate(runs.items()):
        colour = style.LINES[number % len(style.LINES)]
        for column in present:
            values = (columns[column] * per_unit)[rows]
            look: dict[str, Any] = {"color": colour, "linewidth": 1.4, "linestyle": _line(column, number)}
            axes.ecdf(values, **look)
            middle, high = np.median(values), np.percentile(values, 99)
            marks: dict[str, Any] = {
                "color": colour,
                "markeredgecolor": "white",
                "markersize": 6.5,
                "zorder": 5,
            }
            axes.plot([middle], [0.5], marker="o", **marks)
            axes.plot([high], [0.99], marker="D", **marks)
            told = " ".join(filter(None, [shorten(name, 46), COLUMNS[column]]))
            figures = f"median {_told(middle)}, p99 {_told(high)} {unit}"
            handles.append(Line2D([], [], **look, label=f"{told}: {figures}".removeprefix(": ")))
    handles += [
        Line2D([], [], color=style.GREY, marker=mark, linestyle="none", markersize=6, label=label)
        for mark, label in (("o", "median"), ("D", "99th percentile"))
    ]
    axes.set_ylim(0, 1.03)
    axes.margins(x=0.06)
    told = ": ".join(filter(None, [common(samples), "latency of an image"]))
    style.dress(axes, title=title or told, x=f"latency of an image ({unit})",
                y="share of images that take no longer")  # fmt: skip
    wide = max(len(str(handle.get_label())) for handle in handles) > 44
    figure.legend(handles=handles, fontsize=style.SMALL, loc="outside lower center", ncols=1 if wide else 2,
                  frameon=False)  # fmt: skip
    if path is not None:
        style.write(figure, path)
    return figure


def _runs(samples: Table, length: int) -> dict[str, np.ndarray]:
    """Return the rows of each run by its name, in the order of the table."""
    present = names_of(samples)
    keys = varied(samples)
    traces = taken(samples, ("trace",), "latency")["trace"].astype(str) if "trace" in present else None
    several = traces is not None and len(set(traces.tolist())) > 1
    cells = [*keys, *(["trace"] if traces is not None else []), *(["row"] if "row" in present else [])]
    apart = list(zip(*(np.asarray(samples[key]).astype(str).tolist() for key in cells), strict=True))
    places: dict[tuple[str, ...], list[int]] = {}
    for place in range(length):
        places.setdefault(apart[place] if apart else (), []).append(place)
    found: dict[str, np.ndarray] = {}
    for rows in places.values():
        words = [str(traces[rows[0]])] if several and traces is not None else []
        name = ", ".join(filter(None, [*words, variant(samples, rows[0], keys)]))
        while name in found:
            name += "'"
        found[name] = np.array(rows)
    return found


def _line(column: str, number: int) -> Any:
    """Dense is dashed; beyond the colours there are, lines are dotted."""
    if column.startswith("dense"):
        return (0, (4, 2))
    return "-" if number < len(style.LINES) else (0, (1, 1))


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")
