"""The ways in which an operation is replayed: without gates, with gates, with fewer channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from cgsim.engine.accesses import Work, shared
from cgsim.engine.gates import Gates
from cgsim.engine.mapped import Calibration, Mapped, mapped
from cgsim.engine.metrics import CYCLES, HOST, PARTS
from cgsim.engine.on_vector import on_vector_unit
from cgsim.engine.reduced import Reduced, Shape, gate_network, shape_of
from cgsim.engine.replay import ON, RESULTS
from cgsim.hardware import Hardware
from cgsim.mapping.channel_order import channel_order
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.vector import vector_tiles
from cgsim.trace.macs import executed_macs

_ORDERS: dict[tuple[Any, ...], np.ndarray] = {}
"""Channel orders that this process has learned: equal keys, equal orders."""


@dataclass(frozen=True)
class Kept:
    """What an operation finds and leaves on chip, in dense and in gated execution."""

    dense: Residency = NOTHING_KEPT
    gated: Residency = NOTHING_KEPT


@dataclass(frozen=True)
class Replayed:
    """Execution of S samples.

    `counts` int64 [S, RESULTS]; `work`: what is computed; `density` float [S], share of the gates that are on
    (1 without gates).
    """

    counts: np.ndarray
    work: Work
    density: np.ndarray


def batches(count: int, batch: int) -> Iterator[slice]:
    """Consecutive batches of `count` samples; the last may be smaller."""
    for start in range(0, count, batch):
        yield slice(start, min(start + batch, count))


def share_out(counts: np.ndarray, samples: int) -> np.ndarray:
    """What each batch took, int64 [B, RESULTS], shared out over its samples: [B x samples, RESULTS].

    In whole numbers; sums are exact, in every column and between cycles and their phases.
    """
    if samples == 1:
        return counts
    each, rest = np.divmod(counts[:, None], samples)
    shares: np.ndarray = each + (np.arange(samples)[:, None] < rest)
    shares[..., CYCLES] = shares[..., PARTS].sum(axis=2)
    return shares.reshape(-1, counts.shape[1])


class Replay:
    """Base of all ways: gated execution that is dense execution on the array."""

    def __init__(
        self,
        trace: Gates,
        hardware: Hardware,
        operation: Operation,
        dense_operation: Operation | None,
        kept: Kept = Kept(),
    ) -> None:
        """Choose the mappings; raises CgsimError for what is not modelled.

        `operation` is that of gated execution; None: dense execution has the layer fused into another one.
        """
        self.trace, self.hardware, self.kept = trace, hardware, kept
        self.operation, self.dense_operation = operation, dense_operation
        self.layer = operation.layer
        self._counted: dict[tuple[Operation, int, Residency], np.ndarray] = {}

    def ungated_batch(self, operation: Operation, samples: int, residency: Residency) -> np.ndarray:
        """Counts of `samples` samples without gates: int64 [RESULTS]."""
        return mapped(operation.ungated(), self.hardware, 1, residency=residency).dense(samples)

    def dense(self, samples: np.ndarray, batch: int) -> Replayed:
        """Dense execution of the samples with these indices."""
        if self.dense_operation is None:
            return self._without_gates(np.zeros((len(samples), RESULTS), np.int64))
        counts = self._ungated(self.dense_operation, len(samples), batch, self.kept.dense)
        return self._without_gates(self._called(counts, batch))

    def _called(self, counts: np.ndarray, batch: int) -> np.ndarray:
        """`counts` int64 [S, RESULTS] with the cycles that the host takes to start each batch."""
        call = round(self.hardware.host.call_us * self.hardware.clock_mhz)
        if call:
            counts = counts.copy()
            for part in batches(len(counts), batch):
                counts[part, HOST] += shared(np.array([call] + [0] * (part.stop - part.start - 1)), batch)
            counts[:, CYCLES] = counts[:, PARTS].sum(axis=1)
        return counts

    def _ungated(self, operation: Operation, count: int, batch: int, residency: Residency) -> np.ndarray:
        """Execution of `count` samples without gates: int64 [count, RESULTS]."""
        whole, rest = divmod(count, batch)
        parts = []
        if whole:
            once = self._once(operation, batch, residency)
            parts.append(np.tile(share_out(once[None], batch), (whole, 1)))
        if rest:
            parts.append(share_out(self._once(operation, rest, residency)[None], rest))
        return np.concatenate(parts)

    def _once(self, operation: Operation, samples: int, residency: Residency) -> np.ndarray:
        key = (operation, samples, residency)
        if key not in self._counted:
            self._counted[key] = self.ungated_batch(operation, samples, residency)
        return self._counted[key]

    def gated(self, samples: np.ndarray, batch: int) -> Replayed:
        """Gated execution of the samples with these indices, gate network included."""
        found = self._replayed(samples, batch)
        counts, work = found.counts, found.work
        if self._decides and self.layer.gate_network_macs:
            sizes = [part.stop - part.start for part in batches(len(samples), batch)]
            parts = [share_out(gate_network(self.layer, self.hardware, n)[None], n) for n in sizes]
            counts = counts + np.concatenate(parts)
            work = replace(work, deciding_macs=np.full(len(samples), self.layer.gate_network_macs))
        if self._decides and self.layer.gate not in ("none", "static"):
            work = replace(work, gates=np.full(len(samples), np.prod(self.layer.gate_shape)))
        return Replayed(self._called(counts, batch), work, found.density)

    def _replayed(self, samples: np.ndarray, batch: int) -> Replayed:
        counts = self._ungated(self.operation, len(samples), batch, self.kept.gated)
        return self._without_gates(counts)

    def _without_gates(self, counts: np.ndarray) -> Replayed:
        macs = np.full(len(counts), self.layer.dense_macs)
        return Replayed(counts, Work.dense(macs), np.ones(len(counts)))

    @property
    def _decides(self) -> bool:
        """True if there is gate logic."""
        return self.hardware.gate_unit.enabled

    def implied_macs(self, samples: np.ndarray) -> np.ndarray:
        """MACs that the gates imply, int64 [S], counted without the engine."""
        if not self._decides:
            return np.full(len(samples), self.layer.dense_macs)
        return self.trace.gated_macs(self.layer.name)[samples]

    def stored(self, samples: np.ndarray) -> np.ndarray:
        """Output activations of gated execution, to be stored unless they stay on chip, int64 [S]."""
        return np.full(len(samples), self.layer.out_channels * self.layer.pixels)

    def describe(self) -> list[dict[str, Any]]:
        """The tilings of both modes, for the report."""
        assert self.dense_operation is not None, "only additions are fused"
        dense = mapped(self.dense_operation.ungated(), self.hardware, 1, residency=self.kept.dense)
        return [
            {"layer": self.layer.name, "mode": mode, **own.describe()}
            for mode, own in (("dense", dense), ("gated", self.mapped))
        ]

    @property
    def mapped(self) -> Mapped:
        """The operation as gated execution maps it."""
        return mapped(self.operation.ungated(), self.hardware, 1, residency=self.kept.gated)


class Ungated(Replay):
    """A layer without gates, or an accelerator without gate logic."""


class VectorLayer(Replay):
    """A layer of the vector unit. Channels that are off in its result are not read, computed or stored."""

    def ungated_batch(self, operation: Operation, samples: int, residency: Residency) -> np.ndarray:  # noqa: ARG002
        """Tile by tile, sample by sample."""
        return self._counts(self.layer.out_channels, samples, residency)

    def _replayed(self, samples: np.ndarray, batch: int) -> Replayed:
        """The channels that are on in any sample of a batch."""
        if not self._skips:
            return super()._replayed(samples, batch)
        on = self.trace.channels_on(self.layer.name, samples)
        found = []
        for part in batches(len(samples), batch):
            channels = int(on[part].any(axis=0).sum())
            counts = self._counts(channels, part.stop - part.start, self.kept.gated)
            found.append(share_out(counts[None], part.stop - part.start))
        return self._without_gates(np.concatenate(found))

    def stored(self, samples: np.ndarray) -> np.ndarray:
        """The channels that are on."""
        if not self._skips:
            return super().stored(samples)
        on = self.trace.channels_on(self.layer.name, samples)
        return np.asarray(on.sum(axis=1) * self.layer.pixels)

    def describe(self) -> list[dict[str, Any]]:
        """Nothing is tiled for the array."""
        return []

    @cached_property
    def _skips(self) -> bool:
        """True if the accelerator may skip channels that are off."""
        network = self.trace.network
        sources = network.channel_sources[self.layer.name]
        static = all(network.by_name[name].gate == "static" for name in sources)
        return bool(sources) and (self._decides or static)

    def _counts(self, channels: int, samples: int, residency: Residency) -> np.ndarray:
        key = (channels, samples, residency)
        if key not in self._by_channels:
            left = replace(
                self.layer,
                in_shape=(channels, *self.layer.in_shape[1:]),
                out_shape=(channels, *self.layer.out_shape[1:]),
            )
            counts = np.zeros(RESULTS, np.int64)
            if channels:
                tiles = np.tile(vector_tiles(left, self.hardware, residency), (samples, 1))
                finished = channels * self.layer.pixels * samples
                counts = on_vector_unit(tiles, self.hardware, finished=finished)
            self._by_channels[key] = counts
        return self._by_channels[key]

    @cached_property
    def _by_channels(self) -> dict[tuple[int, int, Residency], np.ndarray]:
        return {}


class GateNetwork(VectorLayer):
    """A gate network as a layer of its own, which computes nothing else. Dense execution has none.

    One that picks the channels of a gather runs without gate logic too: what follows needs them.
    """

    def ungated_batch(self, operation: Operation, samples: int, residency: Residency) -> np.ndarray:  # noqa: ARG002
        """Nothing is computed."""
        return self._counts(0, samples, residency)

    @property
    def _decides(self) -> bool:
        layers = self.trace.network.layers
        behind = layers[layers.index(self.layer) + 1 :]
        gated = next((layer for layer in behind if layer.gate not in ("none", "static")), None)
        return super()._decides or (gated is not None and gated.operator == "gather")

    def stored(self, samples: np.ndarray) -> np.ndarray:
        """Gates stay on chip."""
        return np.zeros(len(samples), np.int64)


class Gated(Replay):
    """A layer whose gates are activations or pixels."""

    def __init__(
        self,
        trace: Gates,
        hardware: Hardware,
        operation: Operation,
        dense_operation: Operation | None,
        kept: Kept = Kept(),
    ) -> None:
        """Choose the mappings; the gated one on the first batch of the trace."""
        super().__init__(trace, hardware, operation, dense_operation, kept)
        groups = hardware.array.column_groups
        self._own = mapped(operation, hardware, groups, self._calibration(), kept.gated)

    @property
    def mapped(self) -> Mapped:
        """With base and conditional path."""
        return self._own

    def _replayed(self, samples: np.ndarray, batch: int) -> Replayed:
        """Batch by batch; whole ones in one call."""
        gates = self.packed(samples)
        whole = len(samples) // batch * batch
        parts = []
        for own, size in ((gates[:whole], batch), (gates[whole:], len(samples) - whole)):
            if len(own):
                parts.append(share_out(self._own.gated(own.reshape(-1, size, *gates.shape[1:])), size))
        shares = np.concatenate(parts)
        if batch > 1:
            shares[:, ON] = np.bitwise_count(gates).sum(axis=(1, 2))
        on = shares[:, ON]
        return Replayed(shares, self._work(on), self._density(on))

    def _work(self, on: np.ndarray) -> Work:
        """What samples with `on` gates compute, int64 [S]; every base output is compared with a threshold."""
        bare, none = replace(self.layer, gate_network_macs=0), np.zeros_like(on)
        base = executed_macs(bare, none)
        compared = self.layer.base_reduction if self.layer.gate == "activation" else 0
        decisions = base // compared if compared else none
        return Work(base, executed_macs(bare, on) - base, none, decisions, none)

    def _density(self, on: np.ndarray) -> np.ndarray:
        return np.asarray(on / np.prod(self.layer.gate_shape))

    def packed(self, samples: np.ndarray) -> np.ndarray:
        """Gates as uint64 [S, N or 1, W], channels in the order in which they fill the columns."""
        gates = self.trace.gates(self.layer.name, samples)
        gates = gates.reshape(gates.shape[0], -1, gates.shape[-1])
        return np.ascontiguousarray(gates if self._order is None else gates[:, self._order])

    @cached_property
    def _order(self) -> np.ndarray | None:
        """The learned channel order, from the first half of the trace's samples; None: natural."""
        hardware, layer = self.hardware, self.layer
        natural = hardware.mapping.channel_order == "natural"
        if natural or layer.gate != "activation" or hardware.array.dataflow == "is":
            return None
        array = hardware.array
        floor = array.rows if array.dataflow == "ws" and array.pipelining == "overlapped" else 1
        sync, batch = hardware.gate_unit.group_sync, hardware.mapping.batch
        key = (self.trace.checksum, layer.name, array.cols, array.column_groups, sync, floor, batch)
        if key not in _ORDERS:
            learned = self.trace.gates(layer.name, np.arange(max(1, self.trace.n_samples // 2)))
            _ORDERS[key] = channel_order(
                layer, learned, array.cols, array.column_groups, sync, rows=floor, batch=batch
            )
        return _ORDERS[key]

    def _calibration(self) -> Calibration:
        gates = self.packed(np.arange(min(self.hardware.mapping.batch, self.trace.n_samples)))[None]
        on = int(np.bitwise_count(gates).sum())
        density = on / (gates[0, :, :, 0].size * self.layer.pixels)
        return Calibration(f"{self.trace.checksum} {self.layer.name}", gates, density)


class Channels(Gated):
    """A layer that computes, or reads, only some of its channels, with or without finer gates of its own.

    Samples that compute different channels cannot share folds, so only channels that are off for good
    (`static`) are run in batches.
    """

    def __init__(
        self,
        trace: Gates,
        hardware: Hardware,
        operation: Operation,
        dense_operation: Operation | None,
        kept: Kept = Kept(),
    ) -> None:
        """Choose the mappings: for what is left if that is known, otherwise for the whole layer."""
        Replay.__init__(self, trace, hardware, operation, dense_operation, kept)
        network, layer = trace.network, self.layer
        self._finer = layer.gate in ("activation", "pixel")
        self._fixed = layer.gate != "channel" and all(
            network.by_name[name].gate == "static" for name in network.input_sources(layer)
        )
        groups = hardware.array.column_groups if self._finer else 1
        calibration = self._calibration() if self._finer else None
        whole = operation if self._finer else operation.ungated()
        self._own = mapped(whole, hardware, groups, calibration, kept.gated)
        self._reduced = Reduced(
            operation, hardware, self._own, calibration if self._fixed else None, self._fixed
        )

    def _replayed(self, samples: np.ndarray, batch: int) -> Replayed:
        """Batch by batch if the channels are fixed, otherwise sample by sample."""
        shapes = self._shapes(samples)
        gates = self.packed(samples) if self._finer else None
        found = []
        for part in batches(len(samples), batch if self._fixed else 1):
            size = part.stop - part.start
            own = None if gates is None else gates[part]
            found.append(share_out(self._reduced.counts(shapes[part.start], size, own)[None], size))
        shares = np.concatenate(found)
        density = np.ones(len(samples))
        if gates is not None:
            shares[:, ON] = np.bitwise_count(gates).sum(axis=(1, 2))
            density = self._density(shares[:, ON])
        elif self.layer.gate != "none":
            density = self.trace.channels_on(self.layer.name, samples).mean(axis=1)
        return Replayed(shares, self._work_of(shapes, shares[:, ON]), density)

    def _work_of(self, shapes: list[Shape], on: np.ndarray) -> Work:
        """What the channels that are left compute; `on` int64 [S]: finer gates that are on."""
        layer = self.layer
        taps = layer.kernel[0] * layer.kernel[1]
        found = []
        for shape, gates_on in zip(shapes, on.tolist(), strict=True):
            outputs = layer.pixels * shape.outputs * shape.groups
            if layer.gate == "activation":
                late = gates_on * (shape.inputs - shape.base_channels) * taps
                found.append((outputs * shape.base_channels * taps, late, outputs))
            elif layer.gate == "pixel":
                found.append((0, gates_on * shape.outputs * shape.groups * shape.inputs * taps, 0))
            else:
                found.append((outputs * shape.inputs * taps, 0, 0))
        base, late, decisions = np.array(found, np.int64).T
        none = np.zeros_like(base)
        return Work(base, late, none, decisions, none)

    def implied_macs(self, samples: np.ndarray) -> np.ndarray:
        """As the trace counts them; without gate logic no gate network runs."""
        unused = 0 if self._decides else self.layer.gate_network_macs
        return self.trace.gated_macs(self.layer.name)[samples] - unused

    def stored(self, samples: np.ndarray) -> np.ndarray:
        """The channels that are on."""
        if self.layer.gate not in ("channel", "static"):
            return super().stored(samples)
        return np.asarray(self.trace.channels_on(self.layer.name, samples).sum(axis=1) * self.layer.pixels)

    def _shapes(self, samples: np.ndarray) -> list[Shape]:
        layer, name = self.layer, self.layer.name
        outputs = np.ones((len(samples), layer.out_channels), bool)
        if layer.gate in ("channel", "static"):
            outputs = self.trace.channels_on(name, samples)
        inputs = self.trace.inputs_on(name, samples)
        if inputs is None:
            inputs = np.ones((len(samples), layer.in_shape[0]), bool)
        return [shape_of(layer, out, into) for out, into in zip(outputs, inputs, strict=True)]
