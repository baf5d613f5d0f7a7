"""Simulators of the RTL: one per array and size of its memories, kept in the user's cache."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "rtl"
FLAGS = ("-O3", "-fno-reorder", "-Wall", "--unroll-count", "4096", "--unroll-stmts", "1")
"""Loops over PEs stay loops (`--unroll-stmts`), only generate loops are unrolled; looking for a better order
of statements (`-fno-reorder`) would take Verilator longer than all the rest."""
OPTIMISED_PES = 256
"""Arrays with more PEs are compiled with -O1: a quarter slower, but g++ would need minutes."""
KEPT = 60
"""Simulators that stay in the cache."""


@dataclass(frozen=True)
class BuildKey:
    """An array, and how much its gate unit and buffers can hold."""

    rows: int
    cols: int
    groups: int
    kind: str
    """`stationary` (`ws`, `is`) or `output` (`os`)."""
    window: int = 64
    queue: int = 16
    large: bool = False
    """Room for layers of millions of outputs."""

    @property
    def optimisation(self) -> str:
        """What make is told: how hard to optimise what runs every cycle, what runs once, and the library."""
        level = 2 if self.rows * self.cols <= OPTIMISED_PES else 1
        return f"OPT_FAST=-O{level} OPT_SLOW=-O0 OPT_GLOBAL=-O2"

    def parameters(self) -> dict[str, str]:
        """The parameters of rtl/gated_array.sv."""
        depth, items, own, parts, thresholds = (20, 16, 18, 13, 14) if self.large else (14, 11, 12, 9, 10)
        return {
            "ROWS": str(self.rows),
            "COLS": str(self.cols),
            "GROUPS": str(self.groups),
            "OUTPUT": "1'b1" if self.kind == "output" else "1'b0",
            "WINDOW": str(self.window),
            "QUEUE": str(self.queue),
            "DEPTH": str(1 << depth),
            "ITEMS": str(1 << items),
            "OWN": str(1 << own),
            "PARTS": str(1 << parts),
            "THRESHOLDS": str(1 << thresholds),
        }


def missing_tools() -> list[str]:
    """Debian packages that a build needs and that are not installed."""
    return [package for package in ("verilator", "g++", "make") if shutil.which(package) is None]


@functools.cache
def build_simulator(key: BuildKey) -> Path:
    """The simulator, from the cache if its sources and its Verilator are those of now.

    Raises:
        RuntimeError: tools are missing, or the build failed.
    """
    if missing_tools():
        raise RuntimeError(f"RTL needs the Debian packages {', '.join(missing_tools())}")
    folder = _cache() / _digest(key)
    program = folder / "simulator"
    if program.exists():
        os.utime(folder)
        return program
    _forget(folder.parent)
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder.parent) as work:
        _lend_library(folder.parent, Path(work))
        _verilate(key, Path(work))
        _keep_library(Path(work), folder.parent)
        made = Path(work) / "done"
        made.mkdir()
        shutil.copy2(Path(work) / "simulator", made / "simulator")
        try:
            made.rename(folder)  # whoever comes second finds the folder there, and his own is dropped
        except OSError:
            if not program.exists():
                raise
    return program


def sources() -> list[Path]:
    """All modules, the package first."""
    return sorted(SOURCES.glob("*.sv"), key=lambda path: ("pkg" not in path.name, path.name))


def _verilate(key: BuildKey, work: Path) -> None:
    parameters = key.parameters()
    macros = f"-DROWS={key.rows} -DCOLS={key.cols} -DGROUPS={key.groups} -DOUTPUT={int(key.kind == 'output')}"
    command = ["verilator", "--cc", "--exe", "--build", "--top-module", "gated_array", *FLAGS]
    command += [f"-G{name}={value}" for name, value in parameters.items()]
    lent = "".join(f" -o {name}" for name in LIBRARY if (work / name).exists())  # make's -o: as good as new
    command += [
        "-CFLAGS",
        macros,
        "-MAKEFLAGS",
        key.optimisation + lent,
        "--Mdir",
        str(work),
        "-o",
        "simulator",
    ]
    command += [*map(str, sources()), str(SOURCES / "cosim.cpp")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{key}: verilator failed\n{done.stdout}\n{done.stderr}")


LIBRARY = ("verilated.o", "verilated_threads.o")
"""Verilator's own part of a simulator: the same in all, and half of what it takes to build a small one."""


def _library(cache: Path) -> Path:
    return cache / f"library-{hashlib.blake2b(_verilator_version().encode(), digest_size=8).hexdigest()}"


def _lend_library(cache: Path, work: Path) -> None:
    """Hand the build what an earlier one compiled."""
    for name in LIBRARY:
        if (_library(cache) / name).exists():
            shutil.copyfile(_library(cache) / name, work / name)


def _keep_library(work: Path, cache: Path) -> None:
    _library(cache).mkdir(exist_ok=True)
    for name in LIBRARY:
        if (work / name).exists() and not (_library(cache) / name).exists():
            (work / name).replace(_library(cache) / name)  # at once: others may be reading


@functools.cache
def _verilator_version() -> str:
    return subprocess.run(["verilator", "--version"], capture_output=True, text=True, check=True).stdout


def _digest(key: BuildKey) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in [*sources(), SOURCES / "cosim.cpp"]:
        digest.update(path.read_bytes())
    digest.update(
        repr((asdict(key), key.parameters(), FLAGS, key.optimisation, _verilator_version())).encode()
    )
    return digest.hexdigest()


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cgsim" / "rtl"
    home.mkdir(parents=True, exist_ok=True)
    return home


def _forget(home: Path) -> None:
    """Remove all but the simulators that were used last."""
    built = [path for path in home.iterdir() if (path / "simulator").exists()]
    built.sort(key=lambda path: path.stat().st_mtime)
    for path in built[: max(0, len(built) - KEPT)]:
        shutil.rmtree(path, ignore_errors=True)
