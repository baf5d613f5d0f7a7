"""Operations, slots, tilings and plans."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import CgsimError
from cgsim.hardware import load_hardware
from cgsim.mapping.candidates import candidates
from cgsim.mapping.capacity import require_fits
from cgsim.mapping.operations import Operation, operations
from cgsim.mapping.plan import plan
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import need, whole_layer
from cgsim.mapping.vector import vector_bytes, vector_tiles
from cgsim.trace import resnet18_imagenet
from cgsim.trace.network import Layer, Network
from tests.engine.machines import hardware, layers

CONV = {"kernel": (3, 3), "padding": (1, 1)}


def test_additions_of_a_residual_network_ride_on_convolutions() -> None:
    found = {operation.layer.name: operation for operation in operations(resnet18_imagenet())}
    hosts = [operation for operation in found.values() if operation.fused]
    assert len(hosts) == 8
    assert all(operation.residuals == 1 for operation in hosts)
    assert not any(operation.layer.operator == "add" for operation in found.values())


def test_an_addition_whose_producer_is_read_elsewhere_runs_alone() -> None:
    a = Layer("a", "conv2d", (4, 6, 6), (4, 6, 6), **CONV)
    b = Layer("b", "conv2d", (4, 6, 6), (4, 6, 6), **CONV, producers=("a",))
    add = Layer("add", "add", (4, 6, 6), (4, 6, 6), producers=("a", "b"))
    c = Layer("c", "conv2d", (4, 6, 6), (4, 6, 6), **CONV, producers=("b",))
    names = [operation.layer.name for operation in operations(Network("n", (a, b, add, c)))]
    assert names == ["a", "b", "add", "c"]


def test_chained_additions_share_their_host() -> None:
    a = Layer("a", "conv2d", (4, 6, 6), (4, 6, 6), **CONV)
    first = Layer("first", "add", (4, 6, 6), (4, 6, 6), producers=("a", "input"))
    second = Layer("second", "add", (4, 6, 6), (4, 6, 6), producers=("first", "input"))
    (operation,) = operations(Network("n", (a, first, second)))
    assert operation.fused == ("first", "second")
    assert operation.residuals == 2


@pytest.mark.parametrize("gate", ["channel", "static"])
def test_an_addition_rides_on_a_layer_that_computes_all_its_channels(gate: str) -> None:
    a = Layer("a", "conv2d", (4, 6, 6), (4, 6, 6), **CONV, gate=gate)
    add = Layer("add", "add", (4, 6, 6), (4, 6, 6), producers=("a", "input"))
    network = Network("n", (a, add))
    assert [own.fused for own in operations(network)] == [(), ()]
    assert [own.fused for own in operations(network, skipped=())] == [("add",)]
    assert len(operations(network, {"static"})) == (2 if gate == "static" else 1)


@given(layers(gated=True), st.integers(1, 4), st.integers(1, 3))
def test_slots_hold_every_channel_once_and_never_mix_blocks(layer: Layer, groups: int, width: int) -> None:
    layout = slots(layer, groups * width, groups)
    channels = [n for a, b in zip(layout.first, layout.end, strict=True) for n in range(a, b)]
    assert channels == list(range(layer.out_channels))
    block = layer.out_channels // layer.groups // layer.base_groups
    for a, b in zip(layout.first, layout.end, strict=True):
        assert 0 < b - a <= width
        assert a // block == (b - 1) // block
    for fold in range(layout.column_folds):
        first, end = layout.channel_range(fold, fold + 1)
        assert layout.block_range(fold, fold + 1) == (first // block, (end - 1) // block + 1)


@given(layers(gated=False, largest=7), st.sampled_from([1, 2, 4]))
def test_tiles_cover_every_output_once(layer: Layer, kib: int) -> None:
    target = hardware(activation_kib=kib / 4, weight_kib=kib / 4, accumulator_kib=kib / 8)
    layout = slots(layer, target.array.cols, 1)
    found = candidates(layer, layout, target, 0)
    for index in np.random.default_rng(0).permutation(len(found))[:10].tolist():
        tiling = found.tiling(index)
        tiles = plan(layer, layout, tiling, target)
        covered = np.zeros(layer.pixels, int)
        for first, end in tiles.pixels:
            covered[first:end] += 1
        assert (covered == 1).all()
        assert tiles.channels[0, 0] == 0
        assert tiles.channels[-1, 1] == layer.out_channels
        assert (tiles.channels[1:, 0] == tiles.channels[:-1, 1]).all()
        needed = need(layer, layout, target, tiling, 0, False)
        assert needed.activation <= target.buffers.activation_bytes
        assert needed.weight <= target.buffers.weight_bytes
        assert needed.accumulator <= target.buffers.accumulator_bytes


@pytest.mark.parametrize("name", ["asic-28nm", "fpga-zcu102", "edge-16x16", "tpu-like-128x128"])
def test_every_layer_of_resnet18_fits_every_shipped_accelerator(name: str) -> None:
    target = load_hardware(name)
    todo = operations(resnet18_imagenet())
    require_fits(todo, target)
    for operation in todo:
        layer = operation.layer
        if not layer.on_array:
            tiles = vector_tiles(layer, target)
            assert vector_bytes(tiles, target) <= target.buffers.activation_bytes
            continue
        for groups in (1, target.array.column_groups):
            layout = slots(layer, target.array.cols, groups)
            assert len(candidates(layer, layout, target, operation.residuals))


def test_the_whole_layer_is_one_tile() -> None:
    layer = Layer("l", "conv2d", (4, 6, 6), (10, 6, 6), **CONV)
    tiles = plan(layer, slots(layer, 4, 1), whole_layer(layer, slots(layer, 4, 1), 4), hardware())
    assert tiles.pixels.tolist() == [[0, 36]]
    assert tiles.patch.tolist() == [[0, 6, 0, 6]]
    assert tiles.channels.tolist() == [[0, 10]]


@pytest.mark.parametrize(
    ("key", "kib", "message"),
    [
        ("weight_kib", 1 / 1024, "buffers.weight_kib needs 0.03125, has 0.0009765625"),
        ("accumulator_kib", 1 / 64, "buffers.accumulator_kib needs 0.03125, has 0.015625"),
        ("activation_kib", 1 / 64, "buffers.activation_kib needs 0.0703125, has 0.015625"),
    ],
)
def test_a_buffer_too_small_for_any_tile_is_named_with_its_need(key: str, kib: float, message: str) -> None:
    layer = Layer("narrow", "conv2d", (4, 6, 6), (4, 6, 6), **CONV)
    with pytest.raises(CgsimError) as error:
        require_fits([Operation(layer)], hardware(**{key: kib}))
    assert str(error.value) == (
        f"hardware 'test': layer 'narrow' does not fit even as tiles of one pixel: {message}"
    )


def test_a_vector_layer_too_large_for_the_buffer_is_refused() -> None:
    layer = Layer("pool", "pool", (64, 64, 64), (64, 32, 32), (2, 2), (2, 2))
    with pytest.raises(
        CgsimError, match=r"layer 'pool' does not fit even as tiles of one row: buffers\.activation_kib"
    ):
        require_fits([Operation(layer)], hardware(activation_kib=1))
