"""Whether the RTL can be built here, and how many layers agreed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from tests.conftest import VALIDATE
from tests.rtl import cosim

PACKAGES = "verilator g++ make"
"""Debian packages with everything that building the RTL needs."""

AGREED = pytest.StashKey[Counter[str]]()


@pytest.fixture
def rtl() -> None:
    """Skip, naming the packages, where the RTL cannot be built; in CI and in `make validate` fail."""
    need_tools()


def need_tools() -> None:
    """What the fixture `rtl` does."""
    missing = cosim.missing_tools()
    if not missing:
        return
    message = f"the RTL needs {', '.join(missing)}; on Debian and Ubuntu: sudo apt-get install {PACKAGES}"
    if os.environ.get("CI") or VALIDATE:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture
def agreed(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Count layers that agreed, for the summary of the test run: `agreed("random layers", 40)`."""
    counts = request.config.stash.setdefault(AGREED, Counter())

    def count(what: str, number: int) -> None:
        counts[what] += number

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell how many layers agreed in everything that was compared."""
    counts = config.stash.get(AGREED, Counter())
    for what, number in counts.items():
        terminalreporter.write_line(f"RTL: {number} {what} agree")
