"""Mixture-of-Depths on the machine: gathers, partial additions, and what stays where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsim.engine.run import run
from cgsim.hardware import Hardware
from cgsim.mapping.operations import operations
from cgsim.mapping.residents import readers_of
from cgsim.trace import Layer, Network, Trace
from tests.engine.machines import hardware
from tests.engine.traces import conv, rows, traced

C, K, PIXELS = 8, 2, 25
PICKS = np.array([[1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]], bool)


def mixture(blocks: int = 1) -> Network:
    """x, then blocks on K of its C channels, one behind the other, then a convolution that reads all."""
    layers, x = [conv("x", "input", 3, C)], "x"
    for index in range(blocks):
        a = f"{index}."
        layers += [
            Layer(f"{a}pool", "global_pool", (C, 5, 5), (C, 1, 1), producers=(x,)),
            Layer(
                f"{a}select",
                "gate_network",
                (C, 1, 1),
                (C, 1, 1),
                producers=(f"{a}pool",),
                gate_network_macs=2 * C * 4,
            ),
            Layer(f"{a}gather", "gather", (C, 5, 5), (K, 5, 5), producers=(x,), gate="channel"),
            conv(f"{a}conv1", f"{a}gather", K, K),
            conv(f"{a}conv2", f"{a}conv1", K, K),
            Layer(f"{a}fuse", "add", (C, 5, 5), (C, 5, 5), producers=(x, f"{a}conv2")),
        ]
        x = f"{a}fuse"
    return Network(f"mixture{blocks}", (*layers, conv("y", x, C, C)))


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return traced(tmp_path, mixture(), {"0.gather": PICKS}, 3)


def off_chip(**changes: object) -> Hardware:
    return hardware(bytes_per_cycle=16, latency_cycles=20, **changes)


def test_only_k_channels_move(trace: Trace) -> None:
    counts = run(trace, off_chip(), check=True)
    assert counts.fused == {"0.conv2": ["0.fuse"]}
    for mode in ("dense", "gated"):
        for name, layer in (
            ("activations_read", "0.gather"),
            ("activations_write", "0.gather"),
            ("residual_read", "0.conv2"),
            ("activations_write", "0.conv2"),
        ):
            assert rows(counts.columns, f"{mode}_{name}_bytes", layer).tolist() == [K * PIXELS] * 3
    assert rows(counts.columns, "density", "0.gather").tolist() == [K / C] * 3
    assert rows(counts.columns, "gated_macs", "0.gather").tolist() == [0] * 3
    assert rows(counts.columns, "gated_macs", "0.select").tolist() == [64] * 3


def test_the_input_of_a_sample_is_read_where_its_channels_lie(trace: Trace) -> None:
    """Bursts of 32 bytes. Channel by channel: 25 bytes each, so bytes 0-49; 0-24 and 100-124; 150-199.

    Pixel by pixel, 8 bytes each: four pixels in a burst, every one of them with a channel that is picked.
    """
    bursts = "gated_activations_read_bursts"
    planes = run(trace, off_chip(burst_bytes=32, activation_layout="channel_major"), check=True)
    assert rows(planes.columns, bursts, "0.gather").tolist() == [2, 1 + 1, 3]
    pixels = run(trace, off_chip(burst_bytes=32, activation_layout="pixel_major"), check=True)
    assert rows(pixels.columns, bursts, "0.gather").tolist() == [7] * 3
    assert rows(pixels.columns, "gated_residual_read_bursts", "0.conv2").tolist() == [7] * 3


def test_batches_share_out_what_their_samples_take(trace: Trace) -> None:
    single = run(trace, off_chip(), check=True).columns
    batch = run(trace, off_chip(batch=3), check=True).columns
    for name in ("gated_activations_read_bytes", "gated_activations_write_bytes", "gated_vector_cycles"):
        assert rows(batch, name, "0.gather").sum() == rows(single, name, "0.gather").sum()


def test_the_selector_runs_without_gate_logic(trace: Trace) -> None:
    """What follows a gather needs its channels: an accelerator without gate unit computes the scores too."""
    with_unit = run(trace, off_chip(), check=True).columns
    without = run(trace, off_chip(enabled=False), check=True).columns
    assert rows(without, "gated_cycles", "0.select")[0] > 0
    for name in ("gated_cycles", "gated_macs"):
        assert rows(without, name, "0.select").tolist() == rows(with_unit, name, "0.select").tolist()
    assert rows(without, "dense_cycles", "0.select").tolist() == [0] * 3


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_partial_addition_changes_its_operand_in_place(blocks: int, tmp_path: Path) -> None:
    """Who reads the sum reads the operand: it is kept until then, and the K channels are stored into it."""
    network = mixture(blocks)
    todo = operations(network)
    place = {operation.layer.name: index for index, operation in enumerate(todo)}
    readers = readers_of(network, todo)
    x = readers[place["x"]]
    assert x.changes == tuple(place[f"{index}.conv2"] for index in range(blocks))
    assert x.last == place["y"]
    for index in range(blocks):
        assert readers[place[f"{index}.conv2"]].last == -1
        assert todo[place[f"{index}.conv2"]].result_channels == C

    gates = {f"{index}.gather": PICKS for index in range(blocks)}
    target = off_chip().override({"buffers.keep_on_chip": True})
    counts = run(traced(tmp_path, network, gates, 3), target, check=True)
    for layer in ("0.gather", "0.conv2", "y"):
        for name in ("activations_read", "residual_read"):
            assert not rows(counts.columns, f"gated_{name}_bytes", layer).any()
    assert not rows(counts.columns, "gated_activations_write_bytes", "0.conv2").any()


def test_a_partial_addition_that_nothing_hosts_reads_and_stores_k_channels(tmp_path: Path) -> None:
    """Its few channels come from a pool, which the array does not compute."""
    shapes = (K, 5, 5), (K, 5, 5)
    layers = (
        conv("x", "input", 3, C),
        Layer("g", "gather", (C, 5, 5), (K, 5, 5), producers=("x",), gate="channel"),
        Layer("p", "pool", *shapes, (3, 3), padding=(1, 1), producers=("g",)),
        Layer("sum", "add", (C, 5, 5), (C, 5, 5), producers=("x", "p")),
        conv("y", "sum", C, C),
    )
    trace = traced(tmp_path, Network("alone", layers), {"g": PICKS}, 3)
    counts = run(trace, off_chip(), check=True)
    assert not counts.fused
    assert rows(counts.columns, "gated_activations_read_bytes", "sum").tolist() == [2 * K * PIXELS] * 3
    assert rows(counts.columns, "gated_activations_write_bytes", "sum").tolist() == [K * PIXELS] * 3


def test_what_follows_a_partial_sum_is_not_fused_into_its_block() -> None:
    """An addition of all channels behind it has another size than the convolution of few channels."""
    network = mixture()
    layers = [layer for layer in network.layers if layer.name != "y"]
    layers += [
        conv("side", "input", 3, C),
        Layer("more", "add", (C, 5, 5), (C, 5, 5), producers=("side", "0.fuse")),
    ]
    todo = operations(Network("n", tuple(layers)))
    fused = {operation.layer.name: operation.fused for operation in todo if operation.fused}
    assert fused == {"0.conv2": ("0.fuse",), "side": ("more",)}
    order = [layers[0], layers[-2], *layers[1:-2], layers[-1]]
    todo = operations(Network("n", tuple(order)))
    fused = {operation.layer.name: operation.fused for operation in todo if operation.fused}
    assert fused == {"0.conv2": ("0.fuse",)}
