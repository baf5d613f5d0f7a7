"""How kernels that allocate nothing are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

kernel: Any = njit(cache=True, _nrt=False)  # type: ignore[call-overload]
"""`njit` without reference counts, which cost up to three quarters of the time: no arrays may be made."""

inlined: Any = njit(cache=True, _nrt=False, forceinline=True)  # type: ignore[call-overload]
"""A `kernel` that becomes part of those that call it: for few callers and arguments of many words, which
every call copies."""

integer: Callable[[int], int] = np.int64  # type: ignore[assignment]
"""For a literal that is an argument: a function is compiled anew for every literal it is given."""
