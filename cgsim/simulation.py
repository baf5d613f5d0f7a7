"""`cgsim.simulate`: one trace on one accelerator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from cgsim.engine.compile_cache import compiled
from cgsim.engine.run import run
from cgsim.engine.timeline import record
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware, load_hardware
from cgsim.results import Run, provenance
from cgsim.results.timeline import Timeline
from cgsim.trace import Trace, load_trace


def simulate(
    trace: Trace | str | os.PathLike[str],
    hardware: Hardware | str | os.PathLike[str] | Mapping[str, Any],
    *,
    samples: int | Sequence[int] | None = None,
    check: bool = False,
    progress: bool = False,
) -> Run:
    """Replay `trace` on `hardware`, gated and dense side by side (docs/machine-model.md).

    Args:
        trace: from `cgsim.load_trace`, or what it takes.
        hardware: from `cgsim.load_hardware`, or what it takes.
        samples: the first so many samples, or the indices of those to replay; all by default.
        check: verify that cycles, bytes and MACs are conserved.
        progress: show a progress bar on stderr.

    Raises:
        CgsimError: a sample that the trace does not have, a layer that does not fit the buffers (it says
            which and how much is needed), or gates that leave unequal convolution groups or base paths.
    """
    trace = trace if isinstance(trace, Trace) else load_trace(trace)
    hardware = load_hardware(hardware)
    samples = sample_positions(trace, samples)
    count = trace.n_samples if samples is None else len(samples)
    if progress:
        from tqdm import tqdm

        first = "" if compiled() else "compiling kernels, once"
        with tqdm(desc=first, total=count, unit="sample", leave=False) as bar:

            def done(samples: int) -> None:
                bar.set_description("")
                bar.update(samples)

            counts = run(trace, hardware, samples, check=check, progress=done)
    else:
        counts = run(trace, hardware, samples, check=check)
    origin = provenance(trace, hardware)
    return Run(counts.columns, provenance=origin, mapping=counts.mapping, fused=counts.fused)


def timeline(
    trace: Trace | str | os.PathLike[str],
    hardware: Hardware | str | os.PathLike[str] | Mapping[str, Any],
    *,
    sample: int = 0,
    layers: str | None = None,
) -> Timeline:
    """What happens when, dense and gated, on one sample: for Perfetto, and for plots over time.

    Args:
        trace: from `cgsim.load_trace`, or what it takes.
        hardware: from `cgsim.load_hardware`, or what it takes.
        sample: its position in the trace; with `mapping.batch` above 1, its whole batch is shown.
        layers: names with commas between them, each also FIRST:LAST (":" is all); by default the first layer
            with gates.

    Raises:
        CgsimError: as `simulate`, or the trace has no such sample or layer.
    """
    trace = trace if isinstance(trace, Trace) else load_trace(trace)
    hardware = load_hardware(hardware)
    origin = provenance(trace, hardware)
    told = {"trace": origin["trace"]["name"], "checksum": origin["trace"]["checksum"], "sample": sample}
    told |= {"hardware": hardware.name, "batch": hardware.mapping.batch, "cgsim": origin["cgsim"]}
    return Timeline(record(trace, hardware, sample, layers), hardware, told)


def sample_positions(trace: Trace, samples: int | Sequence[int] | None) -> Sequence[int] | None:
    """Return the positions of the samples wanted: of the first so many, or as given; None for all.

    Raises CgsimError if they are no such thing, or if the trace does not have them.
    """
    if samples is None:
        return None
    if isinstance(samples, int):
        if not 1 <= samples <= trace.n_samples:
            raise CgsimError(
                f"samples: expected 1 to {trace.n_samples}, which {trace.path} has, got {samples}"
            )
        return range(samples)
    positions: list[int] = trace.positions(samples).tolist()
    if not positions:
        raise CgsimError("samples: expected at least one position")
    return positions
