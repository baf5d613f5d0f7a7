"""Subsets and merged traces hold exactly the chosen samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cgsim.errors import CgsimError
from cgsim.trace import Metadata, Sample, TraceWriter, check_trace, load_trace, merge, subset, tiny_network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("chosen", [3, [4, 0, 2], slice(1, None, 2), [1]])
def test_subset(tools: Any, tmp_path: Path, chosen: Any) -> None:
    network = tools.mixed()
    gates = tools.gates(network, 5)
    source = load_trace(tools.write(tmp_path / "a", network, gates, 5))
    out = subset(source.path, tmp_path / "b", chosen)
    trace = load_trace(out)
    index = np.arange(5)[slice(chosen) if isinstance(chosen, int) else chosen]
    assert [s.id for s in trace.samples] == [source.samples[i].id for i in index]
    for layer in source.gated_layers:
        expected = gates[layer.name] if layer.gate == "static" else gates[layer.name][index]
        assert (trace.bits(layer.name) == expected).all()
    check_trace(out)
    assert trace.metadata.model == source.metadata.model
    assert f"Subset of {len(index)} of the 5 samples" in trace.metadata.notes


@pytest.mark.parametrize("chosen", [0, 6, [], [5], [-1], [1, 1], slice(3, 3)])
def test_subset_refuses(tiny: Path, tmp_path: Path, chosen: Any) -> None:
    with pytest.raises(CgsimError):
        subset(tiny, tmp_path / "b", chosen)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("chosen", [[2], [-1]])
def test_subset_of_a_dense_trace_refuses_what_is_not_there(tools: Any, tmp_path: Path, chosen: Any) -> None:
    dense = tools.write(tmp_path / "a", tiny_network(gated=False), {}, 2)
    with pytest.raises(CgsimError, match=r"a: no sample -?\d, the trace has samples 0 to 1"):
        subset(dense, tmp_path / "b", chosen)


def test_merge_puts_a_split_trace_together(tools: Any, tmp_path: Path) -> None:
    network = tools.mixed()
    whole = load_trace(tools.write(tmp_path / "a", network, tools.gates(network, 20), 20))
    parts = [
        subset(whole.path, tmp_path / str(i), slice(start, start + 7)) for i, start in enumerate((0, 7, 14))
    ]
    merged = load_trace(merge(parts, tmp_path / "b"))
    assert merged.checksum == whole.checksum
    assert merged.metadata.flop_reduction == whole.metadata.flop_reduction
    check_trace(merged.path)


def test_merge_refuses_what_does_not_belong_together(tools: Any, tiny: Path, tmp_path: Path) -> None:
    network = tiny_network(size=5)
    other = tmp_path / "other"

    def write(metadata: Metadata, net: Any = network, name: str = "x") -> Path:
        gates = {key: bits[0] for key, bits in tools.gates(net, 1).items()}
        with TraceWriter(other, net, metadata) as writer:
            writer.append(Sample(name), gates)
        return other

    with pytest.raises(CgsimError, match="'s0' appears twice"):
        merge([tiny, tiny], tmp_path / "b")
    with pytest.raises(CgsimError, match="other: metadata: 'model' differs"):
        merge([tiny, write(Metadata("else", "user"))], tmp_path / "b")
    with pytest.raises(CgsimError, match="other: layer 'conv1' differs"):
        merge([tiny, write(Metadata("tiny", "user"), tiny_network(size=6))], tmp_path / "b")
    with pytest.raises(CgsimError, match="at least one"):
        merge([], tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert load_trace(merge([tiny, write(Metadata("tiny", "user"))], tmp_path / "b")).n_samples == 4
