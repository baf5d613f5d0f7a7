"""Libraries that only some commands need: the extras of pyproject.toml."""

from __future__ import annotations

import importlib.util

from cgsim.errors import CgsimError


def need(extra: str, *libraries: str, what: str) -> None:
    """Check, without importing them, that the libraries of an extra are installed.

    Args:
        extra: name of the extra, such as `search`.
        libraries: names to import, such as `optuna`.
        what: what needs them, such as `cgsim optimize`.

    Raises:
        CgsimError: one is not; the message names the command that installs the extra.
    """
    for name in libraries:
        if importlib.util.find_spec(name) is None:
            verb = "need" if " and " in what else "needs"
            raise CgsimError(f"{name} is not installed; {what} {verb}: {pip_line(extra)}")


def pip_line(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'cgsim[{extra}]'"
