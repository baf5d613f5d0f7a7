"""Where the accelerators and traces that come with cgsim lie: in a checkout, or inside a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def shipped_dir(kind: Literal["hwconfigs", "traces"]) -> Path:
    """Return the folder of the shipped files of one kind.

    An installed wheel carries it as `cgsim/_shipped/<kind>`; a checkout, editable install included, has
    it beside the package.
    """
    package = Path(__file__).resolve().parent
    inside = package / "_shipped" / kind
    return inside if inside.is_dir() else package.parent / kind
