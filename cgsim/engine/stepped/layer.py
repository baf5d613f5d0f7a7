"""A layer on the stepped array alone: numbers, decisions and cycles, from the layer's own values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from cgsim.engine.stepped.array import Group, Target
from cgsim.engine.stepped.output import OutputGroup
from cgsim.engine.stepped.scanner import Banks
from cgsim.engine.stepped.sequencer import Round, Team, run
from cgsim.engine.stepped.stationary import StationaryGroup
from cgsim.engine.stepped.work import Work, activation, taps, weight
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware
from cgsim.trace.network import Layer


@dataclass(frozen=True)
class SteppedLayer:
    """What a layer did: outputs int64 [N, M], gates bool [N, M], or [1, M] of pixels (None if dense).

    With a batch of B samples outputs [B, N, M] and gates [B, N or 1, M]. `events`: cycles at which phases
    began and ended; a phase that had no round has none.

    * `base_start`, `conditional_start`: the phase's first vectors may enter;
    * `base_end`, `conditional_end`: the cycle after the one in which its last vector entered;
    * `decided`: the gates are known (of the last group);
    * `last_result`: the last result has left.
    """

    outputs: np.ndarray
    gates: np.ndarray | None
    cycles: int
    events: dict[str, int] = field(default_factory=dict)


def run_layer(
    layer: Layer,
    hardware: Hardware,
    inputs: np.ndarray,
    weights: np.ndarray,
    thresholds: np.ndarray | None,
    pixel_gates: np.ndarray | None = None,
) -> SteppedLayer:
    """Compute `layer` on the array alone.

    `inputs` int [Cin, H, W] or [B, Cin, H, W] (samples that share folds; `hardware.mapping.batch` is not
    read), `weights` int [N, Cin / groups, kh, kw]. `thresholds` int [N] for a layer with a conditional path:
    an output is completed where its base sum exceeds the threshold. `pixel_gates` bool [M] or [B, M]: only
    these pixels are computed, the others are 0. Without both the array has one feed, as in dense execution.

    Raises:
        CgsimError: an array whose shape is not the layer's.
    """
    batch, samples = _checked(layer, inputs, weights, thresholds, pixel_gates)
    array, unit = hardware.array, hardware.gate_unit
    gated = thresholds is not None or pixel_gates is not None
    groups = array.column_groups if gated else 1
    if thresholds is None:
        layer = replace(layer, gate="none", base_channels=0, base_groups=1)
    shown = None if pixel_gates is None else np.asarray(pixel_gates, bool).reshape(-1)
    work = Work(layer, hardware, groups, samples, weights, shown)
    gates = np.zeros((layer.out_channels, len(work.pixels)), bool)
    if shown is not None:
        gates |= shown
    sums = np.zeros(gates.shape, np.int64)

    def sink(conditional: bool, target: Target, value: int) -> None:
        if target is not None and (not conditional or gates[target]):
            sums[target] += value  # a shared vector computes channels that are off, too: they are not kept

    def decide(team: Team) -> list[Round]:
        assert thresholds is not None
        own = work.owned(team.groups)
        gates[own] = (sums > thresholds[:, None])[own]
        return work.rounds(gates, team.groups)

    width, overlapped = array.cols // groups, array.pipelining == "overlapped"
    members: dict[int, Group] = {
        g: OutputGroup(array.rows, width, array.cols, array.pipelining != "scalesim")
        if array.dataflow == "os"
        else StationaryGroup(array.rows, width, array.cols)
        for g in range(groups)
    }
    parts = [members] if unit.group_sync == "fold" else [{g: group} for g, group in members.items()]
    teams = [Team(part, overlapped) for part in parts]
    for team in teams:
        team.append(work.rounds(gates if shown is not None else None, team.groups))
    cycles = run(
        teams,
        Banks(None if unit.activation_banks == "ideal" else int(unit.activation_banks)),
        sink,
        decide if thresholds is not None else None,
        unit.compare_latency,
        unit.group_sync != "layer",
    )
    events = _events(teams)
    if array.pipelining == "scalesim":  # it numbers the last cycle, and counts from 0
        cycles = max(0, cycles - 1)
    outputs = _by_sample(sums, batch)
    kept = None if not gated else _by_sample(gates if shown is None else gates[:1], batch)
    return SteppedLayer(outputs, kept, cycles, events)


def direct(
    layer: Layer,
    inputs: np.ndarray,
    weights: np.ndarray,
    thresholds: np.ndarray | None,
    pixel_gates: np.ndarray | None = None,
) -> SteppedLayer:
    """The same outputs and gates from the definition, without an array (cycles 0)."""
    batch, samples = _checked(layer, inputs, weights, thresholds, pixel_gates)
    shape = (len(samples), layer.out_channels, layer.pixels)
    base, late = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for b, n, p in np.ndindex(shape):
        for path, sums in zip(taps(layer, n), (base, late), strict=True):
            for tap in path:
                sums[b, n, p] += activation(layer, samples[b], tap, p) * weight(layer, weights, n, tap)
    outputs, gates = base + late, None
    if thresholds is not None:
        gates = base > thresholds[:, None]
        outputs = np.where(gates, base + late, base)
    elif pixel_gates is not None:
        gates = np.asarray(pixel_gates, bool).reshape(len(samples), 1, layer.pixels)
        outputs = np.where(gates, outputs, 0)
    if batch:
        return SteppedLayer(outputs, gates, 0)
    return SteppedLayer(outputs[0], None if gates is None else gates[0], 0)


def _by_sample(values: np.ndarray, batch: int) -> np.ndarray:
    """[N, B * M] as [B, N, M], or as it is where the inputs had no batch."""
    if not batch:
        return values.copy()
    return values.reshape(len(values), batch, -1).swapaxes(0, 1).copy()


def _events(teams: list[Team]) -> dict[str, int]:
    events = {}
    for name, conditional in (("base", False), ("conditional", True)):
        runs = [run for team in teams for run in team.runs if run.fold.conditional is conditional]
        if runs:
            events[f"{name}_start"] = min(run.started for run in runs)
            events[f"{name}_end"] = max(run.ended for run in runs)
    decided = max(team.decided for team in teams)
    if decided >= 0:
        events["decided"] = decided
    last = max((run.last_left for team in teams for run in team.runs), default=0)
    return events | {"last_result": last}


def _checked(
    layer: Layer,
    inputs: np.ndarray,
    weights: np.ndarray,
    thresholds: np.ndarray | None,
    pixel_gates: np.ndarray | None,
) -> tuple[int, np.ndarray]:
    """(samples in the batch, 0 without one; inputs with a batch axis), or CgsimError."""
    batch = len(inputs) if inputs.ndim == 4 else 0
    lead = (max(1, batch),) if inputs.ndim == 4 else ()
    wanted = {
        "inputs": (inputs, (*lead, *layer.in_shape)),
        "weights": (weights, (layer.out_channels, layer.in_shape[0] // layer.groups, *layer.kernel)),
        "thresholds": (thresholds, (layer.out_channels,)),
        "pixel_gates": (pixel_gates, (*lead, layer.pixels)),
    }
    for name, (values, shape) in wanted.items():
        if values is not None and values.shape != shape:
            raise CgsimError(
                f"layer {layer.name!r}: {name} must have the shape {list(shape)}, not {list(values.shape)}"
            )
    if thresholds is not None and not layer.base_channels:
        raise CgsimError(f"layer {layer.name!r}: thresholds need base_channels of 1 or more")
    if thresholds is not None and pixel_gates is not None:
        raise CgsimError(f"layer {layer.name!r}: thresholds or pixel_gates, not both")
    return batch, inputs if batch else inputs[None]
