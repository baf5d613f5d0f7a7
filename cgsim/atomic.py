"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cgsim.errors import CgsimError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; move it to `path` when the block ends well.

    The folder is made if it is missing. On any exception, an interrupt included, the temporary file is
    removed and a file that already had the name keeps its contents. An OSError names `path`, not the
    temporary file.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:  # on the disk before it has the name
            os.fsync(file.fileno())
        temporary.replace(final)
    except OSError as error:
        raise CgsimError(f"{final}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
