"""What stays on chip, and what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cgsim.errors import CgsimError
from cgsim.hardware import Hardware, load_hardware
from cgsim.mapping.capacity import require_fits
from cgsim.mapping.keep import NOTHING_KEPT, Residency
from cgsim.mapping.operations import Operation, operations
from cgsim.mapping.residents import readers_of, residencies
from cgsim.mapping.slots import slots
from cgsim.mapping.tiling import Tiling, need
from cgsim.mapping.vector import vector_bytes, vector_tiles
from cgsim.trace import resnet18_imagenet
from cgsim.trace.network import Layer, Network
from tests.engine.machines import hardware

CONV: dict[str, Any] = {"kernel": (3, 3), "padding": (1, 1)}


def block() -> Network:
    """Three convolutions of 4 x 6 x 6 activations, the sum of the first and third, and pooling."""
    shape = (4, 6, 6)
    a = Layer("a", "conv2d", shape, shape, **CONV)
    b = Layer("b", "conv2d", shape, shape, **CONV, producers=("a",))
    c = Layer("c", "conv2d", shape, shape, **CONV, producers=("b",))
    add = Layer("add", "add", shape, shape, producers=("a", "c"))
    pool = Layer("pool", "global_pool", shape, (4, 1, 1), producers=("add",))
    return Network("block", (a, b, c, add, pool))


def keeping(**changes: Any) -> Hardware:
    return hardware(**changes).override({"buffers.keep_on_chip": True})


def test_readers() -> None:
    network = block()
    found = readers_of(network, operations(network))
    assert [(own.inputs, own.operands, own.last) for own in found] == [
        ((1,), ((2, 1),), 2),
        ((2,), (), 2),
        ((3,), (), 3),
        ((), (), -1),
    ]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_roomy_buffer_keeps_everything_that_is_read(batch: int) -> None:
    network, size = block(), 4 * 6 * 6 * batch
    target = keeping(batch=batch)
    assert residencies(network, operations(network), target, False) == (
        Residency(size, False, 0, True),
        Residency(2 * size, True, 0, True),
        Residency(3 * size, True, 1, True),
        Residency(size, True, 0, False),
    )


def test_nothing_is_kept_unless_asked_for() -> None:
    network = block()
    assert set(residencies(network, operations(network), hardware(), False)) == {NOTHING_KEPT}


def test_what_leaves_no_room_for_a_tile_is_not_kept() -> None:
    """144 bytes each: 'a' and 'b' fit together, and then nothing has to be loaded; 'c' is too much."""
    network = block()
    todo = operations(network)
    found = residencies(network, todo, keeping(activation_kib=320 / 1024), False)
    assert [own.output_kept for own in found] == [True, True, False, False]
    assert [own.reserved_bytes for own in found] == [144, 288, 288, 0]


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("name", ["asic-28nm", "edge-16x16", "tpu-like-128x128"])
def test_resnet18_is_consistent(name: str, gated: bool) -> None:
    """A kept result is stored by nobody, read on chip by all its readers, and reserved all that time."""
    network = resnet18_imagenet()
    todo = operations(network)
    target = load_hardware(name).override({"buffers.keep_on_chip": True})
    found = residencies(network, todo, target, gated)
    reserved, inputs, operands = [0] * len(todo), [False] * len(todo), [0] * len(todo)
    for index, readers in enumerate(readers_of(network, todo)):
        if not found[index].output_kept:
            continue
        for position in range(index, readers.last + 1):
            reserved[position] += int(np.prod(todo[index].layer.out_shape))
        for position in readers.inputs:
            inputs[position] = True
        for position, times in readers.operands:
            operands[position] += times
    assert [own.reserved_bytes for own in found] == reserved
    assert [own.input_kept for own in found] == inputs
    assert [own.operands_kept for own in found] == operands
    assert max(reserved) <= target.buffers.activation_bytes
    assert any(own.output_kept for own in found)


def test_needs_of_a_tile_with_kept_data() -> None:
    layer = Layer("l", "conv2d", (8, 6, 6), (8, 6, 6), **CONV)
    layout, tiling = slots(layer, 4, 1), Tiling(2, 6, 2, 1, "weights_resident", False)
    for kept, activation in (
        (Residency(100), 100 + 2 * (8 * 24 + 2 * 8 * 12)),
        (Residency(100, input_kept=True), 100 + 2 * 2 * 8 * 12),
        (Residency(100, operands_kept=1), 100 + 2 * (8 * 24 + 8 * 12)),
        (Residency(100, True, 2, True), 100),
    ):
        assert need(layer, layout, hardware(), tiling, 2, False, kept).activation == activation


def test_tiles_of_the_vector_unit_with_kept_data() -> None:
    add = Layer("add", "add", (4, 6, 6), (4, 6, 6), producers=("a", "b"))
    for kept, tile in (
        (Residency(), [288, 144, 144]),
        (Residency(144, operands_kept=1), [144, 144, 144]),
        (Residency(288, operands_kept=2), [0, 144, 144]),
        (Residency(432, False, 2, True), [0, 144, 0]),
    ):
        tiles = vector_tiles(add, hardware(), kept)
        assert tiles.tolist() == [tile]
        assert vector_bytes(tiles, hardware(), kept) == kept.reserved_bytes + tile[0] + tile[2]


def test_tensors_beyond_the_dram_are_refused() -> None:
    layer = Layer("wide", "linear", (1 << 17, 1, 1), (1 << 17, 1, 1))
    target = hardware(standard="DDR4-2400", bytes_per_cycle=None, latency_cycles=None, batch=2)
    require_fits([Operation(Layer("small", "linear", (4, 1, 1), (4, 1, 1)))], target)
    capacity = target.dram.controller(target.dma).capacity_bytes
    with pytest.raises(CgsimError) as error:
        require_fits([Operation(layer)], target)
    assert str(error.value) == (
        f"hardware 'test': weights and activations (mapping.batch 2) need {(1 << 34) + (1 << 19)} bytes "
        f"of DRAM, of these {1 << 34} the weights of layer 'wide'; DDR4-2400, dram.channels 1, "
        f"dram.ranks 1, has {capacity}"
    )


def test_depthwise_layers_may_load_a_few_channels_at_a_time() -> None:
    """All 64 channels of one pixel's patch, 576 bytes, do not fit; those of four channels do."""
    layer = Layer("depthwise", "conv2d", (64, 8, 8), (64, 8, 8), **CONV, groups=64)
    target = hardware(activation_kib=256 / 1024)
    require_fits([Operation(layer)], target)
