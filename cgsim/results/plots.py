"""Plots of one run and of a sweep. Each function returns the figure and writes it if given a path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cgsim.engine.columns import MODES, PHASES, STALLS
from cgsim.errors import CgsimError
from cgsim.results import labels, naming, style
from cgsim.results.sweep_plots import speedup_vs_array
from cgsim.results.tables import compact, trimmed
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.counted import CountedRun

__all__ = ["RunPlots", "cycles", "speedup_vs_array", "speedup_vs_flops"]

PathLike = str | os.PathLike[str]

PHASE_COLOURS = {
    "load_weights": style.GREY,
    "base": style.BLUE,
    "decision": style.BLACK,
    "conditional": style.SKY,
    "drain": style.PURPLE,
    "vector": style.GREEN,
}
STALL_COLOURS = {
    "activation_load": style.ORANGE,
    "weight_load": style.VERMILLION,
    "store": style.YELLOW,
    "gate_unit": style.PURPLE,
    "bank_conflict": style.GREEN,
    "group_imbalance": style.SKY,
}
STALL_HATCH = "/////"
_KEPT = (0.75, 0.5, 0.25)


class RunPlots:
    """The plots of a run, as methods (`run.plot`)."""

    def __init__(self, run: CountedRun) -> None:
        self._run = run

    def speedup_vs_flops(self, path: PathLike | None = None) -> Figure:
        """Speedup against FLOP reduction, one point per layer; the area of a point is its share of MACs."""
        return speedup_vs_flops(self._run, path)

    def cycles(self, path: PathLike | None = None) -> Figure:
        """Where the cycles go: stacked bars per layer, dense and gated side by side."""
        return cycles(self._run, path)

    def roofline(self, path: PathLike | None = None) -> Figure:
        """MACs per cycle against MACs per off-chip byte, dense and gated, below what the hardware allows."""
        from cgsim.results.roofline import roofline

        return roofline(self._run, path)


def speedup_vs_flops(run: CountedRun, path: PathLike | None = None) -> Figure:
    """Draw speedup against FLOP reduction per layer, with the ideal line.

    Only layers with MACs are drawn. Small grey points are the samples (whole network). Labelled are the
    total and the layers that matter most: the largest shares of MACs and of dense cycles lost to the ideal.
    Raises CgsimError if no layer has MACs, or if `path` is not png, svg or pdf, or cannot be written.
    """
    layers, samples, total = run.by_layer(), run.by_sample(), run.summary()
    drawn = (
        (layers["dense_macs"] > 0) & np.isfinite(layers["flop_reduction"]) & np.isfinite(layers["speedup"])
    )
    if not drawn.any():
        raise CgsimError("plot: no layer with MACs and a finite FLOP reduction, there is nothing to draw")
    x, y = layers["flop_reduction"][drawn], layers["speedup"][drawn]
    share = layers["dense_macs"][drawn] / max(layers["dense_macs"].sum(), 1)
    figure = style.Plot(6.0, 4.6)
    axes = figure.add_subplot()
    whole = (total["flop_reduction"], total["speedup"])
    seen = [pair for pair in (whole, *zip(x, y, strict=True)) if np.isfinite(pair).all()]
    top_x, top_y = (1.12 * max(1.2, *values) for values in zip(*seen, strict=True))
    top_y = max(top_y, min(top_x, 1.35 * top_y))
    axes.set_xlim(min(0.95, 0.95 * x.min()), top_x)
    axes.set_ylim(0, top_y)
    ends = _efficiency_lines(axes, top_x, top_y)
    axes.axhline(1, color=style.GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    cloud = (samples["flop_reduction"], samples["speedup"])
    axes.scatter(
        *cloud, s=5, color=style.GREY, alpha=0.6, linewidths=0, zorder=2, label="one image, whole network"
    )
    sizes = 12 + 500 * share
    axes.scatter(x, y, s=sizes, color=style.SKY, edgecolors=style.BLUE, linewidths=0.8, alpha=0.75, zorder=3,
                 label="layer (area: share of MACs)")  # fmt: skip
    axes.scatter(*whole, s=130, marker="*", color=style.VERMILLION,
                 edgecolors=style.BLACK, linewidths=0.6, zorder=5, label="whole network")  # fmt: skip
    hardware, trace = run.provenance["hardware"]["name"], run.provenance["trace"]["name"]
    style.dress(
        axes,
        title=f"{trace} on {hardware}: speedup {total['speedup']:.2f} of "
        f"{total['flop_reduction']:.2f} ({100 * total['efficiency']:.0f} % kept)",
        x="FLOP reduction (dense MACs / executed MACs)",
        y="speedup (dense cycles / gated cycles)",
    )
    figure.legend(fontsize=style.SMALL, loc="outside lower center", ncols=2, frameon=False)
    names = [str(name) for name in layers["layer"][drawn]]
    page = labels.Page(axes)
    chosen = _notable(layers, drawn)
    radii = np.sqrt(sizes / np.pi)
    obstacles = [page.around(*point) for point in zip(x, y, radii, strict=True)]
    obstacles += [page.around(*point, 1.5) for point in zip(*cloud, strict=True) if np.isfinite(point).all()]
    obstacles += [page.around(*whole, 6.5)] if np.isfinite(whole).all() else []
    obstacles += [_left_of(page, *end) for end in ends]
    points = [(float(x[i]), float(y[i]), float(radii[i])) for i in chosen]
    labels.place(axes, page, [shorten(names[i], 22) for i in chosen], points, obstacles)
    return _finish(figure, path)


def cycles(run: CountedRun, path: PathLike | None = None) -> Figure:
    """Draw where the cycles go: per layer one dense and one gated bar, stacked by phase and stall cause.

    Bars are means per image. Hatched parts are stalls. Layers go from top to bottom in execution order.
    Raises CgsimError if `path` is not png, svg or pdf, or cannot be written.
    """
    layers, total = run.by_layer(), run.summary()
    names = [str(name) for name in layers["layer"]]
    figure = style.Plot(7.2, 1.6 + 0.27 * len(names))
    axes = figure.add_subplot()
    position = np.arange(len(names), dtype=float)
    shown: list[Patch] = []
    start = {mode: np.zeros(len(names)) for mode in MODES}
    for column, colour, hatch in _parts():
        used = 0
        for mode, shift in zip(MODES, (-0.2, 0.2), strict=True):
            part = layers[f"{mode}_{column}_cycles"] / run.samples
            axes.barh(position + shift, part, 0.36, left=start[mode], color=colour, hatch=hatch,
                      edgecolor="white" if hatch else colour, linewidth=0)  # fmt: skip
            start[mode] += part
            used += total[f"{mode}_{column}_cycles"]
        if used > 0.001 * (total["dense_cycles"] + total["gated_cycles"]):
            label = naming.shown(column, run.provenance["hardware"])
            shown.append(Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label, linewidth=0))
    longest = max(start["dense"].max(), start["gated"].max())
    for mode, shift in zip(MODES, (-0.2, 0.2), strict=True):
        for row, end in enumerate(start[mode]):
            gain = f" {layers['speedup'][row]:.2f}×" if mode == "gated" else ""
            text = f" {mode}{gain}" if row == 0 else gain
            axes.text(end, row + shift, text, fontsize=style.SMALL - 1.5, va="center", ha="left")
    axes.set_yticks(position, [shorten(name, 26) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(0, 1.1 * longest)
    axes.xaxis.set_major_formatter(lambda value, _: trimmed(value))
    hardware, trace = run.provenance["hardware"]["name"], run.provenance["trace"]["name"]
    style.dress(
        axes,
        title=f"{trace} on {hardware}: where the cycles go",
        x=f"cycles per image (upper bar dense, in all {compact(total['dense_cycles_per_image'])}; "
        f"lower bar gated, {compact(total['gated_cycles_per_image'])})",
        grid="x",
    )
    figure.legend(handles=shown, fontsize=style.SMALL, loc="outside lower center", ncols=4, frameon=False)
    return _finish(figure, path)


def _parts() -> list[tuple[str, str, str]]:
    busy = [(name, PHASE_COLOURS[name], "") for name in ("base", "conditional")]
    busy += [(name, PHASE_COLOURS[name], "") for name in PHASES if name not in ("base", "conditional")]
    return busy + [(f"{name}_stall", STALL_COLOURS[name], STALL_HATCH) for name in STALLS]


def _efficiency_lines(axes: Axes, top_x: float, top_y: float) -> list[tuple[float, float]]:
    """Draw y = x, the ideal, and faint lines where 75, 50 and 25 % of the saving is kept.

    Returns where the faint lines leave the plot, which is where their names end.
    """
    far = 2 * max(top_x, top_y)
    ideal = "ideal: speedup = FLOP reduction"
    axes.add_line(Line2D([0, far], [0, far], color=style.BLACK, linewidth=1.1, zorder=1, label=ideal))
    ends = []
    for kept in _KEPT:
        line = Line2D([0, far], [0, kept * far], color="#BBBBBB", linewidth=0.7, linestyle="--", zorder=1)
        axes.add_line(line)
        through_top = kept * top_x > 0.97 * top_y
        ends.append((0.96 * top_y / kept, 0.96 * top_y) if through_top else (top_x, kept * top_x))
        text = f"{100 * kept:.0f} % kept "
        axes.annotate(text, ends[-1], fontsize=style.SMALL - 1, color="#777777", ha="right", va="bottom")
    return ends


def _left_of(page: labels.Page, x: float, y: float) -> labels.Box:
    """Return the place of a "75 % kept" that ends at a data point."""
    right, bottom = page.position(x, y)
    return labels.Box(right - 36, bottom, right, bottom + 9)


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


def _finish(figure: Figure, path: PathLike | None) -> Figure:
    if path is not None:
        style.write(figure, path)
    return figure
