"""`cgsim.simulate`: one trace on one accelerator."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cgsim.engine.compile_cache import compiled
from cgsim.engine.run import Counts, run
from cgsim.engine.timeline import record
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware, load_hardware
from cgsim.results import Run, provenance
from cgsim.results.statistics import FIRST_LOOK, next_look
from cgsim.results.timeline import Timeline
from cgsim.trace import Trace, load_trace


def simulate(
    trace: Trace | str | os.PathLike[str],
    hardware: Hardware | str | os.PathLike[str] | Mapping[str, Any],
    *,
    samples: int | Sequence[int] | None = None,
    check: bool = False,
    progress: bool = False,
    until_ci: float | None = None,
    seed: int = 0,
) -> Run:
    """Replay `trace` on `hardware`, gated and dense side by side (docs/machine-model.md).

    Args:
        trace: from `cgsim.load_trace`, or what it takes.
        hardware: from `cgsim.load_hardware`, or what it takes.
        samples: the first so many samples, or the indices of those to replay; all by default.
        check: verify that cycles, bytes and MACs are conserved.
        progress: show a progress bar on stderr.
        until_ci: replay `samples` in random order, more and more of them, until the 95% confidence interval
            of the speedup is at most ± this share of it, such as 0.01, or none are left. What came of it is
            in the run's `provenance["until_ci"]` (docs/statistics.md).
        seed: of that order.

    Raises:
        CgsimError: `until_ci` is not between 0 and 1, a sample that the trace does not have, a layer that
            does not fit the buffers (it says which and how much is needed), or gates that leave unequal
            convolution groups or base paths.
    """
    trace = trace if isinstance(trace, Trace) else load_trace(trace)
    hardware = load_hardware(hardware)
    if until_ci is not None and not 0 < until_ci < 1:
        raise CgsimError(f"until_ci: expected a share between 0 and 1, such as 0.01, got {until_ci!r}")
    samples = sample_positions(trace, samples)
    count = trace.n_samples if samples is None else len(samples)
    origin = provenance(trace, hardware)

    def replayed(positions: Sequence[int] | None, done: Callable[[int], object] | None = None) -> Counts:
        return run(trace, hardware, positions, check=check, progress=done)

    def finished(counts: Counts) -> Run:
        return Run(counts.columns, provenance=origin, mapping=counts.mapping, fused=counts.fused)

    def simulated(done: Callable[[int], object] | None = None) -> Run:
        if until_ci is None:
            return finished(replayed(samples, done))
        order = np.arange(count) if samples is None else np.asarray(samples)
        order = np.random.default_rng(seed).permutation(order)
        found = _until(until_ci, order, hardware.mapping.batch, lambda own: replayed(own, done), finished)
        found.provenance["until_ci"]["seed"] = seed
        return found

    if progress:
        from tqdm import tqdm

        first = "" if compiled() else "compiling kernels, once"
        with tqdm(desc=first, total=count, unit="sample", leave=False) as bar:

            def done(samples: int) -> None:
                bar.set_description("")
                bar.update(samples)

            return simulated(done)
    return simulated()


def _until(
    share: float,
    order: np.ndarray,
    batch: int,
    replayed: Callable[[Sequence[int]], Counts],
    finished: Callable[[Counts], Run],
) -> Run:
    """Return the run of the first samples of `order` whose speedup is known to ± `share` of it, or of all.

    Batches of `batch` samples are draws. A last batch that is smaller goes along with the one before, as it
    does in one run over all.
    """
    counts: Counts | None = None
    used, wanted = 0, FIRST_LOOK
    while True:
        stop = wanted * batch
        if len(order) - stop < batch:
            stop = len(order)
        more = replayed(order[used:stop].tolist())
        if counts is None:
            counts = more
        else:
            columns = {k: np.concatenate([v, more.columns[k]]) for k, v in counts.columns.items()}
            counts = replace(counts, columns=columns)
        used = stop
        result = finished(counts)
        speedup = result.confidence()["speedup"]
        reached = speedup.known and speedup.half_width <= share * speedup.value
        if reached or used == len(order):
            break
        wanted = next_look(speedup, share)
    result.provenance["until_ci"] = {
        "share": share,
        "reached": bool(reached),
        "samples": used,
        "of": len(order),
        "relative_half_width": speedup.relative if speedup.known else None,
        "level": speedup.level,
        "needed": result.samples_needed(share),
    }
    return result


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
