"""The choice of results that stay on chip, in execution order, as long as they save traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from cgsim.hardware import Hardware
from cgsim.mapping.bounds import Bounds
from cgsim.mapping.candidates import candidates
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation
from cgsim.mapping.slots import slots
from cgsim.mapping.vector import vector_bytes, vector_tiles
from cgsim.trace.network import Network

FAST = 1.02
"""What `balanced` takes for equally fast."""


@dataclass(frozen=True)
class Readers:
    """Who reads the result of an operation: positions of operations, and how.

    `inputs` read it as their input; `operands` (position, times) as residual or as operand of an addition.
    `changes` add to some of its channels in place: who reads what they leave reads this result.
    """

    inputs: tuple[int, ...]
    operands: tuple[tuple[int, int], ...]
    changes: tuple[int, ...] = ()

    @property
    def last(self) -> int:
        """The last of them; -1 if there is none."""
        operands = (position for position, _ in self.operands)
        return max((*self.inputs, *operands, *self.changes), default=-1)


def residencies(
    network: Network, todo: Sequence[Operation], hardware: Hardware, gated: bool
) -> tuple[Residency, ...]:
    """What each operation of `network`, gated or dense, finds and leaves in the activation buffer.

    With `keep_on_chip` a result is kept from its production to its last reader, if every operation meanwhile
    still has a tiling and all of them together move fewer bytes. Earlier results are decided first. Traffic
    is that of the tilings that their bounds favour, as nothing is executed here.
    """
    chosen = [NOTHING_KEPT] * len(todo)
    if not hardware.buffers.keep_on_chip:
        return tuple(chosen)
    own = [_executed(operation, hardware, gated) for operation in todo]
    plain = hardware.model_copy(update={"name": "any", "description": ""})
    for index, readers in enumerate(readers_of(network, todo)):
        if readers.last < 0:
            continue
        tried = list(chosen)
        size = _bytes(todo[index], hardware)
        for position in range(index, readers.last + 1):
            reserved = chosen[position].reserved_bytes + size
            tried[position] = replace(chosen[position], reserved_bytes=reserved)
        tried[index] = replace(tried[index], output_kept=True)
        for position in readers.inputs:
            tried[position] = replace(tried[position], input_kept=True)
        for position, times in readers.operands:
            kept = tried[position].operands_kept + times
            tried[position] = replace(tried[position], operands_kept=kept)
        for position in readers.changes:
            tried[position] = replace(tried[position], output_kept=True)
        concerned = range(index, readers.last + 1)
        before = [_traffic(*own[position], plain, chosen[position]) for position in concerned]
        after = [_traffic(*own[position], plain, tried[position]) for position in concerned]
        if None not in after and sum(filter(None, after)) < sum(filter(None, before)):
            chosen = tried
    return tuple(chosen)


def readers_of(network: Network, todo: Sequence[Operation]) -> list[Readers]:
    """Per operation, who reads its result; what a partial addition changes remains the result of another."""
    maker = {name: index for index, own in enumerate(todo) for name in (own.layer.name, *own.fused)}
    inputs: list[list[int]] = [[] for _ in todo]
    operands: list[dict[int, int]] = [{} for _ in todo]
    changes: list[list[int]] = [[] for _ in todo]
    for layer in network.layers:
        if network.is_partial(layer):
            whole = layer.producers[0]
            if whole in maker:
                changes[maker[whole]].append(maker[layer.name])
                maker[layer.name] = maker[whole]
            else:  # the network's input
                del maker[layer.name]
    for index, own in enumerate(todo):
        added = [network.by_name[name] for name in own.fused]
        if own.layer.operator == "add":
            added.append(network.by_name[own.layer.name])
        elif own.layer.operator != "gate_network":
            for name in own.layer.producers:
                if name in maker:
                    inputs[maker[name]].append(index)
        for name in [producer for layer in added for producer in layer.producers]:
            if name in maker and maker[name] != index:
                operands[maker[name]][index] = operands[maker[name]].get(index, 0) + 1
    return [
        Readers(tuple(a), tuple(b.items()), tuple(c))
        for a, b, c in zip(inputs, operands, changes, strict=True)
    ]


def _executed(operation: Operation, hardware: Hardware, gated: bool) -> tuple[Operation, int]:
    """The operation as it is mapped, and its feeds."""
    layer = operation.layer
    if layer.on_array and gated and hardware.gate_unit.enabled and layer.gate in ("activation", "pixel"):
        named = replace(layer, name="", producers=(), gate_network_macs=0)
        return Operation(named, (), operation.residuals), hardware.array.column_groups
    return (operation.ungated() if layer.on_array else operation), 1


def _bytes(operation: Operation, hardware: Hardware) -> int:
    layer = operation.layer
    return (layer.out_channels * layer.pixels * hardware.mapping.batch * layer.activation_bits + 7) // 8


@lru_cache(maxsize=4096)
def _traffic(operation: Operation, groups: int, hardware: Hardware, residency: Residency) -> int | None:
    """Off-chip bytes of a batch, about; None if nothing fits."""
    layer, batch = operation.layer, hardware.mapping.batch
    if layer.operator == "gate_network":
        return 0
    if not layer.on_array:
        tiles = vector_tiles(layer, hardware, residency)
        fits = vector_bytes(tiles, hardware, residency) <= hardware.buffers.activation_bytes
        return int((tiles[:, 0] + tiles[:, 2]).sum()) * batch if fits else None
    layout = slots(layer, hardware.array.cols, groups)
    found = candidates(layer, layout, hardware, operation.residuals, residency)
    if not len(found):
        return None
    least = Bounds(layer, layout, hardware, found, operation.residuals, batch, residency=residency)
    if hardware.mapping.objective == "traffic":
        return int(least.bytes.min())
    most = least.cycles.min() * (FAST if hardware.mapping.objective == "balanced" else 1)
    return int(least.bytes[np.flatnonzero(least.cycles <= most)].min())
