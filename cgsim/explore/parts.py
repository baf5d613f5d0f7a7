"""The Parquet parts of a results folder: outcomes in numbered files, and an index of those that count."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgsim.atomic import atomic_path
from cgsim.errors import CgsimError
from cgsim.explore.tasks import Outcome
from cgsim.results.files import write_json

INDEX_FILE = "index.json"
FORMAT = 1
_SUMMARY, _SAMPLES = "summary.", "samples."
"""What the names of columns begin with; columns of samples hold a list in each row."""
_HEAD = ("row", "error", "checked", "seconds")


class Parts:
    """The parts of a folder. A part counts from the moment the index names it, never before."""

    def __init__(self, folder: Path) -> None:
        """Read the index, if there is one. Raises CgsimError if it is damaged or of a newer cgsim."""
        self.folder = folder
        self._parts: list[tuple[str, int]] = []
        index = folder / INDEX_FILE
        if not index.exists():
            return
        try:
            told = json.loads(index.read_text(encoding="utf-8"))
            version = told["format"]
            self._parts = [(str(part["file"]), int(part["rows"])) for part in told["parts"]]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CgsimError(
                f"{index}: damaged ({error!r}); without its folder, all runs are done again"
            ) from None
        if version != FORMAT:
            raise CgsimError(f"{index}: format {version!r}, expected {FORMAT}: it is of another cgsim")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Write a part with these outcomes, then name it in the index."""
        import pyarrow.parquet as pq

        number = max((int(name.partition(".")[0]) for name, _ in self._parts), default=0) + 1
        name = f"{number:06d}.parquet"
        with atomic_path(self.folder / name) as temporary:
            pq.write_table(_table(outcomes), temporary, compression="zstd", write_page_checksum=True)
        self._index([*self._parts, (name, len(outcomes))])

    def begin(self) -> None:
        """Write the index if there is none, so that a later cgsim knows the format."""
        if not (self.folder / INDEX_FILE).exists():
            self._index(self._parts)

    def _index(self, parts: list[tuple[str, int]]) -> None:
        listed = [{"file": name, "rows": rows} for name, rows in parts]
        write_json(self.folder / INDEX_FILE, {"format": FORMAT, "parts": listed})
        self._parts = parts

    def states(self) -> Iterator[Outcome]:
        """Yield every outcome without its figures (`summary` is empty, not None, if there are some)."""
        for name, _ in self._parts:
            table = self._read(name, list(_HEAD))
            for row in table.to_pylist():
                failed = row["error"] is not None
                yield Outcome(
                    row["row"],
                    None if failed else {},
                    row["error"] or "",
                    None,
                    row["checked"],
                    row["seconds"],
                )

    def outcomes(self, keys: set[str]) -> Iterator[Outcome]:
        """Yield the outcomes of these keys, in the order in which they were added."""
        for name, _ in self._parts:
            table = self._read(name, None)
            yield from _outcomes(table, keys)

    def _read(self, name: str, columns: list[str] | None) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / name
        try:
            return pq.read_table(path, columns=columns, page_checksum_verification=True, memory_map=False)
        except FileNotFoundError:
            raise CgsimError(f"{path}: no such file, but {INDEX_FILE} beside it names it") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise CgsimError(
                f"{path}: damaged: {reason}; without it and its line in {INDEX_FILE}, its runs are done again"
            ) from None


def _table(outcomes: Sequence[Outcome]) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "row": [outcome.key for outcome in outcomes],
        "error": pa.array([o.error if o.summary is None else None for o in outcomes], pa.string()),
        "checked": [outcome.checked for outcome in outcomes],
        "seconds": pa.array([outcome.seconds for outcome in outcomes], pa.float64()),
    }
    figures = dict.fromkeys(name for outcome in outcomes for name in outcome.summary or ())
    for name in figures:
        columns[_SUMMARY + name] = [(outcome.summary or {}).get(name) for outcome in outcomes]
    figures = dict.fromkeys(name for outcome in outcomes for name in outcome.samples or ())
    for name in figures:
        lists = [(outcome.samples or {}).get(name) for outcome in outcomes]
        columns[_SAMPLES + name] = pa.array(lists, pa.list_(pa.int64()))
    return pa.table(columns)


def _outcomes(table: Any, keys: set[str]) -> Iterator[Outcome]:
    names = table.column_names
    for batch in table.to_batches(max_chunksize=256):
        wanted = [place for place, key in enumerate(batch.column("row").to_pylist()) if key in keys]
        if not wanted:
            continue
        chosen = batch.take(wanted)
        head = {name: chosen.column(name).to_pylist() for name in _HEAD}
        figures = {
            name[len(_SUMMARY) :]: chosen.column(name).to_pylist()
            for name in names
            if name.startswith(_SUMMARY)
        }
        lists = {name[len(_SAMPLES) :]: chosen.column(name) for name in names if name.startswith(_SAMPLES)}
        for place, key in enumerate(head["row"]):
            error = head["error"][place]
            summary = samples = None
            if error is None:
                summary = {name: values[place] for name, values in figures.items()}
                samples = {
                    name: np.array(values[place].values.to_numpy(), np.int64)
                    for name, values in lists.items()
                    if values[place].is_valid
                }
            yield Outcome(key, summary, error or "", samples, head["checked"][place], head["seconds"][place])
