"""Layers of which a sample computes fewer channels: smaller layers on the same array."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cgsim.engine.mapped import Calibration, Mapped
from cgsim.engine.metrics import (
    ACTIVATION_LOAD,
    ACTIVATIONS_READ,
    BASE_WEIGHTS_READ,
    DECISION,
    VECTOR,
    WEIGHT_LOAD,
)
from cgsim.engine.on_vector import on_vector_unit
from cgsim.engine.replay import RESULTS
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.trace.network import Layer

GATE_NETWORK = "gate network"


@dataclass(frozen=True)
class Shape:
    """What is left of a layer: convolution groups, input and output channels of each, base channels.

    `constants`: output channels that are on but read nothing that is on; they are stored all the same.
    """

    groups: int
    inputs: int
    outputs: int
    base_channels: int
    constants: int


def shape_of(layer: Layer, outputs_on: np.ndarray, inputs_on: np.ndarray) -> Shape:
    """What is left of `layer` with outputs bool [N] and inputs bool [Cin] on.

    Raises CgsimError where the convolution groups, or the blocks of the base path, become unequal.
    """
    outs = outputs_on.reshape(layer.groups, -1)
    ins = inputs_on.reshape(layer.groups, -1)
    reads = ins.any(axis=1)
    if layer.gate in ("activation", "pixel") and not reads.all():
        _uneven(layer, "a convolution group reads no input that is on")
    constants = int(outs[~reads].sum())
    used = reads & outs.any(axis=1)
    outs, ins = outs[used], ins[used]
    if len(outs) == 0:
        return Shape(0, 0, 0, 0, constants)
    for kind, on in (("inputs", ins.sum(axis=1)), ("outputs", outs.sum(axis=1))):
        if on.min() != on.max():
            _uneven(layer, f"the {kind} that are on differ between its {layer.groups} convolution groups")
    base = 0
    if layer.base_channels:
        blocks = (
            ins[:, : layer.base_channels * layer.base_groups].reshape(-1, layer.base_channels).sum(axis=1)
        )
        base = int(blocks[0])
        if blocks.min() != blocks.max() or not 0 < base < ins[0].sum():
            _uneven(layer, "its inputs that are on leave unequal base paths, or one of the paths empty")
    return Shape(len(outs), int(ins[0].sum()), int(outs[0].sum()), base, constants)


def _uneven(layer: Layer, why: str) -> None:
    raise CgsimError(f"layer {layer.name!r}: {why}: not replayed, expected equal parts that all compute")


class Reduced:
    """Replays one operation in the shapes that its samples leave."""

    def __init__(
        self,
        operation: Operation,
        hardware: Hardware,
        full: Mapped,
        calibration: Calibration | None,
        fixed: bool,
    ) -> None:
        """`full` is the operation with all channels.

        Its tiling is kept where the shape depends on the input, which no compiler knows. A `fixed` shape gets
        a tiling of its own, chosen with `calibration`.
        """
        self.operation, self.hardware, self.full = operation, hardware, full
        self.calibration, self.fixed = calibration, fixed
        self._mapped: dict[Shape, Mapped | None] = {}
        self._dense: dict[tuple[Shape, int], np.ndarray] = {}

    def counts(self, shape: Shape, samples: int = 1, gates: np.ndarray | None = None) -> np.ndarray:
        """Counts of a batch of samples that share a shape: int64 [RESULTS].

        `gates` uint64 [samples, N or 1, W] if the layer has gates finer than channels.
        """
        if shape not in self._mapped:
            self._mapped[shape] = self._map(shape)
        own = self._mapped[shape]
        if own is not None and gates is not None:
            return np.asarray(own.gated(gates[None])[0] + self._constants(shape, samples))
        key = (shape, samples)
        if key not in self._dense:
            computed = own.dense(samples) if own is not None else np.zeros(RESULTS, np.int64)
            self._dense[key] = computed + self._constants(shape, samples)
        return self._dense[key]

    def _map(self, shape: Shape) -> Mapped | None:
        if shape.groups == 0:
            return None
        full = self.operation.layer
        layer = replace(
            full,
            in_shape=(shape.inputs * shape.groups, *full.in_shape[1:]),
            out_shape=(shape.outputs * shape.groups, *full.out_shape[1:]),
            groups=shape.groups,
            base_channels=shape.base_channels,
            gate=full.gate if full.gate in ("activation", "pixel") else "none",
        )
        operation, tiling = replace(self.operation, layer=layer), None if self.fixed else self.full.tiling
        return Mapped(
            operation,
            self.hardware,
            self.full.layout.groups,
            self.calibration,
            tiling,
            self.full.residency,
        )

    def _constants(self, shape: Shape, samples: int) -> np.ndarray:
        layer = self.operation.layer
        values = shape.constants * layer.pixels * samples
        tile = np.array([[0, values, (values * layer.activation_bits + 7) // 8]], np.int64)
        if not values:
            return np.zeros(RESULTS, np.int64)
        return on_vector_unit(tile, self.hardware, "constant channels", finished=values)


def gate_network(layer: Layer, hardware: Hardware, samples: int) -> np.ndarray:
    """Counts of the gate network that runs before a layer can start: int64 [RESULTS].

    Small layers: their weights are read once, one after the other, and each lane of the vector unit does one
    MAC per cycle.
    """
    macs = layer.gate_network_macs
    tile = np.array([[(layer.deciding_weights * layer.weight_bits + 7) // 8, macs * samples, 0]], np.int64)
    counts = on_vector_unit(tile, hardware, GATE_NETWORK)
    for source, target in (
        (VECTOR, DECISION),
        (ACTIVATION_LOAD, WEIGHT_LOAD),
        (ACTIVATIONS_READ, BASE_WEIGHTS_READ),
    ):
        counts[target] += counts[source]
        counts[source] = 0
    return counts
