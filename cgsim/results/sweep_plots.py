"""Plots of a sweep: speedup against array size."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import CgsimError, nearest
from cgsim.results import style
from cgsim.results.certainty import BOUNDS
from cgsim.results.figures.error_bars import draw_bars

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Record = Mapping[str, Any]
_FIGURES = ("trace", "hardware", "speedup", "flop_reduction", "efficiency", "offchip_reduction")
_LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))


def speedup_vs_array(
    table: pd.DataFrame | list[dict[str, Any]], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw speedup against array size, one line for each trace; a finite FLOP reduction is a dashed line.

    `table` is the result of `cgsim.sweep`: columns `trace`, `array.rows`, `array.cols`, `speedup` and
    `flop_reduction`; other swept keys (columns with a dot) give a line each. Lines join square arrays where
    the sweep has at least two of them, else the best shape of each size; other shapes are hollow points.
    Bars are 95% confidence intervals, where the table has `speedup_low` and `speedup_high`. Runs that failed
    are left out. Raises CgsimError if a column is missing, no run has a speedup or `path` cannot be written.
    """
    records: list[Record] = list(table if isinstance(table, list) else table.to_dict("records"))
    _check(records)
    records = [record for record in records if math.isfinite(float(record["speedup"]))]
    if not records:
        raise CgsimError("sweep plot: no run has a speedup, there is nothing to draw")
    figure = style.Plot(6.4, 4.2)
    axes = figure.add_subplot()
    shapes = sorted({_shape(record) for record in records}, key=lambda shape: (shape[0] * shape[1], shape))
    at = {shape: index for index, shape in enumerate(shapes)}
    traces = list(dict.fromkeys(str(record["trace"]) for record in records))
    others = _other_keys(records)
    variants = list(dict.fromkeys(_variant(record, others) for record in records))
    for index, trace in enumerate(traces):
        colour = style.LINES[index % len(style.LINES)]
        own = [record for record in records if record["trace"] == trace]
        for number, variant in enumerate(variants):
            points = [record for record in own if _variant(record, others) == variant]
            label = ", ".join(
                [
                    trace,
                    *(
                        f"{key.rpartition('.')[2]} {value}"
                        for key, value in zip(others, variant, strict=True)
                    ),
                ]
            )
            _line(axes, points, at, colour, style.MARKERS[(index + number) % len(style.MARKERS)],
                  _LINE_STYLES[number % len(_LINE_STYLES)], label)  # fmt: skip
        reduction = float(own[0]["flop_reduction"])
        if math.isfinite(reduction):
            axes.axhline(reduction, color=colour, linestyle="--", linewidth=1.0, alpha=0.8,
                         label=f"{trace}: FLOP reduction {reduction:.2f}")  # fmt: skip
    names = [f"{rows}×{cols}" for rows, cols in at]
    axes.set_xticks(range(len(at)), names, rotation=60 if len(at) > 12 else 0)
    axes.set_xlim(-0.5, len(at) - 0.5)
    figures = [float(record[key]) for record in records for key in ("speedup", "flop_reduction")]
    axes.set_ylim(0, 1.1 * max([1.1, *filter(math.isfinite, figures)]))
    axes.axhline(1, color=style.GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    hardware = ", ".join(dict.fromkeys(str(record.get("hardware", "")) for record in records))
    style.dress(
        axes,
        title=f"{hardware}: speedup against array size".removeprefix(": "),
        x="array: rows × columns, by processing elements",
        y="speedup (dense cycles / gated cycles)",
    )
    figure.legend(fontsize=style.SMALL, loc="outside lower center", ncols=2, frameon=False)
    if path is not None:
        style.write(figure, path)
    return figure


def _check(records: list[Record]) -> None:
    if not records:
        raise CgsimError("sweep plot: the table is empty")
    for key in ("trace", "array.rows", "array.cols", "speedup", "flop_reduction"):
        if key not in records[0]:
            near = nearest(key, [name for name in map(str, records[0]) if "." in name or name in _FIGURES])
            raise CgsimError(f"sweep plot: column {key!r} is missing{near}")


def _shape(record: Record) -> tuple[int, int]:
    return int(record["array.rows"]), int(record["array.cols"])


def _size(record: Record) -> int:
    rows, cols = _shape(record)
    return rows * cols


def _other_keys(records: list[Record]) -> list[str]:
    keys = [key for key in records[0] if "." in key and key not in ("array.rows", "array.cols")]
    varied = [key for key in keys if len({record[key] for record in records}) > 1]
    if len({record.get("hardware") for record in records}) > 1:
        varied.insert(0, "hardware")
    return varied


def _variant(record: Record, keys: list[str]) -> tuple[Any, ...]:
    return tuple(record[key] for key in keys)


def _line(
    axes: Axes,
    points: list[Record],
    at: Mapping[tuple[int, int], int],
    colour: str,
    marker: str,
    line: Any,
    label: str,
) -> None:
    """Join the square arrays (else the best of each size); draw the other shapes as hollow points."""
    square = [record for record in points if _shape(record)[0] == _shape(record)[1]]
    best: dict[int, Record] = {}
    for record in square if len(square) > 1 else points:
        known = best.get(_size(record))
        if known is None or float(record["speedup"]) > float(known["speedup"]):
            best[_size(record)] = record
    joined = [best[size] for size in sorted(best)]
    axes.plot([at[_shape(r)] for r in joined], [float(r["speedup"]) for r in joined], color=colour,
              marker=marker, markersize=5, linewidth=1.5, linestyle=line, label=label)  # fmt: skip
    _bars(axes, points, at, colour)
    rest = [record for record in points if not any(record is r for r in joined)]
    axes.scatter([at[_shape(r)] for r in rest], [float(r["speedup"]) for r in rest], s=22, marker=marker,
                 facecolors="none", edgecolors=colour, linewidths=0.9)  # fmt: skip


def _bars(axes: Axes, points: list[Record], at: Mapping[tuple[int, int], int], colour: str) -> None:
    """Draw the 95% confidence intervals that the table tells."""
    told = [r for r in points if all(math.isfinite(float(r.get(name, math.nan))) for name in BOUNDS)]
    if told:
        x = np.array([at[_shape(record)] for record in told], float)
        value, low, high = (np.array([float(r[name]) for r in told]) for name in ("speedup", *BOUNDS))
        exact = np.full(len(x), np.nan)
        draw_bars(axes, (x, exact, exact), (value, low, high), colour=colour)
