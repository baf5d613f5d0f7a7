"""What `cgsim doctor` looks at: libraries, tools, the kernels' cache, what ships with cgsim."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cgsim.commands.finding import Finding, tried
from cgsim.commands.libraries import libraries, python
from cgsim.commands.programs import gpu, tools
from cgsim.shipped import shipped_dir


def machine() -> dict[str, Any]:
    """Return what cgsim runs on: `platform`, `cores` (that it may use), `memory_bytes` (None if unknown)."""
    return {
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory(),
    }


def _memory() -> int | None:
    """Bytes of memory, or what a container is allowed of it."""
    limits = []
    with contextlib.suppress(AttributeError, OSError, ValueError):  # not POSIX
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no container, or no limit ("max")
            limits.append(int(Path(file).read_text(encoding="ascii")))
    return min(limits, default=None)


def examine() -> Iterator[Finding]:
    """Look at everything, one finding after another. Takes some seconds where torch is installed."""
    found, error = tried(lambda: [python(), *libraries()])
    if error:  # versions cannot be compared
        advice = "pip install 'packaging>=23'"
        yield Finding("library", "packaging", "broken", error, required=True, advice=advice)
    yield from found or ()
    yield from tools()
    yield gpu()
    yield kernels()
    yield from shipped()


def kernels() -> Finding:
    """Where compiled kernels are kept, and whether there are any."""

    def look() -> tuple[str, bool]:
        import cgsim.engine  # noqa: F401 (tells Numba the folder, as before each simulation)

        numba = sys.modules.get("numba")  # that was told; else the environment was
        folder = numba.config.CACHE_DIR if numba is not None else os.environ["NUMBA_CACHE_DIR"]
        return folder, next(Path(folder).rglob("*.nbi"), None) is not None

    found, error = tried(look)
    if error or found is None:
        return Finding("kernels", "kernels", "broken", error, required=True)
    folder, done = found
    if Path(folder).name.startswith("cgsim-kernels-") and Path(folder).parent == Path(tempfile.gettempdir()):
        advice = "set NUMBA_CACHE_DIR to a folder that can be written"
        told = "no folder to keep them: compiled anew by each process"
        return Finding("kernels", "kernels", "missing", told, advice=advice)
    told = "compiled" if done else "not compiled yet: the first simulation does it, for a minute or more"
    return Finding("kernels", "kernels", "ok", f"{told}; in {folder}")


def shipped() -> Iterator[Finding]:
    """Open every trace and load every accelerator that comes with cgsim."""

    def images(path: Path) -> str:
        from cgsim.trace import load_trace

        return f"{load_trace(path).n_samples} images"

    def array(path: Path) -> str:
        from cgsim.hardware import load_hardware

        found = load_hardware(path).array
        return f"{found.rows} x {found.cols} array"

    for kind, pattern, look in (
        ("traces", "*.trace.parquet", images),
        ("hwconfigs", "*.yaml", array),
    ):
        folder = shipped_dir(kind)  # type: ignore[arg-type]
        paths = sorted(folder.glob(pattern))
        if not paths:
            yield Finding("shipped", kind, "missing", f"nothing in {folder}", required=True)
        for path in paths:
            found, error = tried(look, path)
            name = path.name.removesuffix(pattern[1:])
            yield Finding("shipped", name, "broken" if error else "ok", error or found or "", required=True)


def interpreter() -> dict[str, str | None]:
    """Return the Python that runs, and the command `cgsim` that a shell would find."""
    return {"executable": sys.executable, "command": shutil.which("cgsim")}
