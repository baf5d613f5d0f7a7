"""One look for every plot: readable in print, in grey and by colour-blind readers."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cgsim.atomic import atomic_path
from cgsim.errors import CgsimError, nearest

# Okabe and Ito, "Color Universal Design" (2008): eight colours that colour-blind readers tell apart.
BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#8C8C8C"
LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

TEXT = 9.0
SMALL = 7.5
FORMATS = ("pdf", "png", "svg")


class Plot(Figure):
    """A matplotlib figure outside pyplot, shown by notebooks as a picture."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def dress(axes: Axes, *, title: str, x: str = "", y: str = "", grid: str = "both") -> None:
    """Set titles, fonts, spines and a light grid."""
    axes.set_title(title, fontsize=TEXT + 1, loc="left")
    axes.set_xlabel(x, fontsize=TEXT)
    axes.set_ylabel(y, fontsize=TEXT)
    axes.tick_params(labelsize=SMALL + 0.5, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(True, axis=grid, color="#DDDDDD", linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def plot_format(path: str | os.PathLike[str]) -> str:
    """Return png, svg or pdf by the extension of `path`; raises CgsimError on any other."""
    extension = Path(path).suffix.lower().removeprefix(".")
    if extension not in FORMATS:
        raise CgsimError(f"{path}: a plot cannot be written as {extension!r}{nearest(extension, FORMATS)}")
    return extension


def write(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write the figure as PNG, SVG or PDF by extension, without dates so that equal plots are equal files.

    Raises CgsimError on another extension or if `path` cannot be written.
    """
    import matplotlib as mpl

    form = plot_format(path)
    nothing: Mapping[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    with atomic_path(path) as temporary, mpl.rc_context({"svg.hashsalt": "cgsim", "svg.fonttype": "none"}):
        figure.savefig(temporary, format=form, dpi=200, metadata=dict(nothing))
