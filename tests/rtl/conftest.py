"""Whether the RTL can be built here, and how many layers agreed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import VALIDATE
from tests.rtl import cosim
from tests.rtl.simulator import BuildKey, build_simulator

PACKAGES = "verilator g++ make"
"""Debian packages with everything that building the RTL needs."""

AGREED = pytest.StashKey[Counter[str]]()


@pytest.fixture
def rtl() -> None:
    """Skip, naming the packages, where the RTL cannot be built; in CI and in `make validate` fail."""
    need_tools()


@pytest.fixture(scope="session")
def simulators(request: pytest.FixtureRequest) -> None:
    """Build the arrays of all tests that were chosen, side by side; skips or fails as `rtl` does."""
    need_tools()
    found = [getattr(item, "callspec", None) for item in request.session.items]
    builds = {spec.params["build"] for spec in found if spec is not None and "build" in spec.params}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda build: build_simulator(BuildKey(**vars(build))), builds))


def need_tools() -> None:
    """Skip or fail as `rtl` does; nothing if all tools are there."""
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
