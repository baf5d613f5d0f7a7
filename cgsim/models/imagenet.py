"""ImageNet as users have it on disk, and folders of photographs without splits; decoded when needed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import cast

import numpy as np

from cgsim.errors import CgsimError
from cgsim.models.data import Dataset, ImageSet
from cgsim.models.pictures import Pictures

SUFFIXES = (".jpg", ".jpeg", ".png")
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
"""Of ImageNet's training images, scaled to 0..1, as every published network of torchvision has them."""
TEST_SHARE, SPLIT_SEED = 5, 0
"""One of so many photographs without a split is for testing; which ones, this seed decides."""
_SPLITS = ("train", "val")
_WNID = re.compile(r"n\d{8}")

Row = tuple[str, str, Callable[[], bytes]]
"""Class, id, and a function that reads the file."""


class PictureDataset(Dataset):
    """A data set of photographs; its statistics are ImageNet's, whatever the pictures."""

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel of ImageNet."""
        return list(MEAN), list(DEVIATION)


def load(root: Path) -> Dataset | None:
    """The photographs at `root`, None if it has another layout.

    {train,val}/CLASS/NAME.jpg is ImageNet's (classes sorted by name, which for WNIDs is their usual order).
    CLASS/NAME.jpg, or a .zip of it with or without a folder around, has no split: a seeded fifth of the
    pictures is for testing. Raises CgsimError if a split is empty or a class of `val` is not in `train`.
    """
    if root.is_file():
        return _unsplit(root, _zip_rows(root))
    if all((root / split).is_dir() for split in _SPLITS):
        return _split(root)
    if any((root / split).exists() for split in ("train", "test")):
        return None
    return _unsplit(root, _folder_rows(root))


def _split(root: Path) -> Dataset:
    tables = {split: _folder_rows(root / split) for split in _SPLITS}
    for split, rows in tables.items():
        if not rows:
            raise CgsimError(
                f"data {str(root)!r}: no images {split}/CLASS/NAME.jpg; ImageNet's validation images must "
                f"lie in folders by class, as the training images do"
            )
    classes = tuple(sorted({name for name, _id, _read in tables["train"]}))
    strange = sorted({name for name, _id, _read in tables["val"]} - set(classes))
    if strange:
        raise CgsimError(f"data {str(root)!r}: class {strange[0]!r} is in val, but not in train")
    name = (
        "ImageNet" if len(classes) == 1000 and _are_wnids(classes) else f"{root.resolve().name} (photographs)"
    )
    sets = [_image_set(root, rows, classes, split) for split, rows in tables.items()]
    return PictureDataset(name, classes, *sets)


def _unsplit(root: Path, rows: list[Row]) -> Dataset | None:
    classes = tuple(sorted({name for name, _id, _read in rows}))
    if len(rows) < TEST_SHARE or len(classes) < 2:
        return None
    order = np.random.default_rng(SPLIT_SEED).permutation(len(rows))
    tested = len(rows) // TEST_SHARE
    test, train = np.sort(order[:tested]), np.sort(order[tested:])
    kind = "ImageNet photographs" if _are_wnids(classes) else f"photographs ({root.stem})"
    sets = [
        _image_set(root, [rows[i] for i in picks], classes, split)
        for split, picks in (("train", train), ("test", test))
    ]
    return PictureDataset(f"{len(rows):,} {kind}", classes, *sets)


def _are_wnids(classes: Iterable[str]) -> bool:
    return all(_WNID.fullmatch(name) for name in classes)


def _image_set(root: Path, rows: list[Row], classes: tuple[str, ...], split: str) -> ImageSet:
    index = {name: place for place, name in enumerate(classes)}
    ids = [f"{split}/{ident}" for _name, ident, _read in rows]
    pictures = Pictures([read for _name, _id, read in rows], ids, str(root))
    labels = np.array([index[name] for name, _id, _read in rows], np.int64)
    return ImageSet(cast(np.ndarray, pictures), labels, ids)


def _folder_rows(root: Path) -> list[Row]:
    files = (file for place in sorted(root.iterdir()) if place.is_dir() for file in sorted(place.iterdir()))
    return [
        (file.parent.name, f"{file.parent.name}/{file.name}", file.read_bytes)
        for file in files
        if file.suffix.lower() in SUFFIXES
    ]


def _zip_rows(root: Path) -> list[Row]:
    """Pictures of a .zip as CLASS/NAME, unless they lie in folders of splits."""
    archive = zipfile.ZipFile(root)  # stays open: its members are read when needed
    rows: list[Row] = []
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        parts = PurePosixPath(info.filename).parts
        if not 2 <= len(parts) <= 3 or not parts[-1].lower().endswith(SUFFIXES):
            continue
        if len(parts) == 3 and parts[0] in ("train", "test", "val"):
            return []
        rows.append((parts[-2], "/".join(parts[-2:]), partial(archive.read, info)))
    return rows
