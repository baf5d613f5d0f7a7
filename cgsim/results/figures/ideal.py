"""The lines behind speedup against FLOP reduction: the ideal, and the shares of it that are kept."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cgsim.results import labels, style

X = "FLOP reduction (dense MACs / executed MACs)"
Y = "speedup (dense cycles / gated cycles)"
BARS = "bars: 95% confidence over images"
_KEPT = (0.75, 0.5, 0.25)


def draw_ideal(axes: Axes, top_x: float, top_y: float) -> list[tuple[float, float]]:
    """Draw y = x, the ideal, a line at 1, and faint lines where 75, 50 and 25 % of the saving is kept.

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
    axes.axhline(1, color=style.GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    return ends


def left_of(page: labels.Page, x: float, y: float) -> labels.Box:
    """Return the place of a "75 % kept" that ends at a data point."""
    right, bottom = page.position(x, y)
    return labels.Box(right - 36, bottom, right, bottom + 9)
