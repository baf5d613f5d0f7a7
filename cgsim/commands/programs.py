"""Which programs are installed that tests use, and whether torch sees a GPU."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from cgsim.commands.finding import Finding, State, tried


def tools() -> Iterator[Finding]:
    """Look for the programs that tests use."""
    rtl = "tests of the RTL"
    yield tool("verilator", ["verilator"], rtl, minimum=5)
    yield tool("g++", ["g++"], rtl)
    yield tool("make", ["make"], rtl)
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    yield tool("chromium", names, "tests of reports")


def tool(name: str, programs: Iterable[str], purpose: str, minimum: int = 0) -> Finding:
    """Look for a program and ask it for its version.

    Args:
        name: of the program, and of its package.
        programs: names under which it may be installed.
        purpose: what it is for.
        minimum: lowest major version.
    """
    expected = f">={minimum}" if minimum else ""
    advice = f"sudo apt-get install {name}" if shutil.which("apt-get") else f"install {name}"
    path = next(filter(None, map(shutil.which, programs)), None)
    if path is None:
        return Finding("tool", name, "missing", "", expected, purpose, advice=advice)
    version = _version(path)
    if version is None:
        return Finding("tool", name, "broken", path, expected, purpose, advice=advice)
    state: State = "outdated" if int(version.partition(".")[0]) < minimum else "ok"
    return Finding("tool", name, state, version, expected, purpose, advice="" if state == "ok" else advice)


def _version(path: str) -> str | None:
    """The first version number in what `path --version` says."""
    try:
        told = subprocess.run(  # noqa: S603 (the path is that of a program which was looked for)
            [path, "--version"], capture_output=True, text=True, timeout=60, check=False, errors="replace"
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+(\.\d+)+", told)
    return found.group() if found else None


def gpu() -> Finding:
    """Does torch see a GPU. Imports torch, if it is installed."""

    def look() -> str:
        from cgsim.models.devices import cuda_devices

        return ", ".join(cuda_devices())

    purpose = "faster training"
    found, error = tried(look)
    if error.startswith("ModuleNotFoundError"):
        return Finding("tool", "CUDA", "missing", "torch is not installed", "", purpose)
    if error:
        return Finding("tool", "CUDA", "broken", error, "", purpose)
    return Finding("tool", "CUDA", "ok" if found else "missing", found or "torch sees no GPU", "", purpose)
