"""One dense and one gated bar per layer, stacked: what figures of cycles and of energy have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from cgsim.engine.columns import MODES
from cgsim.results import style
from cgsim.results.figures.layer_sums import LayerSums
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHIFTS = (-0.2, 0.2)
"""Of the dense bar above and the gated one below, in rows."""


@dataclass(frozen=True)
class Part:
    """A part of the bars: the columns that it adds up, without their mode, and its look."""

    columns: tuple[str, ...]
    label: str
    colour: str
    hatch: str = ""

    def of(self, sums: dict[str, np.ndarray], mode: str) -> np.ndarray:
        """Its values."""
        return np.asarray(sum(sums[f"{mode}_{column}"] for column in self.columns))


def needs_of(parts: Sequence[Part]) -> list[str]:
    """Columns that the parts are made of."""
    return [f"{mode}_{column}" for part in parts for column in part.columns for mode in MODES]


def stacked(
    sums: LayerSums, parts: Sequence[Part], gains: np.ndarray, scale: float, ticks: Callable[[float], str]
) -> tuple[Figure, Axes]:
    """Draw the bars, means per image x `scale`; behind each gated one `gains`, [layers].

    Layers go from top to bottom in execution order. The legend lists parts of more than 0.1 % of it all.
    """
    figure = style.Plot(7.2, 1.6 + 0.27 * len(sums.names))
    axes = figure.add_subplot()
    position = np.arange(len(sums.names), dtype=float)
    shown: list[Patch] = []
    start = {mode: np.zeros(len(sums.names)) for mode in MODES}
    every = sum(float(part.of(sums.layers, mode).sum()) for part in parts for mode in MODES)
    for part in parts:
        used = 0.0
        for mode, shift in zip(MODES, _SHIFTS, strict=True):
            values = scale * part.of(sums.layers, mode) / sums.samples
            axes.barh(position + shift, values, 0.36, left=start[mode], color=part.colour, hatch=part.hatch,
                      edgecolor="white" if part.hatch else part.colour, linewidth=0)  # fmt: skip
            start[mode] += values
            used += float(part.of(sums.layers, mode).sum())
        if used > 0.001 * every:
            patch = Patch(facecolor=part.colour, hatch=part.hatch, edgecolor="white", linewidth=0)
            patch.set_label(part.label)
            shown.append(patch)
    longest = max(start["dense"].max(), start["gated"].max())
    for mode, shift in zip(MODES, _SHIFTS, strict=True):
        for row, end in enumerate(start[mode]):
            gain = f" {gains[row]:.2f}×" if mode == "gated" else ""
            text = f" {mode}{gain}" if row == 0 else gain
            axes.text(end, row + shift, text, fontsize=style.SMALL - 1.5, va="center", ha="left")
    axes.set_yticks(position, [shorten(name, 26) for name in sums.names])
    axes.set_ylim(len(sums.names) - 0.45, -0.55)
    axes.set_xlim(0, 1.1 * (longest or 1))
    axes.xaxis.set_major_formatter(lambda value, _: ticks(value))
    figure.legend(handles=shown, fontsize=style.SMALL, loc="outside lower center", ncols=4, frameon=False)
    return figure, axes
