"""The file of a quantised network: its integers, how it was made and, if wanted, some images."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsim.atomic import atomic_path
from cgsim.errors import CgsimError
from cgsim.models.data import ImageSet
from cgsim.models.integer import INT32, largest_sum
from cgsim.models.run_config import checked_config

NAME = "quantized.safetensors"
HEADER = "cgsim.quantized"
IMAGES = "images"
"""The tensor of the images, uint8 [n, C, H, W]; all other tensors are the model's."""


@dataclass(frozen=True)
class Stored:
    """What a file holds: configuration of the run, tensors by name, and images with ids and labels."""

    path: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    images: Tensor | None = None
    ids: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    @property
    def where(self) -> str:
        """How messages about the file begin."""
        return f"quantised network {self.path!r}"


def write(path: str | Path, model: nn.Module, config: dict[str, Any], images: ImageSet | None = None) -> None:
    """Write a quantised model with the configuration of its run; `images` go with it if given."""
    from safetensors.torch import save

    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    header: dict[str, Any] = {"config": config, "ids": [], "labels": []}
    if images is not None:
        tensors[IMAGES] = torch.from_numpy(images.images.copy())
        header |= {"ids": list(images.ids), "labels": images.labels.tolist()}
    content = save(tensors, {HEADER: json.dumps(header)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read(path: str | Path) -> Stored:
    """Read a file of `write`; raises CgsimError if it is missing, damaged or something else."""
    from safetensors import SafetensorError, safe_open

    where = f"quantised network {str(path)!r}"
    if not Path(path).is_file():
        raise CgsimError(f"{where}: no such file; expected one that `cgsim quantize` or `record` wrote")
    try:
        with safe_open(str(path), "pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CgsimError(f"{where}: damaged or no quantised network of cgsim: {error}") from error
    if not isinstance(header, dict) or not isinstance(header.get("config"), dict):
        raise CgsimError(f"{where}: its header holds no configuration")
    header["config"] = checked_config(header["config"], where)
    images = tensors.pop(IMAGES, None)
    ids: Any = header.get("ids")
    labels: Any = header.get("labels")
    if not _all(ids, str) or not _all(labels, int) or len(ids) != len(labels):
        raise CgsimError(f"{where}: its header holds no ids and labels of images")
    shape = tuple(header["config"]["dataset"]["shape"])
    if len(ids) != (0 if images is None else len(images)):
        raise CgsimError(f"{where}: {len(ids)} ids, but {0 if images is None else len(images)} images")
    if images is not None and (images.dtype != torch.uint8 or tuple(images.shape[1:]) != shape):
        raise CgsimError(
            f"{where}: images of type {images.dtype} and shape {list(images.shape)}, expected uint8 "
            f"[n, {', '.join(map(str, shape))}]"
        )
    return Stored(str(path), header["config"], tensors, images, ids, labels)


def restore(model: nn.Module, stored: Stored) -> None:
    """Put a file's numbers, checked, into a model that was made for the file's configuration."""
    own = model.state_dict()
    for key in sorted({*own, *stored.tensors}):
        if key not in own or key not in stored.tensors:
            lacks = "the network" if key not in own else "the file"
            raise CgsimError(f"{stored.where}: {key!r} is missing in {lacks}")
        found, expected = stored.tensors[key], own[key]
        if found.dtype != expected.dtype or found.shape != expected.shape:
            raise CgsimError(
                f"{stored.where}: {key!r} is {found.dtype} {list(found.shape)}, expected {expected.dtype} "
                f"{list(expected.shape)}"
            )
        _check_values(stored.where, key, found)
    model.load_state_dict(stored.tensors)


def _check_values(where: str, key: str, values: Tensor) -> None:
    name = key.rsplit(".", 1)[-1]
    if name == "shift" and not 0 <= int(values.min()) <= int(values.max()) <= 31:
        raise CgsimError(f"{where}: {key!r} must be 0 to 31")
    if name == "multiplier" and int(values.long().abs().max()) > 1 << 16:
        raise CgsimError(f"{where}: {key!r} must be at most {1 << 16} in magnitude")
    if name == "bias" and (int(values.min()) < -(1 << 62) or int(values.max()) > 1 << 62):
        raise CgsimError(f"{where}: {key!r} must be below 2^62 in magnitude")
    if name.endswith("scale") and not (bool(values.isfinite().all()) and bool((values > 0).all())):
        raise CgsimError(f"{where}: {key!r} must be above 0")
    if name == "weight" and (int(values.min()) < -127 or largest_sum(values) >= INT32):
        raise CgsimError(f"{where}: {key!r} must be -127 to 127, with sums that fit int32")


def _all(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def image_set(stored: Stored) -> ImageSet:
    """The images of a file; raises CgsimError if it has none."""
    if stored.images is None or not len(stored.images):
        raise CgsimError(f"{stored.where}: holds no images; `cgsim record --bundle` writes a file with some")
    return ImageSet(stored.images.numpy(), np.array(stored.labels, np.int64), stored.ids)


def subset(images: ImageSet, count: int) -> ImageSet:
    """The first `count` images."""
    return ImageSet(images.images[:count], images.labels[:count], list(images.ids[:count]))
