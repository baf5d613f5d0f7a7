"""The image beside its gates."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from cgsim.errors import CgsimError


def load_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """Return an image as matplotlib shows it: [H, W] grey or [H, W, 3 or 4].

    Args:
        path: PNG, JPEG or another format that Pillow reads, or a NumPy file (.npy) with [H, W], [H, W, C] or
            [C, H, W].

    Raises:
        CgsimError: the file is missing or holds no image.
    """
    import matplotlib.image

    if not Path(path).is_file():
        raise CgsimError(f"{path}: no such file, expected an image")
    try:
        found = np.load(path) if str(path).endswith(".npy") else matplotlib.image.imread(str(path))
    except (OSError, ValueError, SyntaxError) as error:  # Pillow calls some damaged files a SyntaxError
        reason = " ".join(str(error).split())[:120]
        raise CgsimError(f"{path}: not an image that can be read: {reason}") from error
    return as_picture(found, str(path))


def as_picture(values: np.ndarray, name: str = "image") -> np.ndarray:
    """Return [H, W], [H, W, C] or [C, H, W] as matplotlib shows it; raises CgsimError for another shape."""
    found = np.asarray(values)
    if found.ndim == 3 and found.shape[2] not in (1, 3, 4) and found.shape[0] in (1, 3, 4):
        found = np.moveaxis(found, 0, -1)
    if found.ndim == 3 and found.shape[2] == 1:
        found = found[..., 0]
    good = found.ndim == 2 or (found.ndim == 3 and found.shape[2] in (3, 4))
    if not good or not found.size or found.dtype.kind not in "uifb":
        shape = list(found.shape)
        raise CgsimError(f"{name}: expected an image, [H, W] or [H, W, 3], got {found.dtype} {shape}")
    if found.ndim == 3 and found.dtype.kind == "f" and found.max() > 1:
        found = found / 255
    return found
