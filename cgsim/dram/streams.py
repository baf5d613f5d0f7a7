"""Request streams as files, cut into runs: equal steps, all reads or all writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from cgsim.errors import CgsimError

CHUNK = 1 << 20
"""Requests that are read and cut at a time; a run does not reach beyond."""


class Runs(NamedTuple):
    """Run i: `length[i]` requests at byte addresses first[i], first[i] + step[i], ...; int64 arrays."""

    first: np.ndarray
    step: np.ndarray
    length: np.ndarray
    write: np.ndarray


class Stream(NamedTuple):
    """A file of requests: little-endian uint64 each, bit 0 = write, the other bits the byte address."""

    path: Path
    requests: int

    def chunks(self, capacity_bytes: int) -> Iterator[Runs]:
        """Yield the stream as runs.

        Raises:
            CgsimError: unreadable, or an address that the memory does not have.
        """
        start = 0
        try:
            with self.path.open("rb") as file:
                while start < self.requests:
                    words = np.frombuffer(file.read(8 * CHUNK), "<u8")
                    if len(words) == 0:
                        raise CgsimError(f"{self.path}: ends after {start} of {self.requests} requests")
                    beyond = np.flatnonzero(words >= np.uint64(capacity_bytes))
                    if len(beyond):
                        address = int(words[beyond[0]]) & ~1
                        raise CgsimError(
                            f"{self.path}: request {start + int(beyond[0])}: address {address:#x} is beyond "
                            f"the memory's {capacity_bytes} bytes"
                        )
                    start += len(words)
                    yield cut(words.astype(np.int64))
        except OSError as error:
            raise CgsimError(f"{self.path}: cannot be read ({error.strerror})") from None


def open_stream(path: str | os.PathLike[str]) -> Stream:
    """Look at a stream's size.

    Raises:
        CgsimError: unreadable, empty, or not whole requests of 8 bytes.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise CgsimError(f"{path}: cannot be read ({error.strerror})") from None
    if path.is_dir():
        raise CgsimError(f"{path}: a folder, expected a stream of requests")
    if size == 0 or size % 8:
        raise CgsimError(f"{path}: {size} bytes, expected one or more requests of 8 bytes each")
    return Stream(path, size // 8)


def cut(words: np.ndarray) -> Runs:
    """Cut requests into runs as long as they get, from the first on; addresses in a run do not fall."""
    runs = np.empty((4, len(words)), np.int64)
    count = _cut(words, runs)
    return Runs(*(row[:count].copy() for row in runs))


@njit(cache=True)
def _cut(words, runs):  # type: ignore[no-untyped-def]
    found = i = 0
    while i < len(words):
        # With equal bit 0, the difference of two words is that of their addresses.
        end, step = i + 1, 0
        if end < len(words) and words[end] & 1 == words[i] & 1 and words[end] >= words[i]:
            step = words[end] - words[i]
            end += 1
            while end < len(words) and words[end] - words[end - 1] == step:
                end += 1
        runs[0, found] = words[i] & ~1
        runs[1, found] = step
        runs[2, found] = end - i
        runs[3, found] = words[i] & 1
        found += 1
        i = end
    return found
