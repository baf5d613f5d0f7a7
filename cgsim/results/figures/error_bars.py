"""Bars of 95% confidence intervals beside points."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from cgsim.results import labels

Bounds = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Value, low and high, [K] each; bounds that are not known are NaN."""


def draw_bars(
    axes: Axes, x: Bounds, y: Bounds, *, colour: str, width: float = 0.9, zorder: float = 4
) -> None:
    """Draw a cross of two bars at each point; none where a bound is not known."""
    for crossing, along, bars in ((y, x, "xerr"), (x, y, "yerr")):
        known = np.isfinite(along).all(axis=0) & np.isfinite(crossing[0])
        if known.any():
            value, low, high = (bound[known] for bound in along)
            # An interval of a bootstrap may miss the value itself; a bar has no negative length.
            look: dict[str, Any] = {bars: np.maximum([value - low, high - value], 0), "ecolor": colour}
            look |= {"elinewidth": width, "capthick": width, "capsize": 1.8, "fmt": "none", "zorder": zorder}
            axes.errorbar(x[0][known], y[0][known], **look)


def bar_boxes(page: labels.Page, x: Bounds, y: Bounds) -> list[labels.Box]:
    """Return the places of the bars, which names are to leave free."""
    boxes = []
    for place in range(len(x[0])):
        ends = [(x[1][place], y[0][place], x[2][place], y[0][place])]
        ends += [(x[0][place], y[1][place], x[0][place], y[2][place])]
        for left, bottom, right, top in ends:
            if np.isfinite([left, bottom, right, top]).all():
                low, high = page.around(left, bottom, 2.0), page.around(right, top, 2.0)
                boxes.append(labels.Box(low.left, low.bottom, high.right, high.top))
    return boxes
