"""What every column group streams, round by round, in a phase of a tile or a chunk of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

from cgsim.engine.stepped.indices import IndexQueue, load_cycles
from cgsim.engine.stepped.tiles import Pixel, Tiles
from cgsim.hardware import Hardware

Gate = Callable[[int, Pixel], bool]
"""True if the output channel's gate is on at the pixel."""


@dataclass(frozen=True)
class Slice:
    """A K-slice: its place in the phase, its length, and the output channels whose weights it takes.

    `part` numbers the part of the inputs that it belongs to.
    """

    place: int
    length: int
    users: list[int]
    part: int = 0


@dataclass(frozen=True)
class Stream:
    """What one column group streams in one round.

    `positions` of its vectors: pixels of the tile (`ws`), channels that use the part (`is`) or reduction
    steps (`os`). `needs` [candidates]: the index scanner finds them among these meanwhile; None: they follow
    without a gap. Groups that stream the same `word` at the same position read the same activations.
    `load` cycles go before it. `height`: rows of PEs that it uses.
    """

    positions: tuple[int, ...]
    word: tuple[object, ...]
    load: int
    height: int
    needs: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class Round:
    """Streams of the groups, None for those that take no part; `present` groups hold a slot here.

    `scanned`: gate bits that the index scanners read for it.
    """

    streams: tuple[Stream | None, ...]
    present: int
    scanned: int


def chunks(tiles: Tiles, hardware: Hardware, channel_tile: int, conditional: bool) -> list[list[Slice]]:
    """K-slices of each step of a phase: all of them in one, unless weights are streamed in chunks."""
    layer, rows, tiling = tiles.layer, hardware.array.rows, tiles.tiling
    if hardware.array.dataflow == "is":
        taps = layer.kernel[0] * layer.kernel[1]
        users = [
            (len(part.channels) * taps, part.late if conditional else part.base)
            for part in tiles.parts(channel_tile)
        ]
    else:
        reduction = layer.conditional_reduction if conditional else layer.base_reduction
        users = [(reduction, tiles.outputs(channel_tile))]
    slices: list[Slice] = []
    for part, (reduction, channels) in enumerate(users):
        for k in range(0, reduction if channels else 0, rows):
            slices.append(Slice(len(slices), min(rows, reduction - k), channels, part))
    size = tiling.chunk_folds if tiling.loop_order == "activations_outer" else max(1, len(slices))
    return [slices[i : i + size] for i in range(0, len(slices), size)]


class Rounds:
    """Rounds of a tile's phases on one accelerator."""

    def __init__(self, tiles: Tiles, hardware: Hardware, gate: Gate) -> None:
        """`gate` is asked only for conditional phases."""
        self.tiles, self.hardware, self.gate = tiles, hardware, gate
        self.rows = hardware.array.rows
        self.by_pixel = tiles.layer.gate == "pixel"
        self.gate_bits = 1 if self.by_pixel else tiles.width  # that the scanner reads per candidate

    def of(self, pixel_tile: int, channel_tile: int, conditional: bool, chunk: list[Slice]) -> list[Round]:
        """Rounds in order. One in which no group takes part takes no time."""
        pixels = self.tiles.pixels[pixel_tile]
        folds = self.tiles.channels[channel_tile]
        if self.hardware.array.dataflow == "is":
            return list(self._is(pixels, conditional, chunk))
        if self.hardware.array.dataflow == "os":
            return list(self._os(pixels, folds, conditional, chunk))
        return list(self._ws(pixels, folds, conditional, chunk))

    def _round(self, streams: list[Stream | None], present: int, candidates: int = 0) -> Round:
        rest = [None] * (self.tiles.feeds - len(streams))
        return Round((*streams, *rest), present, candidates * present * self.gate_bits)

    def _needs(self, slot: list[int], pixels: list[Pixel]) -> tuple[bool, ...]:
        return tuple(any(self.gate(n, pixel) for n in slot) for pixel in pixels)

    def _ws(
        self, pixels: list[Pixel], folds: list[list[list[int]]], conditional: bool, chunk: list[Slice]
    ) -> Iterator[Round]:
        for fold in folds:
            for part in chunk:
                streams: list[Stream | None] = []
                for slot in fold:
                    word = (conditional, self.tiles.block(slot[0]), part.place)
                    needs = self._needs(slot, pixels) if conditional else None
                    streams.append(_stream(needs, len(pixels), word, self.rows, part.length))
                yield self._round(streams, len(fold), len(pixels) if conditional else 0)

    def _is(self, pixels: list[Pixel], conditional: bool, chunk: list[Slice]) -> Iterator[Round]:
        if self.by_pixel:
            pixels = [pixel for pixel in pixels if self.gate(0, pixel)]
        width, feeds = self.tiles.width, self.tiles.feeds
        slots = [pixels[i : i + width] for i in range(0, len(pixels), width)]
        for first in range(0, len(slots), feeds):
            fold = slots[first : first + feeds]
            for part in chunk:
                streams: list[Stream | None] = []
                for slot in fold:
                    needs = None
                    if conditional and not self.by_pixel:
                        needs = tuple(any(self.gate(n, pixel) for pixel in slot) for n in part.users)
                    streams.append(_stream(needs, len(part.users), (), self.rows, part.length))
                scans = conditional and not self.by_pixel
                yield self._round(streams, len(fold), len(part.users) if scans else 0)

    def _os(
        self, pixels: list[Pixel], folds: list[list[list[int]]], conditional: bool, chunk: list[Slice]
    ) -> Iterator[Round]:
        steps = tuple(range(sum(part.length for part in chunk)))
        for number, fold in enumerate(folds):
            if not conditional:
                for tile in range(ceil(len(pixels) / self.rows)):
                    height = len(pixels[tile * self.rows : (tile + 1) * self.rows])
                    streams: list[Stream | None] = [
                        Stream(steps, (self.tiles.block(slot[0]), tile), 0, height) for slot in fold
                    ]
                    yield self._round(streams, len(fold))
                continue
            loads = [self._loads(self._needs(slot, pixels)) for slot in fold]
            for tile in range(max(1, *(len(own) for own in loads))):
                streams = [
                    Stream(steps, (number, group, tile), *own[tile]) if tile < len(own) else None
                    for group, own in enumerate(loads)
                ]
                yield self._round(streams, len(fold), 0 if tile else len(pixels))

    def _loads(self, needs: tuple[bool, ...]) -> list[tuple[int, int]]:
        """Cycles of the load of each packed row tile of a slot, one after another, and its pixels."""
        unit = self.hardware.gate_unit
        queue = IndexQueue(needs, self.gate_bits, unit.scan_bits_per_cycle, unit.fifo_depth)
        left = sum(needs)
        loads = []
        while left:
            count = min(left, self.rows)
            loads.append((load_cycles(queue, self.rows, count), count))
            left -= count
        return loads


def _stream(
    needs: tuple[bool, ...] | None, count: int, word: tuple[object, ...], load: int, height: int
) -> Stream | None:
    """The stream of a slot: `count` vectors, or those of its candidates that it needs, if any."""
    if needs is None:
        return Stream(tuple(range(count)), word, load, height)
    positions = tuple(i for i, need in enumerate(needs) if need)
    return Stream(positions, word, load, height, needs) if positions else None
