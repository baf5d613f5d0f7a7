"""Image folders {train,test}/CLASS/NAME.jpg, in a directory or a .zip, packed once into the user's cache."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from cgsim.atomic import atomic_path
from cgsim.errors import CgsimError
from cgsim.models.data import CIFAR10_CLASSES, HOW_TO_GET, Dataset, image_set

_SUFFIXES = (".jpg", ".jpeg", ".png")
UNREADABLE = (OSError, ValueError, RuntimeError, SyntaxError, zlib.error, zipfile.BadZipFile)
"""What Pillow and zipfile raise for damaged, encrypted or foreign files."""
Entry = tuple[str, str, str, Callable[[], bytes]]
"""Split, class, id, and a function that reads the file."""


def cache_directory() -> Path:
    """Where packed data sets are kept: $XDG_CACHE_HOME/cgsim/datasets, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cgsim" / "datasets"


def load(root: Path) -> Dataset:
    """Read the folder or .zip at `root`, from the cache if it has not changed since; else fill the cache."""
    cached = cache_directory() / f"{_key(root)}.npz"
    if cached.is_file():
        try:
            return _read_cache(cached, root)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            cached.unlink(missing_ok=True)
    if root.is_file():
        with zipfile.ZipFile(root) as archive:
            dataset = _convert(root, _zip_entries(archive))
    else:
        dataset = _convert(root, _folder_entries(root))
    _write_cache(cached, dataset)
    return dataset


def _key(root: Path) -> str:
    """Hash of the place and of name, time and size of the .zip or of every image: any change is noticed."""
    places = [root] if root.is_file() else _folder_files(root)
    about = [(str(path), path.stat()) for path in places]
    state = [str(root.resolve()), [(name, stat.st_mtime_ns, stat.st_size) for name, stat in about]]
    return hashlib.blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()


def _split_of(parts: tuple[str, ...]) -> tuple[str, str, str] | None:
    """(split, class, id) if the path ends in {train,test}/CLASS/NAME.jpg."""
    if len(parts) < 3 or parts[-3] not in ("train", "test") or not parts[-1].lower().endswith(_SUFFIXES):
        return None
    return parts[-3], parts[-2], "/".join(parts[-3:])


def _zip_entries(archive: zipfile.ZipFile) -> Iterable[Entry]:
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        found = _split_of(PurePosixPath(info.filename).parts)
        if found is not None:
            yield (*found, functools.partial(archive.read, info))


def _folder_files(root: Path) -> list[Path]:
    places = [p for split in ("train", "test") for p in (root / split, *sorted(root.glob(f"*/{split}")))]
    return [file for place in places for file in sorted(place.glob("*/*")) if _split_of(file.parts)]


def _folder_entries(root: Path) -> Iterable[Entry]:
    for file in _folder_files(root):
        found = _split_of(file.parts)
        assert found is not None
        yield (*found, file.read_bytes)


def _convert(root: Path, entries: Iterable[Entry]) -> Dataset:
    from PIL import Image
    from tqdm import tqdm

    table = list(entries)
    classes = tuple(sorted({name for _split, name, _id, _read in table}))
    splits = []
    size: tuple[int, int] | None = None
    for split in ("train", "test"):
        rows = [row for row in table if row[0] == split]
        if not rows:
            raise CgsimError(
                f"data {str(root)!r}: no images {split}/CLASS/NAME.jpg, and no other "
                f"known layout. {HOW_TO_GET}"
            )
        images: np.ndarray | None = None
        for index, (_row, _class, ident, read) in enumerate(
            tqdm(rows, f"packing {split}", leave=False, disable=None)
        ):
            try:
                with Image.open(io.BytesIO(read())) as picture:
                    pixels = np.asarray(picture.convert("RGB"))
            except UNREADABLE as error:
                raise CgsimError(f"data {str(root)!r}: image {ident!r} cannot be read: {error}") from error
            size = size or pixels.shape[:2]
            if pixels.shape[:2] != size:
                raise CgsimError(
                    f"data {str(root)!r}: image {ident!r} is {pixels.shape[1]} x {pixels.shape[0]}, "
                    f"expected {size[1]} x {size[0]} like the others"
                )
            if images is None:
                images = np.empty((len(rows), 3, *size), np.uint8)
            images[index] = pixels.transpose(2, 0, 1)
        assert images is not None
        labels = np.array([classes.index(name) for _split, name, _id, _read in rows])
        splits.append(image_set(images, labels, split, str(root), [row[2] for row in rows]))
    return Dataset(_name(root, classes, table), classes, *splits)


def _name(root: Path, classes: tuple[str, ...], table: list[Entry]) -> str:
    lossy = all(row[2].lower().endswith((".jpg", ".jpeg")) for row in table)
    if classes == CIFAR10_CLASSES:
        return "CIFAR-10 (JPEG copy)" if lossy else "CIFAR-10 (image folder)"
    return f"{root.stem} (image folder)"


def _write_cache(path: Path, dataset: Dataset) -> None:
    """Keep the packed data set; where nothing can be written it is packed again the next time."""
    about = {"name": dataset.name, "classes": dataset.classes}
    with contextlib.suppress(CgsimError), atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            train_images=dataset.train.images,
            train_labels=dataset.train.labels,
            train_ids=np.array(dataset.train.ids),
            test_images=dataset.test.images,
            test_labels=dataset.test.labels,
            test_ids=np.array(dataset.test.ids),
        )


def _read_cache(path: Path, root: Path) -> Dataset:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        splits = [
            image_set(
                arrays[f"{split}_images"],
                arrays[f"{split}_labels"],
                split,
                str(root),
                arrays[f"{split}_ids"].tolist(),
            )
            for split in ("train", "test")
        ]
    return Dataset(about["name"], tuple(about["classes"]), *splits)
