"""A figure over two parameters of a sweep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from cgsim.errors import CgsimError
from cgsim.results import derive, style
from cgsim.results.figures.columns import common, names_of, numbers, taken, varied
from cgsim.results.tables import compact

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table

COLOURS = "cividis"
"""Dark to light for every reader, and in grey: Nunez, Anderton and Renslow, PLOS ONE 13(7), 2018."""
_MOST = 40


def heatmap(
    table: Table,
    x: str = "",
    y: str = "",
    value: str = "speedup",
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw a figure over two parameters: a cell for each pair, its value written in it.

    Numbers go up from left to right and from bottom to top, text goes by its order in the table. Pairs that
    were not run, or failed, are hatched.

    Args:
        table: a row per run: result of `cgsim.sweep`.
        x: column across, such as `array.cols`; "": the first or second that varies, if there are two.
        y: column upwards.
        value: column of the cells: one of numbers.
        path: PNG, SVG or PDF to write.
        title: of the figure.

    Raises:
        CgsimError: a column is missing, rows of one pair differ, or `path` cannot be written.
    """
    x, y = _axes(table, x, y)
    columns = taken(table, (x, y), "heatmap")
    values = numbers(table, (value,), "heatmap")[value]
    keys = {name: _keys(columns[name]) for name in (x, y)}
    across, up = (_steps(keys[name], name) for name in (x, y))
    cells = np.full((len(up), len(across)), np.nan)
    filled: dict[tuple[int, int], int] = {}
    for row, pair in enumerate(zip(keys[y], keys[x], strict=True)):
        cell = up.index(pair[0]), across.index(pair[1])
        if cell in filled and not np.array_equal(values[row], values[filled[cell]], equal_nan=True):
            told = f"{x} {_told(pair[1])}, {y} {_told(pair[0])}"
            raise CgsimError(f"heatmap: rows with {told} differ in {value!r}{_differ(table, x, y)}")
        filled[cell] = row
        cells[cell] = values[row] if np.isfinite(values[row]) else np.nan
    figure = style.Plot(max(3.2 + 0.62 * len(across), 4.6), max(1.7 + 0.42 * len(up), 2.8))
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_invalid(cells), cmap=COLOURS, origin="lower", aspect="auto")
    for (i, j), number in np.ndenumerate(cells):
        if np.isnan(number):
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="white", edgecolor="#999999",
                                     hatch="/////", linewidth=0))  # fmt: skip
            continue
        red, green, blue, _ = image.cmap(image.norm(number))
        dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
        axes.text(j, i, _number(number), ha="center", va="center", fontsize=style.SMALL,
                  color="white" if dark else "black")  # fmt: skip
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    unit = (derive.UNITS | derive.summary_units()).get(value, "")
    bar.set_label(f"{value} [{unit}]" if unit not in ("", "1") else value, fontsize=style.TEXT)
    bar.ax.tick_params(labelsize=style.SMALL)
    bar.ax.yaxis.set_major_formatter(lambda number, _: _number(number))
    names = [_told(step) for step in across]
    axes.set_xticks(range(len(across)), names, rotation=60 if max(map(len, names)) > 7 else 0)
    axes.set_yticks(range(len(up)), [_told(step) for step in up])
    style.dress(axes, title=title or ": ".join(filter(None, [common(table), value])), x=x, y=y, grid="")
    axes.spines[["left", "bottom"]].set_visible(False)
    if path is not None:
        style.write(figure, path)
    return figure


def _axes(table: Table, x: str, y: str) -> tuple[str, str]:
    """Return the columns of both axes; those not given are the ones that vary, if that is plain."""
    if x and x == y:
        raise CgsimError(f"heatmap: x and y are both {x!r}")
    if x and y:
        return x, y
    free = [key for key in varied(table) if key not in (x, y)]
    wanted = 2 - bool(x) - bool(y)
    if len(free) != wanted:
        told = ", ".join(free) or "none"
        raise CgsimError(f"heatmap: expected columns for x and y; those that vary in the table: {told}")
    if not x and not y:  # columns across, rows upwards
        return free[1], free[0]
    return (x or free[0]), (y or free[0])


def _keys(values: np.ndarray) -> list[Any]:
    """Return values that equal themselves; an empty cell of a table does not."""
    return ["-" if value is None or value != value else value for value in values.tolist()]


def _steps(values: list[Any], name: str) -> list[Any]:
    found = list(dict.fromkeys(values))
    if len(found) > _MOST:
        raise CgsimError(f"heatmap: {name!r} has {len(found)} values, expected {_MOST} or fewer")
    if all(isinstance(value, int | float) for value in found):
        return sorted(found)
    return found


def _differ(table: Table, x: str, y: str) -> str:
    names: Sequence[str] = [key for key in ("trace", *varied(table)) if key not in (x, y)]
    names = [key for key in names if key in names_of(table) and len(set(np.asarray(table[key]).tolist())) > 1]
    if not names:
        return ""
    told = ", ".join(names)
    return f"; the rows differ in {told}: keep one value of each (--where {names[0]}=VALUE)"


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return compact(value)
    return f"{value:.0f}" if float(value).is_integer() else f"{value:#.3g}".rstrip(".")
