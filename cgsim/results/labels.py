"""Names beside points of a plot, placed where they cover nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from cgsim.results import style

_DIRECTIONS = tuple(math.radians(angle) for angle in (0, 180, 40, 140, -40, 220, 90, -90))
_GAPS = (3.0, 9.0, 17.0, 27.0, 39.0, 54.0, 72.0)


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, in points (1/72 inch) from the lower left corner of the axes."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the area shared with `other`."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def outside(self, page: Box) -> float:
        """Return the area that lies outside `page`."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(page)


class Page:
    """Axes measured in points, so that text and markers can be compared.

    To be made when everything else is drawn and the limits are set, as the layout decides the size.
    """

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.draw_without_rendering()
        self._scale = 72 / figure.dpi
        self.box = Box(0, 0, axes.bbox.width * self._scale, axes.bbox.height * self._scale)

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Return where a data point lies."""
        across, up = self._axes.transData.transform((x, y)) - self._axes.bbox.p0
        return float(across * self._scale), float(up * self._scale)

    def around(self, x: float, y: float, radius: float) -> Box:
        """Return the square around a data point."""
        a, b = self.position(x, y)
        return Box(a - radius, b - radius, a + radius, b + radius)


def place(
    axes: Axes,
    page: Page,
    names: Sequence[str],
    points: Sequence[tuple[float, float, float]],
    obstacles: Sequence[Box],
) -> None:
    """Write each name near its point (x, y, radius in points), at the free place nearest to it.

    Places are tried by growing distance; if none is free, the one that covers least is taken. A thin line
    joins a name to its point unless it lies right beside it.
    """
    size = style.SMALL - 0.5
    taken = list(obstacles)
    for name, (x, y, radius) in zip(names, points, strict=True):
        a, b = page.position(x, y)
        width, height = 0.56 * size * len(name), 1.25 * size
        best: tuple[float, float, Box] | None = None
        for gap in _GAPS:
            for angle in _DIRECTIONS:
                reach = radius + gap
                cx = a + math.cos(angle) * (reach + width / 2)
                cy = b + math.sin(angle) * (reach + height / 2)
                box = Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
                cost = 20 * box.outside(page.box) + sum(box.overlap(other) for other in taken)
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, gap, box)
            if best is not None and best[0] == 0:
                break
        assert best is not None
        _, gap, box = best
        taken.append(box)
        axes.annotate(
            name,
            (x, y),
            xytext=((box.left + box.right) / 2 - a, (box.bottom + box.top) / 2 - b),
            textcoords="offset points",
            fontsize=size,
            ha="center",
            va="center",
            zorder=6,
            bbox={"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
            arrowprops={"arrowstyle": "-", "color": "#777777", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
            if gap > _GAPS[0]
            else None,
        )
