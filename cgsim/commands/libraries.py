"""Which libraries are installed, against the ranges of versions that cgsim was made for."""

from __future__ import annotations

import importlib
import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cgsim.commands.extras import pip_line
from cgsim.commands.finding import Finding, State, tried

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of cgsim itself."""
EXTRAS = {
    "cluster": "sweeps on a Dask cluster",
    "search": "cgsim optimize",
    "report": "cgsim report",
    "cacti": "SRAMs by CACTI (Python 3.12)",
    "models": "training and recording",
    "docs": "building the documentation",
    "dev": "tests, lint, notebooks",
}
"""What each extra of pyproject.toml is for."""
DEVELOPERS = ("docs", "dev")
"""Extras that are of use in a checkout only."""
_MODULES = {"pyyaml": "yaml"}


def checkout() -> Path | None:
    """Return the folder of the checkout that cgsim runs from, None if it is installed as a wheel."""
    folder = PACKAGE.parent
    return folder if (folder / "pyproject.toml").is_file() and (folder / "hwconfigs").is_dir() else None


def requirements() -> tuple[str, dict[str, list[str]]]:
    """Return the range of Python versions, and the requirements of each extra ("" for cgsim itself).

    Read from pyproject.toml in a checkout, whose installed metadata may be older, else from the metadata;
    there without what developers need, who have a checkout.
    """
    folder = checkout()
    if folder is not None:
        import tomllib

        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return project["requires-python"], {"": project["dependencies"], **project["optional-dependencies"]}
    told = metadata.metadata("cgsim")
    found: dict[str, list[str]] = {"": []}
    for line in metadata.requires("cgsim") or []:
        requirement, _, marker = line.partition(";")
        match = re.search(r"extra == ['\"](.+?)['\"]", marker)
        extra = match.group(1) if match else ""
        version = re.search(r"python_version [<>=!]+ ['\"][\d.]+['\"]", marker)
        if extra not in DEVELOPERS:
            line = f"{requirement.strip()}; {version[0]}" if version else requirement.strip()
            found.setdefault(extra, []).append(line)
    return told["Requires-Python"], found


def python() -> Finding:
    """Is this Python one that cgsim runs on."""
    from packaging.specifiers import SpecifierSet

    wanted, _ = requirements()
    version = platform.python_version()
    fine = SpecifierSet(wanted).contains(version, prereleases=True)
    return Finding("library", "Python", "ok" if fine else "outdated", version, wanted, required=True)


def libraries() -> Iterator[Finding]:
    """Compare what is installed with the ranges of versions that cgsim was made for.

    What cgsim itself needs is imported as well: NumPy and Numba of versions that do not fit show only there.
    """
    from packaging.requirements import Requirement

    for extra, lines in requirements()[1].items():
        for requirement in map(Requirement, lines):
            if requirement.name == "cgsim":  # dev holds the other extras
                continue
            if requirement.marker is None or requirement.marker.evaluate():
                yield look_for(requirement, extra)


def look_for(requirement: Requirement, extra: str = "") -> Finding:
    """Look at one library; import it if it is of no extra."""
    expected = ", ".join(sorted(map(str, requirement.specifier), reverse=True))
    advice = pip_line(extra) if extra else f"pip install '{requirement}'"
    found = ""
    state: State = "missing"
    try:
        found = metadata.version(requirement.name)
        state = "ok" if requirement.specifier.contains(found, prereleases=True) else "outdated"
    except metadata.PackageNotFoundError:
        pass
    if found and not extra:
        name = _MODULES.get(requirement.name, requirement.name)
        error = tried(importlib.import_module, name)[1]
        if error:
            found, state, advice = (
                f"{found}: {error}",
                "broken",
                f"pip install --force-reinstall '{requirement}'",
            )
    return Finding(
        extra or "library",
        requirement.name,
        state,
        found,
        expected,
        EXTRAS.get(extra, ""),
        not extra,
        "" if state == "ok" else advice,
    )
