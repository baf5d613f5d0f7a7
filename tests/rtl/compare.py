"""What the RTL did, held against PyTorch, the kernels and the stepped reference: a line per difference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cgsim.engine.alone import array_cycles
from cgsim.engine.stepped.layer import run_layer
from cgsim.hardware import Hardware
from cgsim.trace.network import Layer
from tests.rtl import golden
from tests.rtl.cosim import Job, Result


def differences(job: Job, result: Result, stepped: bool = True) -> list[str]:
    """One line per quantity of `result` that is not equal; nothing if all are.

    `stepped`: also step through the layer (plain Python, for small layers).
    """
    inputs, thresholds, shown = batched(job.inputs), job.thresholds, job.pixel_gates
    outputs, gates = golden.computed(job.layer, inputs, job.weights, thresholds, shown)
    found = _unequal("outputs", result.outputs, outputs)
    decided = thresholds is not None
    if decided != (result.gates is not None):
        found.append(f"gates: {not decided} in the RTL, {decided} expected")
    elif gates is not None and result.gates is not None:
        found += _unequal("gates", result.gates, gates)
    counted = kernel_cycles(job.layer, job.hardware, gates, shown is not None, len(inputs))
    if result.cycles != counted:
        found.append(f"cycles: {result.cycles} in the RTL, {counted} in the kernel")
    if stepped:
        reference = run_layer(
            job.layer,
            job.hardware,
            inputs.astype(np.int64),
            job.weights.astype(np.int64),
            thresholds,
            None if shown is None else np.reshape(shown, (len(inputs), -1)),
        )
        if result.cycles != reference.cycles:
            found.append(f"cycles: {result.cycles} in the RTL, {reference.cycles} in the stepped reference")
        found += _events(result.events, reference.events)
    return found


def batched(inputs: np.ndarray) -> np.ndarray:
    """Inputs with a batch axis."""
    return inputs if inputs.ndim == 4 else inputs[None]


def kernel_cycles(
    layer: Layer, hardware: Hardware, gates: np.ndarray | None, of_pixels: bool, batch: int
) -> int:
    """Cycles by the kernels, from gates [B, N, M] (all channels alike where they are `of_pixels`)."""
    if gates is None:
        return array_cycles(golden.ungated(layer), hardware, None, batch)
    return array_cycles(layer, hardware, gates[:, :1] if of_pixels else gates, batch)


def _unequal(name: str, found: np.ndarray, expected: np.ndarray) -> list[str]:
    if found.shape != expected.shape:
        return [f"{name}: shape {list(found.shape)} in the RTL, {list(expected.shape)} in PyTorch"]
    places = np.argwhere(found != expected)
    if not len(places):
        return []
    first = tuple(int(index) for index in places[0])
    return [
        f"{name}: {len(places)} of {expected.size} differ, the first at {first}: "
        f"{found[first]} in the RTL, {expected[first]} in PyTorch"
    ]


def _events(found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    return [
        f"{name}: {found.get(name, 'never')} in the RTL, "
        f"{expected.get(name, 'never')} in the stepped reference"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]
