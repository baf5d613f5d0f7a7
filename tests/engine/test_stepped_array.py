"""The fold kernels against the stepped array: cycles equal, and the array computes the right numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.engine.mapped import Calibration, Mapped
from cgsim.engine.pipeline import METRICS
from cgsim.engine.replay import ARRAY_CYCLES, ON
from cgsim.engine.stepped.layer import direct, run_layer
from cgsim.hardware import Hardware
from cgsim.mapping.operations import Operation
from cgsim.trace.network import Layer
from cgsim.trace.pack import bytes_to_words, pack_bits
from tests.conftest import VALIDATE
from tests.engine.machines import hardware, layers


@st.composite
def cases(draw: st.DrawFn, gated: bool) -> tuple[Layer, Hardware, int]:
    groups = draw(st.sampled_from([1, 2, 3]))
    return (
        draw(layers(gated=gated)),
        hardware(
            rows=draw(st.integers(1, 5)),
            cols=groups * draw(st.integers(1, 3)),
            column_groups=groups,
            pipelining=draw(st.sampled_from(["overlapped", "serial"])),
            group_sync=draw(st.sampled_from(["fold", "tile"])),
            compare_latency=draw(st.integers(0, 4)),
        ),
        draw(st.integers(0, 2**32 - 1)),
    )


def values(layer: Layer, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = rng.integers(-8, 9, layer.in_shape)
    weights = rng.integers(-8, 9, (layer.out_channels, layer.in_shape[0] // layer.groups, *layer.kernel))
    level = rng.choice([-(10**6), -50, 0, 50, 10**6])  # all on, mixed, all off
    thresholds = level + rng.integers(-40, 41, layer.out_channels)
    return inputs, weights, thresholds


@given(cases(gated=False))
@settings(max_examples=1000 if VALIDATE else 60, deadline=None)
def test_dense_layer(case: tuple[Layer, Hardware, int]) -> None:
    layer, target, seed = case
    inputs, weights, _ = values(layer, seed)
    stepped = run_layer(layer, target, inputs, weights, None)
    assert (stepped.outputs == direct(layer, inputs, weights, None).outputs).all()
    assert Mapped(Operation(layer), target, 1).dense()[ARRAY_CYCLES] == stepped.cycles


@given(cases(gated=True))
@settings(max_examples=2000 if VALIDATE else 120, deadline=None)
def test_gated_layer(case: tuple[Layer, Hardware, int]) -> None:
    layer, target, seed = case
    inputs, weights, thresholds = values(layer, seed)
    stepped = run_layer(layer, target, inputs, weights, thresholds)
    wanted = direct(layer, inputs, weights, thresholds)
    assert (stepped.outputs == wanted.outputs).all()
    assert stepped.gates is not None
    assert (stepped.gates == wanted.gates).all()
    words = bytes_to_words(pack_bits(stepped.gates))[None]
    mapped = Mapped(Operation(layer), target, target.array.column_groups, Calibration("", words, 0.5))
    result = mapped.gated(words)[0]
    assert result[ON] == stepped.gates.sum()
    assert result[ARRAY_CYCLES] == stepped.cycles


@pytest.mark.parametrize("pipelining", ["overlapped", "serial", "scalesim"])
def test_one_fold_takes_what_the_machine_model_says(pipelining: str) -> None:
    layer = Layer("one", "linear", (4, 1, 1), (3, 1, 1))
    result = Mapped(Operation(layer), hardware(rows=4, cols=3, pipelining=pipelining), 1).dense()
    assert result[ARRAY_CYCLES] == 4 + (1 + 4 + 3 - 2)
    assert len(result) == METRICS + 2
