"""Result files: each appears under its name only when it is complete."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgsim.atomic import atomic_path
from cgsim.errors import CgsimError

METADATA_KEY = b"cgsim.run"
"""Key of the JSON object with provenance in the metadata of a Parquet result file."""


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise CgsimError if `path` is not a folder that can be written to, or cannot become one.

    Makes nothing: to be called before long work whose result goes there.
    """
    place = Path(path)
    existing = next((p for p in (place, *place.absolute().parents) if p.exists()), place)
    if not existing.is_dir():
        raise CgsimError(f"{place}: cannot be made a folder, {existing.name!r} is not one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CgsimError(f"{place}: cannot be written: no permission")


def plain(value: Any) -> Any:
    """Return `value` as JSON knows it: NumPy scalars and arrays unwrapped, NaN and infinities as None."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def to_json_text(value: Any, *, indent: int | None = 2) -> str:
    """Return valid JSON (no NaN), keys in the order given."""
    return json.dumps(plain(value), indent=indent, allow_nan=False, ensure_ascii=False)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as JSON. Raises CgsimError if `path` cannot be written."""
    with atomic_path(path) as temporary:
        temporary.write_text(to_json_text(value) + "\n", encoding="utf-8")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8. Raises CgsimError if `path` cannot be written."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_parquet(
    path: str | os.PathLike[str],
    columns: Mapping[str, np.ndarray | Sequence[Any]],
    units: Mapping[str, str],
    metadata: Mapping[str, Any],
    descriptions: Mapping[str, str] | None = None,
) -> None:
    """Write columns of equal length as Parquet (zstd).

    Each column carries its unit (and description) as field metadata; `metadata` is stored as a JSON object
    under the key "cgsim.run" of the file. Columns of strings are stored as dictionaries. Raises CgsimError
    if `path` cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = []
    fields = []
    for name, values in columns.items():
        array = _arrow(values)
        notes = {"unit": units.get(name, ""), "description": (descriptions or {}).get(name, "")}
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={k: v for k, v in notes.items() if v}))
    table = pa.Table.from_arrays(
        arrays, schema=pa.schema(fields, metadata={METADATA_KEY: to_json_text(metadata, indent=None)})
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_parquet(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_parquet` wrote: columns and metadata.

    Raises CgsimError if the file is missing, damaged or not one of cgsim's.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise CgsimError(f"{path}: no such file, expected a result of cgsim simulate or sweep")
    try:
        table = pq.read_table(path, page_checksum_verification=True, memory_map=False)
        metadata = json.loads((table.schema.metadata or {})[METADATA_KEY])
    except KeyError:
        raise CgsimError(f"{path}: is not a result of cgsim (metadata 'cgsim.run' is missing)") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CgsimError(f"{path}: damaged, or not a Parquet file: {reason[:160]}") from error
    columns: dict[str, np.ndarray] = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        columns[name] = column.to_numpy()
    return columns, metadata


def _arrow(values: np.ndarray | Sequence[Any]) -> Any:
    """Return an Arrow array; text becomes a dictionary.

    From the buffers, because pa.array() loads pandas, which takes a third of a second.
    """
    import pyarrow as pa

    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        plain_values = np.ascontiguousarray(values)
        kind = pa.from_numpy_dtype(values.dtype)
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(plain_values)])
    listed = list(values)
    if not listed or not all(isinstance(value, str) for value in listed):
        return pa.array(listed)
    places: dict[str, int] = {}
    indices = np.array([places.setdefault(value, len(places)) for value in listed], dtype=np.int32)
    encoded = [value.encode() for value in places]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    names = pa.Array.from_buffers(pa.string(), len(encoded), buffers)
    return pa.DictionaryArray.from_arrays(_arrow(indices), names)
