"""Data sets from a path the user names; nothing is downloaded and no pickle is executed."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from cgsim.errors import CgsimError
from cgsim.models import image_folder, imagenet, python_cifar
from cgsim.models.data import CIFAR10_CLASSES, CIFAR100_CLASSES, HOW_TO_GET, Dataset, ImageSet, image_set

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


_FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar-100-binary", "cifar-100-python")
"""Names under which CIFAR is unpacked."""


def load_dataset(path: str | Path) -> Dataset:
    """Read Fashion-MNIST or MNIST (IDX), CIFAR-10 or -100 (binary, python), ImageNet or an image folder.

    An image folder is {train,test}/CLASS/NAME.{jpg,png} as a directory or a .zip file, all images of one
    size; it is converted once to a packed array in the user's cache. ImageNet is {train,val}/WNID/NAME.JPEG;
    CLASS/NAME.jpg are photographs without splits, of which a fifth is for testing. Those are decoded when
    needed. Raises CgsimError, saying how to get the data, if nothing readable is there.
    """
    root = Path(path)
    if not root.exists():
        raise CgsimError(f"data {str(path)!r}: no such file or directory. {HOW_TO_GET}")
    try:
        if root.is_file():
            if zipfile.is_zipfile(root):
                return imagenet.load(root) or image_folder.load(root)
            raise CgsimError(f"data {str(path)!r}: expected a directory or a .zip file. {HOW_TO_GET}")
        for folder in (root, *(root / name for name in _FOLDERS)):
            if _idx_file(folder, "train-images") is not None:
                return _load_idx(folder)
            if (folder / "data_batch_1.bin").is_file():
                return _load_cifar_binary(folder)
            if (folder / "data_batch_1").is_file():
                return python_cifar.load(folder)
            if (folder / "train.bin").is_file():
                return _load_cifar100_binary(folder)
            if (folder / "train").is_file():
                return python_cifar.load_hundred(folder)
        return imagenet.load(root) or image_folder.load(root)
    except (OSError, EOFError, zlib.error, struct.error, zipfile.BadZipFile) as error:
        raise CgsimError(f"data {str(path)!r}: cannot be read: {error}") from error


def _idx_file(folder: Path, stem: str) -> Path | None:
    kind = "idx3" if "images" in stem else "idx1"
    for name in (f"{stem}-{kind}-ubyte", f"{stem}.{kind}-ubyte"):
        for suffix in (".gz", ""):
            if (folder / (name + suffix)).is_file():
                return folder / (name + suffix)
    return None


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of unsigned bytes (gzipped if named .gz); raises CgsimError if it is malformed."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        data = file.read()
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise CgsimError(f"data {str(path)!r}: not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    content = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    expected = 1
    for size in shape:
        expected *= size
    if len(content) != expected:
        raise CgsimError(
            f"data {str(path)!r}: {len(content)} values, expected {expected} for shape {list(shape)}"
        )
    return content.reshape(shape)


def _load_idx(folder: Path) -> Dataset:
    splits = []
    for split, prefix in (("train", "train"), ("test", "t10k")):
        arrays = []
        for kind, dimensions in (("images", 3), ("labels", 1)):
            file = _idx_file(folder, f"{prefix}-{kind}")
            if file is None:
                raise CgsimError(f"data {str(folder)!r}: {prefix}-{kind} is missing. {HOW_TO_GET}")
            array = read_idx(file)
            if array.ndim != dimensions:
                raise CgsimError(f"data {str(file)!r}: {array.ndim} dimensions, expected {dimensions}")
            arrays.append(array)
        splits.append(image_set(arrays[0][:, None], arrays[1], split, str(folder)))
    lower = folder.resolve().name.lower()
    name = "Fashion-MNIST" if "fashion" in lower else "MNIST" if "mnist" in lower else "IDX images"
    count = int(max(split.labels.max() for split in splits)) + 1
    classes = FASHION_CLASSES if name == "Fashion-MNIST" else tuple(str(i) for i in range(count))
    return Dataset(name, classes, *splits)


def _load_cifar_binary(folder: Path) -> Dataset:
    training = sorted(file.name for file in folder.glob("data_batch_*.bin"))
    splits = [
        _cifar_records(folder, names, split, 1)
        for names, split in ((training, "train"), (["test_batch.bin"], "test"))
    ]
    return Dataset("CIFAR-10", CIFAR10_CLASSES, *splits)


def _load_cifar100_binary(folder: Path) -> Dataset:
    splits = [_cifar_records(folder, [f"{split}.bin"], split, 2) for split in ("train", "test")]
    return Dataset("CIFAR-100", CIFAR100_CLASSES, *splits)


def _cifar_records(folder: Path, names: list[str], split: str, labels: int) -> ImageSet:
    """Images of files whose records are `labels` bytes, of which the last is the label, and 3072 pixels."""
    size, records = labels + 3072, []
    for name in names:
        data = np.fromfile(folder / name, np.uint8)
        if len(data) == 0 or len(data) % size:
            raise CgsimError(f"data {str(folder / name)!r}: size {len(data)} is no multiple of {size} bytes")
        records.append(data.reshape(-1, size))
    table = np.concatenate(records)
    return image_set(table[:, labels:].reshape(-1, 3, 32, 32), table[:, labels - 1], split, str(folder))
