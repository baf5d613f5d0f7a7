"""What characterises the gates of a network, layer by layer, independent of its shapes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import CgsimError
from cgsim.trace.gaussian import (
    field_correlation,
    joint_upper,
    latent_correlation,
    pair_series,
    pair_weights,
    upper_threshold,
)
from cgsim.trace.statistics import LayerStatistics, layer_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cgsim.trace.reader import Trace

_KEPT_DENSITIES = 64
_OWN_OFFSET = 0.05
"""Share of the variance that hand-set profiles give to each sample and channel."""


@dataclass(frozen=True)
class LayerProfile:
    """Gates as thresholded Gaussian fields: a gate is on where z > t, with a threshold t per channel.

    z has unit variance: a part per sample and channel (`offset_share` of the variance) plus a spatial field
    of each channel, whose correlation at distance d is exp(-(d / length) ** power). Both parts are
    correlated between channels, within a base group and between groups.
    """

    depth: float
    """Place in the network, 0 for the first gated layer and 1 for the last."""
    densities: tuple[float, ...]
    """Share of gates that are on, channel by channel in ascending order, each for 1/n of the channels."""
    offset_share: float = 0.1
    offset_within: float = 0.5
    offset_between: float = 0.5
    field_within: float = 0.1
    field_between: float = 0.1
    length: float = 2.0
    power: float = 1.0
    channels: float = 64
    """Number of channels that the negative correlations belong to (they fall with this number)."""
    groups: float = 1
    """Number of base groups."""

    def __post_init__(self) -> None:
        """Raise CgsimError if a number is out of its range."""
        numbers = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        del numbers["densities"]
        kinds = [
            isinstance(v, int | float) and math.isfinite(v) for v in (*numbers.values(), *self.densities)
        ]
        if not all(kinds) or not self.densities:
            raise CgsimError("profile: every entry must be a finite number, and 'densities' not empty")
        if min(self.densities) < 0 or max(self.densities) > 1:
            raise CgsimError("profile: densities must lie between 0 and 1")
        for key, low, high in (
            ("depth", 0, 1),
            ("offset_share", 0, 1),
            ("offset_within", -1, 1),
            ("offset_between", -1, 1),
            ("field_within", -1, 1),
            ("field_between", -1, 1),
            ("length", 1e-6, 1e6),
            ("power", 1e-3, 2),
            ("channels", 1, 1 << 24),
            ("groups", 1, 1 << 24),
        ):
            if not low <= numbers[key] <= high:
                raise CgsimError(f"profile: {key!r} must lie between {low} and {high}, got {numbers[key]}")

    def scaled(self, channels: int, groups: int) -> LayerProfile:
        """The same profile for another number of channels and base groups.

        Positive correlations stay. Negative ones shrink with the number of channels, so that they take
        the same share of the variance of the sum over channels.
        """
        values: dict[str, Any] = {"channels": channels, "groups": groups}
        for part in ("offset", "field"):
            pair = [getattr(self, f"{part}_within"), getattr(self, f"{part}_between")]
            pair = [r * min(1.0, self.channels / channels) if r < 0 else r for r in pair]
            if groups == 1:
                pair = [(pair[0] + (self.groups - 1) * pair[1]) / self.groups] * 2
            values |= {f"{part}_within": pair[0], f"{part}_between": pair[1]}
        return dataclasses.replace(self, densities=tuple(self.channel_densities(channels).tolist()), **values)

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

    def at(self, depth: float, channels: int, groups: int = 1) -> LayerProfile:
        """The profile at a relative depth for a number of channels, between the two nearest layers."""
        layers = sorted(self.layers, key=lambda layer: layer.depth)
        above = next((i for i, layer in enumerate(layers) if layer.depth >= depth), len(layers) - 1)
        low, high = (layers[i].scaled(channels, groups) for i in (max(0, above - 1), above))
        span = high.depth - low.depth
        weight = min(1.0, max(0.0, (depth - low.depth) / span)) if span > 0 else 1.0
        names = [item.name for item in dataclasses.fields(LayerProfile) if item.name != "densities"]
        values = {name: (1 - weight) * getattr(low, name) + weight * getattr(high, name) for name in names}
        mixed = (1 - weight) * np.array(low.densities) + weight * np.array(high.densities)
        return LayerProfile(**values | {"depth": depth, "densities": tuple(mixed.tolist())})

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
    probabilities that two gates are on together: same channel 1 and 2 pixels apart and anywhere in the
    image, and different channels, within a base group and between groups, at the same pixel and anywhere.
    Raises CgsimError without gates.
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
    own = _thin(np.sort(found.density_per_channel), _KEPT_DENSITIES)
    moments, size = found.moments, (found.height, found.width)
    offset, length, power = _fit_field(own, moments.same_channel, size)
    mean = float((field_correlation(size, length, power) * pair_weights(size)).sum())
    latent = []
    series = pair_series(upper_threshold(found.density_per_channel), found.groups)
    for coefficients, (pixel, anywhere) in zip(
        series, (moments.same_group, moments.other_group), strict=True
    ):
        joint = partial(_polynomial, coefficients)
        here = _solve(joint, pixel, 0.0)
        apart = 0.0 if mean > 0.99 else (_solve(joint, anywhere, here * mean) - here * mean) / (1 - mean)
        latent.append((here, apart))
    common = min(max(0.0, *(apart for _, apart in latent)), 0.5)
    if common > offset:  # what channels have in common anywhere is an offset of each of them, too
        offset, length, power = _fit_field(own, moments.same_channel, size, common)
    correlations = []
    for here, apart in latent:
        kept = min(max(apart, -offset), offset)
        correlations.append((kept / offset if offset else 0.0, (here - kept) / (1 - offset)))
    if found.groups == 1:
        correlations[1] = correlations[0]
    elif found.channels == found.groups:
        correlations[0] = correlations[1]
    (offset_in, field_in), (offset_out, field_out) = np.clip(correlations, -1, 1).tolist()
    numbers = (offset, offset_in, offset_out, field_in, field_out, length, power)
    rounded = [round(float(value), 6) for value in (*numbers, found.channels, found.groups)]
    return LayerProfile(round(depth, 6), tuple(round(float(p), 6) for p in own), *rounded)


def _fit_field(
    densities: NDArray[np.float64],
    moments: tuple[float, float, float],
    size: tuple[int, int],
    least: float = 0.0,
) -> tuple[float, float, float]:
    """Offset share (`least` or more), length and power that give the pair probabilities of one channel.

    The correlation 1 and 2 pixels apart fixes length and power for any offset share; that share is found by
    bisection on the probability for any two pixels of the image.
    """
    points = upper_threshold(densities)

    def joint(r: float) -> float:
        return float(joint_upper(points, points, r).mean())

    near = [_solve(joint, moments[i], 0.0) for i in (0, 1)]
    grid = np.linspace(0, 0.98, 99)
    table = np.array([*(joint(r) for r in grid), float(densities.mean())])
    grid, weights = np.append(grid, 1.0), pair_weights(size)

    def shape(offset: float) -> tuple[float, float]:
        return _shape(*((r - offset) / (1 - offset) for r in near))

    low, high = least, 0.9
    if math.isnan(moments[2]) or densities.mean() - table[0] < 1e-9:
        return least, *shape(least)
    for _ in range(30):
        middle = (low + high) / 2
        latent = middle + (1 - middle) * field_correlation(size, *shape(middle))
        if (np.interp(latent, grid, table) * weights).sum() < moments[2]:
            low = middle
        else:
            high = middle
    return low, *shape(low)


def _polynomial(coefficients: NDArray[np.float64], r: float) -> float:
    return float(np.polynomial.polynomial.polyval(r, coefficients))


def _solve(joint: Callable[[float], float], observed: float, without: float) -> float:
    """The correlation that gives `observed`; `without` where there is nothing to solve for."""
    if math.isnan(observed) or joint(0.5) - joint(0.0) < 1e-9:
        return without
    return latent_correlation(joint, observed)


def _shape(one: float, two: float) -> tuple[float, float]:
    """Length and power of exp(-(d / length) ** power) with the given values at distances 1 and 2."""
    one, two = min(max(one, 0.002), 0.995), min(max(two, 0.0), 0.99)
    power = 1.0 if two <= 0 or two >= one else math.log2(math.log(two) / math.log(one))
    power = min(max(power, 0.25), 2.0)
    return min(max((-math.log(one)) ** (-1 / power), 1e-6), 1e6), power


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
    lengths: Sequence[float],
    channel: Sequence[float],
    sample: Sequence[float],
) -> Profile:
    """Build a profile from numbers per layer.

    They are the mean density, the correlation length in pixels, the correlation of the fields of different
    channels, and the share of the variance that is common to a sample. `spread` is the standard deviation
    of the channels' log-odds around those of their layer.
    """
    layers = []
    for depth, density, length, correlation, share in zip(
        depths(len(densities)), densities, lengths, channel, sample, strict=True
    ):
        if not 0 <= share <= 0.95:
            raise CgsimError(
                f"profile: the share that varies per sample lies between 0 and 0.95, got {share}"
            )
        offset = share + _OWN_OFFSET
        layers.append(
            LayerProfile(
                depth=depth,
                densities=tuple(_spread(density, spread).tolist()),
                offset_share=offset,
                offset_within=share / offset,
                offset_between=share / offset,
                field_within=correlation,
                field_between=correlation,
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
