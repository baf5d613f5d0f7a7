"""Where every value of a layer lies in DRAM, value by value, and the bursts that a transfer asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cgsim.engine.stepped.rounds import Slice, chunks
from cgsim.engine.stepped.tiles import Cell, Tiles
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.trace.network import Layer

Piece = tuple[int, int]
"""Bits [first, end) of DRAM."""
REGION = 8 << 20
"""Bits; every tensor begins at a multiple."""


class Tensor:
    """Activations of a batch: block after block of channels, in a block pixel by pixel."""

    def __init__(self, shape: tuple[int, int, int], bits: int, blocks: list[range], start: int) -> None:
        """`shape` of one sample, `bits` of a value, channels of each block; it begins at bit `start`."""
        self.shape, self.bits, self.start = shape, bits, start
        self.block_of = {channel: block for block in blocks for channel in block}

    @property
    def size(self) -> int:
        """Bits of a sample."""
        channels, height, width = self.shape
        return channels * height * width * self.bits

    def address(self, cell: Cell) -> int:
        """The first bit of a value."""
        sample, channel, y, x = cell
        _, height, width = self.shape
        block = self.block_of[channel]
        before = block.start * height * width
        within = (y * width + x) * len(block) + channel - block.start
        return self.start + sample * self.size + (before + within) * self.bits

    def pieces(self, cells: Iterable[Cell]) -> list[Piece]:
        """The values in the order of a transfer: sample, block, row, column, channel."""
        found = sorted(
            (sample, self.block_of[channel].start, y, x, channel) for sample, channel, y, x in cells
        )
        at = [self.address((sample, channel, y, x)) for sample, _, y, x, channel in found]
        return joined((first, first + self.bits) for first in at)


class Layout:
    """The tensors of a layer, one after the other: weights in the order in which steps fetch them."""

    def __init__(self, operation: Operation, hardware: Hardware, tiles: Tiles, batch: int) -> None:
        layer = operation.layer
        self.weights: dict[tuple[bool, int, int], list[tuple[int, Piece]]] = {}
        """(channel, its weights) by (conditional, channel tile, chunk), in the order of the fetch."""
        at = 0
        for conditional in (False, True):
            first = at
            for tile in range(len(tiles.channels)):
                for number, chunk in enumerate(chunks(tiles, hardware, tile, conditional)):
                    place = self.weights[conditional, tile, number] = []
                    for channel, length in _fetched(chunk):
                        place.append((channel, (at, at + length * layer.weight_bits)))
                        at += length * layer.weight_bits
            reduction = layer.conditional_reduction if conditional else layer.base_reduction
            assert at - first == layer.out_channels * reduction * layer.weight_bits
            at = whole_regions(at)
        bits = layer.activation_bits
        blocks = _blocks(layer.in_shape[0], base_edges(layer), bits, hardware)
        self.inputs = Tensor(layer.in_shape, bits, blocks, at)
        at = whole_regions(at + batch * self.inputs.size)
        result = (operation.result_channels or layer.out_channels, *layer.out_shape[1:])
        blocks = _blocks(result[0], operation.output_cuts, bits, hardware)
        self.operands = []
        for _ in range(operation.residuals):
            self.operands.append(Tensor(result, bits, blocks, at))
            at += batch * self.operands[-1].size
        self.outputs = Tensor(result, bits, blocks, whole_regions(at))

    def weight_pieces(self, conditional: bool, tile: int, chunk: int, channels: set[int]) -> list[Piece]:
        """The weights of `channels` that a step fetches."""
        pieces = self.weights.get((conditional, tile, chunk), [])
        return joined(piece for channel, piece in pieces if channel in channels)


def gathered(
    operation: Operation, hardware: Hardware, picks: Sequence[Sequence[bool]], rows: int
) -> list[list[Piece]]:
    """What each tile of `rows` rows of a gather loads, sample by sample; `picks` [samples][channels]."""
    layer = operation.layer
    channels, height, width = layer.in_shape
    blocks = _blocks(channels, operation.input_cuts, layer.activation_bits, hardware)
    tensor = Tensor(layer.in_shape, layer.activation_bits, blocks, 0)
    return [
        tensor.pieces(
            (sample, channel, y, x)
            for channel in range(channels)
            if picks[sample][channel]
            for y in range(row, min(row + rows, height))
            for x in range(width)
        )
        for sample in range(len(picks))
        for row in range(0, height, rows)
    ]


def _fetched(chunk: list[Slice]) -> Iterable[tuple[int, int]]:
    """(channel, weights) part by part, of each what the chunk has of the channel's reduction."""
    for part in sorted({piece.part for piece in chunk}):
        own = [piece for piece in chunk if piece.part == part]
        for channel in own[0].users:
            yield channel, sum(piece.length for piece in own)


def base_edges(layer: Layer) -> set[int]:
    """Input channels at which the base channels of a block begin or end, in a layer of two paths."""
    if not (layer.base_reduction and layer.conditional_reduction):
        return set()
    edges = set()
    for group in range(layer.groups):
        for base_group in range(layer.base_groups):
            first = group * (layer.in_shape[0] // layer.groups) + base_group * layer.base_channels
            edges |= {first, first + layer.base_channels}
    return edges


def _blocks(channels: int, edges: Iterable[int], bits: int, hardware: Hardware) -> list[range]:
    """Channels of each block: those of a burst, or one; a new block begins at every edge."""
    most = 1
    if hardware.mapping.activation_layout == "pixel_major":
        most = max(1, hardware.dma.burst_bytes * 8 // bits)
    blocks: list[range] = []
    for channel in range(channels):
        if channel in edges or not blocks or len(blocks[-1]) == most:
            blocks.append(range(channel, channel))
        blocks[-1] = range(blocks[-1].start, channel + 1)
    return blocks


def whole_regions(bits: int) -> int:
    """`bits` rounded up to whole regions."""
    return -(-bits // REGION) * REGION


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces in the same order, those that adjoin as one."""
    found: list[Piece] = []
    for first, end in pieces:
        if found and found[-1][1] == first:
            first = found.pop()[0]
        found.append((first, end))
    return found


def bursts(pieces: Sequence[Piece], size: int) -> list[int]:
    """Numbers of the bursts of `size` bytes that a transfer asks for."""
    asked: list[int] = []
    for first, end in pieces:
        for number in range(first // (8 * size), (end - 1) // (8 * size) + 1):
            if asked[-1:] != [number]:
                asked.append(number)
    return asked
