"""Whether the buffers can hold the smallest tile of every layer."""

from __future__ import annotations

from collections.abc import Sequence

from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import ORDERS, Tiling, need
from cgsim.mapping.vector import tiles_of, vector_bytes
from cgsim.trace.network import Layer

SMALLEST = [Tiling(1, 1, 1, 1, order, False) for order in ORDERS]
"""Which of them needs least depends on the layer: some load fewer inputs at a time, others fewer weights."""


def smallest_need(operation: Operation, hardware: Hardware) -> dict[str, float]:
    """KiB that the smallest tile of an operation needs, dense or gated, by the buffer's key."""
    layer = operation.layer
    if not layer.on_array:
        return {"activation_kib": vector_bytes(tiles_of(layer, 1), hardware) / 1024}
    cases = [(operation.ungated().layer, 1)]
    if hardware.gate_unit.enabled and layer.gate != "none":
        cases.append((layer, hardware.array.column_groups))
    needs = [_smallest(case, groups, operation.residuals, hardware) for case, groups in cases]
    return {key: max(one[key] for one in needs) for key in needs[0]}


def _smallest(layer: Layer, groups: int, residuals: int, hardware: Hardware) -> dict[str, float]:
    layout, gated = slots(layer, hardware.array.cols, groups), layer.conditional_reduction > 0
    needs = [need(layer, layout, hardware, tiling, residuals, gated) for tiling in SMALLEST]
    found = [{f"{buffer}_kib": size / 1024 for buffer, size in vars(one).items()} for one in needs]
    return min(found, key=lambda one: _lack(one, hardware))


def _lack(needs: dict[str, float], hardware: Hardware) -> float:
    """How many times the buffers that is needed, of the one that lacks most."""
    return max(kib / getattr(hardware.buffers, key) for key, kib in needs.items())


def require_fits(todo: Sequence[Operation], hardware: Hardware) -> None:
    """Raise CgsimError if an operation does not fit the buffers: of all that do not, the one that lacks most.

    The message names its layer and what each buffer needs, in figures that a configuration takes. The same
    if all tensors together do not fit the DRAM.
    """
    _require_memory(todo, hardware)
    buffers = hardware.buffers
    needs = [smallest_need(operation, hardware) for operation in todo]
    lacking = [_lack(one, hardware) for one in needs]
    worst = lacking.index(max(lacking))
    if lacking[worst] <= 1:
        return
    short = [
        f"buffers.{key} needs {_text(kib)}, has {_text(getattr(buffers, key))}"
        for key, kib in needs[worst].items()
        if kib > getattr(buffers, key)
    ]
    layer = todo[worst].layer
    raise CgsimError(
        f"hardware {hardware.name!r}: layer {layer.name!r} does not fit even as tiles of one "
        f"{'pixel' if layer.on_array else 'row'}: " + "; ".join(short)
    )


def _require_memory(todo: Sequence[Operation], hardware: Hardware) -> None:
    """All weights, and the activations of a batch: what the network reads, and what each operation makes."""
    if hardware.dram.standard == "ideal":
        return
    batch = hardware.mapping.batch
    tensors = [(_activation_bytes(todo[0].layer, todo[0].layer.in_shape) * batch, "input", todo[0].layer)]
    for operation in todo:
        layer = operation.layer
        if layer.on_array:
            weights = layer.out_channels * layer.reduction * layer.weight_bits
            tensors.append(((weights + 7) // 8, "weights", layer))
        if layer.operator != "gate_network":
            tensors.append((_activation_bytes(layer, layer.out_shape) * batch, "output", layer))
    total = sum(size for size, _, _ in tensors)
    capacity = hardware.dram.controller(hardware.dma).capacity_bytes
    if total > capacity:
        size, kind, layer = max(tensors, key=lambda tensor: tensor[0])
        raise CgsimError(
            f"hardware {hardware.name!r}: weights and activations (mapping.batch {batch}) need {total} bytes "
            f"of DRAM, of these {size} the {kind} of layer {layer.name!r}; {hardware.dram.standard}, "
            f"dram.channels {hardware.dram.channels}, dram.ranks {hardware.dram.ranks}, has {capacity}"
        )


def _activation_bytes(layer: Layer, shape: tuple[int, int, int]) -> int:
    return (shape[0] * shape[1] * shape[2] * layer.activation_bits + 7) // 8


def _text(kib: float) -> str:
    """KiB without rounding: bytes are multiples of 1/1024."""
    return f"{kib:.10f}".rstrip("0").rstrip(".")
