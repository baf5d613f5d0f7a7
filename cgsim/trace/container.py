"""The Parquet side of reading: open, compare with the description, fetch row groups."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cgsim.errors import CgsimError
from cgsim.trace import layout
from cgsim.trace.metadata import READABLE_VERSIONS, Metadata, Sample
from cgsim.trace.network import Layer, Network
from cgsim.trace.pack import padding_is_zero

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_ROW_BYTES = 4 + 4 + 4 + layout.DIGEST_BYTES + 64
_SPARE_BYTES = 1 << 20
"""What a row group may have beyond its payload: headers, lengths and layer names."""


@dataclass(frozen=True)
class Description:
    """The JSON part of a trace, checked."""

    network: Network
    metadata: Metadata
    samples: tuple[Sample, ...]
    static: dict[str, NDArray[np.uint8]]
    layer_checksums: dict[str, str]
    content: str


class Container:
    """A Parquet file that proved to be a complete trace; its gates are not read yet."""

    def __init__(self, path: str) -> None:
        """Open, check the description, the row groups, their order and the digests of all rows."""
        self.path = path
        self.description: Description
        self.starts: NDArray[np.int64]
        """First sample of each row group."""
        self.digests: dict[str, NDArray[np.uint8]]
        """Row digests by layer, uint8[S, 8]."""
        with self._reading(), self._open() as file:
            layout.check_footer(file)
            parquet = self._parquet(file)
            self._metadata = parquet.metadata
            self.description = self._describe(parquet.metadata.metadata or {})
            self._layers = layout.row_layers(self.description.network)
            self._check_groups(parquet)
            self._check_rows(parquet)

    def read_gates(self, group: int) -> list[NDArray[np.uint8]]:
        """Packed gates of a row group, uint8[B, packed_bytes] for each layer that has rows."""
        rows_expected = self._metadata.row_group(group).num_rows
        first = int(self.starts[group])
        what = f"the gates of samples {first} to {first + rows_expected // len(self._layers) - 1} are damaged"
        with self._reading(what), self._open() as file:
            parquet = self._parquet(file, self._metadata)
            column = parquet.read_row_group(group, columns=["gates"], use_threads=False).column(0)
            array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
            if len(array) != rows_expected:
                raise CgsimError(f"{what}: {len(array)} rows, expected {rows_expected}")
            buffers = array.buffers()
            offsets = np.frombuffer(buffers[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
            count = len(array) // len(self._layers)
            sizes = np.diff(offsets)
            data = np.frombuffer(buffers[2] or b"", dtype=np.uint8)
            blocks = []
            for i, layer in enumerate(self._layers):
                rows = slice(i * count, (i + 1) * count)
                wrong = sizes[rows][sizes[rows] != layer.packed_bytes]
                if len(wrong):
                    raise CgsimError(
                        f"{self.path}: layer {layer.name!r}: {wrong[0]} bytes of gates contradict its shape "
                        f"{list(layer.gate_shape)}, expected {layer.packed_bytes}"
                    )
                low, high = offsets[rows.start], offsets[rows.stop]
                blocks.append(data[low:high].reshape(count, layer.packed_bytes))
            return blocks

    @contextlib.contextmanager
    def _reading(self, what: str = "not a trace, or damaged") -> Iterator[None]:
        """Turn everything that a damaged or hostile file provokes into CgsimError."""
        import pyarrow as pa

        damage = (
            pa.ArrowException,
            OSError,
            EOFError,
            ValueError,
            TypeError,
            LookupError,
            ArithmeticError,
            AttributeError,
            MemoryError,
            RecursionError,
        )
        try:
            yield
        except CgsimError as error:
            text = str(error)
            raise CgsimError(text if text.startswith(self.path) else f"{self.path}: {text}") from None
        except FileNotFoundError:
            raise CgsimError(f"{self.path}: no such file") from None
        except (IsADirectoryError, PermissionError) as error:
            raise CgsimError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        except damage as error:
            reason = " ".join((str(error) or type(error).__name__).split())
            reason = reason if len(reason) <= 200 else reason[:197] + "..."
            raise CgsimError(f"{self.path}: {what}: {reason}") from None

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        import pyarrow as pa

        if "://" in self.path:
            import fsspec

            try:
                system, inner = fsspec.core.url_to_fs(self.path)
                file: BinaryIO = system.open(inner, "rb")
            except FileNotFoundError:
                raise
            except Exception as error:  # every fsspec implementation has its own errors
                raise CgsimError(f"{self.path}: cannot be opened: {error}") from None
            with file:
                yield file
        elif os.path.isdir(self.path):
            raise CgsimError(f"{self.path}: is a directory, expected a trace file")
        else:
            with pa.OSFile(self.path, "rb") as local:
                yield local

    def _parquet(self, file: Any, metadata: Any = None) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetFile(
            file,
            metadata=metadata,
            memory_map=False,
            pre_buffer=False,
            read_dictionary=["layer"],
            page_checksum_verification=True,
        )

    def _describe(self, items: dict[bytes, bytes]) -> Description:
        text, digest = items.get(layout.JSON_KEY), items.get(layout.DIGEST_KEY)
        if text is None or digest is None:
            raise CgsimError("not a trace: the metadata key 'cgsim.trace' or its checksum is missing")
        if len(text) > layout.MAX_JSON_BYTES:
            raise CgsimError(f"its metadata has {len(text)} bytes, at most 64 MiB are read")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise CgsimError("the metadata is damaged (checksum differs)")
        data = json.loads(text, parse_constant=_refuse_constant)
        version = data.get("format_version") if isinstance(data, dict) else None
        if not isinstance(version, int) or isinstance(version, bool) or version not in READABLE_VERSIONS:
            readable = ", ".join(map(str, READABLE_VERSIONS))
            raise CgsimError(f"format version {version!r} cannot be read; readable: {readable}")
        return _description(data)

    def _check_groups(self, parquet: Any) -> None:
        """Compare schema and sizes with the description before anything large is read."""
        if parquet.schema_arrow.remove_metadata() != layout.schema():
            raise CgsimError(
                f"the columns must be {_columns(layout.schema())}, not {_columns(parquet.schema_arrow)}"
            )
        meta, layers, total = parquet.metadata, len(self._layers), len(self.description.samples)
        if not layers:
            if meta.num_rows or meta.num_row_groups:
                raise CgsimError(f"{meta.num_rows} rows, but no layer has gates per sample")
            self.starts = np.zeros(0, dtype=np.int64)
            return
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        rows = [group.num_rows for group in groups]
        if any(count < 1 or count % layers for count in rows) or sum(rows) != layers * total:
            raise CgsimError(
                f"incomplete: {sum(rows)} rows in {len(rows)} row groups, expected {layers * total}: "
                f"{total} samples of {layers} gated layers"
            )
        sample_bytes = sum(layer.packed_bytes for layer in self._layers)
        for i, group in enumerate(groups):
            expected = group.num_rows // layers * sample_bytes
            if expected > layout.MAX_BLOCK_BYTES:
                raise CgsimError(f"row group {i} would hold {expected} bytes of gates, at most 1 GiB is read")
            bound = expected + group.num_rows * _ROW_BYTES + _SPARE_BYTES
            if not 0 <= group.total_byte_size <= bound:
                raise CgsimError(f"row group {i}: impossible size {group.total_byte_size}")
        self.starts = np.cumsum([0, *rows[:-1]], dtype=np.int64) // layers

    def _check_rows(self, parquet: Any) -> None:
        """Every (sample, layer) exactly once and in order; digests fit the checksum of each layer."""
        names = [layer.name for layer in self._layers]
        position = {name: i for i, name in enumerate(names)}
        parts: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in names}
        for group, start in enumerate(self.starts.tolist()):
            table = parquet.read_row_group(group, columns=["sample", "layer", "digest"], use_threads=False)
            table = table.combine_chunks()
            if table.num_rows != parquet.metadata.row_group(group).num_rows:
                raise CgsimError(f"row group {group} has {table.num_rows} rows, which contradicts the footer")
            count = table.num_rows // len(names)
            encoded = table.column("layer").chunk(0)
            order = np.array(
                [position.get(name, -1) for name in encoded.dictionary.to_pylist()], dtype=np.int64
            )
            layer = order[_int32(encoded.indices)].reshape(len(names), count)
            sample = _int32(table.column("sample").chunk(0)).reshape(len(names), count)
            for i, name in enumerate(names):
                if (layer[i] != i).any() or (sample[i] != np.arange(start, start + count)).any():
                    raise CgsimError(
                        f"layer {name!r}: rows are missing, doubled or out of order; expected samples "
                        f"{start} to {start + count - 1} in row group {group}"
                    )
            chunk = table.column("digest").chunk(0)
            raw = np.frombuffer(chunk.buffers()[1], dtype=np.uint8).reshape(-1, layout.DIGEST_BYTES)
            raw = raw[chunk.offset : chunk.offset + len(chunk)]
            for i, name in enumerate(names):
                parts[name].append(raw[i * count : (i + 1) * count].copy())
        self.digests = {name: np.concatenate(part) for name, part in parts.items()}
        for name, digests in self.digests.items():
            hasher = layout.layer_hasher()
            hasher.update(digests.tobytes())
            if hasher.hexdigest() != self.description.layer_checksums[name]:
                raise CgsimError(f"layer {name!r}: the rows are damaged (checksum of the layer differs)")


def _int32(array: Any) -> NDArray[np.int32]:
    """Values of an Arrow array without nulls (its own conversion would load pandas)."""
    values = np.frombuffer(array.buffers()[1], dtype=np.int32)
    return values[array.offset : array.offset + len(array)]


def _description(data: dict[str, Any]) -> Description:
    keys = ("format_version", "network", "metadata", "samples", "static", "layer_checksums", "content")
    for key in keys:
        if key not in data:
            raise CgsimError(f"metadata: key {key!r} is missing")
    network = Network.from_json(data["network"])
    metadata = Metadata.from_json(data["metadata"])
    if not isinstance(data["samples"], list) or not data["samples"]:
        raise CgsimError("metadata: 'samples' must be a list of at least one sample")
    samples = tuple(Sample.from_json(item) for item in data["samples"])
    if len({sample.id for sample in samples}) != len(samples):
        raise CgsimError("metadata: a sample id appears twice")
    checksums, static = data["layer_checksums"], data["static"]
    gated = {layer.name for layer in network.layers if layer.gate != "none"}
    if not isinstance(checksums, dict) or set(checksums) != gated:
        raise CgsimError("metadata: 'layer_checksums' must name exactly the gated layers")
    wanted = {layer.name: layer for layer in layout.static_layers(network)}
    if not isinstance(static, dict) or set(static) != set(wanted):
        raise CgsimError("metadata: 'static' must name exactly the layers with static gates")
    if layout.content_digest(data) != data["content"]:
        raise CgsimError("metadata: the checksum 'content' differs")
    decoded = {name: _static_gates(layer, static[name], checksums[name]) for name, layer in wanted.items()}
    return Description(network, metadata, samples, decoded, checksums, data["content"])


def _static_gates(layer: Layer, text: Any, checksum: Any) -> NDArray[np.uint8]:
    size = (layer.out_channels + 7) // 8
    if not isinstance(text, str) or len(text) != 2 * size:
        raise CgsimError(
            f"layer {layer.name!r}: static gates contradict its {layer.out_channels} output channels"
        )
    bits = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    hasher = layout.layer_hasher()
    hasher.update(bits.tobytes())
    if hasher.hexdigest() != checksum:
        raise CgsimError(f"layer {layer.name!r}: the static gates are damaged (checksum differs)")
    if not padding_is_zero(bits, layer.out_channels):
        raise CgsimError(f"layer {layer.name!r}: padding bits must be zero")
    return bits


def _refuse_constant(name: str) -> None:
    raise CgsimError(f"metadata: {name} is not a JSON number")


def _columns(schema: Any) -> str:
    return ", ".join(f"{field.name} {field.type}{'' if not field.nullable else ' null'}" for field in schema)
