"""Trained models back from a run: float from a checkpoint, or integer from a quantised network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from cgsim.errors import CgsimError
from cgsim.models import checkpoint, quantized_file
from cgsim.models.data import Dataset
from cgsim.models.evaluation import Normalize, Preprocess
from cgsim.models.graph import derive_network
from cgsim.models.merging import shrink, stored_widths
from cgsim.models.methods import Method, make_method
from cgsim.models.networks.build import build_network
from cgsim.models.networks.cifar_resnet import CifarResNet
from cgsim.models.quantized_network import QuantizedResNet
from cgsim.models.recipe import recipe_of


def configured_method(config: dict[str, Any]) -> Method:
    """The method of a configuration with its settings."""
    return make_method(config["method"], recipe_of(config).gating)


def build_model(config: dict[str, Any], method: Method | None = None) -> nn.Module:
    """The untrained model of a configuration; with `method`, as that method makes it, and not merged."""
    model = build_network(
        config["network"],
        method or configured_method(config),
        in_channels=config["dataset"]["shape"][0],
        classes=len(config["dataset"]["classes"]),
        architecture=recipe_of(config).architecture,
    )
    if method is None and "merged" in config:
        shrink(model, stored_widths(config["merged"]))
    return model


def reference_macs(config: dict[str, Any]) -> int:
    """MACs per sample of the ungated network of a configuration, on images of its data set.

    Every FLOP reduction is relative to them.
    """
    with torch.device("meta"):  # shapes only: no weights, no random numbers
        ungated = build_model(config, Method())
        network = derive_network(ungated, tuple(config["dataset"]["shape"]), config["network"])
    return network.dense_macs


def load_model(run: str | Path) -> tuple[nn.Module, dict[str, Any], dict[str, Any]]:
    """The model of a run at inference, its configuration, and the state of its checkpoint.

    `run` is a directory of `cgsim train` or of `cgsim quantize` (the state is then empty), or the file of a
    quantised network.
    """
    if Path(run).is_file():
        stored = quantized_file.read(run)
        return load_quantized(stored), stored.config, {}
    config = checkpoint.read_config(run)
    if "quantization" in config:
        return load_quantized(quantized_file.read(Path(run) / quantized_file.NAME)), config, {}
    tensors, state = checkpoint.read_checkpoint(run)
    model = _built(config, f"run {str(run)!r}: {checkpoint.CONFIG}")
    checkpoint.load_weights(run, model, checkpoint.weights(tensors))
    return model.eval(), config, state


def load_quantized(stored: quantized_file.Stored) -> QuantizedResNet:
    """The integer model of a file's contents; raises CgsimError if they contradict one another."""
    model = _built(stored.config, stored.where)
    assert isinstance(model, CifarResNet)
    quantized = QuantizedResNet(model)
    quantized_file.restore(quantized, stored)
    return quantized.eval()


def _built(config: dict[str, Any], where: str) -> nn.Module:
    try:
        return build_model(config)
    except CgsimError as error:
        raise CgsimError(f"{where}: {error}") from error


def preprocessing(model: nn.Module, config: dict[str, Any]) -> Preprocess:
    """What turns uint8 images into the model's input: normalisation, or a quantised model's table."""
    if isinstance(model, QuantizedResNet):
        return model.input
    return Normalize(tuple(config["dataset"]["mean"]), tuple(config["dataset"]["deviation"]))


def require_same_data(run: str | Path, config: dict[str, Any], dataset: Dataset) -> None:
    """Raise CgsimError unless images and classes of a data set are those that a run was trained on."""
    about, shape = config["dataset"], list(dataset.test.images.shape[1:])
    if about["shape"] != shape or about["classes"] != list(dataset.classes):
        raise CgsimError(
            f"run {str(run)!r}: trained on {about['name']} with images {about['shape']}, "
            f"but the data are {dataset.name} with images {shape}"
        )
