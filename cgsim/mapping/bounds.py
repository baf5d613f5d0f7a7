"""What no execution of a tiling can beat: least cycles and least off-chip bytes, for many tilings at once.

The bounds hold for every option of the array and the memory. They leave out what only execution tells: stalls
in mid-layer, and what gates ask for beyond the least (`Late`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.parts import END, FIRST, LENGTH, SKIP_END, SKIP_FIRST, parts, row_folds
from cgsim.mapping.slots import Slots
from cgsim.mapping.tiling import ACTIVATIONS_OUTER, WEIGHTS_OUTER, Tilings, patch_size
from cgsim.trace.network import Layer


@dataclass(frozen=True)
class Late:
    """What the conditional path takes at least, however the layer is cut, for one batch.

    `cycles` of the array; `channels` whose weights somebody needs.
    """

    cycles: int = 0
    channels: int = 0


NO_GATES = Late()


class Bounds:
    """`cycles` and `bytes` that each of some tilings of a layer takes at least, int64 [tilings].

    Arrays are int64 [tilings] throughout.
    """

    def __init__(
        self,
        layer: Layer,
        layout: Slots,
        hardware: Hardware,
        tilings: Tilings,
        residuals: int,
        batch: int,
        late: Late = NO_GATES,
        residency: Residency = NOTHING_KEPT,
    ) -> None:
        """Bounds of `tilings` for a batch of `batch` samples."""
        self._layer, self._layout, self._hardware, self._tilings = layer, layout, hardware, tilings
        self._residuals, self._late, self._residency = residuals, late, residency
        self._batch = batch
        self._outer = tilings.order == WEIGHTS_OUTER
        self._streamed = tilings.order == ACTIVATIONS_OUTER
        self._base, self._conditional = parts(layer, hardware.array.dataflow)
        self._pixel_tiles = tilings.pixel_tiles(layer, self._batch)
        self._channel_tiles = -(-layout.column_folds // tilings.folds)
        self._tiles = self._pixel_tiles * self._channel_tiles
        self._whole, self._rest = self._pixel_tile_sizes()
        self._last_pixels = np.where(self._rest[0] > 0, self._rest[1], self._whole[1])
        last_slot = (self._channel_tiles - 1) * tilings.folds * layout.groups
        self._last_channels = layer.out_channels - layout.first[last_slot]
        chunks = -(-row_folds(self._base, hardware.array.rows) // tilings.chunk)
        self._chunks = np.where(self._streamed & (len(self._base) == 1), chunks, 1)

        self._measure_inputs()
        self.reads, self.stores = self._bytes_read(), self._bytes_stored()
        self.bytes = self.reads + self.stores
        conditional = row_folds(self._conditional, hardware.array.rows)
        self.steps = self._tiles * (
            self._chunks + np.where(self._streamed, -(-conditional // tilings.chunk), conditional > 0)
        )
        self._array, self._steps, self._longest = self._array_cycles()
        self.cycles = self._cycles()

    def _pixel_tile_sizes(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """(tiles, pixels of each) of whole pixel tiles, and of the rests."""
        _, height, width = self._layer.out_shape
        cut, batch = self._tilings, self._batch
        whole = (batch // cut.samples) * (height // cut.rows) * (width // cut.columns), cut.pixels()
        rows, columns = height % cut.rows * width, width % cut.columns
        rest = np.where(cut.samples > 1, batch % cut.samples * height * width, rows + columns)
        count = np.where(cut.samples > 1, 1, np.where(rows > 0, batch, batch * height))
        return whole, (np.where(rest > 0, count, 0), rest)

    def _measure_inputs(self) -> None:
        """Input pixels and channels that all tiles read, and the first."""
        cut, layer = self._tilings, self._layer
        rows, columns = self._extents(0, cut.rows), self._extents(1, cut.columns)
        self._patches = rows[0] * columns[0] * self._batch
        self._first_patch = rows[1] * columns[1] * cut.samples
        shared = ~self._outer & (self._channel_tiles > 1)  # activations stay for all channel tiles
        outer = _by_value(cut.folds, self._channel_tile_inputs)
        every = layer.in_shape[0]
        if self._layout.blocks == 1:
            base = layer.base_channels if layer.conditional_reduction else every
            together = [base, every - base, base]
        else:
            together = [every, 0, every] if layer.base_reduction else [0, every, 0]
        self._base_inputs, self._late_inputs, self._first_inputs = np.where(
            shared, np.array(together)[:, None], outer
        )

    def _extents(self, axis: int, sizes: np.ndarray) -> np.ndarray:
        """Input rows or columns that tiles of these sizes read, int64 [2, tilings]: all, and the first."""
        layer = self._layer
        limit, outputs = layer.in_shape[1 + axis], layer.out_shape[1 + axis]
        stride, padding = layer.stride[axis], layer.padding[axis]
        span = layer.dilation[axis] * (layer.kernel[axis] - 1) + 1

        def of(size: int) -> tuple[int, int]:
            first = np.arange(0, outputs, size)
            start = first * stride - padding
            stop = (np.minimum(first + size, outputs) - 1) * stride - padding + span
            read = np.clip(stop, 0, limit) - np.clip(start, 0, limit)
            return int(read.sum()), int(read[0])

        return _by_value(sizes, of)

    def _channel_tile_inputs(self, folds: int) -> tuple[int, int, int]:
        """Input channels read by all channel tiles of so many folds: base, conditional; base of the first."""
        layer, layout = self._layer, self._layout
        first = np.arange(0, layout.column_folds, folds)
        end = layout.blocks_of(np.minimum(first + folds, layout.column_folds))
        first = first * layout.groups // (len(layout.first) // layout.blocks)
        groups = (end - 1) // layer.base_groups - first // layer.base_groups + 1
        every = groups * (layer.in_shape[0] // layer.groups)
        base = (end - first) * layer.base_channels if layer.conditional_reduction else every
        return int(base.sum()), int((every - base).sum()), int(base[0])

    def _bytes_read(self) -> np.ndarray:
        layer, late = self._layer, self._late
        passes = np.where(self._streamed, self._pixel_tiles, 1)
        weights = layer.out_channels * layer.base_reduction * passes
        inputs = np.zeros_like(weights) if self._residency.input_kept else self._base_inputs * self._patches
        self._base_weights = weights * layer.weight_bits // 8
        self._base_activations = inputs * layer.activation_bits // 8
        if self._hardware.dma.conditional_fetch == "eager":
            weights = weights + layer.out_channels * layer.conditional_reduction * passes
            inputs = inputs + (not self._residency.input_kept) * self._late_inputs * self._patches
        else:
            weights = weights + late.channels * layer.conditional_reduction
        operands = self._residuals - self._residency.operands_kept
        values = operands * layer.out_channels * layer.pixels * self._batch
        return weights * layer.weight_bits // 8 + (inputs + values) * layer.activation_bits // 8

    def _bytes_stored(self) -> np.ndarray:
        layer = self._layer
        values = 0 if self._residency.output_kept else layer.out_channels * layer.pixels * self._batch
        return np.full(len(self._tilings), values * layer.activation_bits // 8)

    def _array_cycles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """From the first stream's start to the end of the last; all steps and decisions; the longest step."""
        array, cut = self._hardware.array, self._tilings
        zero = np.zeros(len(cut), np.int64)
        if not len(self._base):
            return zero + self._late.cycles, zero, zero
        folds, tiles = row_folds(self._base, array.rows), (self._whole, self._rest)
        if array.dataflow == "ws":
            cycles = (
                self._layout.column_folds * folds * sum(count * self._apart(size) for count, size in tiles)
            )
            idle = self._channel_tiles * sum(count * self._apart(size, True) for count, size in tiles)
            longest = cut.folds * np.minimum(cut.chunk, folds) * self._apart(cut.pixels())
        elif array.dataflow == "os":
            steps, last = self._reduction_cycles()
            row_tiles = sum(count * -(-size // array.rows) for count, size in tiles)
            cycles, idle = self._layout.column_folds * row_tiles * steps, self._tiles * last
            longest = cut.folds * -(-cut.pixels() // array.rows) * steps
        else:
            count, most = self._filter_folds()
            slots = self._layout.width * self._layout.groups
            cycles = sum(number * -(-size // slots) for number, size in tiles) * count
            idle, longest = self._tiles * most, -(-cut.pixels() // slots) * count
        decisions, each = zero, 0
        if self._layer.conditional_reduction and array.pipelining == "overlapped":
            each = self.exit + self._hardware.gate_unit.compare_latency
            decisions = np.where(cut.interleaved, 0, np.maximum(self._tiles * each - idle, 0))
        ended = array.rows + (self.exit if array.pipelining != "overlapped" else 0)
        whole = np.maximum(cycles - ended, 0) + decisions + self._late.cycles
        return whole, np.maximum(cycles - idle * self._chunks, 0) + decisions, longest + each

    @property
    def exit(self) -> int:
        """Cycles from the end of a stream to its last result's exit."""
        array = self._hardware.array
        down = array.rows if array.dataflow == "os" and array.pipelining != "scalesim" else 0
        return array.rows + array.cols - 2 + down

    def _apart(self, vectors: np.ndarray, idle: bool = False) -> np.ndarray:
        """Cycles from the start of a stream to the next one's; or those of them when nothing streams."""
        array = self._hardware.array
        if array.pipelining != "overlapped":
            distance = vectors + array.rows + self.exit
        else:
            distance = np.maximum(vectors, array.rows)
        return distance - vectors if idle else distance

    def _reduction_cycles(self) -> tuple[np.ndarray, np.ndarray]:
        """`os`: cycles from fold to fold, all chunks of the base reduction together; idle ones of these."""
        array = self._hardware.array
        reduction = int(self._base[:, LENGTH].sum())
        if array.pipelining != "overlapped":
            return reduction + self._chunks * self.exit, np.full(len(self._chunks), self.exit)
        last = reduction - (self._chunks - 1) * self._tilings.chunk * array.rows
        idle = np.maximum(array.rows - last, 0)
        return reduction + idle, idle

    def _filter_folds(self) -> tuple[np.ndarray, np.ndarray]:
        """`is`: cycles of all folds that a column fold of pixels goes through; most idle ones of a fold."""
        base, layout = self._base, self._layout
        folds = -(-base[:, LENGTH] // self._hardware.array.rows)

        def of(channel_tile: int) -> tuple[int, int]:
            first = np.arange(0, layout.column_folds, channel_tile)
            end = np.minimum((first + channel_tile) * layout.groups, len(layout.first)) - 1
            low, high = layout.first[first * layout.groups][:, None], layout.end[end][:, None]
            users = np.maximum(np.minimum(high, base[:, END]) - np.maximum(low, base[:, FIRST]), 0)
            skipped = np.minimum(high, base[:, SKIP_END]) - np.maximum(low, base[:, SKIP_FIRST])
            users = users - np.maximum(skipped, 0)
            cycles = np.where(users > 0, self._apart(users) * folds, 0)
            return int(cycles.sum()), int(np.where(users > 0, self._apart(users, True), 0).max(initial=0))

        count, least = _by_value(self._tilings.folds, of)
        return count, least

    def _cycles(self) -> np.ndarray:
        layer, residency = self._layer, self._residency
        gated, lanes = layer.conditional_reduction > 0, self._hardware.vector_unit.lanes
        outputs = self._last_pixels * self._last_channels
        last_store = self._busy(outputs * (not residency.output_kept) * layer.activation_bits // 8)
        leave = (
            0 if gated else self.exit
        )  # the base phase's results may have left during the conditional phase
        tail = leave - (-outputs * (1 + self._residuals) // lanes) + last_store
        start = self._first_load()
        operations = layer.out_channels * layer.pixels * self._batch * (1 + self._residuals)
        found = start + np.maximum(self._array + tail, leave + operations // lanes + last_store)
        if not gated:  # everything that is loaded is waited for
            last_operands = outputs * (self._residuals - residency.operands_kept) * layer.activation_bits // 8
            found = np.maximum(found, self._there(self.reads - last_operands) + tail)
        waited = (
            self._base_weights + self._base_activations if gated and residency.output_kept else self.bytes
        )
        return np.maximum(np.maximum(found, self._busy(waited)), self._buffers_in_turn(start, leave, tail))

    def _first_load(self) -> np.ndarray:
        """When the first step's loads are there."""
        layer, layout = self._layer, self._layout
        if not len(self._base):
            return np.zeros(len(self._tilings), np.int64)
        channels = layout.end[np.minimum(self._tilings.folds * layout.groups, len(layout.first)) - 1]
        chunk = self._tilings.chunk * self._hardware.array.rows * (len(self._base) == 1)
        weights = channels * np.where(
            self._streamed, np.minimum(chunk, layer.base_reduction), layer.base_reduction
        )
        inputs = (not self._residency.input_kept) * self._first_inputs * self._first_patch
        return self._there((weights * layer.weight_bits + inputs * layer.activation_bits) // 8)

    def _buffers_in_turn(self, start: np.ndarray, leave: int, tail: np.ndarray) -> np.ndarray:
        """A part of a buffer is loaded, used, and (of results) stored before it is used again.

        With d parts a layer takes at least a d-th of all these turns, the first d left out.
        """
        layer, array, cut = self._layer, self._hardware.array, self._tilings
        if not len(self._base):  # a step in which nothing streams waits for no buffer
            return start + tail
        bits, lanes = layer.activation_bits, self._hardware.vector_unit.lanes
        depth = np.where(cut.interleaved, 3, 2 if self._hardware.buffers.double_buffered else 1)
        channels = np.minimum(cut.folds * self._layout.groups * self._layout.width, layer.out_channels)

        each = 1 + self._residuals
        outputs, most = layer.out_channels * layer.pixels * self._batch, cut.pixels() * channels
        turns = self._steps + self._tiles * leave + outputs * each // lanes + self._busy(self.stores)
        kept = self._residency.output_kept
        turn = self._longest + leave - (-most * each // lanes) + self._busy(most * (not kept) * bits // 8) + 1
        found = turns // depth - turn

        moved = np.where(self._streamed, self._base_weights, self._base_activations)
        chunk = np.minimum(cut.chunk * array.rows, layer.reduction)
        patch = patch_size(layer, cut.rows, cut.columns) * cut.samples * layer.in_shape[0]
        most = np.where(self._streamed, channels * chunk * layer.weight_bits, patch * bits) // 8 + 1
        events = np.where(self._outer, self._tiles, self._pixel_tiles)
        events = np.where(self._streamed, self._tiles * self._chunks, events)
        used = self._longest * np.where(self._outer | self._streamed, 1, self._channel_tiles)
        written = np.where(self._streamed, array.dataflow == "ws", array.dataflow == "is") * array.rows
        wait = self._latency * all(map(self._reads_something, (0, 1)))
        turns = (
            np.maximum(self._dram(moved) + events * wait, self._busy(moved)) + events * written + self._steps
        )
        loads = turns // depth - (self._busy(most) + 1 + wait + written + used)
        chained = (moved > 0) & ~(self._streamed & (layer.conditional_reduction > 0))
        return start + tail + np.where(chained, np.maximum(found, loads), found)

    def _reads_something(self, axis: int) -> bool:
        """True unless an output may lie in the padding altogether."""
        layer = self._layer
        return layer.padding[axis] <= layer.dilation[axis] * (layer.kernel[axis] - 1)

    @property
    def _latency(self) -> int:
        return self._hardware.dram.latency_cycles or 0

    def _busy(self, size: np.ndarray) -> np.ndarray:
        """Cycles in which the DRAM, or the port of the buffers, moves so many bytes."""
        port = self._hardware.buffers.bytes_per_cycle
        found = self._dram(size)
        return found if port == "ideal" else np.maximum(found, -(-size // int(port)))

    def _there(self, size: np.ndarray) -> np.ndarray:
        """Cycles until a load of so many bytes, or several, is in the buffers; 0 for none."""
        found = np.maximum(self._dram(size) + self._latency, self._busy(size))
        return np.where(size > 0, found, 0)

    def _dram(self, size: np.ndarray) -> np.ndarray:
        return np.floor(size / self._hardware.dram_bytes_per_cycle * (1 - 1e-12)).astype(np.int64)


def _by_value(values: np.ndarray, function: Callable[[int], tuple[int, ...]]) -> np.ndarray:
    """`function` of each value, which returns several figures: int64 [figures, values]."""
    different, where = np.unique(values, return_inverse=True)
    return np.array([function(int(value)) for value in different], np.int64).T[:, where]
