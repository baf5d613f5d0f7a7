"""What a trace file looks like inside; shared by the writer and the reader."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from cgsim.errors import CgsimError

if TYPE_CHECKING:
    import pyarrow as pa

    from cgsim.trace.network import Layer, Network

JSON_KEY = b"cgsim.trace"
DIGEST_KEY = b"cgsim.trace.sha256"
FOOTER_KEY = b"cgsim.trace.footer"
DIGEST_BYTES = 8
MAX_FOOTER_BYTES = 128 << 20
MAX_JSON_BYTES = 64 << 20
_TAIL = 8
"""Footer length (u32) and "PAR1", the last bytes of every Parquet file."""
_HEX = 64
EMPTY_FOOTER_DIGEST = b"0" * _HEX
_FOOTER_ENTRY = FOOTER_KEY + bytes([0x18, _HEX])
"""The key, then Thrift's header of the value (field 2, binary) and its length.

JSON escapes the byte 0x18, so that no text of a user can look like this entry.
"""
MAX_BLOCK_BYTES = 1 << 30
"""Largest row group, in bytes of packed gates (Arrow's binary offsets end at 2 GiB)."""


def schema() -> pa.Schema:
    """The Arrow schema of the four columns; none may hold nulls."""
    import pyarrow as pa

    kinds = {
        "sample": pa.int32(),
        "layer": pa.dictionary(pa.int32(), pa.string()),
        "gates": pa.binary(),
        "digest": pa.binary(DIGEST_BYTES),
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])


def row_layers(network: Network) -> tuple[Layer, ...]:
    """Layers that have one row per sample: all gated ones but the `static`."""
    return tuple(layer for layer in network.layers if layer.gate not in ("none", "static"))


def static_layers(network: Network) -> tuple[Layer, ...]:
    """Layers whose gates are the same for every sample and lie in the file's metadata."""
    return tuple(layer for layer in network.layers if layer.gate == "static")


def row_digest(sample: int, layer: str, gates: bytes | memoryview) -> bytes:
    """Digest of one row: BLAKE2b-64 over sample index (u32), name length (u32), name and gates."""
    name = layer.encode()
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    state.update(sample.to_bytes(4, "little") + len(name).to_bytes(4, "little") + name)
    state.update(gates)
    return state.digest()


def layer_hasher() -> hashlib.blake2b:
    """Hash over a layer's row digests in sample order (over the packed bits for `static`)."""
    return hashlib.blake2b(digest_size=16)


def dump_json(data: Any) -> bytes:
    """JSON in canonical form: sorted keys, no spaces, UTF-8, no NaN."""
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CgsimError(f"metadata: cannot be written as JSON: {error}") from None


def seal(file: BinaryIO) -> None:
    """Write the checksum of a finished Parquet file's footer into the place kept for it."""
    footer, place = read_footer(file)
    file.seek(-len(footer) + place, os.SEEK_END)
    file.write(_footer_digest(footer, place))


def check_footer(file: BinaryIO) -> None:
    """Raise CgsimError unless the footer has its checksum: before any Parquet library reads the file."""
    footer, place = read_footer(file)
    if footer[place : place + _HEX] != _footer_digest(footer, place):
        raise CgsimError("the footer is damaged (checksum differs)")


def read_footer(file: BinaryIO) -> tuple[bytes, int]:
    """The footer (from its first byte to the end of the file) and the place of its checksum in it."""
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL + 4:
        raise CgsimError(f"not a trace, or truncated: it has {size} bytes")
    file.seek(size - _TAIL)
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[:4], "little") + _TAIL
    if tail[4:] != b"PAR1":
        raise CgsimError("not a trace, or truncated: it does not end as a Parquet file does")
    if not _TAIL < length <= min(size - 4, MAX_FOOTER_BYTES):
        raise CgsimError(f"not a trace, or damaged: its footer cannot have {length} bytes")
    file.seek(size - length)
    footer = file.read(length)
    place = footer.find(_FOOTER_ENTRY) + len(_FOOTER_ENTRY)
    if footer.count(_FOOTER_ENTRY) != 1 or place + _HEX > length - _TAIL:
        raise CgsimError("not a trace, or damaged: its footer carries no checksum 'cgsim.trace.footer'")
    return footer, place


def _footer_digest(footer: bytes, place: int) -> bytes:
    blank = footer[:place] + EMPTY_FOOTER_DIGEST + footer[place + _HEX :]
    return hashlib.sha256(blank).hexdigest().encode()


def content_digest(data: dict[str, Any]) -> str:
    """Checksum of what the simulator sees: network, samples and gates, without the provenance."""
    keys = ("network", "samples", "static", "layer_checksums")
    return hashlib.blake2b(dump_json({key: data[key] for key in keys}), digest_size=32).hexdigest()
