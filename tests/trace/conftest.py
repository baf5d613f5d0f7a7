"""Small traces to write, read and damage."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from cgsim.trace import Layer, Metadata, Network, Sample, TraceWriter, layout, tiny_network

if TYPE_CHECKING:
    from pathlib import Path


def random_gates(
    network: Network, samples: int, seed: int = 0, density: float = 0.3
) -> dict[str, np.ndarray]:
    """Bool gates [S, *gate_shape] (static: [N]) for every gated layer."""
    rng = np.random.default_rng(seed)
    gates = {}
    for layer in network.layers:
        if layer.gate != "none":
            lead = () if layer.gate == "static" else (samples,)
            gates[layer.name] = rng.random((*lead, *layer.gate_shape)) < density
    return gates


def write(
    path: Path, network: Network, gates: dict[str, np.ndarray], samples: int, block: int = 2, **more: Any
) -> Path:
    """Write a trace of the given gates and return its path."""
    static = {layer.name: gates[layer.name] for layer in network.layers if layer.gate == "static"}
    metadata = Metadata(model="tiny", method="user", **more)
    with TraceWriter(path, network, metadata, block_samples=block, static=static) as writer:
        for index in range(samples):
            rows = {name: bits[index] for name, bits in gates.items() if name not in static}
            writer.append(Sample(f"s{index}", index % 10, index % 3), rows)
    return path


def mixed_network() -> Network:
    """One layer of each granularity, with sizes that leave padding bits."""
    layers = [
        Layer("stem", "conv2d", (3, 5, 7), (6, 5, 7), (3, 3), padding=(1, 1)),
        Layer(
            "act", "conv2d", (6, 5, 7), (6, 5, 7), (3, 3), padding=(1, 1), producers=("stem",),
            gate="activation", base_channels=2, base_groups=3,
        ),
        Layer("pix", "conv2d", (6, 5, 7), (4, 5, 7), producers=("act",), gate="pixel"),
        Layer(
            "chan", "conv2d", (4, 5, 7), (11, 5, 7), producers=("pix",), gate="channel", gate_network_macs=50
        ),
        Layer("pool", "global_pool", (11, 5, 7), (11, 1, 1), producers=("chan",)),
        Layer("stat", "linear", (11, 1, 1), (13, 1, 1), producers=("pool",), gate="static"),
    ]  # fmt: skip
    return Network("mixed", tuple(layers))


def rewrite(
    path: Path, out: Path, edit: Any = None, table: Any = None, groups: Any = None, content: bool = True
) -> Path:
    """Write a trace again with its description edited (`edit(data)`) or its rows replaced, all sealed.

    What a hostile or careless program would write: every outer checksum is right. `groups` gives the
    rows of each row group (those of `path` unless told); `content=False` leaves that checksum alone.
    """
    file = pq.ParquetFile(path, read_dictionary=["layer"])
    data = json.loads(file.metadata.metadata[layout.JSON_KEY])
    if edit is not None:
        edit(data)
    if content and "static" in data:
        data["content"] = layout.content_digest(data)
    text = json.dumps(data).encode()
    rows = file.read() if table is None else table
    groups = groups or [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    with (
        open(out, "wb") as sink,
        pq.ParquetWriter(
            sink, rows.schema, use_dictionary=["layer"], store_schema=False, write_page_checksum=True
        ) as writer,
    ):
        start = 0
        for size in groups:
            writer.write_table(rows.slice(start, size))
            start += size
        digest = hashlib.sha256(text).hexdigest()
        keys = {layout.JSON_KEY: text, layout.DIGEST_KEY: digest, layout.FOOTER_KEY: "0" * 64}
        writer.add_key_value_metadata({key.decode(): value for key, value in keys.items()})
    with open(out, "rb+") as sealed:
        layout.seal(sealed)
    return out


@pytest.fixture(scope="session")
def tools() -> Any:
    """The functions of this file, for tests."""

    class Tools:
        gates = staticmethod(random_gates)
        write = staticmethod(write)
        mixed = staticmethod(mixed_network)
        rewrite = staticmethod(rewrite)

    return Tools


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A trace of three samples in two row groups: two gated layers of 8 channels at 5 x 5."""
    network = tiny_network(size=5)
    return write(tmp_path / "tiny.trace.parquet", network, random_gates(network, 3), 3)
