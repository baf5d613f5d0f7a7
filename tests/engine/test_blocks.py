"""Accelerators of several engines: loops counted one by one, calls by hand, masks by brute force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cgsim
from cgsim.engine.blocks.calls import blocks
from cgsim.engine.blocks.masks import kept_of
from cgsim.engine.blocks.timing import engine_cycles, search_cycles, weight_cycles
from cgsim.engine.columns import PHASES, TENSORS
from cgsim.engine.run import run
from cgsim.errors import CgsimError
from cgsim.hardware import Engine, load_hardware
from cgsim.trace import Trace, load_trace
from cgsim.trace.metadata import Metadata, Sample
from cgsim.trace.network import INPUT, Network
from cgsim.trace.networks import Builder
from cgsim.trace.writer import TraceWriter

SERIAL = load_hardware("dpacs-basicblock-serial")


def engines() -> st.SearchStrategy[Engine]:
    sizes = st.sampled_from([1, 2, 4])
    shapes = st.sampled_from([(1, 1), (3, 1), (3, 9)])
    return st.builds(
        lambda shape, ins, outs: Engine(
            kernel=shape[0], inputs=ins, outputs=outs, taps=shape[1], most_inputs=64, most_outputs=64
        ),
        shapes,
        sizes,
        sizes,
    )


def loops(engine: Engine, windows: list[int], inputs: int, outputs: int, restart: int) -> int:
    """An engine's loops, turn by turn; `windows`: kept taps of each pixel."""
    if not inputs or not outputs:
        return 0
    cycles = 0
    groups_in = range(0, inputs, engine.inputs)
    groups_out = range(0, outputs, engine.outputs)
    for kept in windows:
        if engine.kernel == 1:
            cycles += sum(1 for _ in groups_in) + restart  # the pixel is read
            for _ in groups_out:
                cycles += sum(1 for _ in groups_in) + restart
            continue
        turns = 0
        for tap in range(1 if engine.taps == 9 else 9):
            if engine.taps == 1 and tap >= kept:
                cycles += restart  # skipped
                continue
            for _ in groups_in:
                turns += 1
                cycles += sum(1 for _ in groups_out) + restart
        if engine.taps == 1 or turns > 1:
            cycles += sum(1 for _ in groups_out)
    return cycles


@given(
    engines(),
    st.lists(st.integers(0, 9), max_size=6),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 5),
)
@settings(max_examples=300, deadline=None)
def test_cycles_of_an_engine_are_those_of_its_loops(
    engine: Engine, windows: list[int], inputs: int, outputs: int, restart: int
) -> None:
    pixels, taps = np.array([len(windows)]), np.array([sum(windows)])
    ins, outs = np.array([inputs]), np.array([outputs])
    found = engine_cycles(engine, pixels, taps, ins, outs, restart)
    assert found.tolist() == [loops(engine, windows, inputs, outputs, restart)]
    groups = len(range(0, inputs, engine.inputs))
    assert weight_cycles(engine, ins, outs).tolist() == [engine.kernel**2 * groups * outputs]
    found = search_cycles(engine, pixels, pixels // 2, ins, restart)
    searched = sum(
        groups + restart + groups * (index < len(windows) // 2) + restart for index in range(len(windows))
    )
    assert found.tolist() == [searched]


def chain(
    stride: int = 1, size: int = 6, channels: int = 64, gates: tuple[str, str] = ("pixel", "pixel")
) -> Network:
    make = Builder((channels, size, size))
    x = make.pool("pool", INPUT, 1, 1, 0)
    y = make.conv("a", x, channels, stride=stride, gate=gates[0])  # type: ignore[arg-type]
    y = make.conv("b", y, channels, gate=gates[1])  # type: ignore[arg-type]
    if stride == 1:
        make.add("add", (y, x))
    return make.network("chain")


def traced(network: Network, folder: Path, samples: int = 3) -> Trace:
    rng = np.random.default_rng(0)
    path = folder / "chain.trace.parquet"
    with TraceWriter(path, network, Metadata(model="chain", method="synthetic")) as writer:
        for index in range(samples):
            shape = network.by_name["b"].out_shape[1:]
            mask = rng.random(shape) < 0.5
            gates = {
                layer.name: mask if layer.gate == "pixel" else rng.random(layer.out_channels) < 0.5
                for layer in network.layers
                if layer.gate != "none"
            }
            writer.append(Sample(str(index)), gates)
    return load_trace(path)


def test_a_block_takes_its_weights_and_its_slowest_engine(tmp_path: Path) -> None:
    """64 channels of 6 x 6 on engines of 32 x 32, tap by tap; one call."""
    trace = traced(chain(gates=("none", "none")), tmp_path)
    counts = run(trace, SERIAL.override({"engines.restart_cycles": 5, "host.call_us": 10}))
    taps = sum((3 - (y in (0, 5))) * (3 - (x in (0, 5))) for y in range(6) for x in range(6))
    engine = taps * 2 * (2 + 5) + (36 * 9 - taps) * 5 + 36 * 2
    weights = 2 * (9 * 2 * 64)
    host = round(10 * 187.481262)
    cycles = counts.columns["dense_cycles"].reshape(3, -1).sum(axis=1)
    assert cycles.tolist() == [engine + weights + host] * 3
    for name, value in (("base", engine), ("load_weights", weights), ("host", host)):
        assert counts.columns[f"dense_{name}_cycles"].reshape(3, -1).sum(axis=1).tolist() == [value] * 3


def test_one_after_another_engines_add_up(tmp_path: Path) -> None:
    trace = traced(chain(gates=("none", "none")), tmp_path)
    totals = {
        execution: run(trace, SERIAL.override({"engines.execution": execution, "host.call_us": 0}))
        .columns["dense_cycles"]
        .sum()
        for execution in ("pipelined", "sequential")
    }
    reading, weights = 3 * 36 * 2, 3 * 2 * (9 * 2 * 64)
    assert totals["sequential"] - weights == 2 * (totals["pipelined"] - weights) + reading


@pytest.mark.parametrize("gates", [("pixel", "pixel"), ("channel", "pixel"), ("none", "none")])
@pytest.mark.parametrize("stride", [1, 2])
def test_phases_add_up_and_gates_save(gates: tuple[str, str], stride: int, tmp_path: Path) -> None:
    trace = traced(chain(stride, 8, gates=gates), tmp_path)
    columns = run(trace, SERIAL).columns
    for mode in ("dense", "gated"):
        parts = sum(columns[f"{mode}_{phase}_cycles"] for phase in PHASES)
        assert (parts == columns[f"{mode}_cycles"]).all()
        assert (
            sum(columns[f"{mode}_{name}_bytes"] for name in TENSORS) == columns[f"{mode}_offchip_bytes"]
        ).all()
    saved = columns["dense_cycles"].sum() - columns["gated_cycles"].sum()
    assert saved > 0 if gates != ("none", "none") else saved == 0
    assert columns["dense_host_cycles"].sum() == columns["gated_host_cycles"].sum() > 0


def test_taps_are_those_that_were_kept(tmp_path: Path) -> None:
    trace = traced(chain(), tmp_path)
    layers = [trace.layer("a"), trace.layer("b")]
    masks = trace.bits("b").reshape(3, 6, 6)
    for found in kept_of(trace, layers, np.arange(3), gated=True):
        for sample, mask in enumerate(masks):
            taps = sum(
                mask[y + dy, x + dx]
                for y, x in np.argwhere(mask)
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
                if 0 <= y + dy < 6 and 0 <= x + dx < 6
            )
            assert (found.pixels[sample], found.taps[sample], found.inputs[sample]) == (
                mask.sum(),
                taps,
                mask.sum(),
            )


def test_of_a_stride_the_inputs_mask_is_guessed_from_its_density(tmp_path: Path) -> None:
    network = chain(stride=2, size=64)
    rng = np.random.default_rng(1)
    mask = rng.random((64, 64)) < 0.1
    padded = np.pad(mask, 1)
    out = np.any([padded[y : y + 64 : 2, x : x + 64 : 2] for y in range(3) for x in range(3)], axis=0)
    with TraceWriter(tmp_path / "t.parquet", network, Metadata(model="chain", method="synthetic")) as writer:
        writer.append(Sample("0"), {"a": out, "b": out})
    trace = load_trace(tmp_path / "t.parquet")
    found = kept_of(trace, [trace.layer("a"), trace.layer("b")], np.arange(1), gated=True)[0]
    assert found.inputs[0] == pytest.approx(mask.sum(), rel=0.1)


def test_what_exceeds_an_engine_is_computed_call_by_call() -> None:
    small = chain(channels=64)
    assert [(block.together, block.calls) for block in blocks(small, SERIAL)] == [(True, 1)]
    large = chain(channels=512)
    assert [(block.together, block.calls) for block in blocks(large, SERIAL)] == [(False, 4)]


def test_what_no_engine_computes_is_told() -> None:
    make = Builder((3, 8, 8))
    make.conv("conv1", INPUT, 8, kernel=7)
    with pytest.raises(CgsimError, match=r"layer 'conv1': no engine computes a convolution of 7 x 7"):
        blocks(make.network("seven"), SERIAL)
    layer = replace(make.layers[0], kernel=(3, 3), padding=(1, 1), base_channels=1, gate="activation")
    with pytest.raises(CgsimError, match="'conv1': gates of single activations, expected gates of pixels"):
        blocks(Network("gated", (layer,)), SERIAL)


def test_the_commands_take_engines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cgsim.cli import main

    path = traced(chain(), tmp_path).path
    out = tmp_path / "out"
    arguments = ["simulate", str(path), "--hardware", "dpacs-basicblock-serial", "--plot", "-o", str(out)]
    assert main(arguments) == 0
    assert "energy: not known" in capsys.readouterr().out
    plots = ["cycles.png", "latency.png", "roofline.png", "speedup_vs_flops.png"]
    assert sorted(path.name for path in out.glob("*.png")) == plots
    with pytest.raises(CgsimError, match="no timeline"):
        cgsim.timeline(path, "dpacs-basicblock-serial")
