"""How kernels that allocate nothing are compiled."""

from __future__ import annotations

from typing import Any

from numba import njit

kernel: Any = njit(cache=True, _nrt=False)  # type: ignore[call-overload]
"""`njit` without reference counts, which cost up to three quarters of the time: no arrays may be made."""
