"""Beginning from trained weights: `cgsim train --init`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models import checkpoint
from cgsim.models.methods import Method
from cgsim.models.methods.cgnet import CGNet
from cgsim.models.networks.build import full_architecture
from cgsim.models.networks.resnet import ResNet


@dataclass(frozen=True)
class Adoption:
    """Which of the model's tensors were taken from trained weights, and what was left out on either side."""

    taken: tuple[str, ...]
    kept: tuple[str, ...]
    """Tensors of the model that nothing was taken for: they begin as in an untrained model."""
    unused: tuple[str, ...]
    """Tensors of the trained weights that the model has no place for."""

    def describe(self, source: str | Path) -> str:
        """One line."""
        told = f"init: {len(self.taken)} of {len(self.taken) + len(self.kept)} tensors from {str(source)!r}"
        for names, what in ((self.kept, "new"), (self.unused, "not used")):
            if names:
                told += f"; {what}: {_listed(names)}"
        return told


def _listed(names: tuple[str, ...], most: int = 6) -> str:
    """Names, those of one tensor in many layers ("layer1.0.conv1.threshold") told as one."""
    ends: dict[str, int] = {}
    for name in names:
        end = name.rsplit(".", 1)[-1]
        ends[end] = ends.get(end, 0) + 1
    told = [f"{end} ({count})" if count > 1 else end for end, count in ends.items()]
    return ", ".join(told[:most]) + (", ..." if len(told) > most else "")


def origin(run: str | Path) -> dict[str, Any]:
    """What a run's configuration keeps of the trained weights it began with, or was taught by.

    That is their name, the checksum of the file, and the configuration of the run that they are of.
    """
    path = Path(run)
    if path.is_file():
        return {"name": path.name, "checksum": checkpoint.checksum(path), "config": None}
    config = checkpoint.read_config(path)
    file = path / checkpoint.CHECKPOINT
    if "quantization" in config:
        raise CgsimError(f"run {str(run)!r}: quantised; expected a run of `cgsim train`")
    if not file.is_file():
        raise CgsimError(f"run {str(run)!r}: no {file.name}; training has not finished an epoch")
    return {"name": path.resolve().name, "checksum": checkpoint.checksum(file), "config": config}


def trained_weights(run: str | Path) -> dict[str, Tensor]:
    """Weights by name, of a run's checkpoint or of a file of weights (.pth, .safetensors)."""
    if Path(run).is_file():
        from cgsim.models.weights import load_weights_file

        return load_weights_file(run)
    return checkpoint.weights(checkpoint.read_checkpoint(run)[0])


def _place(name: str, method: Method, own: dict[str, Tensor]) -> str:
    """Where a tensor goes: as the method maps it, or under its own name where the model has no such place."""
    adopted = method.adopted(name)
    return adopted if adopted in own else name


def require_same_architecture(
    where: str, network: str, theirs: dict[str, Any], ours: dict[str, Any], us: str
) -> None:
    """Raise CgsimError, beginning with `where`, if one of two architectures of a network computes otherwise.

    `us` tells whose the second one is ("this recipe says"). Dropout does not count: it acts in training only.
    """
    other, own = full_architecture(network, theirs), full_architecture(network, ours)
    for key, value in own.items():
        if other[key] != value and key != "dropout":
            raise CgsimError(f"{where}: trained with architecture.{key} {other[key]!r}, {us} {value!r}")


def _require_same_function(
    model: nn.Module, method: Method, run: str | Path, network: str, config: dict[str, Any] | None
) -> None:
    """Raise CgsimError if trained weights mean another function than they would in `model`."""
    where = f"init {str(run)!r}"
    ours: dict[str, Any] = getattr(model, "architecture", {})
    if config is None:
        if isinstance(model, ResNet) and ours.get("order") != "after_add":
            raise CgsimError(
                f"{where}: published weights of a {network} are for architecture.order 'after_add', this "
                f"recipe says {ours['order']!r}; expected --set architecture.order=after_add"
            )
        _require_same_channels(where, method, {})
        return
    if config["network"] != network:
        raise CgsimError(f"{where}: a checkpoint of another network: {config['network']}, expected {network}")
    found = config["method"]
    if found == "gate-decorator":
        pruned = (
            "merged: its layers have fewer channels" if "merged" in config else "pruned: its norms are gated"
        )
        raise CgsimError(
            f"{where}: {pruned}; expected a run of method 'none' (`cgsim merge` makes an ordinary network of "
            f"a pruned run, to be evaluated, recorded and quantised, not trained on)"
        )
    if found not in ("none", method.name):
        expected = "'none'" if method.name == "none" else f"'none' or {method.name!r}"
        raise CgsimError(f"{where}: a run of method {found!r}, expected {expected}")
    theirs = config["recipe"]["architecture"]
    require_same_architecture(where, network, theirs, ours, "this recipe says")
    _require_same_channels(where, method, config["recipe"]["gating"])


def _require_same_channels(where: str, method: Method, gating: dict[str, Any]) -> None:
    """Raise CgsimError if trained weights are of input channels in another order than the model's."""
    theirs = gating["partitions"] if gating.get("shuffle") else None
    ours = method.partitions if isinstance(method, CGNet) and method.shuffle else None
    if theirs != ours:
        told = "not shuffled" if theirs is None else f"shuffled for {theirs} partitions"
        raise CgsimError(
            f"{where}: its input channels are {told}, so its weights mean other channels; expected a run "
            f"with the same gating.shuffle and gating.partitions"
        )


def adopt(
    model: nn.Module, method: Method, run: str | Path, network: str, config: dict[str, Any] | None
) -> Adoption:
    """Put trained weights of an ungated network into an untrained `network`; return what was taken.

    `config` is that of the run, None for a file of weights. Every tensor is taken whose name, as the method
    maps it (`Method.adopted`), and shape are the same. Raises CgsimError if the run is of another network,
    architecture or gating method, or if not one weight of a convolution or linear layer fits.
    """
    _require_same_function(model, method, run, network, config)
    own = model.state_dict()
    weights = trained_weights(run)
    rename = getattr(model, "published", None)  # networks whose published weights have other names
    weights = weights if rename is None else rename(weights)
    found = {_place(name, method, own): value for name, value in weights.items()}
    taken = {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}
    if not any(value.ndim > 1 for value in taken.values()):
        raise CgsimError(
            f"init {str(run)!r}: a checkpoint of another network: no weight has the name and shape of one of "
            f"{network}"
        )
    with torch.no_grad():
        for name, value in taken.items():
            own[name].copy_(value)
    return Adoption(
        tuple(taken),
        tuple(name for name in own if name not in taken),
        tuple(name for name in found if name not in taken),
    )
