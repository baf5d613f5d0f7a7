"""Draws the figures of docs/machine-model.md from the stepped reference.

    python docs/figures.py        # from the root of a checkout

Nothing is drawn by hand: every bar is a cycle that the stepped array or the stepped machine really took.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgsim.engine.stepped.array import Feed, Fold
from cgsim.engine.stepped.machine import SteppedMachine
from cgsim.hardware import Hardware, load_hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.tiling import Tiling
from cgsim.trace.network import Layer

IMAGES = Path(__file__).parent / "images"
COLORS = {
    "weights": "#E69F00",
    "base": "#0072B2",
    "conditional": "#009E73",
    "drain": "#999999",
    "load": "#56B4E9",
    "store": "#CC79A7",
    "vector": "#D55E00",
}


def bar(
    axes: Axes,
    row: float,
    first: int,
    end: int,
    color: str,
    text: str,
    letter: float = 0.9,
    height: float = 0.8,
) -> None:
    """One bar from cycle `first` to cycle `end`; its text stands inside if a letter takes `letter` cycles."""
    axes.broken_barh(
        [(first, end - first)], (row - height / 2, height), facecolor=COLORS[color], edgecolor="white"
    )
    if end - first >= letter * len(text):
        axes.text((first + end) / 2, row, text, ha="center", va="center", fontsize=7, color="white")


def folds() -> Figure:
    """Three folds of 9, 3 and 9 vectors on a 5 x 4 array, overlapped and serial."""
    rows, columns, vectors = 5, 4, (9, 3, 9)
    figure = Figure((7, 3.6), layout="constrained")
    both = figure.subplots(2, 1, sharex=True)
    drain = rows + columns - 2
    for axes, overlapped in zip(both, (True, False), strict=True):
        feed = Feed(rows, columns, overlapped)
        for count in vectors:
            stream = [(pixel, [1] * rows) for pixel in range(count)]
            feed.append(Fold([[1] * columns] * rows, stream, range(columns)))
        cycle = 0
        while not feed.done:
            feed.turn(cycle, feed.may_start(cycle))
            cycle += 1
        for fold, count in enumerate(vectors):
            bar(axes, 2, feed.loads[fold], feed.loads[fold] + rows, "weights", f"{fold}")
            bar(axes, 1, feed.starts[fold], feed.starts[fold] + count, "base", f"{fold}")
            end = feed.starts[fold] + count
            bar(axes, -0.45 * (fold % 2), end, end + drain, "drain", f"{fold}", height=0.4)
        axes.set_yticks([2, 1, 0], ["weights written", "vectors enter", "last results leave"], fontsize=8)
        name = "overlapped" if overlapped else "serial"
        axes.set_title(f"{name}: {cycle} cycles (numbers are folds)", fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    both[1].set_xlabel("cycle")
    return figure


def compaction() -> Figure:
    """Gates of 8 channels at 24 pixels, four column groups of two columns, and what each group streams."""
    gates = np.random.default_rng(3).random((8, 24)) < np.linspace(0.06, 0.3, 8)[:, None]
    needed = gates.reshape(4, 2, 24).any(axis=1)
    figure = Figure((7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    shade = np.where(gates, 1.0, np.where(np.repeat(needed, 2, axis=0), 0.35, 0.0))
    left.imshow(shade, cmap="Greens", aspect="auto", vmin=0, vmax=1.2)
    left.set_yticks(range(8), [f"channel {n}" for n in range(8)], fontsize=7)
    left.set_xlabel("pixel")
    for group in range(1, 4):
        left.axhline(2 * group - 0.5, color="white", linewidth=4)
    left.set_title("on (dark); streamed for the neighbour (light)", fontsize=9, loc="left")
    for group in range(4):
        bar(right, group, 0, int(needed[group].sum()), "conditional", f"{needed[group].sum()}")
    right.axvline(needed.sum(axis=1).max(), color="black", linewidth=1, linestyle=":")
    right.set_yticks(range(4), [f"group {n}" for n in range(4)], fontsize=8)
    right.invert_yaxis()
    right.set_xlim(0, 24)
    right.set_xlabel("cycles of a conditional fold")
    right.set_title(f"mean gate: {gates.mean() * 24:.1f} of 24 pixels", fontsize=9, loc="left")
    right.spines[["top", "right"]].set_visible(False)
    return figure


def small_machine(fetch: str) -> Hardware:
    """A machine small enough to see every transfer."""
    return load_hardware(
        "edge-16x16",
        {
            "array.rows": 4,
            "array.cols": 4,
            "array.column_groups": 2,
            "dram.bytes_per_cycle": 4,
            "dram.latency_cycles": 8,
            "vector_unit.lanes": 4,
            "dma.conditional_fetch": fetch,
        },
    )


def pipeline() -> Figure:
    """One gated layer of four tiles, in tile order and interleaved, conditional data on demand."""
    layer = Layer(
        "layer",
        "conv2d",
        (8, 8, 8),
        (8, 8, 8),
        (3, 3),
        padding=(1, 1),
        base_channels=2,
        gate="activation",
    )
    gates = np.random.default_rng(0).random((8, 64)) < 0.2
    figure = Figure((7.5, 4.6), layout="constrained")
    both = figure.subplots(2, 1, sharex=True)
    lanes = {"DMA": 2, "array": 1, "vector unit": 0}
    for axes, interleaved in zip(both, (False, True), strict=True):
        tiling = Tiling(2, 8, 1, 99, "weights_outer", interleaved)
        machine = SteppedMachine(Operation(layer), small_machine("on_demand"), tiling, 2, gates)
        cycles = machine.run()["cycles"]
        for unit, what, tile, first, end in machine.log:
            color = {"s": "store", "w": "load", "a": "load", "r": "load"}.get(what, what)
            bar(axes, lanes[unit], first, end, color, f"{tile}", letter=30)
        axes.set_yticks(list(lanes.values()), list(lanes), fontsize=8)
        title = "interleaved" if interleaved else "tile after tile"
        axes.set_title(f"{title}: {cycles} cycles (numbers are tiles)", fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    both[1].set_xlabel("cycle")
    names = ("load", "base", "conditional", "vector", "store")
    handles = [both[0].broken_barh([(0, 0)], (0, 0), facecolor=COLORS[name], label=name) for name in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)
    return figure


def main() -> None:
    """Write every figure into docs/images."""
    IMAGES.mkdir(exist_ok=True)
    for draw in (folds, compaction, pipeline):
        draw().savefig(IMAGES / f"machine-{draw.__name__}.png", dpi=150)


if __name__ == "__main__":
    main()
