"""One thing that `cgsim doctor` looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["ok", "missing", "outdated", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        group: library, the name of an extra, tool, kernels or shipped.
        name: of the library, tool, trace or accelerator.
        state: ok; missing; outdated (a version outside of the range, too new ones included); broken.
        found: what is there, such as a version; "" if nothing.
        expected: a range of versions, or "".
        purpose: what it is for.
        required: without it cgsim does not work as it should.
        advice: how to get it; "" if it is there or nothing can be done.
    """

    group: str
    name: str
    state: State
    found: str = ""
    expected: str = ""
    purpose: str = ""
    required: bool = False
    advice: str = ""


def tried(look: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """What `look` returns, and "" or how it failed: a doctor tells of everything, and stops at nothing."""
    try:
        return look(*arguments), ""
    except Exception as error:
        return None, " ".join(f"{type(error).__name__}: {error}".split())
