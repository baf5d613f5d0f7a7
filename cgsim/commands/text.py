"""Plain text tables of 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from cgsim.commands.colour import paint
from cgsim.commands.parser import WIDTH
from cgsim.shorten import shorten


def columns(
    rows: Sequence[Mapping[str, Any]],
    heads: Mapping[str, str],
    text: Sequence[str] = (),
    optional: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> str:
    """Return rows as aligned columns; `heads` maps key to heading, at most two lines divided by a newline.

    Until the table fits, keys in `optional` are left out, the last one first, and those in `text`, which are
    left-aligned, shortened in the middle. Where stdout is coloured, the heading is bold and a cell that is a
    key of `styles` has that style.
    """
    cells = {key: [_cell(row.get(key)) for row in rows] for key in heads}
    upper, lower = {}, {}
    for key, head in heads.items():
        above, newline, below = head.partition("\n")
        upper[key], lower[key] = (above, below) if newline else ("", above)
    width = {key: max(map(len, [upper[key], lower[key], *cells[key]])) for key in heads}
    spare = list(optional)
    while spare and sum(width.values()) + len(width) > WIDTH:
        del width[spare.pop()]
    heads = {key: heads[key] for key in width}
    gap = 2 if sum(width.values()) + 2 * (len(width) - 1) < WIDTH else 1
    over = sum(width.values()) + gap * (len(width) - 1) - (WIDTH - 1)
    for key in [key for key in text if key in width]:
        less = min(max(over, 0), max(width[key] - 10, 0))
        width[key] -= less
        over -= less
    table = [upper, lower, *({key: cells[key][i] for key in heads} for i in range(len(rows)))]
    lines = []
    for i, row in enumerate(table):
        parts = []
        for key in heads:
            cell = (
                shorten(row[key], width[key]).ljust(width[key]) if key in text else row[key].rjust(width[key])
            )
            style = (styles or {}).get(row[key]) if i > 1 else None
            parts.append(cell.replace(row[key], paint(row[key], style)) if style else cell)
        line = (" " * gap).join(parts).rstrip()
        lines.append(paint(line, "bold") if i < 2 else line)  # i < 2: the heading
    lines.insert(2, "─" * (sum(width.values()) + gap * (len(width) - 1)))
    return "\n".join(line for i, line in enumerate(lines) if i or line)


def emphasized(table: str) -> str:
    """Return a finished table; its heading, up to two lines above the first rule, is bold where wanted."""
    lines = table.split("\n")
    rule = next((i for i, line in enumerate(lines) if line and not line.strip("─ ")), 0)
    for i in range(rule - 1, max(rule - 3, -1), -1):
        if not lines[i]:
            break
        lines[i] = paint(lines[i], "bold")
    return "\n".join(lines)


def pairs(values: Mapping[str, Any]) -> str:
    """Return `key  value` lines; values are wrapped to the width, empty ones are left out."""
    import textwrap

    shown = {key: _cell(value) for key, value in values.items() if value not in (None, "", {}, [])}
    width = max((len(key) for key in shown), default=0) + 2
    lines = []
    for key, value in shown.items():
        wrapped = textwrap.wrap(value, WIDTH - 1 - width, break_on_hyphens=False) or [""]
        lines += [(key if i == 0 else "").ljust(width) + line for i, line in enumerate(wrapped)]
    return "\n".join(lines)


def paragraph(words: str, indent: str = "  ") -> str:
    """Return words wrapped to the width of a terminal, further lines indented; no word is cut."""
    return textwrap.fill(
        words, WIDTH - 1, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def counted(number: int, thing: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a time for people: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "-"
        return f"{value:.3f}" if abs(value) < 1 else f"{value:.4g}"
    if isinstance(value, Mapping):
        plain = {key: item for key, item in value.items() if not isinstance(item, (Mapping, list, tuple))}
        told = ", ".join(f"{key} {_cell(item)}" for key, item in plain.items() if item is not None)
        return told + (", ..." if len(plain) < len(value) else "")
    if isinstance(value, (list, tuple)):
        return "×".join(str(item) for item in value)
    return str(value)
