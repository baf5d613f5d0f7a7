"""Long names in narrow columns."""

from __future__ import annotations


def shorten(name: str, width: int) -> str:
    """Return `name`, its middle replaced by `…` if it is longer than `width`; the ends tell more."""
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"
