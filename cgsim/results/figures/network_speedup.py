"""Speedup against FLOP reduction, a point for each run: networks, methods, accelerators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from cgsim.errors import CgsimError
from cgsim.results import labels, style
from cgsim.results.certainty import BOUNDS
from cgsim.results.figures.columns import names_of, numbers, taken
from cgsim.results.figures.error_bars import Bounds, bar_boxes, draw_bars
from cgsim.results.figures.ideal import BARS, X, Y, draw_ideal, left_of
from cgsim.results.figures.network_looks import groups_of, short_names
from cgsim.results.statistics import ratio_intervals
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table

_MOST_NAMED = 24
"""Points that are named; among more, names hide points."""
_COUNTED = ("dense_macs", "gated_macs", "dense_cycles", "gated_cycles")
_COMPARED = ("macs", "latency_cycles")


def speedup_of_networks(
    table: Table,
    samples: Table | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw speedup against FLOP reduction, a point for each run of a sweep or comparison.

    Colours and marks tell methods apart if the table has them, else traces. Runs that failed are left out.

    Args:
        table: a row per run: `trace`, `speedup`, `flop_reduction`; result of `cgsim.sweep`, or the rows of
            `cgsim.compare`.
        samples: a row per run and sample, with the same column `row`: `samples.parquet` of either. Points
            then have bars, 95% confidence intervals over the samples (`speedup_low` and `speedup_high` of
            the table, where it has them, else from the samples).
        path: PNG, SVG or PDF to write.
        title: of the figure.

    Raises:
        CgsimError: a column is missing, no run has both figures, or `path` cannot be written.
    """
    figures = numbers(table, ("flop_reduction", "speedup"), "speedup_vs_flops")
    traces = taken(table, ("trace",), "speedup_vs_flops")["trace"].astype(str)
    x, y = figures["flop_reduction"], figures["speedup"]
    shown = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(shown):
        raise CgsimError("speedup_vs_flops: no run has a finite speedup and FLOP reduction")
    across, up = _bounds(table, samples, shown)
    figure = style.Plot(6.0, 4.6)
    axes = figure.add_subplot()
    high = [max(values[shown].max(), *b[2][np.isfinite(b[2])], 1.2) for values, b in ((x, across), (y, up))]
    top_x, top_y = 1.12 * high[0], 1.12 * high[1]
    top_y = max(top_y, min(top_x, 1.35 * top_y))
    axes.set_xlim(min(0.95, 0.95 * x[shown].min()), top_x)
    axes.set_ylim(0, top_y)
    ends = draw_ideal(axes, top_x, top_y)
    groups, looks = groups_of(table, traces)
    draw_bars(axes, across, up, colour="#555555")
    for group in dict.fromkeys(groups[shown].tolist()):
        own, look = shown[groups[shown] == group], looks[group]
        inside, edge = ("none", look.colour) if look.hollow else (look.colour, "white")
        axes.scatter(x[own], y[own], s=look.size**2, marker=look.mark, facecolors=inside, edgecolors=edge,
                     linewidths=1.2 if look.hollow else 0.6, zorder=5, label=shorten(group, 40))  # fmt: skip
    if np.isfinite([*across[1:], *up[1:]]).any():
        axes.plot([], [], color="#555555", linewidth=0.9, marker="_", markersize=3, label=BARS)
    style.dress(axes, title=title or "speedup against FLOP reduction", x=X, y=Y)
    figure.legend(fontsize=style.SMALL, loc="outside lower center", ncols=2, frameon=False)
    names = short_names(table, traces, groups, shown)
    if any(names) and len(shown) <= _MOST_NAMED:
        page = labels.Page(axes)
        obstacles = [page.around(x[i], y[i], 4.0) for i in shown] + [left_of(page, *end) for end in ends]
        obstacles += bar_boxes(page, across, up)
        points = [(float(x[i]), float(y[i]), 3.5) for i in shown]
        labels.place(axes, page, [shorten(name, 30) for name in names], points, obstacles)
    if path is not None:
        style.write(figure, path)
    return figure


def _bounds(table: Table, samples: Table | None, shown: np.ndarray) -> tuple[Bounds, Bounds]:
    """Return FLOP reduction and speedup of the rows shown, [K] each, with bounds that may be NaN."""
    made = np.full((2, 3, len(shown)), np.nan)
    made[0, 0], made[1, 0] = (np.asarray(table[name], float)[shown] for name in ("flop_reduction", "speedup"))
    if samples is not None and "row" in names_of(table):
        columns = taken(samples, ("row", *_needed(samples)), "speedup_vs_flops, samples")
        rows = columns["row"].astype(str)
        for place, key in enumerate(np.asarray(table["row"]).astype(str)[shown]):
            own = rows == key
            if own.any():
                made[:, 1:, place] = made[:, :1, place] * _relative({k: v[own] for k, v in columns.items()})
    if {*BOUNDS} <= {*names_of(table)}:
        made[1, 1:] = [np.asarray(table[name], float)[shown] for name in BOUNDS]
    return (made[0, 0], made[0, 1], made[0, 2]), (made[1, 0], made[1, 1], made[1, 2])


def _needed(samples: Table) -> tuple[str, ...]:
    """Return what to count by: a comparison has one network, not gated and dense side by side."""
    return _COMPARED if "latency_cycles" in names_of(samples) else _COUNTED


def _relative(own: dict[str, np.ndarray]) -> np.ndarray:
    """Return low and high of FLOP reduction and speedup as shares of their values, [2, 2]."""
    if "latency_cycles" in own:  # measured against one network, the same for all samples
        gated = np.stack([own["macs"], own["latency_cycles"]], axis=1).astype(float)
        dense = np.ones_like(gated)
    else:
        dense = np.stack([own["dense_macs"], own["dense_cycles"]], axis=1).astype(float)
        gated = np.stack([own["gated_macs"], own["gated_cycles"]], axis=1).astype(float)
    value, low, high = ratio_intervals(dense, gated, batch=_batch(own))
    return np.stack([low, high], axis=1) / value[:, None]


def _batch(own: dict[str, np.ndarray]) -> int:
    """Return how many samples ran together, at least: samples of a batch have one latency."""
    latency = own.get("latency_cycles", own.get("gated_latency_cycles"))
    changes: np.ndarray = np.flatnonzero(np.diff([] if latency is None else latency)) + 1
    return int(np.gcd.reduce(changes)) if len(changes) else 1
