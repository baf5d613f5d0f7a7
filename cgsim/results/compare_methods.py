"""What a method looks like in the plots of a comparison: one colour and one mark, the same in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.lines import Line2D

from cgsim.results import style

_KNOWN = {
    "cgnet": (style.BLUE, "o"),
    "gate-decorator": (style.VERMILLION, "s"),
    "batch-shaping": (style.GREEN, "^"),
    "mixture-of-depths": (style.PURPLE, "D"),
    "user": (style.ORANGE, "v"),
    "dense": (style.BLACK, "P"),
}
"""Colours that colour-blind readers tell apart, and marks that tell methods apart in grey."""
_SYNTHETIC = {
    "activation": (style.SKY, "o"),
    "static": (style.ORANGE, "s"),
    "channel": (style.GREY, "^"),
    "pixel": (style.PURPLE, "X"),
}
_OTHER = (style.GREY, "h")
MERGED = ", merged"


@dataclass(frozen=True)
class Look:
    """Colour and mark; a network whose pruned channels are gone (merged) has a hollow mark."""

    colour: str
    mark: str
    hollow: bool = False
    size: float = 6.0

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of a matplotlib line with marks."""
        return {
            "color": self.colour,
            "marker": self.mark,
            "markersize": self.size,
            "markerfacecolor": "none" if self.hollow else self.colour,
            "markeredgecolor": self.colour if self.hollow else "white",
            "markeredgewidth": 1.2 if self.hollow else 0.6,
            "linewidth": 1.1,
            "linestyle": (0, (3, 1.5)) if self.hollow else "-",
        }

    def handle(self, label: str) -> Line2D:
        """Return the entry of a legend."""
        return Line2D([], [], **self.line, label=label)


def method_of(row: Mapping[str, Any]) -> str:
    """Return the name that plots give the method of a row: gates tell synthetic traces apart."""
    method, gates = str(row["method"]), str(row["gates"])
    if method == "synthetic":
        return f"synthetic, {gates}"
    return method if gates or method in ("dense", "user") else f"{method}{MERGED}"


def is_ungated(row: Mapping[str, Any]) -> bool:
    """Return whether a row is the ungated network itself, which plots mark as such."""
    return not row["gates"] and row["baseline"] == row["trace"]


def looks(rows: Sequence[Mapping[str, Any]]) -> dict[str, Look]:
    """Return the look of every method of the rows, in the order of `_KNOWN`."""
    found = {method_of(row): look_of(row) for row in rows if not is_ungated(row)}
    order = list(_KNOWN)
    return dict(sorted(found.items(), key=lambda item: _rank(item[0], order)))


def look_of(row: Mapping[str, Any]) -> Look:
    """Return the look of a row; the ungated network is a star."""
    if is_ungated(row):
        return Look(style.BLACK, "*", size=10.0)
    name, gates = method_of(row), str(row["gates"])
    if row["method"] == "synthetic":
        return Look(*_SYNTHETIC.get(gates, _OTHER))
    merged = name.endswith(MERGED)
    return Look(*_KNOWN.get(str(row["method"]), _OTHER), hollow=merged, size=8.0 if merged else 6.0)


def _rank(name: str, order: Sequence[str]) -> tuple[int, str]:
    method = name.removesuffix(MERGED)
    return (order.index(method) if method in order else len(order), name)
