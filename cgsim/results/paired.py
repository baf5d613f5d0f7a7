"""Two configurations on the same samples: which is faster, by how much, and how sure that is.

Images differ in how much they gate, and both configurations see the same ones: the ratio of two sums over
the same resampled images is far more certain than two separate intervals let one think.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import CgsimError, nearest
from cgsim.results.bootstrap import LEVEL, RESAMPLES, SEED, check_level, draw_sums
from cgsim.results.bootstrap import bounds as bounds_of
from cgsim.results.derive import ratio
from cgsim.results.statistics import Interval, sample_counts

if TYPE_CHECKING:
    from cgsim.results.counted import CountedRun

RATIOS = {
    "speedup": "cycles",
    "offchip_reduction": "offchip_bytes",
    "flop_reduction": "macs",
}
"""What is compared: the first configuration's sum over the second's."""


@dataclass(frozen=True)
class Side:
    """One of the two configurations."""

    name: str
    counts: Mapping[str, np.ndarray]
    """`sample` and the columns of `statistics.COUNTS`, [S] each."""
    batch: int = 1
    data: str = ""
    """What the samples are: those of two sides are told apart by it. "" where that is not known."""
    trace: str = ""
    """Checksum or name of the trace, "" where it is not known."""
    names: str = ""
    """Hash of the names of the whole trace's samples; "" where it is not known."""
    of: int = 0
    """Samples of the whole trace; 0 where it is not known."""


@dataclass(frozen=True)
class Paired:
    """A comparison of `second` with `first`. Figures above 1: `second` needs less."""

    first: str
    second: str
    mode: str
    samples: int
    speedup: Interval
    """Cycles of `first` over cycles of `second`."""
    offchip_reduction: Interval
    """Off-chip bytes of `first` over those of `second`."""
    flop_reduction: Interval
    """Executed MACs of `first` over those of `second`."""
    faster: int
    """Samples on which `second` has the lower latency."""
    slower: int
    notes: tuple[str, ...] = field(default=())

    @property
    def equal(self) -> int:
        """Samples of equal latency."""
        return self.samples - self.faster - self.slower

    @property
    def decided(self) -> bool:
        """True if the interval of the speedup leaves out 1: one of both is faster on such images."""
        return self.speedup.known and not self.speedup.low <= 1 <= self.speedup.high

    def to_json(self) -> dict[str, Any]:
        """Return one JSON object."""
        told: dict[str, Any] = {"first": self.first, "second": self.second, "mode": self.mode}
        told |= {"samples": self.samples}
        told |= {name: getattr(self, name).to_json() for name in RATIOS}
        told |= {"faster": self.faster, "equal": self.equal, "slower": self.slower}
        return told | {"decided": self.decided, "notes": list(self.notes)}


def paired(
    first: Side,
    second: Side,
    *,
    mode: str = "gated",
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Paired:
    """Compare `second` with `first` on the samples that both have.

    Args:
        first: what is compared with.
        second: what is judged.
        mode: "gated" or "dense".
        level: share of such intervals that hold the true value.
        resamples: bootstrap resamples of the samples (of whole batches where samples ran together).
        seed: of the resamples.

    Raises:
        CgsimError: no sample in common, samples of different data, two traces whose samples have different
            names, or are not as many, another mode, a level outside 0 to 1.
    """
    check_level(level)
    if mode not in ("gated", "dense"):
        raise CgsimError(f"mode: expected gated or dense, got {mode!r}{nearest(mode, ['gated', 'dense'])}")
    if first.data and second.data and first.data != second.data:
        raise CgsimError(
            f"{first.name} and {second.name}: their samples are not the same images: "
            f"{first.data}, {second.data}"
        )
    notes = _same_images(first, second)
    ours, theirs = (np.asarray(side.counts["sample"]) for side in (first, second))
    _, own, other = np.intersect1d(ours, theirs, return_indices=True)
    if not len(own):
        raise CgsimError(f"{first.name} and {second.name}: they have no sample in common")
    order = np.argsort(own)  # batches are consecutive rows, which need not be in the order of positions
    own, other = own[order], other[order]
    if len(own) < max(len(ours), len(theirs)):
        notes.append(f"{len(own)} samples are in both, of {len(ours)} and {len(theirs)}")
    batch = math.lcm(first.batch, second.batch)
    both = np.stack(
        [
            np.asarray(side.counts[f"{mode}_{name}"], np.float64)[rows]
            for name in RATIOS.values()
            for side, rows in ((first, own), (second, other))
        ],
        axis=1,
    )
    units = np.add.reduceat(both, np.arange(0, len(both), batch), axis=0)
    found = _ratios(units, level, resamples, seed)
    latency = f"{mode}_latency_cycles"
    before, after = np.asarray(first.counts[latency])[own], np.asarray(second.counts[latency])[other]
    return Paired(
        first.name,
        second.name,
        mode,
        len(own),
        **found,
        faster=int((after < before).sum()),
        slower=int((after > before).sum()),
        notes=tuple(notes),
    )


def _same_images(first: Side, second: Side) -> list[str]:
    """Return remarks on pairing by position; raises CgsimError where it would pair different images."""
    if first.trace == second.trace:
        return []
    which = f"{first.name} and {second.name}: two traces"
    if first.names and second.names:
        if first.names == second.names:
            return []
        many = f" ({first.of} and {second.of})" if first.of != second.of else ""
        raise CgsimError(
            f"{which} whose samples{many} have different names, expected the same images in the same order "
            "(cgsim record with the same --data and --samples)"
        )
    if first.of and second.of and first.of != second.of:
        raise CgsimError(
            f"{which} of {first.of} and {second.of} samples, whose names are not known: "
            "expected the same images"
        )
    return ["two traces: samples are paired by position, which should be the same images"]


def _ratios(units: np.ndarray, level: float, resamples: int, seed: int) -> dict[str, Interval]:
    """Return the intervals of RATIOS; `units` has two columns for each, [n, 2 * len(RATIOS)]."""

    def over(sums: np.ndarray) -> np.ndarray:
        return ratio(sums[..., ::2], sums[..., 1::2])

    total = units.sum(axis=0)
    value = over(total)
    drawn = np.full((1, len(value)), np.nan)  # one sample tells nothing of others
    if len(units) > 1:
        drawn = over(draw_sums(units, resamples, seed))
    limits = bounds_of(value, drawn, over(total - units), level)
    return {
        name: Interval(float(own), float(low), float(high), len(units), str(how), level)
        for name, own, low, high, how in zip(RATIOS, value, *limits, strict=True)
    }


def side_of_run(run: CountedRun, name: str = "") -> Side:
    """Return a run as a side of a comparison."""
    trace, hardware = run.provenance["trace"], run.provenance["hardware"]
    told = name or f"{trace['name']} on {hardware['name']}"
    return Side(told, sample_counts(run), run.batch, data_of(trace), **images_of(trace))


def images_of(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells whether the samples of two sides are the same images, as the provenance has it."""
    return {
        "trace": str(trace.get("checksum", "")),
        "names": str(trace.get("sample_names", "")),
        "of": int(trace.get("samples", 0)),
    }


def data_of(trace: Mapping[str, Any]) -> str:
    """Return the data set of a trace, as its provenance tells: what its samples are."""
    metadata = trace.get("metadata", {})
    parts = [str(metadata.get(key) or "") for key in ("dataset", "split")]
    return ", ".join(part for part in parts if part)
