"""Photographs of any size, read and cut to one size when they are asked for; never all in memory."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import CgsimError
from cgsim.models.image_folder import UNREADABLE

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE, SHORTER_SIDE = 224, 256
"""Pixels of an image as networks for ImageNet take it, and of the shorter side that it is cut from."""
RATIOS = (3 / 4, 4 / 3)
"""Width over height of a random crop (Szegedy et al., CVPR 2015, as torchvision's RandomResizedCrop)."""
_TRIES = 10
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Pictures:
    """What takes the place of an array uint8 [N, 3, 224, 224]: files that are decoded when indexed.

    `readers` return a file's bytes, `names` tell it in an error. Indexed, each picture's shorter side is made
    256 pixels (bilinear) and the centre 224 x 224 taken, the usual evaluation on ImageNet.
    """

    readers: Sequence[Callable[[], bytes]]
    names: Sequence[str]
    source: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[N, 3, 224, 224]."""
        return len(self.readers), 3, SIDE, SIDE

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.readers)

    def part(self, picks: Iterable[int]) -> Pictures:
        """Some of the pictures, still undecoded."""
        chosen = list(picks)
        return Pictures([self.readers[i] for i in chosen], [self.names[i] for i in chosen], self.source)

    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """Pictures as for evaluation, uint8 [n, 3, 224, 224]."""
        return self._decoded(index, lambda picture, _index: _centre(picture))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All pictures; only for parts that fit into memory."""
        del copy
        return self[:].astype(dtype or np.uint8, copy=False)

    def crops(self, picks: np.ndarray, seed: int, unit: int, smallest: float, flip: bool) -> np.ndarray:
        """Random crops for training, uint8 [n, 3, 224, 224].

        A crop has `smallest` to all of the picture's area and a ratio of sides of 3/4 to 4/3; with `flip`
        every other one is mirrored. It depends on `seed`, `unit` and the picture's index only.
        """

        def cut(picture: Image, index: int) -> Image:
            generator = np.random.default_rng([seed, unit, index])
            return _random_crop(picture, generator, smallest, flip)

        return self._decoded(picks, cut)

    def _decoded(
        self, index: slice | Sequence[int] | np.ndarray, cut: Callable[[Image, int], Image]
    ) -> np.ndarray:
        chosen = range(len(self))[index] if isinstance(index, slice) else [int(i) for i in index]
        images = np.empty((len(chosen), 3, SIDE, SIDE), np.uint8)

        def decode(place: int) -> None:
            images[place] = np.asarray(cut(self._open(chosen[place]), chosen[place])).transpose(2, 0, 1)

        with ThreadPoolExecutor(_THREADS) as pool:  # Pillow decodes without the interpreter's lock
            list(pool.map(decode, range(len(chosen))))
        return images

    def _open(self, index: int) -> Image:
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.readers[index]())) as picture:
                return picture.convert("RGB")
        except UNREADABLE as error:
            raise CgsimError(
                f"data {self.source!r}: image {self.names[index]!r} cannot be read: {error}"
            ) from error


def _centre(picture: Image) -> Image:
    from PIL import Image

    width, height = picture.size
    scale = SHORTER_SIDE / min(width, height)
    if scale != 1:
        # torchvision truncates the longer side.
        size = (
            (SHORTER_SIDE, int(SHORTER_SIDE * height / width))
            if width <= height
            else (int(SHORTER_SIDE * width / height), SHORTER_SIDE)
        )
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        width, height = size
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    return picture.crop((left, top, left + SIDE, top + SIDE))


def _random_crop(picture: Image, generator: np.random.Generator, smallest: float, flip: bool) -> Image:
    from PIL import Image

    box = _random_box(*picture.size, generator, smallest)
    picture = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
    if flip and generator.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture


def _random_box(
    width: int, height: int, generator: np.random.Generator, smallest: float
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a random crop; of the largest central one if none fits."""
    for _try in range(_TRIES):
        area = width * height * generator.uniform(smallest, 1)
        ratio = math.exp(generator.uniform(math.log(RATIOS[0]), math.log(RATIOS[1])))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left = int(generator.integers(0, width - across + 1))
            top = int(generator.integers(0, height - down + 1))
            return left, top, left + across, top + down
    ratio = min(max(width / height, RATIOS[0]), RATIOS[1])
    across, down = min(width, round(height * ratio)), min(height, round(width / ratio))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down
