"""What characterises the gates of a network, layer by layer, independent of its shapes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import CgsimError
from cgsim.trace.gaussian import joint_upper, latent_correlation, upper_threshold
from cgsim.trace.statistics import LayerStatistics, layer_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cgsim.trace.reader import Trace

_KEPT_DENSITIES = 64
_PAIR_DENSITIES = 16


@dataclass(frozen=True)
class LayerProfile:
    """Gates as thresholded Gaussian fields: a gate is on where z > t, with a threshold t per channel.

    z has unit variance and is the sum of a part per sample (`sample_share`), one per sample and channel
    (`channel_share`), a spatial field common to all channels (`common_share`) and a spatial field of each
    channel (the rest). Correlation of a field at distance d: exp(-(d / length) ** power).
    """

    depth: float
    """Place in the network, 0 for the first gated layer and 1 for the last."""
    densities: tuple[float, ...]
    """Share of gates that are on, channel by channel in ascending order, each for 1/n of the channels."""
    sample_share: float = 0.05
    channel_share: float = 0.1
    common_share: float = 0.1
    common_length: float = 2.0
    common_power: float = 1.0
    length: float = 2.0
    power: float = 1.0

    def __post_init__(self) -> None:
        """Raise CgsimError if a number is out of its range."""
        numbers = [getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "densities"]
        kinds = all(isinstance(v, int | float) and math.isfinite(v) for v in (*numbers, *self.densities))
        if not kinds or not self.densities:
            raise CgsimError("profile: every entry must be a finite number, and 'densities' not empty")
        if min(self.densities) < 0 or max(self.densities) > 1:
            raise CgsimError("profile: densities must lie between 0 and 1")
        shares = (self.sample_share, self.channel_share, self.common_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise CgsimError(f"profile: the shares must be 0 or more and sum to 1 at most, got {shares}")
        if min(self.common_length, self.length) <= 0:
            raise CgsimError("profile: correlation lengths must be above 0 pixels")
        if not (0 < self.common_power <= 2 and 0 < self.power <= 2):
            raise CgsimError("profile: powers must be above 0 and at most 2")

    def channel_densities(self, channels: int) -> NDArray[np.float64]:
        """Ascending densities of another number of channels, with the same mean: float64[channels]."""
        known = np.concatenate([[0.0], np.cumsum(np.sort(self.densities))]) / len(self.densities)
        edges = np.linspace(0, 1, channels + 1)
        total = np.interp(edges, np.linspace(0, 1, len(known)), known)
        return np.clip(np.diff(total) * channels, 0, 1)


@dataclass(frozen=True)
class Profile:
    """Profiles of the gated layers in order of depth, and where they come from."""

    layers: tuple[LayerProfile, ...]
    layer_correlation: float = 0.5
    """How much the part per sample is shared between layers, 0 (not at all) to 1."""
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise CgsimError on an empty profile or a correlation out of range."""
        if not self.layers:
            raise CgsimError("profile: it needs at least one layer")
        if not 0 <= self.layer_correlation <= 1:
            raise CgsimError("profile: 'layer_correlation' must lie between 0 and 1")

    def at(self, depth: float, channels: int) -> LayerProfile:
        """The profile at a relative depth for a number of channels, between the two nearest layers."""
        layers = sorted(self.layers, key=lambda layer: layer.depth)
        above = next((i for i, layer in enumerate(layers) if layer.depth >= depth), len(layers) - 1)
        low, high = layers[max(0, above - 1)], layers[above]
        span = high.depth - low.depth
        weight = min(1.0, max(0.0, (depth - low.depth) / span)) if span > 0 else 1.0

        def between(name: str) -> float:
            return float((1 - weight) * getattr(low, name) + weight * getattr(high, name))

        names = [item.name for item in dataclasses.fields(LayerProfile)]
        values = {name: between(name) for name in names if name not in ("depth", "densities")}
        mixed = (1 - weight) * low.channel_densities(channels) + weight * high.channel_densities(channels)
        return LayerProfile(depth=depth, densities=tuple(mixed.tolist()), **values)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field."""
        data = dataclasses.asdict(self)
        data["layers"] = [{**layer, "densities": list(layer["densities"])} for layer in data["layers"]]
        return data

    @classmethod
    def from_json(cls, data: Any) -> Profile:
        """Build from `to_json`'s object; raises CgsimError."""
        try:
            layers = tuple(
                LayerProfile(**{**item, "densities": tuple(item["densities"])}) for item in data["layers"]
            )
            return cls(layers, data["layer_correlation"], data["source"])
        except (TypeError, KeyError) as error:
            raise CgsimError(f"profile: not a profile: {error}") from None


def fit(trace: Trace) -> Profile:
    """Fit a profile to the gates of a trace: densities are taken over, correlations solved for.

    The correlations of the Gaussian fields are those for which thresholding gives the trace's own
    probabilities that two gates are on together: same channel at distances 1, 2 and half the image, and
    different channels at the same pixel and at those distances. Raises CgsimError without gates.
    """
    found = layer_statistics(trace)
    if not found:
        raise CgsimError(f"{trace.path}: it has no gates to fit a profile to")
    last = max(1, len(found) - 1)
    layers = tuple(_fit_layer(item, i / last) for i, item in enumerate(found))
    source = {
        "model": trace.metadata.model,
        "method": trace.metadata.method,
        "dataset": trace.metadata.dataset,
        "samples": trace.n_samples,
        "content": trace.checksum,
    }
    return Profile(layers, _layer_correlation(found), source)


def _fit_layer(found: LayerStatistics, depth: float) -> LayerProfile:
    densities = np.sort(found.density_per_channel)
    own, moments = _thin(densities, _KEPT_DENSITIES), found.moments
    points = upper_threshold(own)
    few = upper_threshold(_thin(densities, _PAIR_DENSITIES))
    count = len(densities)

    def same(r: float) -> float:
        return float(joint_upper(points, points, r).mean())

    def other(r: float) -> float:
        every, equal = joint_upper(few[:, None], few[None, :], r).mean(), joint_upper(few, few, r).mean()
        return float((count * every - equal) / (count - 1))

    far = _solve(other, moments.other_channel[2], 0.0)
    at_pixel = _solve(other, moments.same_pixel, far)
    sample = min(max(far, 0.0), 0.5)
    common = min(max(at_pixel - sample, 0.0), 0.9 - sample)
    near = [_solve(other, moments.other_channel[i], sample) for i in (0, 1)]
    shares = [(value - sample) / common if common > 0.01 else 0.0 for value in near]
    common_length, common_power = _shape(*shares)
    channel = min(max(_solve(same, moments.same_channel[2], sample) - sample, 0.0), 0.95 - sample - common)
    rest = 1 - sample - common - channel
    ratios = []
    for i in (0, 1):
        shared = common * math.exp(-(((i + 1) / common_length) ** common_power))
        ratios.append((_solve(same, moments.same_channel[i], 0.0) - sample - channel - shared) / rest)
    length, power = _shape(*ratios)
    numbers = (depth, sample, channel, common, common_length, common_power, length, power)
    rounded = [round(float(value), 6) for value in numbers]
    return LayerProfile(rounded[0], tuple(round(float(p), 6) for p in own), *rounded[1:])


def _solve(joint: Any, observed: float, without: float) -> float:
    return without if math.isnan(observed) else latent_correlation(joint, observed)


def _shape(one: float, two: float) -> tuple[float, float]:
    """Length and power of exp(-(d / length) ** power) with the given values at distances 1 and 2."""
    one, two = min(max(one, 0.002), 0.995), min(max(two, 0.0), 0.99)
    power = 1.0 if two <= 0 or two >= one else math.log2(math.log(two) / math.log(one))
    power = min(max(power, 0.25), 2.0)
    return (-math.log(one)) ** (-1 / power), power


def _thin(ascending: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    if len(ascending) <= most:
        return ascending
    return LayerProfile(0.0, tuple(ascending.tolist())).channel_densities(most)


def _layer_correlation(found: Sequence[LayerStatistics]) -> float:
    """Mean correlation of the density per sample between layers, 0 where it cannot be told."""
    rows = [item.density_per_sample for item in found if len(item.density_per_sample) > 2]
    rows = [row for row in rows if row.std() > 0]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return 0.0
    table = np.asarray(np.corrcoef(np.stack(rows)))
    upper = table[np.triu_indices(len(rows), 1)]
    return round(float(min(max(upper.mean(), 0.0), 1.0)), 6)


def depths(count: int) -> list[float]:
    """Relative depths of `count` gated layers."""
    return [i / max(1, count - 1) for i in range(count)]


def hand_set(
    densities: Sequence[float],
    spread: float,
    shares: Sequence[tuple[float, float, float, float]],
) -> Profile:
    """A profile from numbers per layer: mean density, and (sample, channel, common share, length).

    `spread` is the standard deviation of the channels' log-odds around those of their layer.
    """
    layers = []
    for depth, density, (sample, channel, common, length) in zip(
        depths(len(densities)), densities, shares, strict=True
    ):
        layers.append(
            LayerProfile(
                depth=depth,
                densities=tuple(_spread(density, spread).tolist()),
                sample_share=sample,
                channel_share=channel,
                common_share=common,
                common_length=length,
                length=length,
            )
        )
    return Profile(tuple(layers))


def _spread(density: float, spread: float) -> NDArray[np.float64]:
    """Densities of 32 channels with the given mean and spread of log-odds."""
    if not 0 <= density <= 1:
        raise CgsimError(f"profile: a density lies between 0 and 1, got {density}")
    if not 0 <= spread <= 10:
        raise CgsimError(f"profile: the spread of log-odds lies between 0 and 10, got {spread}")
    if density in (0, 1) or spread == 0:
        return np.full(1, density)
    offsets = spread * upper_threshold((np.arange(32, 0, -1) - 0.5) / 32)
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-(offsets + middle)))).mean() < density:
            low = middle
        else:
            high = middle
    return np.asarray(1 / (1 + np.exp(-(offsets + low))))


def shifted(densities: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Densities with `shift` added to their log-odds; 0 and 1 stay."""
    inner = np.clip(densities, 1e-12, 1 - 1e-12)
    moved = 1 / (1 + np.exp(-(np.log(inner / (1 - inner)) + shift)))
    return np.where((densities <= 0) | (densities >= 1), densities, moved)
