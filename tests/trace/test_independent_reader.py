"""A reader written from docs/trace-format.md alone, with none of cgsim's code, agrees with cgsim."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from cgsim.trace import load_trace

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Description and gates as bool [S, ...] of a trace; asserts every checksum."""
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = data[len(data) - 8 - length :]
    place = footer.index(b"cgsim.trace.footer\x18\x40") + 20
    told = footer[place : place + 64]
    assert hashlib.sha256(footer.replace(told, b"0" * 64)).hexdigest().encode() == told

    file = pq.ParquetFile(path)
    text = file.metadata.metadata[b"cgsim.trace"]
    assert hashlib.sha256(text).hexdigest().encode() == file.metadata.metadata[b"cgsim.trace.sha256"]
    about = json.loads(text)
    assert about["format_version"] == 1

    rows: dict[str, list[bytes]] = {}
    digests: dict[str, bytes] = {}
    for row in file.read().to_pylist():
        name = row["layer"].encode()
        told = hashlib.blake2b(
            struct.pack("<II", row["sample"], len(name)) + name + row["gates"], digest_size=8
        ).digest()
        assert told == row["digest"]
        assert row["sample"] == len(rows.setdefault(row["layer"], []))
        rows[row["layer"]].append(row["gates"])
        digests[row["layer"]] = digests.get(row["layer"], b"") + told

    gates = {}
    for layer in about["network"]["layers"]:
        name, (channels, height, width) = layer["name"], layer["out_shape"]
        shape = {
            "activation": (channels, height * width),
            "pixel": (1, height * width),
            "channel": (1, channels),
            "static": (1, channels),
        }.get(layer["gate"])
        if shape is None:
            assert name not in rows
            continue
        stored = [bytes.fromhex(about["static"][name])] if layer["gate"] == "static" else rows[name]
        hashed = stored[0] if layer["gate"] == "static" else digests[name]
        assert hashlib.blake2b(hashed, digest_size=16).hexdigest() == about["layer_checksums"][name]
        packed = np.frombuffer(b"".join(stored), np.uint8).reshape(len(stored), shape[0], -1)
        all_bits = np.unpackbits(packed, axis=2, bitorder="little").astype(bool)
        assert not all_bits[:, :, shape[1] :].any()
        gates[name] = all_bits[:, :, : shape[1]]
    content = {key: about[key] for key in ("network", "samples", "static", "layer_checksums")}
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.blake2b(plain, digest_size=32).hexdigest() == about["content"]
    return about, gates


def test_agrees_with_cgsim(tools: Any, tmp_path: Path) -> None:
    network = tools.mixed()
    path = tools.write(tmp_path / "x", network, tools.gates(network, 5), 5, notes='Ünïcode \x18 "quoted"')
    about, gates = read(path)
    trace = load_trace(path)
    assert about["content"] == trace.checksum
    assert list(gates) == [layer.name for layer in trace.gated_layers]
    for name, bits in gates.items():
        assert (trace.bits(name).ravel() == bits.ravel()).all()
