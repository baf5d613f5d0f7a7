"""Writing traces: streamed block by block, visible under their name only when complete."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import CgsimError, nearest
from cgsim.trace import layout
from cgsim.trace.channels import check_gathered
from cgsim.trace.macs import flop_reduction, tally
from cgsim.trace.metadata import FORMAT_VERSION, Metadata, Sample
from cgsim.trace.pack import count_bits, pack_bits, padding_is_zero

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from numpy.typing import ArrayLike, NDArray

    from cgsim.trace.network import Layer, Network


class TraceWriter:
    """Writes a trace; memory holds one block of samples, whatever their number.

    The file grows under a temporary name beside `path` and takes its name on `close`; `abort`, or an
    exception inside the `with` block, removes it. `metadata` may be replaced until `close`.

    Gates are given per layer as bool of the layer's `gate_shape` (`activation` also as (N, H, W),
    `pixel` as (H, W)) or packed as uint8 with the last axis ceil(bits / 8) long, padding bits zero.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        network: Network,
        metadata: Metadata,
        block_samples: int = 16,
        static: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Open the temporary file. Raises CgsimError if that cannot be done."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if "://" in os.fspath(path):
            raise CgsimError(f"{path}: traces are written to local paths only")
        self.path = Path(path)
        self.network = network
        self.metadata = metadata
        self._layers = layout.row_layers(network)
        sample_bytes = sum(layer.packed_bytes for layer in self._layers)
        if sample_bytes > layout.MAX_BLOCK_BYTES:
            raise CgsimError(f"{path}: one sample has {sample_bytes} bytes of gates, at most 1 GiB fits")
        if block_samples < 1:
            raise CgsimError(f"{path}: block_samples must be 1 or more, got {block_samples}")
        self._block = max(1, min(block_samples, layout.MAX_BLOCK_BYTES // max(1, sample_bytes)))
        self._samples: list[Sample] = []
        self._ids: set[str] = set()
        self._pending: dict[str, list[NDArray[np.uint8]]] = {layer.name: [] for layer in self._layers}
        self._hashers = {layer.name: layout.layer_hasher() for layer in self._layers}
        self._executed = 0
        self._uncounted: list[dict[str, NDArray[np.uint8]]] = []
        self._static: dict[str, NDArray[np.uint8]] = {}
        for name, bits in (static or {}).items():
            self.set_static(name, bits)
        if self.path.is_dir():  # told now, not when all is written
            raise CgsimError(f"{path}: cannot be written: a folder, expected the name of a trace file")
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            self._sink = pa.OSFile(str(self._temporary), "wb")
        except OSError as error:
            raise CgsimError(f"{path}: cannot be written: {_reason(error)}") from None
        self._writer: Any = pq.ParquetWriter(
            self._sink,
            layout.schema(),
            compression="zstd",
            compression_level=6,
            use_dictionary=["layer"],
            write_statistics=False,
            write_page_checksum=True,
            store_schema=False,
        )

    def __enter__(self) -> TraceWriter:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, or abort if the block failed."""
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def n_samples(self) -> int:
        """Samples appended so far."""
        return len(self._samples)

    def set_static(self, name: str, bits: ArrayLike) -> None:
        """Set the gates of a `static` layer, bool[N] or packed; once, any time before `close`.

        Best before the first sample: until they are known the gates of all samples stay in memory, as the
        MACs of other layers depend on them.
        """
        layer = self._layer(name, layout.static_layers(self.network))
        if name in self._static:
            raise CgsimError(f"{self.path}: layer {name!r}: its static gates are set already")
        self._static[name] = self._packed(layer, bits, ())[0]

    def append(self, sample: Sample, gates: Mapping[str, ArrayLike]) -> None:
        """Append one sample with the gates of every gated layer that is not `static`."""
        self.append_batch([sample], {name: np.asarray(bits)[None] for name, bits in gates.items()})

    def append_batch(self, samples: Sequence[Sample], gates: Mapping[str, ArrayLike]) -> None:
        """Append B samples; every array has a leading axis of B. All of it is checked first."""
        if self._writer is None:
            raise CgsimError(f"{self.path}: the trace is closed")
        packed = {}
        for name, bits in gates.items():
            packed[name] = self._packed(self._layer(name, self._layers), bits, (len(samples),))
        for layer in self._layers:
            if layer.name not in packed:
                raise CgsimError(f"{self.path}: layer {layer.name!r}: its gates are missing")
        ids = {sample.id for sample in samples}
        if len(ids) != len(samples) or ids & self._ids:
            twice = min(ids & self._ids, default=samples[0].id)
            raise CgsimError(f"{self.path}: sample id {twice!r} appears twice")
        self._ids |= ids
        for index, sample in enumerate(samples):
            self._samples.append(sample)
            for name, rows in packed.items():
                self._pending[name].append(rows[index])
            if len(self._samples) % self._block == 0:
                self._flush()

    def close(self) -> None:
        """Write the metadata and give the file its name; raises CgsimError and leaves nothing if it fails."""
        if self._writer is None:
            return
        try:
            self._flush()
            text = self._describe()
            self._writer.add_key_value_metadata(
                {
                    layout.JSON_KEY.decode(): text.decode(),
                    layout.DIGEST_KEY.decode(): hashlib.sha256(text).hexdigest(),
                    layout.FOOTER_KEY.decode(): layout.EMPTY_FOOTER_DIGEST.decode(),
                }
            )
            self._writer.close()
            self._writer = None
            self._sink.close()
            with open(self._temporary, "rb+") as file:
                layout.seal(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._temporary, self.path)
        except OSError as error:
            self.abort()
            raise CgsimError(f"{self.path}: cannot be written: {_reason(error)}") from None
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Give up: remove the temporary file."""
        writer, self._writer = self._writer, None
        with contextlib.suppress(Exception):
            if writer is not None:
                writer.close()
        with contextlib.suppress(Exception):
            self._sink.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _layer(self, name: str, layers: Sequence[Layer]) -> Layer:
        for layer in layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in layers]
        raise CgsimError(f"{self.path}: layer {name!r} takes no such gates{nearest(name, names)}")

    def _packed(self, layer: Layer, bits: ArrayLike, lead: tuple[int, ...]) -> NDArray[np.uint8]:
        """Packed gates as uint8[B, packed_bytes]; B is 1 where `lead` is empty."""
        array = np.asarray(bits)
        shape = layer.gate_shape
        narrow = (*shape[:-1], (shape[-1] + 7) // 8)
        if array.dtype == np.bool_:
            spatial = {"activation": layer.out_shape, "pixel": layer.out_shape[1:]}.get(layer.gate, shape)
            if array.shape not in ((*lead, *shape), (*lead, *spatial)):
                raise CgsimError(
                    f"{self.path}: layer {layer.name!r}: gates have shape {list(array.shape)}, "
                    f"expected {[*lead, *shape]}"
                )
            packed = pack_bits(array.reshape(*lead, *shape))
        elif array.dtype == np.uint8:
            if array.shape != (*lead, *narrow):
                raise CgsimError(
                    f"{self.path}: layer {layer.name!r}: packed gates have shape {list(array.shape)}, "
                    f"expected {[*lead, *narrow]}"
                )
            if not padding_is_zero(array, shape[-1]):
                raise CgsimError(f"{self.path}: layer {layer.name!r}: padding bits must be zero")
            packed = array.copy()
        else:
            raise CgsimError(
                f"{self.path}: layer {layer.name!r}: gates must be bool, or packed uint8, not {array.dtype}"
            )
        rows = packed.reshape(lead[0] if lead else 1, -1)
        if layer.operator == "gather":
            check_gathered(str(self.path), layer, count_bits(rows))
        return rows

    def _flush(self) -> None:
        import pyarrow as pa

        count = len(next(iter(self._pending.values()), []))
        if not count:
            return
        start = len(self._samples) - count
        gates: list[bytes] = []
        digests: list[bytes] = []
        self._uncounted.append({name: np.stack(rows) for name, rows in self._pending.items()})
        self._count()
        for layer in self._layers:
            rows = self._pending[layer.name]
            data = [row.tobytes() for row in rows]
            row_digests = [layout.row_digest(start + i, layer.name, row) for i, row in enumerate(data)]
            self._hashers[layer.name].update(b"".join(row_digests))
            gates += data
            digests += row_digests
            rows.clear()
        schema = layout.schema()
        names = [layer.name for layer in self._layers]
        layers = np.repeat(np.arange(len(names), dtype=np.int32), count)
        columns = [
            pa.array(np.tile(np.arange(start, start + count, dtype=np.int32), len(names))),
            pa.DictionaryArray.from_arrays(pa.array(layers), pa.array(names)),
            pa.array(gates, type=schema.field("gates").type),
            pa.array(digests, type=schema.field("digest").type),
        ]
        table = pa.Table.from_arrays(columns, schema=schema)
        try:
            self._writer.write_table(table, row_group_size=table.num_rows)
        except OSError as error:
            raise CgsimError(f"{self.path}: cannot be written: {_reason(error)}") from None

    def _count(self) -> None:
        """Add the MACs of what was written, as soon as all static gates are known."""
        if any(layer.name not in self._static for layer in layout.static_layers(self.network)):
            return
        for block in self._uncounted:

            def packed(name: str, block: dict[str, NDArray[np.uint8]] = block) -> NDArray[np.uint8]:
                if name in self._static:
                    return self._static[name]
                *rows, _ = self.network.by_name[name].gate_shape
                return block[name].reshape(len(block[name]), *rows, -1)

            found = tally(self.network, len(next(iter(block.values()))), packed)
            self._executed += sum(int(macs.sum()) for macs in found.macs.values())
        self._uncounted.clear()

    def _describe(self) -> bytes:
        static = {}
        checksums = {name: hasher.hexdigest() for name, hasher in self._hashers.items()}
        for layer in layout.static_layers(self.network):
            if layer.name not in self._static:
                raise CgsimError(f"{self.path}: layer {layer.name!r}: its static gates are missing")
            bits = self._static[layer.name].tobytes()
            static[layer.name] = bits.hex()
            hasher = layout.layer_hasher()
            hasher.update(bits)
            checksums[layer.name] = hasher.hexdigest()
        if not self._samples:
            raise CgsimError(f"{self.path}: a trace needs at least one sample")
        self._count()
        if not self._layers:  # all samples are alike, and none has a row
            once = tally(self.network, 1, self._static.__getitem__)
            self._executed = sum(int(macs[0]) for macs in once.macs.values()) * len(self._samples)
        reduction = flop_reduction(self.network, self._executed, len(self._samples))
        self.metadata = dataclasses.replace(
            self.metadata, flop_reduction=reduction, format_version=FORMAT_VERSION
        )
        data: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "network": self.network.to_json(),
            "metadata": self.metadata.to_json(),
            "samples": [sample.to_json() for sample in self._samples],
            "static": static,
            "layer_checksums": checksums,
        }
        data["content"] = layout.content_digest(data)
        text = layout.dump_json(data)
        if len(text) > layout.MAX_JSON_BYTES:
            raise CgsimError(f"{self.path}: its metadata has {len(text)} bytes, at most 64 MiB fit")
        return text


def _reason(error: OSError) -> str:
    """What the system said, without the name of the temporary file."""
    return os.strerror(error.errno) if error.errno else str(error)
