"""The streams of requests behind tests/data/dram: uint64 each, bit 0 = write, the rest the byte address."""

from __future__ import annotations

from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[1] / "data" / "dram"
GIB = 1 << 30


def request_stream(name: str, unit: int, n: int) -> np.ndarray:
    """Return the first `n` requests of a stream in units of 32, 64 or 128 bytes."""
    wide = 64 if unit == 32 else unit
    address, write = _STREAMS[name](wide)
    if unit == 32:
        address = np.stack([address, address + np.uint64(32)], 1).reshape(-1)
        write = None if write is None else np.repeat(write, 2)
    words = address if write is None else address | write.astype(np.uint64)
    return words[:n].astype("<u8")


def _seq(unit: int):
    return np.arange((64 << 20) // unit, dtype=np.uint64) * np.uint64(unit), None


def _randrw(unit: int, n: int = 200_000, seed: int = 777):
    rng = np.random.Generator(np.random.PCG64(seed))
    address = rng.integers(0, GIB // unit, size=n, dtype=np.uint64) * np.uint64(unit)
    return address, rng.random(n) < 1 / 3


def _stride8k(unit: int, n: int = 200_000, step: int = 8192):
    linear = np.arange(n, dtype=np.uint64) * np.uint64(step)
    return linear % np.uint64(GIB) + (linear // np.uint64(GIB)) * np.uint64(unit), None


def _st3_aligned(unit: int, bursts: int = 1024, burst: int = 4096):
    offset = np.arange(bursts, dtype=np.uint64)[:, None] * np.uint64(burst) + np.arange(
        burst // unit, dtype=np.uint64
    )[None, :] * np.uint64(unit)
    address = np.stack([offset + np.uint64(base) for base in (0, GIB // 4, GIB // 2)], axis=1)
    write = np.zeros(address.shape, dtype=bool)
    write[:, 2, :] = True
    return address.reshape(-1), write.reshape(-1)


_STREAMS = {"seq": _seq, "randrw": _randrw, "stride8k": _stride8k, "st3_aligned": _st3_aligned}
