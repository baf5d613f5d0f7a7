"""The roofline of a run: what the array and the memory allow, and where the layers lie below."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from cgsim.engine.columns import MODES
from cgsim.errors import CgsimError
from cgsim.results import labels, style
from cgsim.results.figures.layer_sums import LayerSums
from cgsim.results.tables import trimmed
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table

_LOOKS = {"dense": (style.BLUE, "o"), "gated": (style.VERMILLION, "s")}


def roofline(
    layers: Table,
    hardware: Mapping[str, Any],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw MACs per cycle against MACs per off-chip byte: dense and gated points per layer, both roofs.

    MACs are those that are executed. Not drawn are layers without MACs or off-chip bytes.

    Args:
        layers: a row per sample and layer: `run.layers`; of both modes `cycles`, `macs`, `offchip_bytes`.
        hardware: values of its file (`run.provenance["hardware"]`): array and DRAM.
        path: PNG, SVG or PDF to write.
        title: what was run, such as "resnet20-cgnet on asic-28nm".

    Raises:
        CgsimError: a column is missing, no layer is left, or `path` cannot be written.
    """
    sums = LayerSums(layers, [f"{mode}_offchip_bytes" for mode in MODES], "roofline")
    own, total = sums.layers, sums.total
    shown = np.ones(len(sums.names), bool)
    for mode in MODES:
        shown &= (own[f"{mode}_macs"] > 0) & (own[f"{mode}_offchip_bytes"] > 0)
    if not shown.any():
        raise CgsimError("plot: no layer with MACs and off-chip bytes, there is nothing to draw")
    points = {mode: _points(own, mode, shown) for mode in MODES}
    peak = int(hardware["array"]["rows"]) * int(hardware["array"]["cols"])
    bandwidth = bytes_per_cycle(hardware)
    ridge = peak / bandwidth
    every = np.concatenate([np.stack(points[mode]) for mode in MODES], axis=1)
    figure = style.Plot(6.4, 4.8)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    left, right = min(every[0].min() / 2, ridge / 6), 2.5 * max(every[0].max(), ridge)
    axes.set_xlim(left, right)
    axes.set_ylim(min(every[1].min() / 2, peak / 30), 2 * peak)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}" if value < 1 else trimmed(value))
        axis.set_minor_formatter(NullFormatter())
    _roofs(axes, peak, bandwidth, left, right)
    axes.plot([points[mode][0] for mode in MODES], [points[mode][1] for mode in MODES], color="#BBBBBB",
              linewidth=0.6, zorder=2)  # fmt: skip
    stars: list[tuple[float, float]] = []
    for mode in MODES:
        colour, marker = _LOOKS[mode]
        axes.scatter(*points[mode], s=20, marker=marker, color=colour, alpha=0.8, linewidths=0, zorder=3,
                     label=f"{mode}, a layer")  # fmt: skip
        per = [max(total[f"{mode}_{what}"], 1) for what in ("offchip_bytes", "cycles")]
        x, y = (total[f"{mode}_macs"] / each for each in per)
        stars.append((x, y))
        axes.scatter(x, y, s=120, marker="*", color=colour, edgecolors=style.BLACK, linewidths=0.6, zorder=5,
                     label=f"{mode}, whole network")  # fmt: skip
    style.dress(
        axes,
        title=f"{title}: roofline".removeprefix(": "),
        x="executed MACs per off-chip byte",
        y="executed MACs per cycle",
    )
    figure.legend(fontsize=style.SMALL, loc="outside lower center", ncols=4, frameon=False)
    _names(axes, sums, shown, points, stars)
    if path is not None:
        style.write(figure, path)
    return figure


def bytes_per_cycle(hardware: Mapping[str, Any]) -> float:
    """Peak bandwidth of the DRAM of a hardware file's values."""
    if hardware["dram"]["standard"] == "ideal":
        return float(hardware["dram"]["bytes_per_cycle"])
    from cgsim.hardware import Hardware

    return Hardware.from_dict(hardware).dram_bytes_per_cycle


def _points(layers: Mapping[str, np.ndarray], mode: str, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    macs = layers[f"{mode}_macs"][shown]
    return macs / layers[f"{mode}_offchip_bytes"][shown], macs / layers[f"{mode}_cycles"][shown]


def _roofs(axes: Axes, peak: float, bandwidth: float, left: float, right: float) -> None:
    ridge = peak / bandwidth
    x = np.array([left, ridge, right])
    axes.plot(x, np.minimum(peak, x * bandwidth), color=style.BLACK, linewidth=1.2, zorder=1)
    axes.axvline(ridge, color=style.GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.text(right, 1.06 * peak, f"array: {peak:,} MACs per cycle ", fontsize=style.SMALL, ha="right",
              va="bottom")  # fmt: skip
    axes.text(1.06 * left, 1.06 * peak, f"DRAM: {bandwidth:.3g} bytes per cycle", fontsize=style.SMALL,
              ha="left", va="bottom")  # fmt: skip


def _names(
    axes: Axes,
    sums: LayerSums,
    shown: np.ndarray,
    points: Mapping[str, tuple[np.ndarray, np.ndarray]],
    stars: Sequence[tuple[float, float]],
) -> None:
    """Name the gated points of the layers with the most dense cycles, and the lowest and highest."""
    cycles, (x, y) = sums.layers["dense_cycles"][shown], points["gated"]
    chosen = [*np.argsort(-cycles, kind="stable")[:4], np.argmin(y), np.argmax(y), np.argmin(x)]
    names = [name for name, drawn in zip(sums.names, shown, strict=True) if drawn]
    page = labels.Page(axes)
    every = [pair for mode in MODES for pair in zip(*points[mode], strict=True)]
    picked = list(dict.fromkeys(int(i) for i in chosen))
    labels.place(
        axes,
        page,
        [shorten(names[i], 22) for i in picked],
        [(float(x[i]), float(y[i]), 3.0) for i in picked],
        [page.around(*pair, 3.0) for pair in every] + [page.around(*star, 6.5) for star in stars],
    )
