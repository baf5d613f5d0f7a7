"""What phases and stall causes are called where people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OPERANDS = {"ws": "load weights", "is": "load stationary inputs", "os": "load row addresses"}
"""What the phase `load_weights` shifts into the array: the operands that stay, by dataflow."""


def shown(name: str, hardware: Mapping[str, Any]) -> str:
    """Return the name of a phase or stall cause of `cgsim.engine.columns` in plots and tables of a run."""
    if name == "load_weights":
        return _OPERANDS.get(str(hardware["array"].get("dataflow")), "load operands")
    return name.replace("_", " ")


def batch_of(hardware: Mapping[str, Any]) -> int:
    """Return how many samples share folds on this accelerator (1 unless `mapping.batch` says more)."""
    return int(hardware.get("mapping", {}).get("batch", 1))
