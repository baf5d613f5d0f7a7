"""What a trace file looks like inside; shared by the writer and the reader."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from cgsim.errors import CgsimError

if TYPE_CHECKING:
    import pyarrow as pa

    from cgsim.trace.network import Layer, Network

JSON_KEY = b"cgsim.trace"
DIGEST_KEY = b"cgsim.trace.sha256"
DIGEST_BYTES = 8
MAX_JSON_BYTES = 64 << 20
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


def content_digest(data: dict[str, Any]) -> str:
    """Checksum of what the simulator sees: network, samples and gates, without the provenance."""
    keys = ("network", "samples", "static", "layer_checksums")
    return hashlib.blake2b(dump_json({key: data[key] for key in keys}), digest_size=32).hexdigest()
