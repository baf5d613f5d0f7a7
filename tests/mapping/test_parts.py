"""How the reduction of a layer is cut: every input that a channel reads is in one part that it uses."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cgsim.mapping.parts import END, FIRST, LENGTH, SKIP_END, SKIP_FIRST, parts, row_folds
from cgsim.trace.network import Layer
from tests.engine.machines import layers


def split(base_groups: int, groups: int = 1, leftover: int = 1) -> Layer:
    """Two base channels per base group and `leftover` inputs in nobody's base."""
    inputs = (2 * base_groups + leftover) * groups
    return Layer(
        "l", "conv2d", (inputs, 3, 3), (base_groups * groups * 2, 3, 3), (3, 3), padding=(1, 1),
        groups=groups, base_channels=2, base_groups=base_groups, gate="activation",
    )  # fmt: skip


def used(part: list[int], channel: int) -> bool:
    return part[FIRST] <= channel < part[END] and not part[SKIP_FIRST] <= channel < part[SKIP_END]


def base_inputs(layer: Layer, channel: int) -> set[int]:
    """Inputs of the convolution group that are in the base path of `channel`."""
    each = layer.out_channels // layer.groups
    block = channel % each // (each // layer.base_groups)
    return set(range(block * layer.base_channels, (block + 1) * layer.base_channels))


@given(st.booleans().flatmap(lambda gated: layers(gated=gated)), st.sampled_from(["ws", "is", "os"]))
@example(split(3), "is")
@example(split(2, groups=3), "is")
@example(split(4, leftover=0), "is")
def test_every_channel_reads_each_of_its_inputs_once(layer: Layer, dataflow: str) -> None:
    base, late = (phase.tolist() for phase in parts(layer, dataflow))
    for channel in range(layer.out_channels):
        assert sum(part[LENGTH] for part in base if used(part, channel)) == layer.base_reduction
        assert sum(part[LENGTH] for part in late if used(part, channel)) == layer.conditional_reduction


@given(layers(gated=True))
@example(split(3))
@example(split(2, groups=3))
@example(split(4, groups=2, leftover=0))
def test_the_parts_of_input_stationary_execution_in_order(layer: Layer) -> None:
    """Group by group: the base channels of each base group, then the inputs that are in nobody's base."""
    each, own = layer.out_channels // layer.groups, layer.in_shape[0] // layer.groups
    taps = layer.kernel[0] * layer.kernel[1]
    base, late = [], []
    for group in range(layer.groups):
        channels = range(group * each, (group + 1) * each)
        sets = [base_inputs(layer, block * (each // layer.base_groups)) for block in range(layer.base_groups)]
        for inputs in [*sets, set(range(own)).difference(*sets)]:
            users = [n for n in channels if base_inputs(layer, n) == inputs]
            others = [n for n in channels if base_inputs(layer, n) != inputs]
            if inputs and users:
                base.append((users, len(inputs) * taps))
            if inputs and others:
                late.append((others, len(inputs) * taps))
    for found, wanted in zip(parts(layer, "is"), (base, late), strict=True):
        using = [[n for n in range(layer.out_channels) if used(part, n)] for part in found.tolist()]
        assert list(zip(using, found[:, LENGTH].tolist(), strict=True)) == wanted


@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
def test_pixel_gates_have_no_base_phase(dataflow: str) -> None:
    layer = Layer("l", "conv2d", (6, 4, 4), (4, 4, 4), (1, 1), groups=2, gate="pixel")
    base, late = parts(layer, dataflow)
    assert len(base) == 0
    assert late[:, LENGTH].tolist() == ([3, 3] if dataflow == "is" else [3])


def test_each_part_is_sliced_for_itself() -> None:
    """Three parts of 18 taps, one of 9, in slices of 8: 3 + 3 + 3 + 2; as one part of 45 + 9: 6 and 3."""
    base, late = parts(split(3), "is")
    assert (row_folds(base, 8), row_folds(late, 8)) == (9, 11)
    base, late = parts(split(3), "ws")
    assert (row_folds(base, 8), row_folds(late, 8)) == (3, 6)
