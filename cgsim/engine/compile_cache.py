"""Where Numba keeps compiled kernels: one folder per state of the kernels' sources.

Numba recompiles a kernel when its own file changes, but not when a kernel that it calls changes in another
file: after an update it would go on with the old one and count wrong cycles. A folder named after a hash of
the kernels' sources and of all modules that these import cannot go stale.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

_KERNEL = re.compile(rb"^@(njit|kernel|inlined)\b", re.MULTILINE)
_IMPORT = re.compile(rb"^from cgsim\.([a-z_.0-9]+) import", re.MULTILINE)

KEPT = 4
"""Folders of earlier states that stay, for those who switch between versions."""


def use_compile_cache() -> None:
    """Point Numba at this state's folder in the user's cache, unless NUMBA_CACHE_DIR is set.

    Where the cache cannot be written, kernels are compiled anew for this process.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    folder = str(cache_folder())
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = folder
    else:
        os.environ["NUMBA_CACHE_DIR"] = folder


def cache_folder() -> Path:
    """The folder of this state, which exists and can be written."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cgsim" / "kernels"
    folder = home / source_digest(Path(__file__).parent.parent)
    try:
        if not folder.exists():
            _forget(home)
            folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass  # no cache to be had: use a folder that lives as long as the process
    private = Path(tempfile.mkdtemp(prefix="cgsim-kernels-"))
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    return private


def compiled() -> bool:
    """False if this state's kernels have never been compiled, which takes a while."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return folder is not None and next(Path(folder).rglob("*.nbi"), None) is not None


def source_digest(package: Path) -> str:
    """Hash of all sources that kernels are made of, 16 hex digits."""
    digest = hashlib.blake2b(digest_size=8)
    for path in kernel_sources(package):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def kernel_sources(package: Path) -> list[Path]:
    """Modules of dram, engine and mapping with kernels in them, and those that these import of them."""
    texts = {
        path.relative_to(package).with_suffix("").as_posix().replace("/", "."): path.read_bytes()
        for part in ("dram", "engine", "mapping")
        for path in package.glob(f"{part}/*.py")
    }
    found: set[str] = set()
    left = [name for name, text in texts.items() if _KERNEL.search(text)]
    while left:
        name = left.pop()
        if name in texts and name not in found:
            found.add(name)
            left += [imported.decode() for imported in _IMPORT.findall(texts[name])]
    return [package / f"{name.replace('.', '/')}.py" for name in sorted(found)]


def _forget(home: Path) -> None:
    """Remove all but the newest folders of other states."""
    if home.is_dir():
        old = sorted(
            (path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
        for path in old[: max(0, len(old) - KEPT)]:
            shutil.rmtree(path, ignore_errors=True)
