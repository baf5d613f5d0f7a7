"""What the gates of a trace look like: densities and correlations, read block by block."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.trace.macs import gate_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsim.trace.network import Layer
    from cgsim.trace.reader import Trace

NEIGHBOURS = 16
"""Neighbouring channels that are looked at together (one group of array columns)."""
BLOCK = 4
"""Side of the blocks of neighbouring pixels that are looked at together."""


@dataclass(frozen=True)
class PairMoments:
    """Probability that two gates of a sample are both on, by how they are related (NaN if there are none).

    Distances are horizontal and vertical alike; "anywhere" is any two pixels of the image, equal ones too.
    """

    same_channel: tuple[float, float, float]
    """1 pixel apart, 2 pixels apart, anywhere."""
    same_group: tuple[float, float]
    """Two channels of one base group: at the same pixel, anywhere."""
    other_group: tuple[float, float]
    """Channels of two base groups: at the same pixel, anywhere."""


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of one gated layer. Correlations are Pearson coefficients of the gates as 0 and 1.

    `pixel` gates count as one channel, `channel` and `static` gates as one pixel. NaN where a figure
    has no meaning.
    """

    layer: str
    gate: str
    channels: int
    height: int
    width: int
    groups: int
    """Base groups of the channels."""
    density: float
    density_per_channel: NDArray[np.float64]
    """[N]"""
    density_per_pixel: NDArray[np.float64]
    """[H, W]"""
    density_per_sample: NDArray[np.float64]
    """[S]"""
    horizontal_agreement: float
    """Share of horizontally adjacent pixels whose gates are equal."""
    vertical_agreement: float
    spatial_correlation: float
    """Between adjacent pixels of a channel, relative to the density of that channel."""
    cross_channel_correlation: float
    """Between two channels at the same pixel, relative to the densities of the channels."""
    any_of_16_channels: float
    """Share of pixels where at least one of 16 neighbouring channels is on."""
    any_of_4x4_pixels: float
    """Share of aligned 4 x 4 blocks of a channel in which at least one gate is on."""
    channels_off: float
    """Share of (sample, channel) in which the channel is off on the whole image."""
    pixels_off: float
    """Share of (sample, pixel) that are off in all channels."""
    moments: PairMoments

    def scalars(self) -> dict[str, Any]:
        """The figures that are single values, for tables."""
        skipped = ("density_per_channel", "density_per_pixel", "density_per_sample", "moments")
        names = [field.name for field in dataclasses.fields(self) if field.name not in skipped]
        data = {name: getattr(self, name) for name in names}
        for name, array in (("channel", self.density_per_channel), ("sample", self.density_per_sample)):
            data[f"density_{name}_min"] = float(array.min())
            data[f"density_{name}_max"] = float(array.max())
        return data


def layer_statistics(trace: Trace) -> list[LayerStatistics]:
    """Statistics of every gated layer, in execution order; reads the whole trace once."""
    sums = {layer.name: _Sums(layer) for layer in trace.gated_layers}
    for block in trace.blocks():
        for layer in trace.gated_layers:
            if layer.gate != "static":
                sums[layer.name].add(trace.bits(layer.name, block).reshape(-1, *grid(layer)))
    for layer in trace.gated_layers:
        if layer.gate == "static":
            sums[layer.name].add(trace.bits(layer.name).reshape(1, *grid(layer)))
    return [item.result() for item in sums.values()]


def stats(trace: Trace) -> list[dict[str, Any]]:
    """One flat dictionary per gated layer, ready for a DataFrame (`LayerStatistics.scalars`)."""
    return [item.scalars() for item in layer_statistics(trace)]


def grid(layer: Layer) -> tuple[int, int, int]:
    """(channels, height, width) of a layer's gates; 1 where an axis is missing."""
    if layer.gate == "activation":
        return layer.out_shape
    if layer.gate == "pixel":
        return (1, *layer.out_shape[1:])
    return (layer.gated_channels, 1, 1)


class _Sums:
    """Running sums over the samples of one layer."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.grid = grid(layer)
        self.per_sample: list[NDArray[np.float64]] = []
        self.per_channel_pixel = np.zeros(self.grid)
        self.agree = np.zeros((2, 2))
        self.ratios: dict[str, NDArray[np.float64]] = {
            name: np.zeros(2) for name in ("any16", "any4x4", "channels_off", "pixels_off")
        }
        self.groups = layer.base_groups
        self.same, self.near, self.other = np.zeros((3, 2)), np.zeros((2, 2)), np.zeros((2, 2))

    def add(self, bits: NDArray[np.bool_]) -> None:
        """Add bool[B, C, H, W]."""
        samples, channels, height, width = bits.shape
        self.per_sample.append(bits.reshape(samples, -1).mean(axis=1))
        self.per_channel_pixel += bits.sum(axis=0)
        neighbours = np.add.reduceat(bits, np.arange(0, channels, NEIGHBOURS), axis=1, dtype=np.int32)
        self._ratio("any16", neighbours > 0)
        self._ratio("pixels_off", neighbours.sum(axis=1) == 0)
        self._ratio("channels_off", ~bits.any(axis=(2, 3)))
        tall, wide = height // BLOCK * BLOCK, width // BLOCK * BLOCK
        if tall and wide:
            blocks = bits[:, :, :tall, :wide].reshape(
                samples, channels, tall // BLOCK, BLOCK, wide // BLOCK, BLOCK
            )
            self._ratio("any4x4", blocks.any(axis=(3, 5)))
        self._between(0, bits.reshape(samples, self.groups, -1, height, width).sum(axis=2), bits.sum())
        for axis, size in ((3, width), (2, height)):
            for row, lag in enumerate((1, 2)):
                if lag < size:
                    self._apart(bits, axis, lag, row)
        if height * width > 1:
            means = bits.mean(axis=(2, 3))
            self.same[2] += (means**2).sum(), means.size
            self._between(1, means.reshape(samples, self.groups, -1).sum(axis=2), (means**2).sum())

    def _apart(self, bits: NDArray[np.bool_], axis: int, lag: int, row: int) -> None:
        first, second = _shifted(bits, axis, lag)
        self.same[row] += int(np.count_nonzero(first & second)), first.size
        if lag == 1:
            self.agree[3 - axis] += int(np.count_nonzero(first == second)), first.size

    def _between(self, row: int, sums: NDArray[Any], same: Any) -> None:
        """Add up products of different channels, from [B, groups, ...] sums over the base groups."""
        channels, each = self.grid[0], self.grid[0] // self.groups
        places = sums.size // self.groups
        inside, every = float((sums**2).sum()), float((sums.sum(axis=1) ** 2).sum())
        self.near[row] += inside - float(same), places * channels * (each - 1)
        self.other[row] += every - inside, places * channels * (channels - each)

    def _ratio(self, name: str, hits: Any) -> None:
        self.ratios[name] += int(np.count_nonzero(hits)), hits.size

    def result(self) -> LayerStatistics:
        per_sample = np.concatenate(self.per_sample)
        density = self.per_channel_pixel / len(per_sample)
        channel = density.mean(axis=(1, 2))
        same, near, other = ([_share(pair) for pair in rows] for rows in (self.same, self.near, self.other))
        together = _share(self.near[0] + self.other[0])
        count = len(channel)
        spread = np.sqrt(channel * (1 - channel))
        pairs = count * (count - 1) or np.nan
        expected = (channel.sum() ** 2 - (channel**2).sum()) / pairs
        scale = (spread.sum() ** 2 - (spread**2).sum()) / pairs
        return LayerStatistics(
            layer=self.layer.name,
            gate=self.layer.gate,
            channels=self.grid[0],
            height=self.grid[1],
            width=self.grid[2],
            groups=self.groups,
            density=float(self.per_channel_pixel.sum() / (len(per_sample) * gate_count(self.layer))),
            density_per_channel=channel,
            density_per_pixel=density.mean(axis=0),
            density_per_sample=per_sample,
            horizontal_agreement=_share(self.agree[0]),
            vertical_agreement=_share(self.agree[1]),
            spatial_correlation=_divide(same[0] - (channel**2).mean(), (spread**2).mean()),
            cross_channel_correlation=_divide(together - expected, scale),
            any_of_16_channels=_share(self.ratios["any16"]),
            any_of_4x4_pixels=_share(self.ratios["any4x4"]),
            channels_off=_share(self.ratios["channels_off"]),
            pixels_off=_share(self.ratios["pixels_off"]),
            moments=PairMoments((same[0], same[1], same[2]), (near[0], near[1]), (other[0], other[1])),
        )


def _shifted(array: NDArray[Any], axis: int, lag: int) -> tuple[NDArray[Any], NDArray[Any]]:
    size = array.shape[axis]
    first, second = [slice(None)] * array.ndim, [slice(None)] * array.ndim
    first[axis], second[axis] = slice(0, size - lag), slice(lag, size)
    return array[tuple(first)], array[tuple(second)]


def _share(pair: NDArray[np.float64]) -> float:
    return _divide(float(pair[0]), float(pair[1]))


def _divide(value: float, by: float) -> float:
    return float(value / by) if by > 0 else float("nan")
