"""Statistics against plain loops over a small trace."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cgsim.trace import layer_statistics, load_trace, stats, tiny_network

if TYPE_CHECKING:
    from pathlib import Path


def naive(bits: np.ndarray) -> dict[str, float]:
    """Figures of bool[S, C, H, W], one gate at a time."""
    samples, channels, height, width = bits.shape
    p = [bits[:, c].mean() for c in range(channels)]
    horizontal: list[bool] = []
    vertical: list[bool] = []
    both: list[bool] = []
    cross: list[bool] = []
    for s, c, y, x in itertools.product(*map(range, bits.shape)):
        if x + 1 < width:
            horizontal.append(bits[s, c, y, x] == bits[s, c, y, x + 1])
            both.append(bits[s, c, y, x] and bits[s, c, y, x + 1])
        if y + 1 < height:
            vertical.append(bits[s, c, y, x] == bits[s, c, y + 1, x])
            both.append(bits[s, c, y, x] and bits[s, c, y + 1, x])
        cross += [bits[s, c, y, x] and bits[s, d, y, x] for d in range(channels) if d != c]
    pairs = list(itertools.permutations(range(channels), 2))
    expected = np.mean([p[c] * p[d] for c, d in pairs])
    scale = np.mean([math.sqrt(p[c] * (1 - p[c]) * p[d] * (1 - p[d])) for c, d in pairs])
    any16 = [
        bits[s, c : c + 16, y, x].any()
        for s in range(samples)
        for c in range(0, channels, 16)
        for y in range(height)
        for x in range(width)
    ]
    any4 = [
        bits[s, c, y : y + 4, x : x + 4].any()
        for s in range(samples)
        for c in range(channels)
        for y in range(0, height - 3, 4)
        for x in range(0, width - 3, 4)
    ]
    return {
        "density": bits.mean(),
        "horizontal_agreement": np.mean(horizontal),
        "vertical_agreement": np.mean(vertical),
        "spatial_correlation": (np.mean(both) - np.mean(np.square(p))) / np.mean([q * (1 - q) for q in p]),
        "cross_channel_correlation": (np.mean(cross) - expected) / scale,
        "any_of_16_channels": np.mean(any16),
        "any_of_4x4_pixels": np.mean(any4),
        "channels_off": np.mean(~bits.any(axis=(2, 3))),
        "pixels_off": np.mean(~bits.any(axis=1)),
        "density_channel_min": min(p),
        "density_channel_max": max(p),
        "density_sample_min": min(bits[s].mean() for s in range(samples)),
        "density_sample_max": max(bits[s].mean() for s in range(samples)),
    }


def test_against_plain_loops(tools: Any, tmp_path: Path) -> None:
    network = tiny_network(channels=20, size=9)
    gates = tools.gates(network, 3, density=0.08)
    gates["a"][:, 4] = False
    gates["b"][:, :, 10:30] = True
    trace = load_trace(tools.write(tmp_path / "x", network, gates, 3))
    found = stats(trace)
    assert [row["layer"] for row in found] == ["a", "b"]
    for row in found:
        for key, value in naive(gates[row["layer"]].reshape(3, 20, 9, 9)).items():
            assert row[key] == pytest.approx(value), key
    full = layer_statistics(trace)[0]
    bits = gates["a"].reshape(3, 20, 9, 9)
    assert full.density_per_channel == pytest.approx(bits.mean(axis=(0, 2, 3)))
    assert full.density_per_pixel == pytest.approx(bits.mean(axis=(0, 1)))
    assert full.density_per_sample == pytest.approx(bits.mean(axis=(1, 2, 3)))
    assert full.moments.same_channel[1] == pytest.approx(
        np.mean(np.concatenate([(bits[..., 2:] & bits[..., :-2]).ravel(),
                                (bits[:, :, 2:] & bits[:, :, :-2]).ravel()]))
    )  # fmt: skip
    means = bits.mean(axis=(2, 3))
    for same, found in ((True, full.moments.same_group[1]), (False, full.moments.other_group[1])):
        pairs = [(c, d) for c in range(20) for d in range(20) if c != d and (c // 5 == d // 5) == same]
        assert found == pytest.approx(np.mean([means[:, c] * means[:, d] for c, d in pairs]))
    assert full.moments.same_channel[2] == pytest.approx(np.mean(means**2))
    inside = [bits[:, c] & bits[:, d] for c in range(20) for d in range(20) if c != d and c // 5 == d // 5]
    assert full.moments.same_group[0] == pytest.approx(np.mean(inside))


def test_every_granularity_and_a_dense_trace(tools: Any, tmp_path: Path) -> None:
    network = tools.mixed()
    gates = tools.gates(network, 4)
    found = {row["layer"]: row for row in stats(load_trace(tools.write(tmp_path / "x", network, gates, 4)))}
    assert list(found) == ["act", "pix", "chan", "stat"]
    for name, row in found.items():
        assert row["density"] == pytest.approx(gates[name].mean())
    assert (found["pix"]["channels"], found["pix"]["height"], found["pix"]["width"]) == (1, 5, 7)
    assert math.isnan(found["pix"]["cross_channel_correlation"])
    assert math.isnan(found["chan"]["spatial_correlation"])
    dense = load_trace(tools.write(tmp_path / "y", tiny_network(gated=False), {}, 2))
    assert stats(dense) == []


def test_all_gates_off(tools: Any, tmp_path: Path) -> None:
    network = tiny_network()
    trace = load_trace(tools.write(tmp_path / "x", network, tools.gates(network, 2, density=0), 2))
    frame = pd.DataFrame(stats(trace))
    assert frame["density"].tolist() == [0, 0]
    assert frame["channels_off"].tolist() == [1, 1]
    assert frame["spatial_correlation"].isna().all()
