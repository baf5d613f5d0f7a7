"""Traces from traces: a subset of the samples, several recordings as one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsim.errors import CgsimError
from cgsim.trace.layout import row_layers, static_layers
from cgsim.trace.reader import Trace, load_trace
from cgsim.trace.writer import TraceWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

_SAME = ("model", "method", "method_parameters", "dataset", "split", "accuracy_gated", "accuracy_ungated")


def subset(
    path: str | os.PathLike[str], out: str | os.PathLike[str], samples: int | slice | Sequence[int]
) -> Path:
    """Write the chosen samples of a trace as a new one: the first n, a slice, or positions in order.

    The provenance is kept, with a note. Raises CgsimError if nothing is chosen or a position is outside.
    """
    trace = load_trace(path)
    if isinstance(samples, int):
        if not 0 < samples <= trace.n_samples:
            raise CgsimError(f"{trace.path}: it has {trace.n_samples} samples, cannot take {samples}")
        samples = slice(samples)
    chosen: list[int] = trace.positions(samples).tolist()
    if not chosen:
        raise CgsimError(f"{trace.path}: the subset is empty")
    note = f"Subset of {len(chosen)} of the {trace.n_samples} samples of the trace {trace.checksum[:16]}."
    return _write(out, [(trace, chosen)], note)


def merge(paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Path:
    """Write the samples of several traces of the same model as one, in the order given.

    Networks, static gates and the provenance of the model must agree; a sample may appear only once.
    Raises CgsimError naming the first file and key that differ.
    """
    if not paths:
        raise CgsimError("merge: name at least one trace")
    traces = [load_trace(path) for path in paths]
    first = traces[0]
    for other in traces[1:]:
        _check_same(first, other)
    note = "Merged from the traces " + ", ".join(trace.checksum[:16] for trace in traces) + "."
    return _write(out, [(trace, list(range(trace.n_samples))) for trace in traces], note)


def _check_same(first: Trace, other: Trace) -> None:
    for mine, theirs in zip(first.network.layers, other.network.layers, strict=False):
        if mine != theirs:
            raise CgsimError(
                f"{other.path}: layer {theirs.name!r} differs from {mine.name!r} of {first.path}"
            )
    if first.network != other.network:
        raise CgsimError(f"{other.path}: its network is not that of {first.path}")
    for key in _SAME:
        if getattr(first.metadata, key) != getattr(other.metadata, key):
            raise CgsimError(f"{other.path}: metadata: {key!r} differs from that of {first.path}")
    for layer in static_layers(first.network):
        if first.layer_checksums[layer.name] != other.layer_checksums[layer.name]:
            raise CgsimError(f"{other.path}: layer {layer.name!r}: static gates differ from {first.path}")


def _write(out: str | os.PathLike[str], parts: Sequence[tuple[Trace, list[int]]], note: str) -> Path:
    first = parts[0][0]
    notes = f"{first.metadata.notes} {note}".strip()
    layers = [layer.name for layer in row_layers(first.network)]
    static = {layer.name: first.packed(layer.name) for layer in static_layers(first.network)}
    metadata = dataclasses.replace(first.metadata, notes=notes)
    with TraceWriter(out, first.network, metadata, static=static) as writer:
        for trace, chosen in parts:
            for start in range(0, len(chosen), 16):
                index = np.array(chosen[start : start + 16])
                gates = {name: trace.packed(name, index) for name in layers}
                writer.append_batch([trace.samples[i] for i in index.tolist()], gates)
    return Path(out)
