"""One sample, or the batch that it belongs to, with everything that happens noted down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cgsim.dram.counters import COUNTS
from cgsim.engine.columns import DRAM_COUNTS, MODES, PHASES, STALLS, TENSORS
from cgsim.engine.events import KIND, LANE, UNIT, Part
from cgsim.engine.gates import Gates
from cgsim.engine.listener import Heard, listening
from cgsim.engine.metrics import (
    ACTIVATION_LOAD,
    ACTIVATIONS_READ,
    BASE_WEIGHTS_READ,
    BURSTS,
    BYTES,
    CYCLES,
    DECISION,
    PARTS,
    TENSOR_COUNT,
    VECTOR,
    WEIGHT_LOAD,
)
from cgsim.engine.reduced import GATE_NETWORK
from cgsim.engine.replay import DRAM
from cgsim.engine.run import operations_of, replays_of
from cgsim.errors import CgsimError, nearest
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation

_DECIDING = {
    VECTOR: DECISION,
    ACTIVATION_LOAD: WEIGHT_LOAD,
    ACTIVATIONS_READ: BASE_WEIGHTS_READ,
    ACTIVATIONS_READ + TENSOR_COUNT: BASE_WEIGHTS_READ + TENSOR_COUNT,
}
"""What a gate network's use of the vector unit is counted as."""


def record(trace: Gates, hardware: Hardware, sample: int = 0, layers: str | None = None) -> list[Part]:
    """What happens when on `sample`, or the batch that it belongs to: layer by layer, dense first.

    `layers`: names with commas between them, each also FIRST:LAST; None is the first layer with gates.

    Raises:
        CgsimError: a sample or layer that the trace does not have, or what `run` raises.
    """
    if not 0 <= sample < trace.n_samples:
        raise CgsimError(
            f"timeline: sample {sample} is not in the trace, which has samples 0 to {trace.n_samples - 1}"
        )
    if hardware.engines.pipeline:
        raise CgsimError(f"hardware {hardware.name!r}: accelerators with engines have no timeline")
    todo = operations_of(trace, hardware)
    chosen = _chosen(todo, layers)
    batch = min(hardware.mapping.batch, trace.n_samples)
    first = sample // batch * batch
    samples = np.arange(first, min(first + batch, trace.n_samples))
    parts: dict[tuple[int, str], list[Part]] = {}
    for mode in MODES:  # with replays of its own: they do not run twice what they have counted
        for index, replay in enumerate(replays_of(trace, hardware, todo)):
            if index not in chosen:
                continue
            with listening() as heard:
                if mode == "dense":
                    replay.dense(samples, len(samples))
                else:
                    replay.gated(samples, len(samples))
            heard.sort(key=lambda one: one.what != GATE_NETWORK)  # before the layer can start
            parts[index, mode] = [_part(todo[index].layer.name, mode, one) for one in heard]
    return [part for index in chosen for mode in MODES for part in parts[index, mode]]


def _chosen(todo: Sequence[Operation], layers: str | None) -> list[int]:
    """Indices of the operations that `layers` names; a fused addition is where it is executed."""
    if layers is None:
        gated = [i for i, operation in enumerate(todo) if operation.layer.gate != "none"]
        return (gated or [i for i, operation in enumerate(todo) if operation.layer.on_array] or [0])[:1]
    places = {operation.layer.name: index for index, operation in enumerate(todo)}
    places |= {name: index for index, operation in enumerate(todo) for name in operation.fused}
    found: set[int] = set()
    for text in layers.split(","):
        ends = [end.strip() for end in text.split(":")]
        if len(ends) > 2:
            raise CgsimError(f"timeline: layers {text!r}, expected NAME or FIRST:LAST")
        for name in ends:
            if name not in places and name:
                raise CgsimError(f"timeline: unknown layer {name!r}{nearest(name, places)}")
        first = places[ends[0]] if ends[0] else 0
        last = places[ends[-1]] if ends[-1] else len(todo) - 1
        if last < first or not text.strip():
            raise CgsimError(f"timeline: layers {text!r}, expected FIRST:LAST in the order of execution")
        found |= set(range(first, last + 1))
    return sorted(found)


def _part(layer: str, mode: str, heard: Heard) -> Part:
    counts, events = heard.counts, heard.events
    if heard.what == GATE_NETWORK:
        counts, events = counts.copy(), events.copy()
        for source, target in _DECIDING.items():
            counts[target] += counts[source]
            counts[source] = 0
            events[(events[:, KIND] == source) & (events[:, LANE] != UNIT), KIND] = target
    return Part(layer, mode, heard.what, named(counts), events, heard.commands)


def named(counts: np.ndarray) -> dict[str, int]:
    """The result columns, without their mode, that follow from what a run counted, int64 [RESULTS]."""
    found = {"cycles": int(counts[CYCLES])}
    names = [f"{phase}_cycles" for phase in PHASES] + [f"{cause}_stall_cycles" for cause in STALLS]
    found |= zip(names, counts[PARTS].tolist(), strict=True)
    for kind, own in (("bytes", counts[BYTES]), ("bursts", counts[BURSTS])):
        found |= zip([f"{tensor}_{kind}" for tensor in TENSORS], own.tolist(), strict=True)
        found[f"offchip_{kind}"] = int(own.sum())
    return found | {f"dram_{name}": int(counts[DRAM + COUNTS.index(name)]) for name in DRAM_COUNTS}
