"""Plots over time: bytes per cycle, and the tracks of a timeline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from cgsim.engine.columns import MODES, PHASES, STALLS
from cgsim.results import style
from cgsim.results.naming import shown
from cgsim.results.phase_colours import PHASE_COLOURS, STALL_COLOURS, STALL_HATCH
from cgsim.results.tables import compact, trimmed
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cgsim.results.tracks import Slice, Tracks

PathLike = str | os.PathLike[str]
_READ, _WRITE = "#332288", "#AA4499"
"""Of Paul Tol's colours that colour-blind readers tell apart; unlike those of phases and stalls."""
_MOST_BANKS = 16


class TimelinePlots:
    """The plots of a timeline, as methods (`timeline.plot`)."""

    def __init__(self, timeline: Tracks) -> None:
        self._timeline = timeline

    def bandwidth(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Bytes per cycle that the DRAM moves over time, dense above gated, with its peak."""
        return bandwidth(self._timeline, path)

    def tracks(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The tracks of the file as a picture, dense above gated."""
        return tracks(self._timeline, path)


def bandwidth(timeline: Tracks, path: PathLike | None = None) -> Figure:
    """Draw bytes per cycle on the DRAM's data bus over time, dense above gated, on one scale.

    The dashed line is the peak. Layers are told apart by their background.
    """
    peak = timeline.hardware.dram_bytes_per_cycle
    figure = style.Plot(7.2, 4.4)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    longest = max((end for _, end in timeline.spans), default=1)
    for axes, mode in zip(panels, MODES, strict=True):
        edges, read, written = timeline.bandwidth(mode, max(2, 600 // max(1, len(timeline.parts) // 2)))
        axes.stairs(read, edges, fill=True, color=_READ, label="read")
        axes.stairs(read + written, edges, baseline=read, fill=True, color=_WRITE, label="write")
        axes.axhline(peak, color=style.BLACK, linewidth=0.9, linestyle="--", label="peak")
        moved = float(((read + written) * np.diff(edges)).sum())
        used = moved / max(peak * edges[-1], 1)
        text = f"{compact(_cycles(timeline, mode))} cycles, {compact(moved)}B on the data bus"
        text += f" ({100 * used:.0f} % of the peak)"
        style.dress(axes, title=f"{mode}: {text}", y="bytes per cycle", grid="y")
        _layers(axes, timeline, mode, longest)
    panels[0].set_ylim(0, 1.12 * peak)
    panels[0].set_xlim(0, longest)
    panels[-1].set_xlabel("cycles", fontsize=style.TEXT)
    panels[-1].xaxis.set_major_formatter(lambda value, _: trimmed(value))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=style.SMALL, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(_title(timeline, "bytes per cycle"), fontsize=style.TEXT + 1, x=0.01, ha="left")
    if path is not None:
        style.write(figure, path)
    return figure


def tracks(timeline: Tracks, path: PathLike | None = None) -> Figure:
    """Draw the tracks of a timeline as they lie in its file, dense above gated, on one scale.

    Of a DRAM with many banks the first are drawn. Hatched are stalls.
    """
    found = {mode: _rows(timeline, mode) for mode in MODES}
    heights = [max(1, len(rows)) for rows in found.values()]
    figure = style.Plot(9.0, 1.9 + 0.19 * sum(heights))
    panels = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    longest = max((end for _, end in timeline.spans), default=1)
    hardware = timeline.hardware.to_dict()
    used: dict[str, Patch] = {}
    for axes, (mode, rows) in zip(panels, found.items(), strict=True):
        for place, slices in enumerate(rows.values()):
            for label, colour, hatch, bars in _bars(slices, hardware):
                used.setdefault(label, Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label))
                axes.broken_barh(bars, (place - 0.4, 0.8), facecolor=colour, hatch=hatch,
                                 edgecolor="white", linewidth=0.15)  # fmt: skip
        axes.set_yticks(range(len(rows)), list(rows), fontsize=style.SMALL - 1.5)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        style.dress(axes, title=f"{mode}: {compact(_cycles(timeline, mode))} cycles", grid="x")
        axes.tick_params(axis="y", labelsize=style.SMALL - 1, length=0)
    panels[0].set_xlim(0, longest)
    panels[-1].set_xlabel("cycles", fontsize=style.TEXT)
    panels[-1].xaxis.set_major_formatter(lambda value, _: trimmed(value))
    figure.legend(handles=[used[label] for label in _ORDER if label in used]
                  + [used[label] for label in used if label not in _ORDER],
                  fontsize=style.SMALL, loc="outside lower center", ncols=6, frameon=False)  # fmt: skip
    figure.suptitle(_title(timeline, "timeline"), fontsize=style.TEXT + 1, x=0.01, ha="left")
    if path is not None:
        style.write(figure, path)
    return figure


_ORDER = ("base", "conditional")


def _cycles(timeline: Tracks, mode: str) -> int:
    return sum(part.cycles for part in timeline.parts if part.mode == mode)


def _title(timeline: Tracks, what: str) -> str:
    names = list(dict.fromkeys(part.layer for part in timeline.parts))
    told = names[0] if len(names) == 1 else f"{len(names)} layers"
    origin = timeline.origin
    return f"{origin.get('trace')} on {origin.get('hardware')}: {what}, {told}, sample {origin.get('sample')}"


def _layers(axes: Axes, timeline: Tracks, mode: str, longest: float) -> None:
    """Shade every other layer; name those that are wide enough."""
    own: dict[str, tuple[float, float]] = {}
    for part, (start, end) in zip(timeline.parts, timeline.spans, strict=True):
        if part.mode == mode:
            own[part.layer] = (own.get(part.layer, (start, end))[0], end)
    for number, (layer, (start, end)) in enumerate(own.items()):
        if number % 2:
            axes.axvspan(start, end, color="#000000", alpha=0.05, linewidth=0)
        room = int(95 * (end - start) / longest)
        if room >= min(len(layer), 8):
            name, place = shorten(layer, max(room, 3)), axes.get_xaxis_transform()
            axes.text((start + end) / 2, 0.985, name, fontsize=style.SMALL - 2, va="top", ha="center",
                      transform=place)  # fmt: skip


def _rows(timeline: Tracks, mode: str) -> dict[str, list[Slice]]:
    """Slices by track, in the order of the tracks' numbers."""
    numbers: dict[str, int] = {}
    rows: dict[str, list[Slice]] = {}
    for one in timeline.slices(mode):
        numbers[one.track] = one.number
        rows.setdefault(one.track, []).append(one)
    names = sorted(rows, key=lambda name: numbers[name])
    banks = [name for name in names if name.startswith("DRAM") and " bank " in name]
    left_out = set(banks[_MOST_BANKS:])
    return {name: rows[name] for name in names if name not in left_out}


def _bars(
    slices: list[Slice], hardware: dict[str, object]
) -> list[tuple[str, str, str, list[tuple[float, float]]]]:
    """Label, colour, hatch and (start, length) of what a track shows."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for one in slices:
        label, colour, hatch = _look(one, hardware)
        found.setdefault((label, colour, hatch), []).append((one.start, one.end - one.start))
    return [(*key, bars) for key, bars in found.items()]


def _look(one: Slice, hardware: dict[str, object]) -> tuple[str, str, str]:
    name = one.name.partition(",")[0]
    if one.category == "phase":
        phase = next(key for key in PHASES if shown(key, hardware) == name)
        return name, PHASE_COLOURS[phase], ""
    if one.category == "stall":
        cause = next(key for key in STALLS if f"{shown(key, hardware)} stall" == name)
        return name, STALL_COLOURS[cause], STALL_HATCH
    if one.category == "dma":
        write = "write" in one.track
        return ("write", _WRITE, "") if write else ("read", _READ, "")
    if one.category == "access":
        return ("write", _WRITE, "") if one.name.startswith("write") else ("read", _READ, "")
    if one.category == "bank":
        return "row open", "#B8B8B8", ""
    if one.category == "refresh":
        return "refresh", style.VERMILLION, ""
    if one.category == "vector":
        return "vector", PHASE_COLOURS["vector"], ""
    return ("layer", "#444444", "") if one.name[0] != "w" else ("writes accepted", "#999999", "")
