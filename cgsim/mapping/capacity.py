"""Whether the buffers can hold the smallest tile of every layer."""

from __future__ import annotations

from collections.abc import Sequence

from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import Tiling, need
from cgsim.mapping.vector import tiles_of, vector_bytes

SMALLEST = Tiling(1, 1, 1, 1, "activations_outer", False)


def smallest_need(operation: Operation, hardware: Hardware) -> dict[str, float]:
    """KiB that the smallest tile of an operation needs, dense or gated, by the buffer's key."""
    layer = operation.layer
    if not layer.on_array:
        return {"activation_kib": vector_bytes(tiles_of(layer, 1), hardware) / 1024}
    cases = [(operation.ungated().layer, 1)]
    if hardware.gate_unit.enabled and layer.gate != "none":
        cases.append((layer, hardware.array.column_groups))
    needs = [
        need(
            case,
            slots(case, hardware.array.cols, groups),
            hardware,
            SMALLEST,
            operation.residuals,
            case.conditional_reduction > 0,
        )
        for case, groups in cases
    ]
    return {f"{buffer}_kib": max(vars(one)[buffer] for one in needs) / 1024 for buffer in vars(needs[0])}


def require_fits(todo: Sequence[Operation], hardware: Hardware) -> None:
    """Raise CgsimError if an operation does not fit the buffers: of all that do not, the one that lacks most.

    The message names its layer and what each buffer needs, in figures that a configuration takes.
    """
    buffers = hardware.buffers
    needs = [smallest_need(operation, hardware) for operation in todo]
    lacking = [max(kib / getattr(buffers, key) for key, kib in one.items()) for one in needs]
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


def _text(kib: float) -> str:
    """KiB without rounding: bytes are multiples of 1/1024."""
    return f"{kib:.10f}".rstrip("0").rstrip(".")
