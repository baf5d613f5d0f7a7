"""A layer cut into tiles, as plain lists: pixels, channels, and what they read."""

from __future__ import annotations

from collections.abc import Iterator

from cgsim.hardware import Hardware
from cgsim.mapping.tiling import Tiling
from cgsim.trace.network import Layer

Pixel = tuple[int, int]  # sample of the batch, output pixel
Cell = tuple[int, int, int, int]  # sample of the batch, input channel, row, column


class Part:
    """Input channels of one convolution group that move or stay together (`is`), and who uses them."""

    def __init__(self, channels: list[int], base: list[int], late: list[int]) -> None:
        """Input `channels`; output channels that use them in the `base` phase and in the conditional one."""
        self.channels, self.base, self.late = channels, base, late


class Tiles:
    """Pixel tiles and channel tiles of a layer as lists."""

    def __init__(self, layer: Layer, hardware: Hardware, tiling: Tiling, feeds: int, batch: int) -> None:
        """`feeds` column groups; a layer of `batch` samples."""
        self.layer, self.tiling, self.feeds = layer, tiling, feeds
        self.width = hardware.array.cols // feeds
        block = layer.out_channels // layer.groups // layer.base_groups
        slots = [
            list(range(first, min(first + self.width, start + block)))
            for start in range(0, layer.out_channels, block)
            for first in range(start, start + block, self.width)
        ]
        column_folds = [slots[i : i + feeds] for i in range(0, len(slots), feeds)]
        size = tiling.tile_folds
        self.channels = [column_folds[i : i + size] for i in range(0, len(column_folds), size)]
        height, wide = layer.out_shape[1:]
        order = hardware.mapping.pixel_order if hardware.array.dataflow == "is" else "raster"
        self.pixels: list[list[Pixel]] = [
            [
                (sample, y * wide + x)
                for sample in range(first, min(first + tiling.tile_samples, batch))
                for y, x in self._walk(order, row, min(row + tiling.tile_rows, height), xs)
            ]
            for first in range(0, batch, tiling.tile_samples)
            for row in range(0, height, tiling.tile_rows)
            for xs in (
                range(col, min(col + tiling.tile_columns, wide))
                for col in range(0, wide, tiling.tile_columns)
            )
        ]

    def _walk(self, order: str, first: int, end: int, xs: range) -> Iterator[tuple[int, int]]:
        if order == "raster":
            yield from ((y, x) for y in range(first, end) for x in xs)
            return
        divisors = [h for h in range(1, self.width + 1) if self.width % h == 0 and h * h <= self.width]
        for top in range(first, end, divisors[-1]):
            for x in xs:
                yield from ((y, x) for y in range(top, min(top + divisors[-1], end)))

    def order(self) -> Iterator[tuple[int, int]]:
        """(pixel tile, channel tile) in execution order."""
        if self.tiling.loop_order == "weights_outer":
            yield from ((p, c) for c in range(len(self.channels)) for p in range(len(self.pixels)))
        else:
            yield from ((p, c) for p in range(len(self.pixels)) for c in range(len(self.channels)))

    def outputs(self, channel_tile: int) -> list[int]:
        """Output channels of a channel tile."""
        return [n for fold in self.channels[channel_tile] for slot in fold for n in slot]

    def block(self, n: int) -> tuple[int, int]:
        """(convolution group, base group) of output channel n."""
        per_group = self.layer.out_channels // self.layer.groups
        group, within = divmod(n, per_group)
        return group, within // (per_group // self.layer.base_groups)

    def parts(self, channel_tile: int) -> list[Part]:
        """Parts that the channel tile uses, in round order."""
        layer = self.layer
        per_group = layer.in_shape[0] // layer.groups
        found = []
        for group in range(layer.groups):
            first = group * per_group
            mine = [n for n in self.outputs(channel_tile) if self.block(n)[0] == group]
            every = list(range(first, first + per_group))
            if not layer.base_channels:
                pixel = layer.gate == "pixel"
                found.append(Part(every, [] if pixel else mine, mine if pixel else []))
                continue
            for j in range(layer.base_groups):
                own = every[j * layer.base_channels : (j + 1) * layer.base_channels]
                base = [n for n in mine if self.block(n)[1] == j]
                found.append(Part(own, base, [n for n in mine if n not in base]))
            rest = every[layer.base_groups * layer.base_channels :]
            found += [Part(rest, [], mine)] if rest else []
        return found

    def inputs(self, channel_tile: int) -> tuple[set[int], set[int]]:
        """Input channels that the channel tile reads in its base phase, and in all."""
        base: set[int] = set()
        every: set[int] = set()
        for part in self.parts(channel_tile):
            base.update(part.channels if part.base else ())
            every.update(part.channels if part.base or part.late else ())
        return base, every

    def patch(self, pixel_tile: int) -> set[tuple[int, int, int]]:
        """The rectangle of input positions between the first and the last that a tile reads, per sample."""
        layer, pixels = self.layer, self.pixels[pixel_tile]
        corners = []
        for axis in (0, 1):
            at = [divmod(p, layer.out_shape[2])[axis] for _, p in pixels]
            low = min(at) * layer.stride[axis] - layer.padding[axis]
            high = max(at) * layer.stride[axis] - layer.padding[axis]
            high += layer.dilation[axis] * (layer.kernel[axis] - 1)
            corners.append(range(max(low, 0), min(high, layer.in_shape[1 + axis] - 1) + 1))
        rectangle = {(s, y, x) for s in {s for s, _ in pixels} for y in corners[0] for x in corners[1]}
        assert reads(layer, pixels) <= rectangle
        return rectangle


def reads(layer: Layer, pixels: list[Pixel]) -> set[tuple[int, int, int]]:
    """Input positions (sample, row, column) that output pixels read."""
    found = set()
    for sample, pixel in pixels:
        top, left = divmod(pixel, layer.out_shape[2])
        for i in range(layer.kernel[0]):
            for j in range(layer.kernel[1]):
                y = top * layer.stride[0] - layer.padding[0] + i * layer.dilation[0]
                x = left * layer.stride[1] - layer.padding[1] + j * layer.dilation[1]
                if 0 <= y < layer.in_shape[1] and 0 <= x < layer.in_shape[2]:
                    found.add((sample, y, x))
    return found
