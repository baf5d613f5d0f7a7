"""`cgsim.simulate`: one trace on one accelerator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cgsim.engine.run import run
from cgsim.errors import CgsimError
from cgsim.results import Run, provenance

if TYPE_CHECKING:
    from cgsim.hardware import Hardware
    from cgsim.trace import Trace


def simulate(
    trace: Trace,
    hardware: Hardware,
    *,
    samples: int | Sequence[int] | None = None,
    check: bool = False,
    progress: bool = False,
) -> Run:
    """Replay `trace` on `hardware`, gated and dense side by side (docs/machine-model.md).

    Args:
        trace: from `cgsim.load_trace`.
        hardware: from `cgsim.load_hardware`.
        samples: the first so many samples, or the indices of those to replay; all by default.
        check: verify that cycles, bytes and MACs are conserved.
        progress: show a progress bar on stderr.

    Raises:
        CgsimError: a sample that the trace does not have, a layer that does not fit the buffers (it says
            which and how much is needed), or an operator or gate that is not modelled.
    """
    if isinstance(samples, int):
        samples = first_samples(trace, samples)
    count = trace.n_samples if samples is None else len(samples)
    if progress:
        from tqdm import tqdm

        with tqdm(total=count, unit="sample", leave=False) as bar:
            done: Callable[[int], object] = bar.update
            counts = run(trace, hardware, samples, check=check, progress=done)
    else:
        counts = run(trace, hardware, samples, check=check)
    origin = provenance(trace, hardware)
    return Run(counts.columns, provenance=origin, mapping=counts.mapping, fused=counts.fused)


def first_samples(trace: Trace, count: int) -> range:
    """Return the positions of the first `count` samples; raises CgsimError if the trace has fewer."""
    if not 1 <= count <= trace.n_samples:
        raise CgsimError(f"samples: expected 1 to {trace.n_samples}, which {trace.path} has, got {count}")
    return range(count)
