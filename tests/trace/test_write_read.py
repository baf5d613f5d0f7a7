"""Writing and reading: what goes in comes out, lazily, and nothing half-written appears."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.errors import CgsimError
from cgsim.trace import (
    Layer,
    Metadata,
    Network,
    Sample,
    TraceWriter,
    bytes_to_words,
    load_trace,
    pack_bits,
    tiny_network,
)
from cgsim.trace.container import Container

if TYPE_CHECKING:
    from pathlib import Path


@settings(max_examples=20)
@given(samples=st.integers(1, 7), block=st.integers(1, 4), seed=st.integers(0, 1000), density=st.floats(0, 1))
def test_round_trip(
    tools: Any, tmp_path_factory: Any, samples: int, block: int, seed: int, density: float
) -> None:
    network = tools.mixed()
    gates = tools.gates(network, samples, seed, density)
    path = tools.write(tmp_path_factory.mktemp("t") / "x.trace.parquet", network, gates, samples, block)
    trace = load_trace(path)
    assert trace.network == network
    assert [sample.id for sample in trace.samples] == [f"s{i}" for i in range(samples)]
    executed = 0
    for layer in network.layers:
        executed += int(trace.gated_macs(layer.name).sum())
        if layer.gate == "none":
            assert trace.gated_macs(layer.name).tolist() == [layer.dense_macs] * samples
            assert trace.density(layer.name).tolist() == [1.0] * samples
            continue
        bits = gates[layer.name]
        assert (trace.bits(layer.name) == bits).all()
        words = trace.gates(layer.name)
        assert words.shape == (*bits.shape[:-1], -(-bits.shape[-1] // 64))
        assert (words == bytes_to_words(pack_bits(bits))).all()
        axes = None if layer.gate == "static" else tuple(range(1, bits.ndim))
        assert trace.density(layer.name) == pytest.approx(np.broadcast_to(bits.mean(axis=axes), samples))
    assert trace.flop_reduction() == trace.metadata.flop_reduction
    assert trace.flop_reduction() == pytest.approx(samples * network.dense_macs / executed)
    for most in (1, 2, None):
        covered = [i for block_ in trace.blocks(most) for i in range(block_.start, block_.stop)]
        assert covered == list(range(samples))


def test_selection_of_samples(tools: Any, tmp_path: Path) -> None:
    network = tiny_network(size=5)
    gates = tools.gates(network, 7)
    trace = load_trace(tools.write(tmp_path / "x.trace.parquet", network, gates, 7, block=3))
    assert [(b.start, b.stop) for b in trace.blocks(2)] == [(0, 2), (2, 3), (3, 5), (5, 6), (6, 7)]
    for chosen in ([6, 0, 3, 3], slice(1, 6, 2), np.array([5]), [], slice(None)):
        assert (trace.bits("a", chosen) == gates["a"][chosen]).all()
    for wrong in ([7], [-1]):
        with pytest.raises(CgsimError, match="no sample"):
            trace.gates("a", wrong)
    with pytest.raises(CgsimError, match="slice or integers"):
        trace.gates("a", [0.5])  # type: ignore[list-item]
    with pytest.raises(CgsimError, match="'a'"):
        trace.gates("aa")
    with pytest.raises(CgsimError, match="has no gates"):
        trace.gates("conv1")


def test_reads_only_the_blocks_it_needs(tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_network(size=5)
    trace = load_trace(tools.write(tmp_path / "x.trace.parquet", network, tools.gates(network, 12), 12, 2))
    read: list[int] = []
    original = Container.read_gates

    def spy(self: Container, group: int) -> Any:
        read.append(group)
        return original(self, group)

    monkeypatch.setattr(Container, "read_gates", spy)
    trace.gates("a", [4])
    trace.gates("b", slice(4, 6))
    assert read == [2]
    for block in trace.blocks():
        for layer in trace.gated_layers:
            trace.gates(layer.name, block)
    assert sorted(read) == [0, 1, 2, 3, 4, 5]
    read.clear()
    for layer in trace.gated_layers:
        trace.density(layer.name), trace.gated_macs(layer.name)
    assert trace.flop_reduction() is not None
    assert len(read) <= 6


def test_batches_packed_and_spatial_gates_are_the_same_trace(tools: Any, tmp_path: Path) -> None:
    network = tools.mixed()
    gates = tools.gates(network, 5)
    first = load_trace(tools.write(tmp_path / "a.trace.parquet", network, gates, 5))
    samples = [Sample(f"s{i}", i % 10, i % 3) for i in range(5)]
    rows = {name: bits for name, bits in gates.items() if name != "stat"}
    with TraceWriter(tmp_path / "b.trace.parquet", network, Metadata("tiny", "user"), 2) as writer:
        writer.append_batch(samples[:3], {name: pack_bits(bits[:3]) for name, bits in rows.items()})
        shaped = {
            "act": rows["act"][3:].reshape(2, 6, 5, 7),
            "pix": rows["pix"][3:].reshape(2, 5, 7),
            "chan": rows["chan"][3:],
        }
        writer.append_batch(samples[3:], shaped)
        writer.set_static("stat", pack_bits(gates["stat"]))
        assert writer.n_samples == 5
    second = load_trace(tmp_path / "b.trace.parquet")
    assert first.checksum == second.checksum
    assert first.layer_checksums == second.layer_checksums


def test_checksum_is_of_the_content_not_of_blocks_or_provenance(tools: Any, tmp_path: Path) -> None:
    network = tiny_network(size=5)
    gates = tools.gates(network, 5)
    first = load_trace(tools.write(tmp_path / "a", network, gates, 5, 2))
    second = load_trace(tools.write(tmp_path / "b", network, gates, 5, 3, notes="other"))
    assert first.checksum == second.checksum
    gates["a"][4, 0, 0] ^= True
    third = load_trace(tools.write(tmp_path / "c", network, gates, 5))
    assert third.checksum != first.checksum
    assert third.layer_checksums["b"] == first.layer_checksums["b"]


def test_dense_trace_and_all_gates_off(tools: Any, tmp_path: Path) -> None:
    dense = load_trace(tools.write(tmp_path / "a", tiny_network(gated=False), {}, 3))
    assert (dense.n_samples, dense.gated_layers, dense.flop_reduction()) == (3, (), 1.0)
    assert list(dense.blocks(2)) == [slice(0, 2), slice(2, 3)]
    network = tiny_network()
    off = load_trace(tools.write(tmp_path / "b", network, tools.gates(network, 3, density=0.0), 3))
    assert off.density("a").tolist() == [0, 0, 0]
    base = sum(x.pixels * x.out_channels * x.base_reduction for x in network.layers if x.on_array)
    assert off.flop_reduction() == network.dense_macs / base
    nothing = Network("n", (Layer("x", "conv2d", (3, 4, 4), (2, 4, 4), gate="pixel"),))
    trace = load_trace(tools.write(tmp_path / "c", nothing, {"x": np.zeros((1, 16), bool)}, 1))
    assert trace.flop_reduction() is None
    assert trace.metadata.flop_reduction is None


def test_metadata_survives_and_may_come_late(tools: Any, tmp_path: Path) -> None:
    network = tiny_network()
    metadata = Metadata("tiny", "cgnet", {"p": 4, "deep": [1, {"x": None}]}, "d\u00e9j\u00e0", "test", seed=3)
    with TraceWriter(tmp_path / "x", network, metadata) as writer:
        writer.append(Sample("one"), {name: bits[0] for name, bits in tools.gates(network, 1).items()})
        writer.metadata = dataclasses.replace(writer.metadata, accuracy_gated=0.75, versions={"torch": "2"})
    trace = load_trace(tmp_path / "x")
    expected = dataclasses.replace(
        metadata, accuracy_gated=0.75, versions={"torch": "2"}, flop_reduction=trace.flop_reduction()
    )
    assert trace.metadata == expected
    assert trace.samples == (Sample("one", None, None),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "cgnett"}, "'cgnet'"),
        ({"accuracy_gated": 91.0}, "fraction"),
        ({"accuracy_gated": float("nan")}, "accuracy_gated"),
        ({"seed": 1.5}, "seed"),
        ({"seed": True}, "seed"),
        ({"versions": {"a": 1}}, "versions"),
        ({"method_parameters": []}, "method_parameters"),
        ({"model": None}, "model"),
    ],
)
def test_ill_typed_metadata_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CgsimError, match=message):
        dataclasses.replace(Metadata("tiny", "user"), **change)


def test_wrong_gates_are_refused_by_layer(tools: Any, tmp_path: Path) -> None:
    network = tiny_network(size=5)
    good = {name: bits[0] for name, bits in tools.gates(network, 1).items()}
    padded = pack_bits(good["a"])
    padded[0, -1] |= 0x80
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"a": good["a"]}, "'b'.*missing"),
        ({**good, "c": good["a"]}, "'c'"),
        ({**good, "conv1": good["a"]}, "'conv1'"),
        ({**good, "a": good["a"][:4]}, r"'a'.*\[1, 8, 25\]"),
        ({**good, "a": pack_bits(good["a"])[:, :2]}, r"'a'.*\[1, 8, 4\]"),
        ({**good, "a": padded}, "'a'.*padding"),
        ({**good, "a": good["a"].astype(float)}, "'a'.*float64"),
    ]
    with TraceWriter(tmp_path / "x", network, Metadata("tiny", "user")) as writer:
        for gates, message in wrong:
            with pytest.raises(CgsimError, match=message):
                writer.append(Sample("s"), gates)
        writer.append(Sample("s"), good)
        with pytest.raises(CgsimError, match="twice"):
            writer.append(Sample("s"), good)
    assert load_trace(tmp_path / "x").n_samples == 1
    with pytest.raises(CgsimError, match="closed"):
        writer.append(Sample("t"), good)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_recording_leaves_nothing(tools: Any, tmp_path: Path, error: type[BaseException]) -> None:
    network = tiny_network()
    gates = tools.gates(network, 3)
    old = tools.write(tmp_path / "x", network, gates, 2).read_bytes()

    def record(path: Path) -> None:
        with TraceWriter(path, network, Metadata("tiny", "user"), block_samples=1) as writer:
            for i in range(3):
                writer.append(Sample(f"s{i}"), {name: bits[i] for name, bits in gates.items()})
            raise error

    for name in ("x", "y"):
        with pytest.raises(error):
            record(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x"]
    assert (tmp_path / "x").read_bytes() == old


def test_failing_close_leaves_nothing(tools: Any, tmp_path: Path) -> None:
    network = tools.mixed()
    gates = {name: bits[0] for name, bits in tools.gates(network, 1).items() if name != "stat"}

    def record(network: Network, metadata: Metadata, gates: Any) -> None:
        with TraceWriter(tmp_path / "x", network, metadata) as writer:
            for name, rows in gates.items():
                writer.append(Sample(name), rows)

    with pytest.raises(CgsimError, match=r"'stat'.*missing"):
        record(network, Metadata("tiny", "user"), {"s": gates})
    with pytest.raises(CgsimError, match="at least one sample"):
        record(tiny_network(), Metadata("tiny", "user"), {})
    with pytest.raises(CgsimError, match="JSON"):
        record(tiny_network(gated=False), Metadata("tiny", "user", {"x": {1, 2}}), {"s": {}})
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    metadata = Metadata("tiny", "user")
    with pytest.raises(CgsimError, match=r"missing/x: cannot be written: No such file or directory$"):
        TraceWriter(tmp_path / "missing" / "x", tiny_network(), metadata)
    with pytest.raises(CgsimError, match=r"cannot be written: a folder, expected the name of a trace file$"):
        TraceWriter(tmp_path, tiny_network(), metadata)
    with pytest.raises(CgsimError, match="local"):
        TraceWriter("memory://x", tiny_network(), metadata)
    with pytest.raises(CgsimError, match="block_samples"):
        TraceWriter(tmp_path / "x", tiny_network(), metadata, block_samples=0)


def test_fsspec_addresses(tiny: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/cgsim-test.trace.parquet", tiny.read_bytes())
    local = load_trace(tiny)
    try:
        for address in ("memory://cgsim-test.trace.parquet", f"file://{tiny}"):
            trace = load_trace(address)
            assert trace.path == address
            assert trace.checksum == local.checksum
            assert (trace.bits("a") == local.bits("a")).all()
        with pytest.raises(CgsimError, match=r"memory://nothing: no such file"):
            load_trace("memory://nothing")
        with pytest.raises(CgsimError, match="nowhere://x"):
            load_trace("nowhere://x")
    finally:
        memory.rm("/cgsim-test.trace.parquet")


def test_pandas_opens_it(tiny: Path) -> None:
    frame = pd.read_parquet(tiny)
    assert list(frame.columns) == ["sample", "layer", "gates", "digest"]
    assert len(frame) == 3 * 2
    row = frame[(frame["layer"] == "b") & (frame["sample"] == 1)].iloc[0]
    assert row["gates"] == load_trace(tiny).packed("b", [1]).tobytes()


def test_reading_loads_neither_pandas_nor_torch(tiny: Path) -> None:
    code = (
        "import sys, cgsim\n"
        f"cgsim.load_trace({str(tiny)!r}).gates('a')\n"
        "print([m for m in ('pandas', 'torch', 'fsspec', 'numba', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_writing_does_not_grow_with_the_samples(tools: Any, tmp_path: Path) -> None:
    network = tiny_network(size=5)
    gates = {name: bits[0] for name, bits in tools.gates(network, 1).items()}
    with TraceWriter(tmp_path / "x", network, Metadata("tiny", "user"), block_samples=4) as writer:
        for i in range(50):
            writer.append(Sample(str(i)), gates)
            assert max(len(rows) for rows in writer._pending.values()) < 4
    assert [b.stop - b.start for b in load_trace(tmp_path / "x").blocks()] == [4] * 12 + [2]
