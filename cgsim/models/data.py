"""What an image data set is to cgsim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cgsim.errors import CgsimError

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
CIFAR100_CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo",
    "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree",
    "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit",
    "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe",
    "whale", "willow_tree", "wolf", "woman", "worm",
)
# fmt: on
"""The fine labels, in alphabetical order, which is that of their numbers."""
HOW_TO_GET = (
    "Fashion-MNIST: Debian's package dataset-fashion-mnist puts it in /usr/share/datasets/fashion-mnist; "
    "CIFAR-10, -100: the python or binary version from www.cs.toronto.edu/~kriz/cifar.html, unpacked, "
    "or an image folder {train,test}/CLASS/NAME.jpg or a .zip of one; "
    "ImageNet: image-net.org, as {train,val}/WNID/NAME.JPEG; photographs: CLASS/NAME.jpg or a .zip of it"
)


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 [N, C, H, W], labels int64 [N], and an id for each image.

    `images` is an array, or `Pictures`, which decodes photographs when they are indexed.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: Sequence[str]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def spread(self, count: int | None) -> ImageSet:
        """`count` images at even distances (all if None), so that data sorted by class keep every class."""
        if count is None or count >= len(self):
            return self
        picks = [index * len(self) // count for index in range(count)]
        part = getattr(self.images, "part", None)  # Pictures stay undecoded
        images = self.images[picks] if part is None else part(picks)
        return ImageSet(images, self.labels[picks], [self.ids[pick] for pick in picks])


@dataclass(frozen=True)
class Dataset:
    """A data set with its two splits; `name` says exactly what it is ("CIFAR-10 (JPEG copy)")."""

    name: str
    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet

    def __post_init__(self) -> None:
        """Raise CgsimError on a label that is no class."""
        for split, part in (("training", self.train), ("test", self.test)):
            wrong = np.flatnonzero((part.labels < 0) | (part.labels >= len(self.classes)))
            if len(wrong):
                image, label = part.ids[wrong[0]], part.labels[wrong[0]]
                raise CgsimError(
                    f"data set {self.name}: {split} image {image}: label {label}, expected 0 to "
                    f"{len(self.classes) - 1}"
                )

    @property
    def channels(self) -> int:
        """Channels of an image, 1 or 3."""
        return int(self.train.images.shape[1])

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel of the training images, scaled to 0..1."""
        means, deviations = [], []
        for channel in range(self.channels):
            counts = np.zeros(256, np.int64)
            for start in range(0, len(self.train), 4096):  # bincount needs eight bytes per pixel
                pixels = self.train.images[start : start + 4096, channel]
                counts += np.bincount(pixels.ravel(), minlength=256)
            values = np.arange(256) / 255
            mean = float((counts * values).sum() / counts.sum())
            deviations.append(float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum())) or 1.0)
            means.append(mean)
        return [round(value, 6) for value in means], [round(value, 6) for value in deviations]


def image_set(
    images: np.ndarray, labels: np.ndarray, split: str, source: str, ids: Sequence[str] | None = None
) -> ImageSet:
    """An ImageSet with ids like test/00042; raises CgsimError if images and labels do not match."""
    if len(images) != len(labels) or len(images) == 0:
        raise CgsimError(f"data {source!r}: {len(images)} {split} images but {len(labels)} labels")
    named = ids if ids is not None else [f"{split}/{index:05d}" for index in range(len(images))]
    return ImageSet(np.ascontiguousarray(images), labels.astype(np.int64), named)
