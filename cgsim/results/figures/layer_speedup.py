"""Speedup against FLOP reduction, a point for each layer of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from cgsim.engine.columns import MODES
from cgsim.errors import CgsimError
from cgsim.results import labels, style
from cgsim.results.figures.error_bars import Bounds, bar_boxes, draw_bars
from cgsim.results.figures.ideal import BARS, X, Y, draw_ideal, left_of
from cgsim.results.figures.layer_sums import LayerSums
from cgsim.results.statistics import layer_intervals, ratio_intervals
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table


def speedup_vs_flops(
    layers: Table, path: str | os.PathLike[str] | None = None, *, title: str = "", batch: int = 1
) -> Figure:
    """Draw speedup against FLOP reduction per layer and for the network, with the ideal line.

    Only layers with MACs are drawn. Bars are 95% confidence intervals over the samples, small grey points
    the samples (whole network). Labelled are the total and the layers that matter most: the largest shares
    of MACs and of dense cycles lost to the ideal.

    Args:
        layers: a row per sample and layer: `run.layers`; columns `sample`, `layer`, and of both modes
            `cycles` and `macs`.
        path: PNG, SVG or PDF to write.
        title: what was run, such as "resnet20-cgnet on asic-28nm".
        batch: consecutive samples that ran together (`run.batch`).

    Raises:
        CgsimError: a column is missing, no layer has MACs, or `path` cannot be written.
    """
    sums = LayerSums(layers, (), "speedup_vs_flops")
    own, total = sums.layers, sums.total
    drawn = (own["dense_macs"] > 0) & np.isfinite(own["flop_reduction"]) & np.isfinite(own["speedup"])
    if not drawn.any():
        raise CgsimError("plot: no layer with MACs and a finite FLOP reduction, there is nothing to draw")
    x, y = own["flop_reduction"][drawn], own["speedup"][drawn]
    share = own["dense_macs"][drawn] / max(own["dense_macs"].sum(), 1)
    figure = style.Plot(6.0, 4.6)
    axes = figure.add_subplot()
    whole = (total["flop_reduction"], total["speedup"])
    across, up = (_kept(layer_intervals(sums.columns, name, batch=batch), drawn) for name in _BOTH)
    seen = [pair for pair in (whole, *zip(x, y, strict=True)) if np.isfinite(pair).all()]
    tops = [1.12 * max(1.2, *values) for values in zip(*seen, strict=True)]
    top_x, top_y = (max(top, 1.03 * _highest(bars)) for top, bars in zip(tops, (across, up), strict=True))
    top_y = max(top_y, min(top_x, 1.35 * top_y))
    axes.set_xlim(min(0.95, 0.95 * x.min()), top_x)
    axes.set_ylim(0, top_y)
    ends = draw_ideal(axes, top_x, top_y)
    cloud = (sums.per_sample["flop_reduction"], sums.per_sample["speedup"])
    axes.scatter(
        *cloud, s=5, color=style.GREY, alpha=0.6, linewidths=0, zorder=2, label="one image, whole network"
    )
    sizes = 12 + 500 * share
    axes.scatter(x, y, s=sizes, color=style.SKY, edgecolors=style.BLUE, linewidths=0.8, alpha=0.75, zorder=3,
                 label="layer (area: share of MACs)")  # fmt: skip
    draw_bars(axes, across, up, colour=style.BLACK, width=0.7)
    draw_bars(axes, *_network(sums, batch), colour=style.VERMILLION, width=1.2)
    axes.scatter(*whole, s=130, marker="*", color=style.VERMILLION,
                 edgecolors=style.BLACK, linewidths=0.6, zorder=5, label="whole network")  # fmt: skip
    kept = f"speedup {whole[1]:.2f} of {whole[0]:.2f} ({100 * whole[1] / whole[0]:.0f} % kept)"
    style.dress(axes, title=f"{title}: {kept}".removeprefix(": "), x=X, y=Y)
    if np.isfinite([*across[1:], *up[1:]]).any():
        axes.plot([], [], color=style.BLACK, linewidth=0.9, marker="_", markersize=3, label=BARS)
    figure.legend(fontsize=style.SMALL, loc="outside lower center", ncols=2, frameon=False)
    page = labels.Page(axes)
    chosen = _notable(own, drawn)
    radii = np.sqrt(sizes / np.pi)
    obstacles = [page.around(*point) for point in zip(x, y, radii, strict=True)]
    obstacles += [page.around(*point, 1.5) for point in zip(*cloud, strict=True) if np.isfinite(point).all()]
    obstacles += [page.around(*whole, 6.5)] if np.isfinite(whole).all() else []
    obstacles += bar_boxes(page, across, up)
    obstacles += [left_of(page, *end) for end in ends]
    points = [(float(x[i]), float(y[i]), float(radii[i])) for i in chosen]
    names = [name for name, shown in zip(sums.names, drawn, strict=True) if shown]
    labels.place(axes, page, [shorten(names[i], 22) for i in chosen], points, obstacles)
    if path is not None:
        style.write(figure, path)
    return figure


_BOTH = ("flop_reduction", "speedup")


def _kept(bounds: Bounds, drawn: np.ndarray) -> Bounds:
    value, low, high = (bound[drawn] for bound in bounds)
    return value, low, high


def _highest(bounds: Bounds) -> float:
    return float(max(bounds[2][np.isfinite(bounds[2])], default=0.0))


def _network(sums: LayerSums, batch: int) -> tuple[Bounds, Bounds]:
    """Return the intervals of the whole network's FLOP reduction and speedup, [1] each."""
    own = sums.per_sample
    dense, gated = (np.stack([own[f"{mode}_macs"], own[f"{mode}_cycles"]], axis=1) for mode in MODES)
    value, low, high = ratio_intervals(dense, gated, batch=batch)
    return (value[:1], low[:1], high[:1]), (value[1:], low[1:], high[1:])


def _notable(layers: dict[str, np.ndarray], drawn: np.ndarray, count: int = 3) -> list[int]:
    """Return indices among the drawn layers.

    Most cycles lost to the ideal, most MACs, highest and lowest speedup.
    """
    macs = layers["dense_macs"][drawn]
    ideal = layers["dense_cycles"][drawn] / layers["flop_reduction"][drawn]
    lost = layers["gated_cycles"][drawn] - ideal
    speedup = layers["speedup"][drawn]
    found: list[int] = []
    for figure, wanted in ((lost, count), (macs, count), (speedup, 1), (-speedup, 1)):
        found += [int(i) for i in np.argsort(-figure, kind="stable")[:wanted]]
    return list(dict.fromkeys(found))
