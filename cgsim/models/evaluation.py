"""Accuracy, and what the gates save: one pass over a data set at inference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models import registry
from cgsim.models.data import ImageSet
from cgsim.trace.macs import gate_count, network_macs, parts
from cgsim.trace.network import Layer, Network
from cgsim.trace.pack import pack_bits

Preprocess = Callable[[np.ndarray], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """`accuracy` in 0..1, mean cross entropy `loss`, reference over executed MACs, share of on gates.

    `gated_reduction` is dense over executed MACs of the layers with gates alone, their gate networks
    included; None if these have no MACs, or execute none. `predictions` are the classes given, in the order
    of the data.
    """

    accuracy: float
    loss: float
    flop_reduction: float
    density: dict[str, float]
    gated_reduction: float | None = None
    predictions: tuple[int, ...] = ()

    def agreement(self, other: Evaluation) -> float:
        """Share of the samples, 0..1, to which another network on the same data gives the same class."""
        same = [a == b for a, b in zip(self.predictions, other.predictions, strict=True)]
        return sum(same) / len(same)


@dataclass(frozen=True)
class Normalize:
    """Images uint8 [B, C, H, W] -> float32: divided by 255, minus `mean`, over `deviation` per channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, images: np.ndarray | Tensor) -> Tensor:
        """Normalised float32 tensor of the images."""
        x = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        scale = torch.tensor([1 / (255 * value) for value in self.deviation], device=x.device)
        shift = torch.tensor([m / d for m, d in zip(self.mean, self.deviation, strict=True)], device=x.device)
        return x.float().mul_(scale[:, None, None]).sub_(shift[:, None, None])


class GateTap:
    """Reads the gates of every registered module during forward passes; a context manager.

    After each forward pass `gates` maps each layer's name to its bool tensor, shaped as `register` says;
    `inputs` and `outputs` hold copies of the tensors of that call while `keep` is set (copies, as the layers
    that follow may work in place).
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = registry.gating_modules(model)
        self._handles: list[Any] = []
        self.keep = False
        self.gates: dict[str, Tensor] = {}
        self.inputs: dict[str, tuple[Any, ...]] = {}
        self.outputs: dict[str, Tensor] = {}

    def __enter__(self) -> GateTap:
        """Put a hook on each gating module."""
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the hooks off again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def clear(self) -> None:
        """Forget the last forward pass."""
        self.gates.clear()
        self.inputs.clear()
        self.outputs.clear()

    def _hook(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            if name in self.gates:
                raise CgsimError(
                    f"layer {name!r}: called twice in one forward pass; a trace needs one layer each"
                )
            entry = registry.registration(module)
            assert entry is not None
            self.gates[name] = entry.gates_fn(module, inputs, output) != 0
            if self.keep:
                self.inputs[name] = tuple(x.clone() if isinstance(x, Tensor) else x for x in inputs)
                self.outputs[name] = output.clone()

        return hook


class Tally:
    """Counts over batches, of one model with a GateTap on it, and what they make: an Evaluation.

    FLOP reduction is relative to `reference_macs` per sample, those of the ungated network; None: to the
    network's own without its gates.
    """

    def __init__(self, network: Network, reference_macs: int | None = None) -> None:
        self._network = network
        self._reference = network.dense_macs if reference_macs is None else reference_macs
        self._samples, self._correct, self._loss, self._executed = 0, 0, 0.0, 0
        self._gated_executed = 0
        self._predictions: list[int] = []
        self._on: dict[str, int] = {}

    def add(self, logits: Tensor, labels: Tensor, gates: dict[str, Tensor]) -> None:
        """Count one batch: logits [B, classes], labels [B], gates by layer."""
        samples = len(labels)
        self._samples += samples
        predictions = logits.argmax(1)
        self._correct += int((predictions == labels).sum())
        self._predictions += predictions.tolist()
        self._loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        for name, found in gates.items():
            count = count_gates(self._network.by_name[name], found)
            total = int(np.broadcast_to(count, (samples, count.shape[1])).sum())
            self._on[name] = self._on.get(name, 0) + total
        macs = macs_by_layer(self._network, samples, gates)
        self._executed += sum(int(found.sum()) for found in macs.values())
        self._gated_executed += sum(int(macs[name].sum()) for name in gates)

    def result(self) -> Evaluation:
        """The evaluation of all batches."""
        samples, layers = self._samples, self._network.by_name
        density = {name: count / (samples * gate_count(layers[name])) for name, count in self._on.items()}
        reduction = self._reference * samples / self._executed if self._executed else math.inf
        dense = samples * sum(layers[name].dense_macs for name in self._on)
        gated = dense / self._gated_executed if dense and self._gated_executed else None
        return Evaluation(
            self._correct / samples,
            self._loss / samples,
            reduction,
            density,
            gated,
            tuple(self._predictions),
        )


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: ImageSet,
    preprocess: Preprocess,
    network: Network,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: bool = False,
    reference_macs: int | None = None,
) -> Evaluation:
    """Evaluate a model in its own precision on all images of `data`.

    `preprocess` turns uint8 images into the model's input; `network` is what `derive_network` returned.
    `batch_size` None is `batch_size_for(data)`.
    FLOP reduction is relative to `reference_macs` per sample, those of the ungated network (None: to the
    model's own without its gates).
    """
    was_training = model.training
    model.eval()
    tally = Tally(network, reference_macs)
    try:
        with GateTap(model) as tap:
            for images, labels in batches(data, batch_size or batch_size_for(data), "evaluating", progress):
                x = preprocess(images).to(device)
                tap.clear()
                logits = model(x.contiguous(memory_format=torch.channels_last))
                tally.add(logits, labels.to(device), tap.gates)
    finally:
        model.train(was_training)
    return tally.result()


def batch_size_for(data: ImageSet) -> int:
    """Images that go through a network at once: 250, and fewer if above 64 x 64, so that memory suffices."""
    height, width = data.images.shape[2:]
    return int(max(1, min(250, 250 * 64 * 64 // (height * width))))


def batches(data: ImageSet, size: int, told: str, progress: bool) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield uint8 images and labels in batches of `size`, behind a progress bar."""
    from tqdm import tqdm

    steps = range(0, len(data), size)
    for start in tqdm(steps, told, leave=False, disable=None if progress else True):
        chosen = slice(start, start + size)
        yield data.images[chosen], torch.as_tensor(data.labels[chosen])


def count_gates(layer: Layer, gates: Tensor) -> np.ndarray:
    """Gates that are on in each part of a layer's channels, int64 [B, P], of static gates [1, P]."""
    lead = 1 if layer.gate == "static" else len(gates)
    return np.asarray(gates.reshape(lead, parts(layer), -1).sum(dim=2).cpu().numpy())


def macs_by_layer(network: Network, samples: int, gates: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Executed MACs of every layer in each of `samples` samples, int64 [S]; `gates` as a GateTap has them."""
    counts = {name: count_gates(network.by_name[name], found) for name, found in gates.items()}

    def packed(name: str) -> np.ndarray:
        found = gates[name].cpu().numpy()
        return pack_bits(found.reshape(1 if found.ndim == 1 else len(found), -1))

    return network_macs(network, samples, counts, packed)
