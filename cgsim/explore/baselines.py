"""What the savings of a trace are measured against: the ungated network, from another trace or its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cgsim.errors import CgsimError
from cgsim.trace import Trace
from cgsim.trace.metadata import REFERENCE
from cgsim.trace.network import INPUT, Network


@dataclass(frozen=True)
class Baseline:
    """The ungated network of a trace: that of the trace `name` (one of those compared), without gates."""

    name: str
    macs: int
    """Of one sample."""


def choose_baselines(
    traces: Mapping[str, Trace], given: Mapping[str, Trace]
) -> tuple[dict[str, Baseline], list[str]]:
    """Return the baseline of every trace, and remarks for whoever reads the figures.

    A trace of `given` serves all traces of its model and data set; its gates, if it has any, are taken off.
    For the others, a trace of method `dense` among `traces` with the same model, data set and MACs serves;
    else the trace's own network, ungated.

    Raises:
        CgsimError: a given trace fits none, two fit equally, MACs or input shapes contradict each other, or
            the ungated network of a trace is another than its own and none of the traces has it.
    """
    chosen = {name: _choose(name, traces, given) for name in traces}
    for name, trace in given.items():
        if not any(_subject(trace) == _subject(other) for key, other in traces.items() if key != name):
            raise CgsimError(
                f"compare: --baseline {trace.path}: no trace of its model {_told(trace)} is compared with it"
            )
    return chosen, _notes({**traces, **given}, chosen)


def has_ungated_twin(network: Network) -> bool:
    """Return whether the network without gates is the ungated one: not if it gathers channels."""
    return all(layer.operator != "gather" for layer in network.layers)


def own_macs(trace: Trace) -> int:
    """Return the MACs per sample of the ungated network that a trace names, else of its own network."""
    told = trace.metadata.method_parameters.get(REFERENCE)
    if told is None:
        return trace.network.dense_macs
    if not isinstance(told, int) or isinstance(told, bool) or told < 1:
        raise CgsimError(f"{trace.path}: method parameter {REFERENCE!r}: expected MACs, got {told!r}")
    return told


def _choose(name: str, traces: Mapping[str, Trace], given: Mapping[str, Trace]) -> Baseline:
    trace = traces[name]
    wanted = own_macs(trace)
    fitting = {key: other for key, other in given.items() if _subject(other) == _subject(trace)}
    if len(fitting) > 1:
        raise CgsimError(f"compare: --baseline: {_list(fitting)} are both of model {_told(trace)}; give one")
    for key, other in fitting.items():
        _check(trace, other, wanted)
        return Baseline(key, other.network.dense_macs)
    dense = {
        key: other for key, other in traces.items() if _ungated(other) and _subject(other) == _subject(trace)
    }
    exact = {key: other for key, other in dense.items() if _fits(trace, other, wanted)}
    if name in exact:
        return Baseline(name, wanted)
    if len(exact) > 1:
        raise CgsimError(
            f"compare: {_list(exact)} are both ungated, of model {_told(trace)}: choose with --baseline"
        )
    for key in exact:
        return Baseline(key, wanted)
    if wanted != trace.network.dense_macs or not has_ungated_twin(trace.network):
        found = f"; {_list(dense)} is another" if dense else ""
        raise CgsimError(
            f"compare: {trace.path}: its ungated network, model {_told(trace)}, has {wanted:,} MACs, "
            f"its own {trace.network.dense_macs:,}: give a trace of the ungated one (--baseline TRACE){found}"
        )
    return Baseline(name, wanted)


def _check(trace: Trace, other: Trace, wanted: int) -> None:
    """Raise CgsimError if `other`, given as the baseline of `trace`, contradicts it."""
    macs = other.network.dense_macs
    if not has_ungated_twin(other.network):
        raise CgsimError(
            f"compare: --baseline {other.path}: it gathers channels, so it is no ungated network"
        )
    if REFERENCE in trace.metadata.method_parameters and macs != wanted:
        raise CgsimError(
            f"compare: --baseline {other.path}: its network has {macs:,} MACs, but the ungated one of "
            f"{trace.path} has {wanted:,}"
        )
    shapes = [_input_shape(one.network) for one in (trace, other)]
    if shapes[0] != shapes[1]:
        raise CgsimError(
            f"compare: --baseline {other.path}: its input is {_times(shapes[1])}, that of {trace.path} is "
            f"{_times(shapes[0])}"
        )


def _fits(trace: Trace, other: Trace, wanted: int) -> bool:
    return other.network.dense_macs == wanted and _input_shape(trace.network) == _input_shape(other.network)


def _ungated(trace: Trace) -> bool:
    return trace.metadata.method == "dense" and not trace.gated_layers


def _subject(trace: Trace) -> tuple[str, str]:
    return trace.metadata.dataset, trace.metadata.model


def _input_shape(network: Network) -> tuple[int, ...] | None:
    """Shape of the network's input; None where nothing in it reads one, as in a list of layers."""
    return next((layer.in_shape for layer in network.layers if INPUT in layer.producers), None)


def _notes(traces: Mapping[str, Trace], chosen: Mapping[str, Baseline]) -> list[str]:
    """Remarks on baselines that differ from their traces in more than gates."""
    notes = []
    for name, baseline in chosen.items():
        bits = [sorted(_bits(traces[key].network)) for key in (name, baseline.name)]
        if bits[0] != bits[1]:
            notes.append(
                f"{name} has {_widths(bits[0])} bits (weights/activations), its baseline {baseline.name} "
                f"{_widths(bits[1])}: traffic differs for that reason, too"
            )
        missing = REFERENCE not in traces[name].metadata.method_parameters
        own = traces[name].network.dense_macs
        if missing and baseline.macs != own:
            notes.append(
                f"{name} does not tell the MACs of its ungated network; those of {baseline.name} "
                f"({baseline.macs:,}) are taken, its own are {own:,}"
            )
    return notes


def _bits(network: Network) -> set[tuple[int, int]]:
    return {(layer.weight_bits, layer.activation_bits) for layer in network.layers if layer.on_array}


def _widths(bits: Any) -> str:
    return ", ".join(f"{weights}/{activations}" for weights, activations in bits)


def _told(trace: Trace) -> str:
    dataset, model = _subject(trace)
    return f"{model!r} (data set {dataset!r})" if dataset else f"{model!r}"


def _list(traces: Mapping[str, Trace]) -> str:
    return " and ".join(trace.path for trace in traces.values())


def _times(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else " × ".join(map(str, shape))
