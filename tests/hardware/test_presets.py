"""Accelerators of the literature: what is published of them stands in their files, and they run."""

from __future__ import annotations

import numpy as np
import pytest

import cgsim
from cgsim.trace import Metadata, Sample, TraceWriter, tiny_network

PUBLISHED = {
    # name: rows, cols, MHz, technology, sizes that the source gives (KiB)
    "cgnet-28nm": (None, None, 800, "28nm", {}),
    "eyeriss-class": (12, 14, 200, "65nm", {"activation_kib": 108}),
    "tpu-v1-class": (256, 256, 700, "28nm", {"activation_kib": 24 * 1024, "accumulator_kib": 4 * 1024}),
    "ethos-u55-class": (8, 32, 500, None, {"accumulator_kib": 48}),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small network of gated layers, a tenth of its gates on."""
    path = tmp_path_factory.mktemp("presets") / "tiny.trace.parquet"
    generator = np.random.default_rng(7)
    layers = tiny_network()
    with TraceWriter(path, layers, Metadata("tiny", "user")) as writer:
        gates = {x.name: generator.random(x.gate_shape) < 0.1 for x in layers.layers if x.gate != "none"}
        writer.append(Sample("0"), gates)
    return cgsim.load_trace(path)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures_are_in_the_file(name):
    rows, cols, clock, technology, sizes = PUBLISHED[name]
    hardware = cgsim.load_hardware(name)
    assert rows in (None, hardware.array.rows)
    assert cols in (None, hardware.array.cols)
    assert hardware.clock_mhz == clock
    assert technology in (None, hardware.technology)
    for key, kib in sizes.items():
        assert getattr(hardware.buffers, key) == kib


def test_peaks_of_the_sources():
    """TPU: 92 tera-operations per second. Ethos-U55: 256 MACs. Eyeriss: 168 PEs. CGNet: at least 577 MACs."""
    pes = {name: cgsim.load_hardware(name).array.pes for name in PUBLISHED}
    assert round(2 * pes["tpu-v1-class"] * 700e6 / 1e12) == 92
    assert (pes["ethos-u55-class"], pes["eyeriss-class"]) == (256, 168)
    assert pes["cgnet-28nm"] >= 254.3 * 1.814e9 / 800e6


@pytest.mark.parametrize("name", PUBLISHED)
def test_runs_a_tiny_trace(tiny, name):
    run = cgsim.simulate(tiny, name, check=True)
    summary = run.summary()
    assert summary["dense_macs"] == tiny.network.dense_macs
    assert summary["gated_macs"] < summary["dense_macs"]
    assert summary["dense_cycles"] * cgsim.load_hardware(name).array.pes >= summary["dense_macs"]
