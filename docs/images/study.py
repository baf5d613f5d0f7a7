"""Draw and tabulate what docs/study.md tells, from the shipped traces: `python docs/images/study.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from study_measure import PARTS, TRACES, Measured, measure, waste

from cgsim.results import style

IMAGES = Path(__file__).resolve().parent
PAGE = IMAGES.parent / "study.md"
COLOURS = (
    style.BLUE,
    style.GREY,
    style.SKY,
    style.ORANGE,
    style.VERMILLION,
    style.GREEN,
    style.PURPLE,
)
FLOWS = {
    "ws": {},
    "os": {"array.dataflow": "os"},
    "is, raster": {"array.dataflow": "is"},
    "is, block": {"array.dataflow": "is", "mapping.pixel_order": "block"},
}
CLUSTERED = {"mapping.channel_order": "clustered"}
WIDTHS = (1, 2, 4, 8, 16)
BATCHES = {"ResNet-20": (1, 4, 16), "ResNet-18": (1, 2, 4)}
KEPT = "speedup / FLOP reduction"
GATED = "gated cycles / dense cycles"


def panels() -> tuple[style.Plot, list[Axes]]:
    """A figure with a panel for each trace."""
    figure = style.Plot(4.1 * len(TRACES), 3.4)
    return figure, [figure.add_subplot(1, len(TRACES), 1 + i) for i in range(len(TRACES))]


def finish(figure: style.Plot, axes: Axes, columns: int, name: str) -> None:
    """Put the legend below and write the figure."""
    handles = axes.get_legend_handles_labels()
    place = "outside lower center"
    figure.legend(*handles, fontsize=style.SMALL, loc=place, ncols=columns, frameon=False)
    style.write(figure, IMAGES / f"study-{name}.png")


def lines(axes: Axes, series: Mapping[str, Sequence[float]]) -> None:
    """One line for each series over `WIDTHS`."""
    for (label, values), colour, marker in zip(series.items(), style.LINES, style.MARKERS, strict=False):
        axes.plot(WIDTHS, values, color=colour, marker=marker, markersize=4, linewidth=1.3, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(WIDTHS, [str(value) for value in WIDTHS])


def bars(axes: Axes, measured: Mapping[str, Measured]) -> None:
    """Stacked bars of the parts, the share that is kept above each."""
    place = np.arange(len(measured))
    bottom = np.zeros(len(measured))
    for part, colour in zip(PARTS, COLOURS, strict=True):
        heights = np.array([one.parts[part] for one in measured.values()])
        axes.bar(
            place, heights, 0.75, bottom=bottom, color=colour, label=part, edgecolor="white", linewidth=0.4
        )
        bottom += heights
    axes.axhline(1, color=style.BLACK, linewidth=0.8, linestyle=":")
    axes.set_ylim(0, max(1.1, 1.08 * max(bottom)))
    axes.set_xticks(place, list(measured), rotation=90)
    for x, one in zip(place, measured.values(), strict=True):
        above = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center", "fontsize": style.SMALL}
        axes.annotate(f"{one.kept:.2f}", (x, 1 / one.speedup), **above)


def draw_widths() -> None:
    """Kept share against the width of a column group, per dataflow."""
    figure, both = panels()
    flows = {**FLOWS, "ws, clustered": CLUSTERED}
    for axes, name in zip(both, TRACES, strict=True):
        lines(axes, {label: [measure(name, 16, w, c).kept for w in WIDTHS] for label, c in flows.items()})
        floor = 1 / measure(name, 16, 1).reduction
        axes.axhline(floor, color=style.BLACK, linewidth=0.8, linestyle=":")
        above = {"xytext": (0, 2), "textcoords": "offset points", "fontsize": style.SMALL}
        axes.annotate("as slow as dense", (1, floor), **above)
        axes.set_ylim(0, 1)
        style.dress(axes, title=f"{name}, 16 x 16", x="columns that share a feed", y=KEPT)
    finish(figure, both[0], 5, "widths")


def draw_waste() -> None:
    """What is streamed for neighbours: channels against pixels."""
    figure, both = panels()
    kinds = {
        "channels": "channels",
        "channels, clustered": "clustered",
        "pixels, raster": "raster",
        "pixels, block": "block",
    }
    for axes, name in zip(both, TRACES, strict=True):
        lines(axes, {label: [waste(name, w, kind) for w in WIDTHS] for label, kind in kinds.items()})
        axes.set_ylim(0)
        style.dress(axes, title=name, x="channels or pixels that share a stream", y="MACs streamed / MACs on")
    finish(figure, both[0], 4, "waste")


def draw_causes() -> None:
    """Where the saving goes, by dataflow and width."""
    figure, both = panels()
    for axes, name in zip(both, TRACES, strict=True):
        found = {f"{flow}, {w}": measure(name, 16, w, FLOWS[flow]) for flow in FLOWS for w in (16, 4, 1)}
        bars(axes, found)
        style.dress(axes, title=f"{name}, 16 x 16", y=GATED, grid="y")
    finish(figure, both[0], 4, "causes")


def draw_sizes() -> None:
    """Array size and batch."""
    figure, both = panels()
    for axes, name in zip(both, TRACES, strict=True):
        found = {}
        for size in (8, 16, 32, 64):
            for batch in BATCHES[name]:
                found[f"{size}, {batch}"] = measure(name, size, 2, {"mapping.batch": batch})
        bars(axes, found)
        style.dress(axes, title=f"{name}, ws, groups of 2", x="rows and columns, batch", y=GATED, grid="y")
    finish(figure, both[0], 4, "sizes")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    shown = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in shown)


def dataflow_table() -> str:
    """Absolute cycles, since dense execution is not the same in every dataflow."""
    rows = []
    for name in TRACES:
        for flow, changes in FLOWS.items():
            one = measure(name, 16, 4, changes)
            figures = [
                f"{one.cycles * one.speedup:,.0f}",
                f"{one.cycles:,.0f}",
                f"{one.speedup:.2f}",
                f"{one.kept:.2f}",
            ]
            rows.append([name, flow, *figures])
    return table(["trace", "dataflow", "dense cycles per image", "gated", "speedup", "kept"], rows)


def sync_table() -> str:
    """When groups wait for each other."""
    cases = [(name, 16, 1, width) for name in TRACES for width in (1, 4)]
    cases += [("ResNet-20", 8, 16, width) for width in (1, 2, 8)]
    rows = []
    for name, size, batch, width in cases:
        row: list[object] = [name, f"{size} x {size}", batch, width]
        for flow in ("ws", "os", "is, block"):
            for sync in ("fold", "tile"):
                changes = {**FLOWS[flow], "gate_unit.group_sync": sync, "mapping.batch": batch}
                row += [f"{measure(name, size, width, changes).kept:.2f}"]
        rows.append(row)
    heads = [f"`{flow}` {sync}" for flow in ("ws", "os", "is") for sync in ("fold", "tile")]
    return table(["trace", "array", "batch", "columns per feed", *heads], rows)


def order_table() -> str:
    """Cycles saved by clustering, on images learned from and on others."""
    rows = []
    for name in TRACES:
        for width in (1, 2, 4, 8):
            row: list[object] = [name, width]
            for flow in ("ws", "os"):
                for part in (0, 1):
                    natural = measure(name, 16, width, FLOWS[flow], part)
                    clustered = measure(name, 16, width, {**FLOWS[flow], **CLUSTERED}, part)
                    row.append(f"{100 * (1 - clustered.cycles / natural.cycles):.1f} %")
            row.append(f"{natural.kept:.2f} to {clustered.kept:.2f}")
            rows.append(row)
    heads = [
        "trace",
        "columns per feed",
        "`ws`, learned from",
        "`ws`, others",
        "`os`, learned from",
        "`os`, others",
    ]
    return table([*heads, "kept (`os`, others)"], rows)


def unit_table() -> str:
    """The gate unit's own limits. Banks are looked up cycle by cycle: on the small network only."""
    scan, fifo, banks = "gate_unit.scan_bits_per_cycle", "gate_unit.fifo_depth", "gate_unit.activation_banks"
    settings = {
        f"`{scan}` 64, 16, 8, 4, 2": [{scan: bits} for bits in (64, 16, 8, 4, 2)],
        f"`{fifo}` 16, 2, 1, scanning 4 bits": [{scan: 4, fifo: depth} for depth in (16, 2, 1)],
        f"`{banks}` ideal, 16, 8, 4, 2": [{banks: number} for number in ("ideal", 16, 8, 4, 2)],
        "`array.pipelining` overlapped, serial": [{"array.pipelining": p} for p in ("overlapped", "serial")],
    }
    rows = []
    for key, changes in settings.items():
        small = banks in key
        kept = {
            name: ", ".join(f"{measure(name, 16, 2, one).kept:.2f}" for one in changes)
            for name in TRACES
            if name == "ResNet-20" or not small
        }
        rows.append([key, *(kept.get(name, "") for name in TRACES)])
    return table(["setting", *TRACES], rows)


def put(name: str, text: str) -> None:
    """Replace what stands between the markers of a table in the page."""
    start, end = f"<!-- {name}: made by docs/images/study.py -->\n", f"<!-- end of {name} -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(start)
    after = rest.split(end, 1)[1]
    PAGE.write_text(f"{before}{start}\n{text}\n\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Draw the figures and write the tables into the page."""
    for draw in (draw_widths, draw_waste, draw_causes, draw_sizes):
        draw()
    for make in (dataflow_table, sync_table, order_table, unit_table):
        put(make.__name__.removesuffix("_table"), make())


if __name__ == "__main__":
    main()
