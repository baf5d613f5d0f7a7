"""Weights of other programs: state dicts as .safetensors or as PyTorch files, without executing anything."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgsim.errors import CgsimError

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIX = "module."  # of a model inside DistributedDataParallel


def load_weights_file(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, of a .safetensors file or of a state dict that torch.save wrote.

    PyTorch files are read with `weights_only`: a file that wants code to run is refused. A state dict
    inside a checkpoint ("state_dict", "model_state_dict", "model") is found, the prefix of parallel training
    taken off. A bias between a convolution and its batch norm goes into the norm's mean (`fold_biases`), as
    cgsim's networks have none there. Raises CgsimError on a missing or damaged file, or one without weights.
    """
    path = Path(path)
    where = f"weights {str(path)!r}"
    if not path.is_file():
        raise CgsimError(f"{where}: no such file; expected a .safetensors file or a PyTorch state dict")
    loaded = _safetensors(path, where) if path.suffix == ".safetensors" else _pytorch(path, where)
    tensors = {
        name.removeprefix(_PREFIX): value.detach()
        for name, value in _state_dict(loaded).items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise CgsimError(f"{where}: holds no tensors by name; expected a state dict")
    return fold_biases(tensors)


def fold_biases(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights without biases of convolutions in front of batch norms.

    In a Sequential, convolution `a.N` is followed by norm `a.N+1`. The norm subtracts its running mean m, so
    (x + b) - m = x - (m - b): at inference nothing changes, in training the bias has no effect anyway.
    """
    folded = dict(tensors)
    for name, bias in tensors.items():
        outer, _dot, last = name.removesuffix(".bias").rpartition(".")
        weight = tensors.get(name.removesuffix("bias") + "weight")
        if not name.endswith(".bias") or not last.isdecimal() or weight is None or weight.ndim != 4:
            continue
        mean = f"{outer}{_dot}{int(last) + 1}.running_mean"
        if mean in tensors and tensors[mean].shape == bias.shape:
            folded[mean] = tensors[mean] - bias
            del folded[name]
    return folded


def _state_dict(loaded: Any) -> Mapping[Any, Any]:
    """The state dict of what a file holds: itself, or what it keeps under a usual name."""
    if not isinstance(loaded, Mapping):
        return {}
    for key in _WRAPPERS:
        if isinstance(loaded.get(key), Mapping):
            return loaded[key]
    return loaded


def _safetensors(path: Path, where: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise CgsimError(f"{where}: damaged, or no safetensors file: {error}") from error


def _pytorch(path: Path, where: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: it is read, or refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CgsimError(
            f"{where}: not a plain state dict (cgsim never runs code from a file); save model.state_dict() "
            f"with torch.save, or as .safetensors"
        ) from error
    except Exception as error:  # damaged bytes make the unpickler fail in any way
        raise CgsimError(f"{where}: damaged, or no PyTorch file: {error}") from error
