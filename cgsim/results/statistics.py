"""Confidence intervals over samples: what a figure would be on all images, as far as these ones tell.

The samples of a trace stand for the images that the network would meet, drawn at random. An interval tells
how far the figure would move if others had been drawn, nothing about errors of the model: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cgsim.engine.columns import MODES
from cgsim.errors import CgsimError, nearest
from cgsim.results import derive
from cgsim.results.bootstrap import LEVEL, RESAMPLES, SEED, Figure, Sums, bounds, check_level, draw_sums

COUNTS = tuple(
    f"{mode}_{what}" for what in ("cycles", "latency_cycles", "macs", "offchip_bytes") for mode in MODES
)
"""What a sample counts: the columns of `samples.parquet` that intervals are made of."""
FEW = 20
"""Bootstrap intervals of fewer samples hold the true value less often than they say (docs/statistics.md)."""


class Counted(Protocol):
    """What is asked of a run; `cgsim.results.counted.CountedRun` has it, and makes use of this module."""

    provenance: dict[str, Any]

    @property
    def batch(self) -> int:
        """Samples that ran together."""

    def by_sample(self) -> dict[str, np.ndarray]:
        """Sums over the layers, one entry per sample."""


@dataclass(frozen=True)
class Interval:
    """A figure and its confidence interval. Not known: NaN; an upper bound beyond what was seen: infinite."""

    value: float
    low: float
    high: float
    samples: int
    """What was resampled: samples, or batches of samples that ran together."""
    method: str
    """"bca", "percentile", "constant", "order" (of a percentile) or "none" (docs/statistics.md)."""
    level: float = LEVEL
    """Share of such intervals that hold the true value."""

    @property
    def known(self) -> bool:
        """True if there is an interval."""
        return not math.isnan(self.low)

    @property
    def half_width(self) -> float:
        """Half the distance of the bounds."""
        return (self.high - self.low) / 2

    @property
    def relative(self) -> float:
        """`half_width` as a share of the value; NaN where there is no interval."""
        return self.half_width / abs(self.value) if self.value else math.nan

    def to_json(self) -> dict[str, Any]:
        """Return its fields as one JSON object; what is not known or infinite is null."""
        bound = {name: getattr(self, name) for name in ("value", "low", "high", "level")}
        told: dict[str, Any] = {k: v if math.isfinite(v) else None for k, v in bound.items()}
        return told | {"samples": self.samples, "method": self.method}


def _over(dividend: str, divisor: str) -> Figure:
    return lambda sums: derive.ratio(sums[dividend], sums[divisor])


def _efficiency(sums: Sums) -> np.ndarray:
    speedup = derive.ratio(sums["dense_cycles"], sums["gated_cycles"])
    return derive.ratio(speedup, derive.ratio(sums["dense_macs"], sums["gated_macs"]))


FIGURES: dict[str, tuple[tuple[str, ...], Figure]] = {
    "speedup": (("dense_cycles", "gated_cycles"), _over("dense_cycles", "gated_cycles")),
    "flop_reduction": (("dense_macs", "gated_macs"), _over("dense_macs", "gated_macs")),
    "efficiency": (("dense_cycles", "gated_cycles", "dense_macs", "gated_macs"), _efficiency),
    "offchip_reduction": (
        ("dense_offchip_bytes", "gated_offchip_bytes"),
        _over("dense_offchip_bytes", "gated_offchip_bytes"),
    ),
    "dense_latency_cycles_mean": (("dense_latency_cycles",), _over("dense_latency_cycles", "samples")),
    "gated_latency_cycles_mean": (("gated_latency_cycles",), _over("gated_latency_cycles", "samples")),
}
"""Figures of sums over samples: what each needs, and how it follows from the sums."""
PERCENTILES = {f"{mode}_latency_cycles_p99": (f"{mode}_latency_cycles", 0.99) for mode in MODES}
"""Figures that are percentiles over samples: of which column, and which."""


def sample_counts(run: Counted) -> dict[str, np.ndarray]:
    """Return `sample` and the columns COUNTS of a run, int64 [S]: as in `samples.parquet`."""
    own = run.by_sample()
    for mode in MODES:
        own[f"{mode}_latency_cycles"] = derive.latency_cycles(own[f"{mode}_cycles"], run.batch)
    return {name: own[name] for name in ("sample", *COUNTS)}


def intervals(
    samples: Mapping[str, Any],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    batch: int = 1,
) -> dict[str, Interval]:
    """Return the interval of every figure of FIGURES and PERCENTILES that the columns allow.

    All figures see the same resamples. With one sample, or one batch, there is no interval: method "none".

    Args:
        samples: a row per sample: columns of COUNTS, [S] each, as `sample_counts` and `samples.parquet`
            have them; a DataFrame, or arrays by name.
        level: share of such intervals that hold the true value.
        resamples: bootstrap resamples.
        seed: of the resamples.
        batch: consecutive samples that ran together (`mapping.batch`); they are drawn together.

    Raises:
        CgsimError: no samples, no column of COUNTS, or a level outside 0 to 1.
    """
    check_level(level)
    columns = {name: np.asarray(samples[name], np.float64) for name in COUNTS if name in samples}
    if not columns or not len(next(iter(columns.values()))):
        raise CgsimError(f"statistics: expected samples with columns such as {COUNTS[0]!r}")
    columns["samples"] = np.ones(len(next(iter(columns.values()))))
    units = _units(columns, batch)
    matrix = np.stack(list(units.values()), axis=1)
    count = len(matrix)
    figures = {name: figure for name, (needs, figure) in FIGURES.items() if columns.keys() >= {*needs}}

    def figured(sums: np.ndarray) -> np.ndarray:
        by_name = dict(zip(units, np.moveaxis(sums, -1, 0), strict=True))
        return np.stack([figure(by_name) for figure in figures.values()], axis=-1)

    found: dict[str, Interval] = {}
    if figures:
        total = matrix.sum(axis=0)
        value = figured(total)
        if count > 1:
            limits = bounds(
                value, figured(draw_sums(matrix, resamples, seed)), figured(total - matrix), level
            )
        else:
            limits = bounds(value, np.empty((1, len(value))) * np.nan, value[None], level)
        for name, own, low, high, how in zip(figures, value, *limits, strict=True):
            found[name] = Interval(float(own), float(low), float(high), count, str(how), level)
    for name, (column, share) in PERCENTILES.items():
        if column in columns:
            seen = columns[column][::batch]
            found[name] = _percentile(columns[column], seen, share, level)
    return found


def confidence(
    run: Counted, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Interval]:
    """Return the intervals of a run under the names of its summary; latencies in ms.

    `speedup`, `flop_reduction`, `efficiency`, `offchip_reduction`, and of both modes `latency_ms_mean` and
    `latency_ms_p99`. Raises CgsimError for a level outside 0 to 1.
    """
    per_ms = 1 / (float(run.provenance["hardware"]["clock_mhz"]) * 1e3)
    found = intervals(sample_counts(run), level=level, resamples=resamples, seed=seed, batch=run.batch)
    told = {}
    for name, own in found.items():
        scale = per_ms if "_cycles_" in name else 1.0
        told[name.replace("_cycles_", "_ms_")] = Interval(
            own.value * scale, own.low * scale, own.high * scale, own.samples, own.method, level
        )
    return told


def ratio_intervals(
    dividend: np.ndarray,
    divisor: np.ndarray,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    batch: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sum(dividend) / sum(divisor) over the samples and its bounds, [K] each: error bars.

    Args:
        dividend: such as the dense cycles of K layers, [S, K].
        divisor: such as their gated cycles, [S, K].
        level: share of such intervals that hold the true value.
        resamples: bootstrap resamples.
        seed: of the resamples.
        batch: consecutive samples that ran together.

    Returns:
        value, low and high, [K] each; NaN where there is no ratio, and bounds NaN for one sample.

    Raises:
        CgsimError: a level outside 0 to 1.
    """
    check_level(level)
    units = _units({"dividend": np.asarray(dividend), "divisor": np.asarray(divisor)}, batch)
    both = np.concatenate([units["dividend"], units["divisor"]], axis=1).astype(np.float64)
    size = both.shape[1] // 2

    def over(sums: np.ndarray) -> np.ndarray:
        return derive.ratio(sums[..., :size], sums[..., size:])

    total = both.sum(axis=0)
    value = over(total)
    if len(both) < 2:
        return value, np.full(size, np.nan), np.full(size, np.nan)
    low, high, _ = bounds(value, over(draw_sums(both, resamples, seed)), over(total - both), level)
    return value, low, high


def layer_intervals(
    layers: Mapping[str, Any], figure: str = "speedup", *, level: float = LEVEL, batch: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the figure of each layer over the samples and its bounds, [layers] each.

    Args:
        layers: columns of a run, a row per sample and layer: `run.layers`, or `run.columns`.
        figure: "speedup", "flop_reduction" or "offchip_reduction".
        level: share of such intervals that hold the true value.
        batch: consecutive samples that ran together (`run.batch`).

    Raises:
        CgsimError: another figure, or a level outside 0 to 1.
    """
    ratios = {name: needs for name, (needs, _) in FIGURES.items() if len(needs) == 2}
    if figure not in ratios:
        raise CgsimError(f"unknown figure {figure!r} of a layer{nearest(figure, list(ratios))}")
    samples = np.asarray(layers["sample"])
    change = np.flatnonzero(samples != samples[0])
    count = int(change[0]) if len(change) else len(samples)
    dividend, divisor = (np.asarray(layers[name]).reshape(-1, count) for name in ratios[figure])
    return ratio_intervals(dividend, divisor, level=level, batch=batch)


def samples_needed(interval: Interval, share: float) -> int | None:
    """Return how many samples (or batches) would give a half-width of `share` of the value.

    Widths fall with the square root of the number of samples: an estimate. None where no interval is known;
    1 where the samples do not differ.

    Raises:
        CgsimError: `share` is not above 0.
    """
    if not share > 0:
        raise CgsimError(f"confidence: expected a share above 0, such as 0.01, got {share!r}")
    if interval.method == "constant":
        return 1
    if not math.isfinite(interval.relative):
        return None
    # An interval needs two; fewer would not tell that they suffice.
    return max(2, math.ceil(interval.samples * (interval.relative / share) ** 2 - 1e-9))


FIRST_LOOK = 32
"""Samples (or batches) before the first look: intervals of fewer are too narrow too often."""


def next_look(interval: Interval, share: float) -> int:
    """Return how many samples (or batches) to have before looking again whether they suffice.

    As many as are probably needed, but a quarter more at least, so that there are few looks (each is one more
    chance to stop too early), and not above four times as many, as the estimate is rough.
    """
    needed = samples_needed(interval, share) or 0
    return min(max(math.ceil(1.05 * needed), math.ceil(1.25 * interval.samples)), 4 * interval.samples)


def _units(columns: Mapping[str, np.ndarray], batch: int) -> dict[str, np.ndarray]:
    """Sum over the samples of each batch; they are no independent draws."""
    if batch < 1:
        raise CgsimError(f"batch: expected 1 or more, got {batch}")
    if batch == 1:
        return dict(columns)
    return {
        name: np.add.reduceat(values, np.arange(0, len(values), batch), axis=0)
        for name, values in columns.items()
    }


def _percentile(values: np.ndarray, seen: np.ndarray, share: float, level: float) -> Interval:
    """Return a percentile and its bounds by order statistics, which hold for every distribution.

    The number of samples below the true percentile is binomial. Resampling cannot go beyond the slowest
    sample and misses too often so far out; where too few samples were seen for an upper bound, it is
    infinite.
    """
    value, count, outside = float(np.percentile(values, 100 * share)), len(seen), (1 - level) / 2
    if (seen == seen[0]).all() and count > 1:
        return Interval(value, value, value, count, "constant", level)
    if count < 2:
        return Interval(value, math.nan, math.nan, count, "none", level)
    ordered = np.sort(seen)
    logs = [math.lgamma(k + 1) for k in range(count + 1)]
    chance = np.exp(
        [
            logs[count] - logs[k] - logs[count - k] + k * math.log(share) + (count - k) * math.log1p(-share)
            for k in range(count + 1)
        ]
    )
    at_most = np.cumsum(chance)  # of k samples below the true percentile, or fewer
    at_least = np.cumsum(chance[::-1])[::-1]
    low = np.flatnonzero(at_most <= outside)  # position r: no more than r are below it
    high = np.flatnonzero(at_least[1:] <= outside)  # position s: s + 1 or more are below it
    lower = float(ordered[low[-1]]) if len(low) else -math.inf
    upper = float(ordered[high[0]]) if len(high) else math.inf
    return Interval(value, lower, upper, count, "order", level)
