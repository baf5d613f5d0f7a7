"""The section of one run of `cgsim simulate`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cgsim.engine.columns import MODES, PHASES, STALLS
from cgsim.results import derive, naming, style
from cgsim.results.energy_groups import ENERGY_GROUPS
from cgsim.results.html.parts import Block, Column, Plot, Section, Table, Tiles
from cgsim.results.phase_colours import ENERGY_COLOURS, PHASE_COLOURS, STALL_COLOURS
from cgsim.results.run import Run

_SHOWN = (
    "layer",
    "operator",
    *(f"{mode}_{what}" for what in ("cycles", "macs", "offchip_bytes") for mode in MODES),
    *("density", "speedup", "flop_reduction", "efficiency", "utilization"),
)
_TILES = (
    ("speedup", "speedup", "×"),
    ("flop_reduction", "FLOP reduction", "×"),
    ("efficiency", "efficiency", ""),
    ("gated_latency_ms_mean", "latency, mean", " ms"),
    ("gated_latency_ms_p99", "latency, 99th percentile", " ms"),
    ("offchip_reduction", "off-chip reduction", "×"),
    ("gated_energy_uj_per_image", "energy per image", " µJ"),
    ("energy_reduction", "energy reduction", "×"),
    ("area_mm2", "area", " mm²"),
    ("gating_area_overhead", "area that gating adds", "%"),
)

_MAYBE = ("gated_energy_uj_per_image", "energy_reduction", "area_mm2", "gating_area_overhead")
"""Left out where they are not known."""


def run_blocks(run: Run) -> list[Block]:
    """Return tiles, plots and the table of layers of a run; the figures of layers are means per image."""
    layers = per_image(run)
    drawn = [_cycles(run, layers), *_energies(layers), _speedups(run, layers), _latencies(run)]
    return [_tiles(run), *drawn, _table(layers)]


def per_image(run: Run) -> dict[str, np.ndarray]:
    """Return the columns of `run.by_layer()`, what is counted divided by the number of samples."""
    found = run.by_layer()
    return {
        name: values / run.samples if name in derive.ADDITIVE else values for name, values in found.items()
    }


def title_of(run: Run) -> str:
    """Return `trace on hardware`."""
    return f"{run.provenance['trace']['name']} on {run.provenance['hardware']['name']}"


def section_of(run: Run, title: str) -> Section:
    """Return the section of a run, without its provenance."""
    images = f"{run.samples} image{'s' if run.samples != 1 else ''}"
    return Section(
        title, f"{title_of(run)}, {images}; figures of layers are means per image", run_blocks(run)
    )


def _tiles(run: Run) -> Tiles:
    total, sure = run.summary(), run.confidence()
    tiles = []
    for name, label, unit in _TILES:
        value = total[name]
        if value != value and name in _MAYBE:
            continue
        interval = sure.get(name)
        remark = ""
        if interval is not None and interval.known:
            until = f"to {interval.high:.4g}" if np.isfinite(interval.high) else "or more"
            remark = f"95 % confidence: {interval.low:.4g} {until}"
        text = f"{100 * value:.1f} %" if unit == "%" else f"{value:.4g}{unit}"
        tiles.append((label, text if value == value else "–", remark))
    return Tiles(tiles)


def _table(layers: dict[str, np.ndarray]) -> Table:
    units, told = derive.UNITS, derive.DESCRIPTIONS
    columns = [
        Column(name, values.tolist(), units.get(name, ""), told.get(name, ""), name in _SHOWN)
        for name, values in layers.items()
    ]
    return Table(columns, "Layers, means per image")


def _cycles(run: Run, layers: dict[str, np.ndarray]) -> Plot:
    parts = [(name, PHASE_COLOURS[name], "") for name in PHASES]
    parts += [(f"{name}_stall", STALL_COLOURS[name], "/") for name in STALLS]
    bars = [
        _Bars((f"{name}_cycles",), naming.shown(name, run.provenance["hardware"]), colour, shape)
        for name, colour, shape in parts
    ]
    return _stacked(layers, bars, 1, "cycles", "Where the cycles go: phases, and hatched the stalls")


def _energies(layers: dict[str, np.ndarray]) -> list[Block]:
    """Where the energy goes; nothing if that is not known."""
    if not layers["dense_energy_pj"].sum() > 0:
        return []
    bars = [
        _Bars(tuple(f"{name}_energy_pj" for name in names), label, ENERGY_COLOURS[label], "")
        for label, names in ENERGY_GROUPS.items()
    ]
    return [_stacked(layers, bars, 1e-6, "µJ", "Where the energy goes")]


class _Bars(NamedTuple):
    """A part of stacked bars: the columns that it adds up, without their mode, and its look."""

    columns: tuple[str, ...]
    label: str
    colour: str
    shape: str


def _stacked(layers: dict[str, np.ndarray], parts: list[_Bars], scale: float, unit: str, title: str) -> Plot:
    """A dense and a gated bar for each layer, means per image x `scale`."""
    names = [str(name) for name in layers["layer"]]
    rows = [[name for name in names for _ in MODES], [mode for _ in names for mode in MODES]]
    data: list[dict[str, Any]] = []
    for part in parts:
        sums = [np.sum([layers[f"{mode}_{column}"] for column in part.columns], axis=0) for mode in MODES]
        values = scale * np.stack(sums, axis=1).ravel()
        if values.sum() == 0:
            continue
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": part.label,
                "y": rows,
                "x": values,
                "marker": {
                    "color": part.colour,
                    "pattern": {"shape": part.shape, "size": 4, "solidity": 0.35},
                },
                "hovertemplate": f"%{{y}}: %{{x:,.5s}} {unit}<extra>%{{fullData.name}}</extra>",
            }
        )
    layout = {
        "barmode": "stack",
        "bargap": 0.15,
        "xaxis": {"title": {"text": f"{unit} per image"}},
        "yaxis": {"autorange": "reversed", "automargin": True, "tickfont": {"size": 10}, "dividerwidth": 0},
        "legend": {"orientation": "h", "y": -0.06, "yanchor": "top"},
    }
    return Plot(data, layout, title, 200 + 36 * len(names))


def _speedups(run: Run, layers: dict[str, np.ndarray]) -> Plot:
    drawn = (
        (layers["dense_macs"] > 0) & np.isfinite(layers["flop_reduction"]) & np.isfinite(layers["speedup"])
    )
    share = layers["dense_macs"] / max(layers["dense_macs"].sum(), 1)
    total = run.summary()
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "layer (area: share of MACs)",
        "x": layers["flop_reduction"][drawn],
        "y": layers["speedup"][drawn],
        "text": [str(name) for name in layers["layer"][drawn]],
        "marker": {
            "size": 6 + 60 * np.sqrt(share[drawn]),
            "color": style.SKY,
            "line": {"color": style.BLUE, "width": 1},
            "opacity": 0.8,
        },
        "hovertemplate": "%{text}: speedup %{y:.3f} at FLOP reduction %{x:.3f}<extra></extra>",
    }
    whole = {
        "type": "scatter",
        "mode": "markers",
        "name": "whole network",
        "x": [total["flop_reduction"]],
        "y": [total["speedup"]],
        "marker": {"size": 15, "symbol": "star", "color": style.VERMILLION},
        "hovertemplate": "network: speedup %{y:.3f} at FLOP reduction %{x:.3f}<extra></extra>",
    }
    top = float(max([1.0, total["flop_reduction"], *layers["flop_reduction"][drawn]]))
    layout = {
        "xaxis": {"title": {"text": "FLOP reduction"}},
        "yaxis": {"title": {"text": "speedup"}, "rangemode": "tozero"},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
    }
    return Plot([ideal(top), points, whole], layout, "Speedup against FLOP reduction, layer by layer")


def ideal(top: float) -> dict[str, Any]:
    """Return the line on which all of the saving is kept."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "ideal: speedup = FLOP reduction",
        "x": [1, top],
        "y": [1, top],
        "line": {"color": style.GREY, "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _latencies(run: Run) -> Plot:
    clock = float(run.provenance["hardware"]["clock_mhz"])
    own = run.by_sample()
    data = []
    for mode, colour in (("dense", style.GREY), ("gated", style.BLUE)):
        cycles = np.sort(derive.latency_cycles(own[f"{mode}_cycles"], run.batch))
        data.append(curve(cycles / (clock * 1e3), mode, colour))
    return latency_plot(data, "ms")


def curve(values: np.ndarray, name: str, colour: str) -> dict[str, Any]:
    """Return the share of `values`, sorted, that is not above each of them."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": np.concatenate([values[:1], values]),
        "y": np.arange(len(values) + 1) / len(values),
        "line": {"color": colour, "width": 2, "shape": "hv"},
        "hovertemplate": "%{y:.1%} take no longer than %{x:.5g}<extra>%{fullData.name}</extra>",
    }


def latency_plot(data: list[dict[str, Any]], unit: str) -> Plot:
    """Return the plot of such curves."""
    layout = {
        "xaxis": {"title": {"text": f"latency of an image ({unit})"}},
        "yaxis": {"title": {"text": "share of images"}, "tickformat": ".0%", "range": [0, 1.03]},
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
    }
    return Plot(data, layout, "Latency: share of the images that take no longer")
