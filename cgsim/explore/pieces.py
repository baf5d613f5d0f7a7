"""A run cut into pieces of some samples each, which different workers replay, and put together again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cgsim.explore.tasks import Outcome, sample_figures
from cgsim.hardware import Hardware
from cgsim.results import Run
from cgsim.trace import Trace


def piece_slices(samples: int, size: int, batch: int) -> Iterator[slice]:
    """Yield the pieces of a run's samples: about `size` each, none of which begins within a batch.

    `size` is rounded up to whole batches of `batch` samples. A last batch that is smaller stays with the
    piece before it: alone, it would be mapped for its own size.
    """
    step = math.ceil(size / batch) * batch
    starts = list(range(0, samples, step))
    if len(starts) > 1 and samples - starts[-1] < batch:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], samples], strict=True):
        yield slice(start, stop)


def join_pieces(trace: Trace, hardware: Hardware, pieces: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a run from those of all its pieces, in any order: that of the run in one."""
    ordered = sorted(pieces, key=lambda piece: piece.piece or 0)
    parts: list[Mapping[str, Any]] = [piece.columns or {} for piece in ordered]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    about = {"hardware": hardware.to_dict(), "trace": {"metadata": dataclasses.asdict(trace.metadata)}}
    run = Run(columns, provenance=about)
    return Outcome(
        key=ordered[0].key,
        summary=run.summary(),
        samples=sample_figures(run),
        checked=all(piece.checked for piece in ordered),
        seconds=sum(piece.seconds for piece in ordered),
    )
