"""Colours: on terminals only, few, and never the only thing that tells."""

from __future__ import annotations

import os
import sys
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def coloured(stream: TextIO | None = None) -> bool:
    """Return True if text on a stream (default: stdout) is to be coloured.

    `NO_COLOR` forbids it (no-color.org), `FORCE_COLOR` then asks for it (force-color.org), both unless empty;
    else it takes a terminal that is not dumb.
    """
    stream = sys.stdout if stream is None else stream
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    try:
        return os.environ.get("TERM") != "dumb" and stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def paint(text: str, *styles: str, stream: TextIO | None = None) -> str:
    """Return `text` in styles (bold, dim, red, green, yellow, cyan), or as it is where none are wanted.

    To be called after the text is padded: the codes take no room on the screen but count as characters.
    """
    if not styles or not text or not coloured(stream):
        return text
    return f"\033[{';'.join(_CODES[style] for style in styles)}m{text}\033[0m"
