"""The journal of a results folder: one line for each outcome, on disk the moment it arrives."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cgsim.errors import CgsimError
from cgsim.explore.tasks import Outcome

_SUM = 9
"""Characters of a checksum and the space after it, at the start of each line."""


_SECONDS_BETWEEN_SYNCS = 1.0
"""A kill loses nothing that the system has; only a power cut does, and waiting for the disk takes long."""


class Journal:
    """Appends outcomes to a file, a line in one write each, so that a killed process loses none of them.

    Raises CgsimError if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """Open to append; a last line that a kill or a full disk cut short is cut off."""
        self.path = path
        with self._writing():
            self._file = path.open("ab", buffering=0)
            whole = _whole(path)
            if whole != self._file.tell():
                self._file.truncate(whole)
        self.size = whole
        self._synced = time.monotonic()

    def append(self, outcome: Outcome) -> None:
        """Write an outcome; it is the system's when this returns, and within a second or so the disk's."""
        line = _line(outcome)
        with self._writing():
            written = self._file.write(line)
            if written != len(line):
                self._file.truncate(self.size)
                raise OSError(0, "the disk is full")
            if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        self.size += len(line)

    def clear(self) -> None:
        """Forget all lines: they are elsewhere now."""
        with self._writing():
            self._file.truncate(0)
        self.size = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _writing(self) -> _Telling:
        return _Telling(self.path)


class _Telling:
    """Turns an OSError in its block into a CgsimError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise CgsimError(f"{self.path}: cannot be written: {error.strerror or error}") from error


def read_journal(path: Path) -> Iterator[Outcome]:
    """Yield the outcomes of a journal, in order; a line that is torn or damaged is passed over.

    What is passed over costs time, not truth: its run is done again.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            found = _outcome(line)
            if found is not None:
                yield found


def _whole(path: Path) -> int:
    """Return the length of the file up to the end of its last complete line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        step = 1 << 16
        for stop in range(end, 0, -step):
            start = max(0, stop - step)
            file.seek(start)
            at = file.read(stop - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
    return 0


def _line(outcome: Outcome) -> bytes:
    told: dict[str, Any] = {"row": outcome.key}
    if outcome.summary is None:
        told["error"] = outcome.error
    else:
        told["summary"] = outcome.summary
        told["samples"] = {name: values.tolist() for name, values in (outcome.samples or {}).items()}
    told |= {"checked": outcome.checked, "seconds": outcome.seconds}
    # NaN and Infinity as Python writes them: figures come back as they were, which null would not.
    text = json.dumps(told, separators=(",", ":"), default=_plain).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a journal")


def _outcome(line: bytes) -> Outcome | None:
    text = line[_SUM:-1]
    if not line.endswith(b"\n") or line[:_SUM] != b"%08x " % zlib.crc32(text):
        return None
    with suppress(ValueError, KeyError, TypeError):
        told = json.loads(text)
        samples = told.get("samples")
        return Outcome(
            key=told["row"],
            summary=told.get("summary"),
            error=told.get("error", ""),
            samples=samples and {name: np.array(values, np.int64) for name, values in samples.items()},
            checked=told["checked"],
            seconds=told["seconds"],
        )
    return None
