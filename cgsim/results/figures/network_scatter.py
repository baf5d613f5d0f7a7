"""One figure of runs against another, a point for each run: energy against latency, speedup against area."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from cgsim.errors import CgsimError
from cgsim.results import labels, style
from cgsim.results.figures.columns import names_of, numbers, taken
from cgsim.results.figures.network_looks import groups_of, short_names
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.figures.columns import Table

_MOST_NAMED = 24
_LATENCIES = ("gated_latency_ms_mean", "latency_ms_mean")
_ENERGIES = ("gated_energy_uj_per_image", "energy_pj")
_SIZES = {"area_mm2": "area (mm²)", "lut": "LUTs", "dsp": "DSP slices", "bram36": "block RAMs of 36 Kb"}


def energy_vs_latency(table: Table, path: str | os.PathLike[str] | None = None, *, title: str = "") -> Figure:
    """Draw energy against latency per image, a point for each run.

    Of each trace (of a comparison: method) a line joins the runs that no other beats in both.

    Args:
        table: a row per run: `trace`, and of a sweep `gated_latency_ms_mean` and `gated_energy_uj_per_image`,
            of a comparison `latency_ms_mean` and `energy_pj`.
        path: PNG, SVG or PDF to write.
        title: of the figure.

    Raises:
        CgsimError: a column is missing, no run has both figures, or `path` cannot be written.
    """
    latency = _first(table, _LATENCIES, "energy_vs_latency")
    energy = _first(table, _ENERGIES, "energy_vs_latency")
    found = numbers(table, (latency, energy), "energy_vs_latency")
    y = found[energy] / (1e6 if energy.endswith("_pj") else 1)
    figure = _scatter(
        table,
        (found[latency], y),
        ("latency per image (ms)", "energy per image (µJ)"),
        title or "energy against latency",
        "energy_vs_latency",
        front=True,
    )
    if path is not None:
        style.write(figure, path)
    return figure


def speedup_vs_area(
    table: Table, path: str | os.PathLike[str] | None = None, *, size: str = "", title: str = ""
) -> Figure:
    """Draw speedup against what the accelerator takes, a point for each run.

    Args:
        table: a row per run: `trace`, `speedup`, and what `size` names.
        path: PNG, SVG or PDF to write.
        size: `area_mm2`, `lut`, `dsp` or `bram36`; by default the first that is known.
        title: of the figure.

    Raises:
        CgsimError: a column is missing, no run has both figures, or `path` cannot be written.
    """
    if size and size not in _SIZES:
        raise CgsimError(f"speedup_vs_area: size: expected one of {', '.join(_SIZES)}, got {size!r}")
    known = [name for name in _SIZES if name in names_of(table) and np.isfinite(_column(table, name)).any()]
    chosen = size or (known[0] if known else "area_mm2")
    found = numbers(table, (chosen, "speedup"), "speedup_vs_area")
    figure = _scatter(
        table,
        (found[chosen], found["speedup"]),
        (_SIZES[chosen], "speedup over dense execution"),
        title or f"speedup against {_SIZES[chosen]}",
        "speedup_vs_area",
    )
    if path is not None:
        style.write(figure, path)
    return figure


def _column(table: Table, name: str) -> np.ndarray:
    return numbers(table, (name,), "speedup_vs_area")[name]


def _first(table: Table, names: tuple[str, ...], figure: str) -> str:
    present = names_of(table)
    found = next((name for name in names if name in present), names[0])
    taken(table, (found,), figure)
    return found


def _scatter(
    table: Table,
    points: tuple[np.ndarray, np.ndarray],
    titles: tuple[str, str],
    title: str,
    figure_name: str,
    front: bool = False,
) -> Figure:
    x, y = points
    traces = taken(table, ("trace",), figure_name)["trace"].astype(str)
    shown = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(shown):
        raise CgsimError(f"{figure_name}: no run has both figures (of FPGA-style ones no energy is known)")
    figure = style.Plot(6.0, 4.4)
    axes = figure.add_subplot()
    axes.set_xlim(0, 1.15 * x[shown].max())
    axes.set_ylim(0, 1.15 * y[shown].max())
    groups, looks = groups_of(table, traces)
    for group in dict.fromkeys(groups[shown].tolist()):
        own, look = shown[groups[shown] == group], looks[group]
        if front:
            best = own[_front(x[own], y[own])]
            axes.plot(x[best], y[best], color=look.colour, linewidth=0.9)
        inside, edge = ("none", look.colour) if look.hollow else (look.colour, "white")
        axes.scatter(x[own], y[own], s=look.size**2, marker=look.mark, facecolors=inside, edgecolors=edge,
                     linewidths=1.2 if look.hollow else 0.6, zorder=5, label=shorten(group, 40))  # fmt: skip
    if front:
        axes.plot([], [], color="#555555", linewidth=0.9, label="of its colour none beats these in both")
    style.dress(axes, title=title, x=titles[0], y=titles[1])
    figure.legend(fontsize=style.SMALL, loc="outside lower center", ncols=2, frameon=False)
    names = short_names(table, traces, groups, shown)
    if any(names) and len(shown) <= _MOST_NAMED:
        page = labels.Page(axes)
        obstacles = [page.around(x[i], y[i], 4.0) for i in shown]
        places = [(float(x[i]), float(y[i]), 3.5) for i in shown]
        labels.place(axes, page, [shorten(name, 30) for name in names], places, obstacles)
    return figure


def _front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Points that no other has less of both of, by x."""
    order = np.lexsort((y, x))
    least = np.minimum.accumulate(y[order])
    first = np.r_[True, least[1:] < least[:-1]]
    return order[first]
