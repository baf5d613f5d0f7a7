"""Whole runs: conservation, extremes, and what must not change the numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cgsim.engine.run import run
from cgsim.errors import CgsimError
from cgsim.hardware import Hardware, load_hardware
from cgsim.trace import Metadata, Network, Sample, Trace, TraceWriter, load_trace, tiny_network
from tests.engine.machines import hardware


def write(path: Path, network: Network, density: float, samples: int = 5) -> Trace:
    rng = np.random.default_rng(7)
    with TraceWriter(path, network, Metadata("net", "synthetic"), block_samples=2) as writer:
        for number in range(samples):
            gates = {
                layer.name: rng.random(layer.gate_shape) < density
                for layer in network.layers
                if layer.gate != "none"
            }
            writer.append(Sample(str(number)), gates)
    return load_trace(path)


@pytest.fixture
def network() -> Network:
    return tiny_network(channels=8, size=9)


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("name", ["asic-28nm", "fpga-zcu102", "edge-16x16", "tpu-like-128x128"])
def test_everything_is_conserved(tmp_path: Path, network: Network, density: float, name: str) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, density)
    for changes in (
        {},
        {"array.pipelining": "serial"},
        {"dma.conditional_fetch": "eager"},
        {"gate_unit.enabled": False},
    ):
        counts = run(trace, load_hardware(name, changes), check=True)
        assert (counts.columns["dense_cycles"] > 0).all()


def test_conservation_check_finds_a_lost_mac(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.5)
    monkeypatch.setattr("cgsim.engine.replays.executed_macs", lambda layer, on: on * 0 + 1)
    with pytest.raises(AssertionError, match="executed MACs: 1, expected"):
        run(trace, hardware(), check=True)


def test_a_single_pe(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    counts = run(trace, hardware(rows=1, cols=1), check=True).columns
    conv = counts["operator"] == "conv2d"
    # one PE does one MAC per cycle; loading the first weight takes one more
    assert (counts["dense_array_cycles"][conv] == counts["dense_macs"][conv] + 1).all()


def test_an_array_larger_than_the_layer(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    counts = run(trace, hardware(rows=512, cols=512, column_groups=128), check=True).columns
    conv = counts["operator"] == "conv2d"
    pixels = np.array([layer.pixels for layer in network.layers if layer.operator == "conv2d"])
    folds = 512 + pixels + 512 + 512 - 2
    assert (counts["dense_array_cycles"][conv].reshape(5, -1) == folds).all()


def test_all_gates_off_leaves_the_base_path(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.0)
    counts = run(trace, hardware(column_groups=2), check=True).columns
    assert counts["gated_conditional_cycles"].sum() == 0
    assert counts["gated_conditional_weights_read_bytes"].sum() == 0
    gated = counts["density"] < 1
    assert gated.any()
    assert (counts["gated_macs"][gated] < counts["dense_macs"][gated]).all()


def test_all_gates_on_computes_everything(tmp_path: Path, network: Network) -> None:
    counts = run(
        write(tmp_path / "t.trace.parquet", network, 1.0), hardware(column_groups=2), check=True
    ).columns
    assert (counts["gated_macs"] == counts["dense_macs"]).all()
    assert (counts["gated_array_cycles"] >= counts["dense_array_cycles"]).sum() > 0


def test_a_dense_trace_gains_nothing(tmp_path: Path) -> None:
    trace = write(tmp_path / "t.trace.parquet", tiny_network(gated=False), 0.0)
    counts = run(trace, hardware(), check=True).columns
    assert (counts["gated_cycles"] == counts["dense_cycles"]).all()
    assert (counts["density"] == 1).all()


def test_without_gate_unit_the_gated_run_is_the_dense_one(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.2)
    counts = run(trace, hardware(enabled=False, column_groups=2), check=True).columns
    for name in ("cycles", "macs", "offchip_bytes", "array_cycles"):
        assert (counts[f"gated_{name}"] == counts[f"dense_{name}"]).all()


def test_samples_do_not_influence_each_other(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    every = run(trace, hardware(column_groups=2)).columns
    some = run(trace, hardware(column_groups=2), [4, 1]).columns
    count = len(every["sample"]) // 5
    for name in every:
        rows = every[name].reshape(5, count)
        same = np.array_equal(some[name].reshape(2, count), rows[[4, 1]], equal_nan=name.endswith("_pj"))
        assert same, name


def test_on_demand_fetches_no_more_than_eager(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.02)
    tight = {"column_groups": 2, "bytes_per_cycle": 1}
    late = run(trace, hardware(**tight), check=True).columns
    eager = run(trace, hardware(**tight, conditional_fetch="eager"), check=True).columns
    late_bytes = late["gated_conditional_weights_read_bytes"].sum()
    assert late_bytes < eager["gated_conditional_weights_read_bytes"].sum()


def test_scalesim_counts_one_cycle_less_than_serial(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    serial = run(trace, hardware(pipelining="serial")).columns
    scalesim = run(trace, hardware(pipelining="scalesim")).columns
    on_array = serial["dense_array_cycles"] > 0
    difference = serial["dense_array_cycles"] - scalesim["dense_array_cycles"]
    assert (difference == on_array).all()


def test_progress_reaches_the_number_of_samples(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    done: list[int] = []
    run(trace, hardware(), progress=done.append)
    assert sum(done) == 5


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([5], "samples: 5 is not in the trace, which has samples 0 to 4"),
        ([-1], "samples: -1 is not in the trace, which has samples 0 to 4"),
        ([], "samples: expected at least one sample index"),
    ],
)
def test_bad_samples(tmp_path: Path, network: Network, samples: list[int], message: str) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    with pytest.raises(CgsimError) as error:
        run(trace, hardware(), samples)
    assert str(error.value) == message


@pytest.mark.parametrize("buffer", ["weight_kib", "accumulator_kib", "activation_kib"])
def test_what_a_buffer_is_said_to_need_is_enough(tmp_path: Path, network: Network, buffer: str) -> None:
    """The message names the layer that needs most, so that its figure, put into the configuration, runs."""
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    with pytest.raises(CgsimError) as error:
        run(trace, hardware(**{buffer: 1 / 1024}))
    pattern = rf"layer '\w+' does not fit .*buffers\.{buffer} needs ([\d.]+), has 0.0009765625"
    found = re.search(pattern, str(error.value))
    assert found
    run(trace, hardware(**{buffer: float(found[1])}))
    with pytest.raises(CgsimError):
        run(trace, hardware(**{buffer: float(found[1]) - 1 / 1024}))


def test_without_a_gate_unit_no_gate_buffer_is_needed(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    run(trace, hardware(gate_kib=1 / 1024, enabled=False))


def test_a_buffer_too_small_names_the_layer(tmp_path: Path, network: Network) -> None:
    trace = write(tmp_path / "t.trace.parquet", network, 0.3)
    small: Hardware = hardware(weight_kib=1 / 1024)
    with pytest.raises(
        CgsimError, match=r"layer 'conv1' does not fit .* buffers.weight_kib needs [\d.]+, has"
    ):
        run(trace, small)
