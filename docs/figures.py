"""Draws the figures of docs/machine-model.md from the stepped reference.

    python docs/figures.py        # from the root of a checkout

Nothing is drawn by hand: every bar is a cycle that the stepped array or the stepped machine really took.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cgsim.engine.stepped.array import Fold, Group, OutputFold, Run, Vector
from cgsim.engine.stepped.layer import run_layer
from cgsim.engine.stepped.machine import SteppedMachine
from cgsim.engine.stepped.output import OutputGroup
from cgsim.engine.stepped.scanner import Banks, Scanner
from cgsim.engine.stepped.sequencer import Team, turn
from cgsim.engine.stepped.stationary import StationaryGroup
from cgsim.engine.stepped.work import pixel_order
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
FOLDS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7")
ROWS, COLUMNS = 5, 4


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


def stepped(
    group: Group,
    folds: Sequence[Fold | OutputFold],
    overlapped: bool,
    watch: Callable[[int], None] = lambda _: None,
) -> list[Run]:
    """Let one column group go through `folds`; `watch` looks at it after every cycle."""
    team = Team({0: group}, overlapped)
    team.append([{0: fold} for fold in folds])
    cycle = 0
    while not team.done:
        turn([team], Banks(None), lambda *_: None, cycle)
        watch(cycle)
        cycle += 1
    return group.runs


def folds() -> Figure:
    """Three folds of 9, 3 and 9 vectors on a 5 x 4 array, overlapped and serial."""
    figure = Figure((7, 3.6), layout="constrained")
    both = figure.subplots(2, 1, sharex=True)
    for axes, overlapped in zip(both, (True, False), strict=True):
        vector = Vector([1] * ROWS, [None] * COLUMNS)
        work = [Fold([[1] * COLUMNS] * ROWS, [vector] * count) for count in (9, 3, 9)]
        runs = stepped(StationaryGroup(ROWS, COLUMNS, COLUMNS), work, overlapped)
        for fold, run in enumerate(runs):
            bar(axes, 2, run.loaded_from, run.loaded_from + ROWS, "weights", f"{fold}")
            bar(axes, 1, run.started, run.ended, "base", f"{fold}")
            bar(axes, -0.45 * (fold % 2), run.ended, run.last_left, "drain", f"{fold}", height=0.4)
        axes.set_yticks([2, 1, 0], ["weights written", "vectors enter", "last results leave"], fontsize=8)
        name = "overlapped" if overlapped else "serial"
        axes.set_title(f"{name}: {runs[-1].last_left} cycles (numbers are folds)", fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    both[1].set_xlabel("cycle")
    return figure


def outputs() -> Figure:
    """`os`: row tiles of 9, 3 and 9 steps on a 5 x 4 array, and the drain chain of its first column."""
    figure = Figure((7, 4.4), layout="constrained")
    both = figure.subplots(2, 1, sharex=True)
    for axes, overlapped in zip(both, (True, False), strict=True):
        group = OutputGroup(ROWS, COLUMNS, COLUMNS)
        work = [
            OutputFold(
                range(COLUMNS), range(ROWS), [[1] * ROWS] * count, [[1] * COLUMNS] * count, [None] * count
            )
            for count in (9, 3, 9)
        ]
        held: list[tuple[int, int, int]] = []  # (cycle, row, fold) of each sum in the chain of column 0

        def watch(cycle: int, group: OutputGroup = group, held: list[tuple[int, int, int]] = held) -> None:
            column = [line[0] for line in group.chain]
            held += [(cycle, r, at[0].round) for r, at in enumerate(column) if at is not None]

        runs = stepped(group, work, overlapped, watch)
        for fold, run in enumerate(runs):
            for cycle in run.entered:
                axes.broken_barh([(cycle, 1)], (5.6, 0.8), facecolor=FOLDS[fold], edgecolor="white")
            axes.broken_barh(
                [(run.first_left - 1, run.last_left - run.first_left + 1)],
                (-1.4, 0.8),
                facecolor=FOLDS[fold],
                edgecolor="white",
            )
        for cycle, row, fold in held:
            axes.broken_barh(
                [(cycle, 1)], (4.1 - row, 0.8), facecolor=FOLDS[fold], edgecolor="white", alpha=0.6
            )
        axes.set_yticks(
            [6, 4.5, 0.5, -1], ["steps enter", "chain, row 0", "row 4", "results leave"], fontsize=8
        )
        name = "overlapped" if overlapped else "serial"
        axes.set_title(f"{name}: {runs[-1].last_left} cycles", fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    both[1].set_xlabel("cycle")
    handles = [
        both[0].broken_barh([(0, 0)], (0, 0), facecolor=FOLDS[fold], label=f"row tile {fold} ({steps} steps)")
        for fold, steps in enumerate((9, 3, 9))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def inputs() -> Figure:
    """`is`: the pixels that share a feed in `raster` and `block` order, and how many filters they need."""
    side, width, filters = 8, 4, 24
    layer = Layer(
        "layer", "conv2d", (5, side, side), (filters, side, side), base_channels=1, gate="activation"
    )
    # Every filter is on where the input is above its level: a bright spot that falls off to all sides.
    down, across = np.mgrid[:side, :side]
    spot = np.round(100 - 9 * np.hypot(down - 2.6, across - 3.1) ** 1.5).astype(int)
    values = np.concatenate([spot[None], np.ones((4, side, side), int)])
    weights = np.ones((filters, 5, 1, 1), int)
    levels = np.linspace(15, 95, filters).astype(int)
    figure = Figure((7.5, 3.9), layout="constrained")
    both = figure.subplots(1, 2)
    for axes, order in zip(both, ("raster", "block"), strict=True):
        hardware = load_hardware(
            "edge-16x16",
            {
                "array.rows": 4,
                "array.cols": width,
                "array.column_groups": 1,
                "array.dataflow": "is",
                "mapping.pixel_order": order,
            },
        )
        result = run_layer(layer, hardware, values, weights, levels)
        assert result.gates is not None
        places = pixel_order(layer, width, order, 1)
        slots = [places[i : i + width] for i in range(0, len(places), width)]
        needed = [int(result.gates[:, slot].any(axis=1).sum()) for slot in slots]
        shade = np.zeros(side * side)
        for slot, count in zip(slots, needed, strict=True):
            shade[slot] = count
            y, x = np.mean([divmod(p, side) for p in slot], axis=0)
            color = "white" if count > filters / 2 else "black"
            axes.text(x, y, f"{count}", ha="center", va="center", fontsize=8, color=color)
            rows, columns = zip(*(divmod(p, side) for p in slot), strict=True)
            corner = (min(columns) - 0.5, min(rows) - 0.5)
            size = (max(columns) - min(columns) + 1, max(rows) - min(rows) + 1)
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=2))
        axes.imshow(shade.reshape(side, side), cmap="Greens", vmin=0, vmax=filters)
        axes.set_xticks([])
        axes.set_yticks([])
        length = result.events["conditional_end"] - result.events["conditional_start"]
        axes.set_title(
            f"{order}: mean {np.mean(needed):.1f} of {filters} filters\n"
            f"(a pixel alone: {result.gates.mean() * filters:.1f}); conditional phase {length} cycles",
            fontsize=9,
            loc="left",
        )
    return figure


def queue() -> Figure:
    """The scanner of one feed with queues of 1, 4 and 16: gates in bursts, four pixels examined per cycle."""
    gates = np.zeros(96, bool)
    for first, end in ((8, 20), (26, 28), (52, 68), (90, 94)):
        gates[first:end] = True
    figure = Figure((7.5, 4.6), layout="constrained")
    all_axes = figure.subplots(3, 1, sharex=True)
    for axes, depth in zip(all_axes, (1, 4, 16), strict=True):
        group = StationaryGroup(4, 1, 1)
        scanner = Scanner([(bool(on),) for on in gates], 4, depth)
        waiting: list[int] = []  # entries left in the queue after each cycle

        def watch(_: int, scanner: Scanner = scanner, waiting: list[int] = waiting) -> None:
            waiting.append(len(scanner.queue))

        vectors = [Vector([1] * 4, [None])] * len(gates)
        (run,) = stepped(group, [Fold([[1]] * 4, vectors, scanner, True)], True, watch)
        cycles = np.arange(run.started, run.ended)
        axes.bar(cycles - run.started + 0.5, [waiting[c] for c in cycles], 0.9, color=COLORS["load"])
        for cycle in run.entered:
            axes.broken_barh(
                [(cycle - run.started, 1)], (-3.6, 2.4), facecolor=COLORS["conditional"], edgecolor="white"
            )
        length, needed = run.ended - run.started, len(run.entered)
        axes.set_title(
            f"queue of {depth}: {length} cycles for {needed} vectors, {length - needed} bubbles",
            fontsize=9,
            loc="left",
        )
        axes.set_ylim(-4.5, 17)
        axes.set_yticks([-2.4, 0, 8, 16], ["vectors enter", "0", "8", "16"], fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[1].set_ylabel("queued after the cycle", fontsize=8)
    all_axes[2].set_xlabel("cycle of the fold")
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
    for draw in (folds, outputs, inputs, compaction, queue, pipeline):
        draw().savefig(IMAGES / f"machine-{draw.__name__}.png", dpi=150)


if __name__ == "__main__":
    main()
