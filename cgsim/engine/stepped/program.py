"""What a tiled layer loads, computes and stores, step by step, with the loaded values as sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from cgsim.engine.stepped.layout import Layout, Piece, joined
from cgsim.engine.stepped.rounds import Round, Rounds, Slice, chunks
from cgsim.engine.stepped.tiles import Cell, Pixel, Tiles, reads
from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.tiling import Tiling
from cgsim.trace.network import Layer


@dataclass(frozen=True)
class Step:
    """A base or conditional phase of a tile, or a chunk of one.

    `chunk` counts the steps of the phase. `holders`: groups that hold a slot in the tile. Of what moves from
    and to DRAM, 0 bytes if it is on chip; `weights` to `stores` are where it lies there.
    """

    tile: int
    pixel_tile: int
    channel_tile: int
    conditional: bool
    chunk: int
    last: bool
    weight_bytes: int
    activation_bytes: int
    residual_bytes: int
    output_bytes: int
    outputs: int
    rounds: list[Round]
    holders: int
    weights: list[Piece]
    activations: list[Piece]
    residuals: list[Piece]
    stores: list[Piece]


def steps(
    operation: Operation,
    hardware: Hardware,
    tiling: Tiling,
    feeds: int,
    gates: np.ndarray | None,
    batch: int = 1,
    residency: Residency = NOTHING_KEPT,
) -> list[Step]:
    """Steps in execution order, for a layer of `batch` samples on `feeds` column groups.

    `gates` bool [batch, N, M], or [batch, 1, M] where channels share them (without the first axis for a
    single sample), or None.
    """
    return _Program(operation, hardware, tiling, feeds, gates, batch, residency).steps()


def packed(values: int, bits: int) -> int:
    """Bytes of packed values."""
    return ceil(values * bits / 8)


class _Program:
    """What is in the buffers while the steps of a layer are listed."""

    def __init__(
        self,
        operation: Operation,
        hardware: Hardware,
        tiling: Tiling,
        feeds: int,
        gates: np.ndarray | None,
        batch: int,
        residency: Residency,
    ) -> None:
        self.layer: Layer = operation.layer
        self.residency = residency
        self.operands = operation.residuals - residency.operands_kept
        self.hardware, self.tiling = hardware, tiling
        self.tiles = Tiles(self.layer, hardware, tiling, feeds, batch)
        self.layout = Layout(operation, hardware, self.tiles, batch)
        self.gates = None if gates is None else gates.reshape(batch, -1, self.layer.pixels)
        self.rounds = Rounds(self.tiles, hardware, self._gate)
        self.on_demand = hardware.dma.conditional_fetch == "on_demand"
        self.held: set[Cell] = set()
        self.fetched: set[int] = set()  # channels whose conditional weights stay in the buffer

    def _gate(self, n: int, pixel: Pixel) -> bool:
        assert self.gates is not None
        sample, position = pixel
        return bool(self.gates[sample, n if self.gates.shape[1] > 1 else 0, position])

    def steps(self) -> list[Step]:
        base, late = [], []
        for number, (pixel_tile, channel_tile) in enumerate(self.tiles.order()):
            if self.tiling.loop_order == "weights_outer" or channel_tile == 0:
                self.held = set()
            base.append(list(self._base(number, pixel_tile, channel_tile)))
            late.append(list(self._late(number, pixel_tile, channel_tile)))
        program: list[Step] = []
        for number in range(len(base) + 1):
            program += base[number] if number < len(base) else []
            turn = number - 1 if self.tiling.interleaved else number
            program += late[turn] if 0 <= turn < len(late) else []
        return program

    def _inputs(self, channel_tile: int) -> tuple[set[int], set[int]]:
        """Input channels that are fetched for the base phase of a tile, and for both phases.

        Where activations stay for several channel tiles that do not read the same channels, the first channel
        tile of a pixel tile fetches them all.
        """
        staying = self.tiling.loop_order != "weights_outer" and len(self.tiles.channels) > 1
        if staying and self.layer.groups * self.layer.base_groups > 1:
            every = set(range(self.layer.in_shape[0]))
            return every, every
        return self.tiles.inputs(channel_tile)

    def _base(self, number: int, pixel_tile: int, channel_tile: int) -> Iterator[Step]:
        if not self.layer.base_reduction:
            return
        loads_weights = self.tiling.loop_order == "activations_outer" or pixel_tile == 0
        channels = set(self.tiles.outputs(channel_tile)) if loads_weights else set()
        inputs, _ = self._inputs(channel_tile)
        wanted = {(s, c, y, x) for c in inputs for s, y, x in self.tiles.patch(pixel_tile)} - self.held
        self.held |= wanted
        yield from self._phase(number, pixel_tile, channel_tile, False, channels, wanted)

    def _late(self, number: int, pixel_tile: int, channel_tile: int) -> Iterator[Step]:
        if self.gates is None or not self.layer.conditional_reduction:
            return
        pixels, outputs = self.tiles.pixels[pixel_tile], self.tiles.outputs(channel_tile)
        _, inputs = self._inputs(channel_tile)
        positions = self.tiles.patch(pixel_tile)
        if self.on_demand:
            positions = reads(self.layer, [p for p in pixels if any(self._gate(n, p) for n in outputs)])
        wanted = {(s, c, y, x) for c in inputs for s, y, x in positions} - self.held
        self.held |= wanted
        channels = {n for n in outputs if not self.on_demand or any(self._gate(n, p) for p in pixels)}
        if self.tiling.loop_order != "activations_outer":
            channels -= self.fetched
            self.fetched |= channels
        yield from self._phase(number, pixel_tile, channel_tile, True, channels, wanted)

    def _phase(
        self,
        number: int,
        pixel_tile: int,
        channel_tile: int,
        conditional: bool,
        channels: set[int],
        inputs: set[Cell],
    ) -> Iterator[Step]:
        """One step per chunk: the weights of `channels` with each, the values `inputs` with the first."""
        layer, layout, bits = self.layer, self.layout, self.layer.activation_bits
        slices = chunks(self.tiles, self.hardware, channel_tile, conditional)
        results = self._results(pixel_tile, channel_tile)
        inputs = set() if self.residency.input_kept else inputs
        ends_tile = conditional or not layer.conditional_reduction
        for position, chunk in enumerate(slices):
            last = ends_tile and position == len(slices) - 1
            loaded = inputs if position == 0 else set()
            operands = layout.operands[: self.operands] if last else []
            stored = set() if self.residency.output_kept else results
            yield Step(
                tile=number,
                pixel_tile=pixel_tile,
                channel_tile=channel_tile,
                conditional=conditional,
                chunk=position,
                last=last,
                weight_bytes=packed(_weights(chunk, channels), layer.weight_bits),
                activation_bytes=packed(len(loaded), bits),
                residual_bytes=packed(len(results) * len(operands), bits),
                output_bytes=packed(len(stored), bits),
                outputs=len(results),
                rounds=self.rounds.of(pixel_tile, channel_tile, conditional, chunk),
                holders=self._holders(pixel_tile, channel_tile),
                weights=layout.weight_pieces(conditional, channel_tile, position, channels),
                activations=layout.inputs.pieces(loaded),
                residuals=joined(piece for operand in operands for piece in operand.pieces(results)),
                stores=layout.outputs.pieces(stored) if last else [],
            )

    def _results(self, pixel_tile: int, channel_tile: int) -> set[Cell]:
        wide = self.layer.out_shape[2]
        return {
            (sample, channel, *divmod(pixel, wide))
            for sample, pixel in self.tiles.pixels[pixel_tile]
            for channel in self.tiles.outputs(channel_tile)
        }

    def _holders(self, pixel_tile: int, channel_tile: int) -> int:
        """Groups that hold a slot in the tile: the first ones."""
        slots = sum(len(fold) for fold in self.tiles.channels[channel_tile])
        if self.hardware.array.dataflow == "is":
            slots = ceil(len(self.tiles.pixels[pixel_tile]) / self.tiles.width)
        return min(slots, self.tiles.feeds)


def _weights(chunk: list[Slice], channels: set[int]) -> int:
    """Weights of `channels` that a chunk takes."""
    return sum(part.length * len(channels & set(part.users)) for part in chunk)
