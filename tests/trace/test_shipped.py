"""Every shipped trace is intact, and the synthetic one is what its provenance says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsim.trace import Profile, check_trace, fit, load_trace, resnet18_imagenet

FOLDER = Path(__file__).parents[2] / "traces"
REAL = FOLDER / "resnet20-cgnet.trace.parquet"
SYNTHETIC = FOLDER / "resnet18-synthetic.trace.parquet"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.trace.parquet")), ids=lambda path: path.name)
def test_intact_and_with_provenance(path: Path) -> None:
    check_trace(path)
    metadata = load_trace(path).metadata
    assert metadata.command.startswith("cgsim ")
    assert metadata.created
    assert metadata.seed is not None
    assert metadata.versions


def test_together_below_40_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.trace.parquet")) < 40e6


def test_synthetic_resnet18_is_fitted_to_the_real_trace() -> None:
    trace, real = load_trace(SYNTHETIC), load_trace(REAL)
    assert trace.network == resnet18_imagenet()
    assert trace.n_samples == 8
    assert trace.flop_reduction() == pytest.approx(2.8, rel=0.005)
    assert trace.metadata.method == "synthetic"
    parameters = trace.metadata.method_parameters
    told = Profile.from_json(parameters["profile"])
    assert told.source["content"] == real.checksum
    assert [layer.depth for layer in told.layers] == [layer.depth for layer in fit(real).layers]


def test_synthetic_resnet18_looks_like_the_real_trace() -> None:
    """Correlations at the same depth come back, although every density moved with the target."""
    synthetic, real = fit(load_trace(SYNTHETIC)), fit(load_trace(REAL))
    for name in ("length", "field_within", "field_between", "offset_share"):
        made = np.array([getattr(layer, name) for layer in synthetic.layers])
        depths = [layer.depth for layer in synthetic.layers]
        wanted = np.interp(
            depths, [layer.depth for layer in real.layers], [getattr(layer, name) for layer in real.layers]
        )
        allowed = 0.3 * np.maximum(wanted, 0.3)
        assert (np.abs(made - wanted) < allowed).mean() > 0.8, name
