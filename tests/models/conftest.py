from __future__ import annotations

import numpy as np
import pytest
import torch

from cgsim.models.data import Dataset, ImageSet, image_set


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def synthetic(count: int, split: str, seed: int, shape: tuple[int, int, int] = (1, 12, 12)) -> ImageSet:
    """Images whose label is the bright quadrant."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = rng.integers(0, 60, (count, *shape)).astype(np.uint8)
    half = shape[1] // 2
    for image, label in zip(images, labels, strict=True):
        rows, columns = divmod(int(label), 2)
        image[:, rows * half : (rows + 1) * half, columns * half : (columns + 1) * half] += 150
    return image_set(images, labels, split, "synthetic")


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return Dataset("quadrants", ("a", "b", "c", "d"), synthetic(96, "train", 0), synthetic(40, "test", 1))
