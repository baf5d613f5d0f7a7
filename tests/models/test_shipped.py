"""What the trace that ships with cgsim promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import cgsim
from cgsim.models import build_network, derive_network

TRACE = Path(__file__).parents[2] / "traces" / "resnet20-cgnet.trace.parquet"


def test_the_shipped_trace_is_of_a_model_worth_simulating():
    trace = cgsim.load_trace(str(TRACE))
    about = trace.metadata
    assert (about.model, about.method, about.dataset, about.split) == (
        "resnet20",
        "cgnet",
        "Fashion-MNIST",
        "test",
    )
    assert trace.n_samples >= 64
    assert about.accuracy_ungated - about.accuracy_gated <= 0.01
    assert about.flop_reduction >= 2.0
    assert about.command.count("cgsim train") == 2
    right = np.mean([sample.label == sample.prediction for sample in trace.samples])
    assert abs(right - about.accuracy_gated) < 0.06  # 2.5 standard errors of 128 images
    model = build_network("resnet20", "cgnet", in_channels=1, classes=10)
    assert derive_network(model, (1, 28, 28), "resnet20") == trace.network
