"""Synthetic traces: seeded gates with chosen statistics, or with those of a real trace."""

from __future__ import annotations

import datetime as dt
import math
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import cgsim
from cgsim.errors import CgsimError, nearest
from cgsim.trace.gaussian import channel_mixing, gaussian_field, upper_threshold
from cgsim.trace.macs import expected_macs, flop_reduction, tally
from cgsim.trace.metadata import Metadata, Sample
from cgsim.trace.pack import pack_bits
from cgsim.trace.profile import LayerProfile, Profile, depths, hand_set, shifted
from cgsim.trace.statistics import grid
from cgsim.trace.writer import TraceWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cgsim.trace.network import Layer, Network

_TOLERANCE = 0.0005
_COARSE = 0.02
"""How far a FLOP reduction may be off where whole channels, or few pixels, allow no better."""
_STATIC = -1
_LAYER_KEYS = {
    "density": (0, 1),
    "correlation_length": (1e-6, 1e6),
    "channel_correlation": (0, 1),
    "sample_variation": (0, 1),
}
"""What can be set by layer, and between which numbers."""


def synthesize(
    network: Network,
    out: str | os.PathLike[str],
    samples: int = 8,
    seed: int = 0,
    density: float = 0.15,
    correlation_length: float = 2.0,
    channel_correlation: float = 0.1,
    sample_variation: float = 0.05,
    channel_spread: float = 1.0,
    layers: Mapping[str, Mapping[str, float]] | None = None,
    flop_reduction: float | None = None,
    command: str = "",
) -> Path:
    """Write a synthetic trace of chosen statistics and return its path.

    `density`: share of gates on; `correlation_length`: in pixels, correlation exp(-distance / length);
    `channel_correlation`: of the underlying Gaussian fields between channels, at the same pixel;
    `sample_variation`: share of the variance that varies per sample; `channel_spread`: standard deviation
    of the channels' log-odds. `layers` overrides the first four by layer name. With `flop_reduction` all
    densities are shifted until the network has it (within 0.05 %, or as near as whole channels allow).
    `static` layers whose channels are added up share their gates. Raises CgsimError.
    """
    gated = _gated(network)
    overrides = dict(layers or {})
    names = [layer.name for layer in gated]
    for name, values in overrides.items():
        if name not in names:
            raise CgsimError(f"synth: layer {name!r} has no gates{nearest(name, names)}")
        for key in values:
            if key not in _LAYER_KEYS:
                raise CgsimError(f"synth: layer {name!r}: unknown key {key!r}{nearest(key, _LAYER_KEYS)}")
    common = dict(
        zip(_LAYER_KEYS, (density, correlation_length, channel_correlation, sample_variation), strict=True)
    )
    rows = [{**common, **overrides.get(name, {})} for name in names]
    for key, (low, high) in _LAYER_KEYS.items():
        for row in rows:
            if not low <= row[key] <= high:
                raise CgsimError(f"synth: {key} must lie between {low} and {high}, got {row[key]}")
    columns = [[row[key] for row in rows] for key in _LAYER_KEYS]
    profile = hand_set(columns[0], channel_spread, *columns[1:])
    return transplant(profile, network, out, samples, seed, flop_reduction, command)


def transplant(
    profile: Profile,
    network: Network,
    out: str | os.PathLike[str],
    samples: int = 8,
    seed: int = 0,
    flop_reduction: float | None = None,
    command: str = "",
) -> Path:
    """Write a synthetic trace of `network` whose gates have the statistics of `profile`.

    Layers take the profile of their relative depth among the gated layers. With `flop_reduction` the
    log-odds of all densities are shifted by one number until dense over executed MACs hits it within
    0.05 % (2 % where whole channels allow no better). The same arguments give the same gates. Raises
    CgsimError if that cannot be reached.
    """
    if samples < 1:
        raise CgsimError(f"synth: samples must be 1 or more, got {samples}")
    generator = _Generator(profile, network, samples, seed)
    shift = generator.find_shift(flop_reduction) if flop_reduction is not None else 0.0
    parameters: dict[str, Any] = {
        "profile": profile.to_json(),
        "log_odds_shift": shift,
        "target_flop_reduction": flop_reduction,
    }
    metadata = Metadata(
        model=network.name,
        method="synthetic",
        method_parameters=parameters,
        dataset="synthetic",
        seed=seed,
        versions={"cgsim": cgsim.__version__, "numpy": np.__version__, "python": platform.python_version()},
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=command,
        notes=_notes(profile),
    )
    static = {layer.name: generator.bits(layer, _STATIC, shift) for layer in generator.static}
    with TraceWriter(out, network, metadata, static=static) as writer:
        for index in range(samples):
            writer.append(
                Sample(f"synthetic-{seed}-{index}"),
                {layer.name: generator.bits(layer, index, shift) for layer in generator.sampled},
            )
    return Path(out)


class _Generator:
    """Makes the gates of any (layer, sample) again and again from the seed alone."""

    def __init__(self, profile: Profile, network: Network, samples: int, seed: int) -> None:
        if not 0 <= seed < 1 << 63:
            raise CgsimError(f"synth: seed must lie between 0 and 2^63 - 1, got {seed}")
        gated = _gated(network)
        self.network, self.samples, self.seed = network, samples, seed
        self.sampled = [layer for layer in gated if layer.gate != "static"]
        self.static = [layer for layer in gated if layer.gate == "static"]
        self.index = {layer.name: i for i, layer in enumerate(gated)}
        self.tied = tied(network)
        self.profiles: dict[str, LayerProfile] = {}
        self.densities: dict[str, NDArray[np.float64]] = {}
        self.roots: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        for layer, depth in zip(gated, depths(len(gated)), strict=True):
            channels = grid(layer)[0]
            groups = layer.base_groups
            found = profile.at(depth, channels, groups)
            self.profiles[layer.name] = found
            common = _common(found)
            rest = [(r - common) / (1 - common) for r in (found.offset_within, found.offset_between)]
            self.roots[layer.name] = (
                channel_mixing(channels, groups, *rest),
                channel_mixing(channels, groups, found.field_within, found.field_between),
            )
            order = np.random.default_rng([seed, 1, self.index[layer.name]]).permutation(channels)
            self.densities[layer.name] = np.array(found.densities)[order]
        self.densities |= {name: self.densities[first] for name, first in self.tied.items()}
        shared = self._levels(0) * math.sqrt(profile.layer_correlation)
        alone = math.sqrt(1 - profile.layer_correlation)
        self.levels = {name: shared + alone * self._levels(1 + i) for name, i in self.index.items()}

    def _levels(self, stream: int) -> NDArray[np.float64]:
        """A normal sample of mean 0 and variance 1, one per sample of the trace, in seeded order.

        Quantiles instead of draws, so that few samples do not move the mean density.
        """
        points = upper_threshold((np.arange(self.samples) + 0.5) / self.samples)
        points /= points.std() or 1.0
        return np.random.default_rng([self.seed, 3, stream]).permutation(points)

    def bits(self, layer: Layer, sample: int, shift: float) -> NDArray[np.bool_]:
        """Gates of one sample as bool of the layer's `gate_shape`."""
        layer = self.network.by_name[self.tied.get(layer.name, layer.name)]
        shape, profile = grid(layer), self.profiles[layer.name]
        offset_root, field_root = self.roots[layer.name]
        rng = np.random.default_rng([self.seed, 2, sample + 1, self.index[layer.name]])
        offsets = offset_root @ rng.standard_normal(shape[0])
        if sample != _STATIC:
            common = _common(profile)
            level = self.levels[layer.name][sample]
            offsets = math.sqrt(common) * level + math.sqrt(1 - common) * offsets
        field = gaussian_field(rng, shape, profile.length, profile.power).reshape(shape[0], -1)
        field = math.sqrt(1 - profile.offset_share) * (field_root @ field).reshape(shape)
        field += math.sqrt(profile.offset_share) * offsets[:, None, None]
        densities = shifted(self.densities[layer.name], shift)
        limits = upper_threshold(densities)
        limits[densities <= 0], limits[densities >= 1] = np.inf, -np.inf
        if sample == _STATIC:  # one draw for all samples: as many channels on as are expected
            chosen = np.argsort(limits - field[:, 0, 0])[: round(float(densities.sum()))]
            return np.isin(np.arange(shape[0]), chosen)
        return np.asarray(field > limits[:, None, None]).reshape(layer.gate_shape)

    def find_shift(self, target: float) -> float:
        """The shift of log-odds that gives the target: bisection on expected MACs, then on real ones."""
        least, most = (self._reduction(dict.fromkeys(self.densities, share)) for share in (1.0, 0.0))
        if not least < target < most:
            raise CgsimError(
                f"synth: a FLOP reduction of {target} is out of reach for {self.network.name}: "
                f"{least:.4g} with all gates on, {most:.4g} with all gates off"
            )
        shift = self._bisect(self._expected, target, -30, 30, 60)
        slope = (math.log(self._expected(shift - 0.05)) - math.log(self._expected(shift + 0.05))) / 0.1
        found: dict[float, float] = {}
        for _ in range(20):
            found[shift] = real = self._counted(shift)
            if abs(real / target - 1) <= _TOLERANCE:
                return round(shift, 9)
            step = math.log(real / target) / max(slope, 1e-6)
            shift = round(shift + max(-2.0, min(2.0, step)), 9)
        return self._nearest(found, target)

    def _nearest(self, found: dict[float, float], target: float) -> float:
        """The shift that comes nearest, from shifts that were tried: gates come and go one by one.

        A gate of a channel or a pixel can be a large step, so that none may be within the tolerance.
        """
        for _ in range(25):
            below = [shift for shift, real in found.items() if real > target]
            above = [shift for shift, real in found.items() if real <= target]
            if not below or not above:
                break
            middle = round((max(below) + min(above)) / 2, 9)
            found[middle] = self._counted(middle)
        best = min(found, key=lambda shift: abs(found[shift] / target - 1))
        if abs(found[best] / target - 1) <= _COARSE:
            return best
        raise CgsimError(
            f"synth: a FLOP reduction of {target} cannot be met with the always-off and always-on channels "
            f"of this profile and {self.samples} samples; nearest found {found[best]:.4g}"
        )

    @staticmethod
    def _bisect(reduction: Any, target: float, low: float, high: float, steps: int) -> float:
        for _ in range(steps):
            middle = (low + high) / 2
            if reduction(middle) > target:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def _expected(self, shift: float) -> float:
        """The FLOP reduction that the densities promise."""
        return self._reduction({name: shifted(p, shift).mean() for name, p in self.densities.items()})

    def _reduction(self, density: Mapping[str, float]) -> float:
        return flop_reduction(self.network, expected_macs(self.network, density, self.tied)) or math.inf

    def _counted(self, shift: float) -> float:
        """The FLOP reduction of the gates themselves."""
        executed = 0
        static = {layer.name: pack_bits(self.bits(layer, _STATIC, shift)) for layer in self.static}
        for sample in range(self.samples):
            gates = {layer.name: pack_bits(self.bits(layer, sample, shift))[None] for layer in self.sampled}
            found = tally(self.network, 1, (static | gates).__getitem__)
            executed += sum(int(macs[0]) for macs in found.macs.values())
        return flop_reduction(self.network, executed, self.samples) or math.inf


def tied(network: Network) -> dict[str, str]:
    """For each layer with static gates the one whose gates it takes over: itself, or an earlier one.

    Channels that are added up stay or go together (Gate Decorator); otherwise a sum would keep nearly all.
    """
    first = {layer.name: layer.name for layer in network.layers if layer.gate == "static"}
    for layer in network.layers:
        if layer.operator == "add":
            met = [first[name] for name in network.channel_sources[layer.name] if name in first]
            first |= {name: min(met, key=list(first).index) for name in first if first[name] in met}
    return first


def _notes(profile: Profile) -> str:
    text = "Gates are thresholded Gaussian fields; no image and no model was involved."
    source = profile.source
    if source:
        text += (
            f" Their statistics are fitted to those of {source.get('samples')} samples of a real trace: "
            f"{source.get('model')}, {source.get('method')}, {source.get('dataset')}, "
            f"content {str(source.get('content'))[:16]}."
        )
    return text


def _common(profile: LayerProfile) -> float:
    """Share of the offsets' variance that all channels of a sample have in common."""
    return min(max(min(profile.offset_within, profile.offset_between), 0.0), 0.999)


def _gated(network: Network) -> list[Layer]:
    gated = [layer for layer in network.layers if layer.gate != "none"]
    if not gated:
        raise CgsimError(f"synth: network {network.name} has no gated layers")
    return gated
