"""What is computed on one image: which pixels, which channels, beside the image itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap

from cgsim.errors import CgsimError, nearest
from cgsim.results import style
from cgsim.results.figures.picture import as_picture, load_picture
from cgsim.results.provenance import trace_name
from cgsim.shorten import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

    from cgsim.trace import Trace
    from cgsim.trace.network import Layer

_MAPS = 8
_LINES = 64
_DEFAULT_MAPS = 4
_SHADES = "Blues"
"""White is not computed, the darker the more: in print, too."""
_ON_OFF = ListedColormap(["#E3E3E3", style.BLUE])
_BARE = "#FFFFFF"
"""Where a layer has fewer channels than another."""


def density(
    trace: Trace,
    sample: int | str = 0,
    layers: Sequence[str] | None = None,
    image: str | os.PathLike[str] | np.ndarray | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw what is computed on one image, from the gates of a trace.

    Gates of granularity `activation` or `pixel` give two panels for each layer: at each pixel the share of
    channels that are computed, and for each channel the share of pixels (with a base path: of the
    conditional one, the base is always computed). Gates of channels (`channel`, `static`, the inputs that a
    `gather` takes) give one panel, a line for each layer, a cell for each channel.

    Args:
        trace: from `cgsim.load_trace`.
        sample: position of the sample in the trace, or its id.
        layers: names of layers with gates; default one layer for each size of output, or where only
            channels are gated, all of them.
        image: the image of that sample: a file (PNG, JPEG, .npy), or [H, W], [H, W, 3], [3, H, W].
        path: PNG, SVG or PDF to write.
        title: of the figure.

    Raises:
        CgsimError: no such sample or layer, a layer without gates, more than 8 layers with maps, an image
            that cannot be read, or `path` cannot be written.
    """
    position = _position(trace, sample)
    chosen = [trace.layer(name) for name in layers] if layers else _usual(trace)
    for layer in chosen:
        if layer.gate == "none":
            gated = [one.name for one in trace.gated_layers]
            raise CgsimError(f"{trace.path}: layer {layer.name!r} has no gates{nearest(layer.name, gated)}")
    maps = [layer for layer in chosen if _has_map(layer)]
    lines = [layer for layer in chosen if not _has_map(layer)]
    for found, most, what in ((maps, _MAPS, "maps of pixels"), (lines, _LINES, "lines of channels")):
        if len(found) > most:
            raise CgsimError(f"density: {len(found)} layers with {what}, expected {most} or fewer")
    picture = None
    if image is not None:
        picture = as_picture(image) if isinstance(image, np.ndarray) else load_picture(image)
    figure = style.Plot(*_size(maps, lines, picture is not None))
    heights = [2.0, 1.0] if maps else []
    grid = figure.add_gridspec(
        len(heights) + bool(lines), max(len(maps), 1) + (picture is not None),
        width_ratios=None if maps or picture is None else [1, 2.4],
        height_ratios=[*heights, *([_tall(lines)] if lines else [])],
    )  # fmt: skip
    first = int(picture is not None)
    if picture is not None:
        _draw_picture(figure.add_subplot(grid[0, 0]), picture)
    _draw_maps(figure, grid, first, maps, trace, position)
    if lines:
        _draw_lines(figure.add_subplot(grid[-1, 0 if maps else first :]), lines, trace, position)
    figure.suptitle(title or _about(trace, position), fontsize=style.TEXT + 1, x=0.01, ha="left")
    if path is not None:
        style.write(figure, path)
    return figure


def _position(trace: Trace, sample: int | str) -> int:
    if isinstance(sample, str):
        known = [one.id for one in trace.samples]
        if sample not in known:
            found = nearest(sample, known)
            told = found if "valid:" not in found else f" (there are {known[0]!r} and {len(known) - 1} more)"
            raise CgsimError(f"{trace.path}: no sample {sample!r}{told}")
        return known.index(sample)
    return int(trace.positions([sample])[0])


def _has_map(layer: Layer) -> bool:
    return layer.gate == "pixel" or (layer.gate == "activation" and layer.pixels > 1)


def _usual(trace: Trace) -> list[Layer]:
    """Return the first layer of each output size, else all whose channels are gated."""
    if not trace.gated_layers:
        raise CgsimError(f"{trace.path}: no layer has gates, there is nothing to draw")
    sizes: dict[tuple[int, ...], Layer] = {}
    for layer in trace.gated_layers:
        if _has_map(layer):
            sizes.setdefault(layer.out_shape[1:], layer)
    return list(sizes.values())[:_DEFAULT_MAPS] or list(trace.gated_layers)[:_LINES]


def _gates(trace: Trace, layer: Layer, position: int) -> np.ndarray:
    """Return the gates of a sample: bool [channels, H, W] with a map, else [channels]."""
    bits = trace.bits(layer.name, [position])
    if layer.gate != "static":
        bits = bits[0]
    if not _has_map(layer):
        return bits.reshape(-1)
    return bits.reshape(-1, *layer.out_shape[1:])


def _size(maps: Sequence[Layer], lines: Sequence[Layer], picture: bool) -> tuple[float, float]:
    across = len(maps) + picture
    width = max(1.95 * across + 0.7, 6.4 if lines else 4.0)
    return width, 0.5 + (3.3 if maps else 0.0) + (_tall(lines) + 0.5 if lines else 0.0)


def _tall(lines: Sequence[Layer]) -> float:
    return max(0.2 * len(lines) + 0.3, 1.0)


def _draw_picture(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture, cmap="gray", interpolation="nearest")
    style.dress(axes, title="", grid="")
    axes.set_title(f"image\n{picture.shape[0]} × {picture.shape[1]}", fontsize=style.SMALL + 0.5, loc="left")
    axes.set_axis_off()


def _draw_maps(
    figure: Figure, grid: GridSpec, first: int, maps: Sequence[Layer], trace: Trace, position: int
) -> None:
    """Draw pixels above channels, a column for each layer."""
    above = []
    found = [_gates(trace, layer, position) for layer in maps]
    highest = _top([gates.mean(axis=0) for gates in found])
    longest = _top([gates.mean(axis=(1, 2)) for gates in found])
    for number, (layer, gates) in enumerate(zip(maps, found, strict=True)):
        axes = figure.add_subplot(grid[0, first + number])
        shown = axes.imshow(gates.mean(axis=0), cmap=_SHADES, vmin=0, vmax=highest, interpolation="nearest")
        axes.set_title(f"{shorten(layer.name, 24)}\n{100 * gates.mean():.0f} % computed",
                       fontsize=style.SMALL + 0.5, loc="left")  # fmt: skip
        axes.set_xticks([])
        axes.set_yticks([])
        above.append(axes)
        below = figure.add_subplot(grid[1, first + number])
        if layer.gate == "pixel":  # one gate for all channels
            below.set_axis_off()
            continue
        shares = gates.mean(axis=(1, 2))
        below.stairs(shares, np.arange(len(shares) + 1) - 0.5, fill=True, color=style.BLUE)
        below.set_xlim(-0.5, len(shares) - 0.5)
        below.set_ylim(0, longest)
        style.dress(below, title="", x="channel", y="share of pixels" if number == 0 else "", grid="y")
        if number:
            below.set_yticklabels([])
    if above:
        bar = figure.colorbar(shown, ax=above, pad=0.02, shrink=0.95)
        bar.set_label("share of channels", fontsize=style.TEXT - 0.5)
        bar.ax.tick_params(labelsize=style.SMALL)


def _top(shares: Sequence[np.ndarray]) -> float:
    """Return the end of a scale that holds all shares: a multiple of a tenth."""
    return float(np.ceil(10 * max((share.max() for share in shares), default=0.1) - 1e-9).clip(1) / 10)


def _draw_lines(axes: Axes, lines: Sequence[Layer], trace: Trace, position: int) -> None:
    """Draw which channels are on: a line for each layer."""
    rows = [_gates(trace, layer, position) for layer in lines]
    cells = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in enumerate(rows):
        cells[place, : len(row)] = row
    edges = np.arange(cells.shape[1] + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
    few = cells.shape[1] <= 160
    axes.pcolormesh(*edges, cells, cmap=_ON_OFF, vmin=0, vmax=1, edgecolors=_BARE if few else "none",
                    linewidth=0.4 if few else 0, rasterized=True)  # fmt: skip
    axes.invert_yaxis()
    names = [
        f"{shorten(layer.name, 28)}{' (inputs)' if layer.operator == 'gather' else ''}" for layer in lines
    ]
    axes.set_yticks(range(len(rows)), names)
    for place, row in enumerate(rows):
        axes.annotate(f"{int(row.sum())} of {len(row)}", (1.02, place), xycoords=("axes fraction", "data"),
                      fontsize=style.SMALL, va="center", ha="left", annotation_clip=False)  # fmt: skip
    style.dress(axes, title="", x="channel (dark: computed, light: not)", grid="")
    axes.spines[["left", "bottom"]].set_visible(False)


def _about(trace: Trace, position: int) -> str:
    sample = trace.samples[position]
    told = f"{trace_name(str(trace.path))}, sample {position} ({shorten(sample.id, 40)})"
    if sample.label is not None and sample.prediction is not None:
        told += f", class {sample.label}, predicted {sample.prediction}"
    return told
