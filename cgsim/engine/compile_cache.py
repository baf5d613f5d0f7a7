"""Where Numba keeps compiled kernels: one folder per state of the kernels' sources.

Numba recompiles a kernel when its own file changes, but not when a kernel that it calls changes in another
file: after an update it would go on with the old one and count wrong cycles. A folder named after a hash of
all sources cannot go stale.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

KEPT = 4
"""Folders of earlier states that stay, for those who switch between versions."""


def use_compile_cache() -> None:
    """Point Numba at this state's folder in the user's cache, unless NUMBA_CACHE_DIR is set."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    package = Path(__file__).parent.parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted([*package.glob("engine/*.py"), *package.glob("mapping/*.py")]):
        digest.update(path.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cgsim" / "kernels"
    folder = home / digest.hexdigest()
    if not folder.exists():
        _forget(home)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    else:
        os.environ["NUMBA_CACHE_DIR"] = str(folder)


def _forget(home: Path) -> None:
    """Remove all but the newest folders of other states."""
    if home.is_dir():
        old = sorted(
            (path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
        for path in old[: max(0, len(old) - KEPT)]:
            shutil.rmtree(path, ignore_errors=True)
