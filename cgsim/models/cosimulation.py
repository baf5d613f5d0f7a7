"""Layers of a quantised network with their operands and results, to be computed again by hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError, nearest
from cgsim.models import quantized_file
from cgsim.models.graph import derive_network
from cgsim.models.layers.gates import least_on
from cgsim.models.quantized_layers import QuantizedCGConv2d, QuantizedConv2d
from cgsim.models.quantized_network import QuantizedResNet
from cgsim.models.runs import load_quantized
from cgsim.shipped import shipped_dir
from cgsim.trace.network import Layer
from cgsim.trace.reader import Trace, load_trace

SHIPPED = "resnet20-cgnet-int8"


@dataclass(frozen=True)
class LayerCase:
    """One layer on one sample: everything that an array computes with, and what must come out.

    `inputs` int8 [Cin, H, W] as the layer reads them (zero padding is exactly 0), `weights` int8
    [N, Cin / groups, kh, kw], `thresholds` int32 [N]: a gate is on iff its base sum > threshold, signed; with
    two-sided gates iff it is also < `upper`, int32 [N]. All gates of a channel with fewer than `least_on`
    of them on are off. `base` int32 [N, M]: base sums; `outputs` int32 [N, M]: all sums where the gate is
    on, base sums where it is off; M output pixels row by row. `gates` bool [N, M]. A layer without gates has
    no `thresholds` and no `gates` (None), and `base` equals `outputs`.
    """

    layer: Layer
    inputs: np.ndarray
    weights: np.ndarray
    thresholds: np.ndarray | None
    base: np.ndarray
    outputs: np.ndarray
    gates: np.ndarray | None
    upper: np.ndarray | None = None
    least_on: int = 0


class CosimulationNetwork:
    """A quantised network with some images, and the trace whose first samples these are."""

    def __init__(self, model: QuantizedResNet, images: np.ndarray, trace: Trace) -> None:
        """Take images uint8 [n, C, H, W]; raises CgsimError if model and trace are of different networks."""
        self._model = model.eval()
        self._images = images
        self.trace = trace
        network = derive_network(model, (images.shape[1], *images.shape[2:]), trace.network.name)
        if network != trace.network:
            raise CgsimError(f"co-simulation: the trace is of another network than the model: {trace.path}")
        if trace.n_samples < len(images):
            raise CgsimError(
                f"co-simulation: {len(images)} images, but {trace.path} holds {trace.n_samples} samples"
            )
        self._modules: Mapping[str, QuantizedConv2d] = {
            name: module for name, module in model.named_modules() if isinstance(module, QuantizedConv2d)
        }

    @property
    def samples(self) -> int:
        """How many samples have their images here: the first ones of the trace."""
        return len(self._images)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that the array computes, in execution order."""
        return tuple(layer.name for layer in self.trace.network.layers if layer.on_array)

    @cached_property
    def _inputs(self) -> dict[str, Tensor]:
        """Input int8 [n, ...] of each layer, for all samples."""
        found: dict[str, Tensor] = {}

        def keep(name: str) -> object:
            def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                found[name] = inputs[0].clone()

            return hook

        handles = [
            module.register_forward_pre_hook(keep(name))  # type: ignore[arg-type]
            for name, module in self._modules.items()
        ]
        try:
            with torch.no_grad():
                self._model(self._model.input(self._images))
        finally:
            for handle in handles:
                handle.remove()
        return found

    def case(self, sample: int, layer: str) -> LayerCase:
        """The operands and results of a layer on a sample.

        Raises CgsimError on an unknown layer or sample, and if the gates are not those of the trace.
        """
        if layer not in self._modules:
            raise CgsimError(f"co-simulation: layer {layer!r} is not known{nearest(layer, self.layers)}")
        if not 0 <= sample < self.samples:
            raise CgsimError(f"co-simulation: sample {sample} has no image; expected 0 to {self.samples - 1}")
        module, about = self._modules[layer], self.trace.network.by_name[layer]
        x = self._inputs[layer][sample : sample + 1]
        weights = module.weight.numpy().copy()
        shape = (about.out_channels, about.pixels)
        with torch.no_grad():
            if not isinstance(module, QuantizedCGConv2d):
                sums = module(x).numpy().reshape(shape)
                inputs = x.numpy().reshape(about.in_shape)
                return LayerCase(about, inputs, weights, None, sums, sums, None)
            base, outputs, gates = (value.numpy().reshape(shape) for value in module.sums(x))
            inputs = module.arrange(x).numpy().reshape(about.in_shape)
        if not np.array_equal(gates, self.trace.bits(layer, [sample])[0]):
            raise CgsimError(
                f"co-simulation: layer {layer!r}, sample {sample}: gates differ from the trace's"
            )
        upper = module.threshold_high.numpy().copy() if module.two_sided else None
        least = least_on(module.channel_share, about.pixels)
        low = module.threshold.numpy().copy()
        return LayerCase(about, inputs, weights, low, base, outputs, gates, upper, least)


def load_cosimulation(network: str | Path, trace: str | Path) -> CosimulationNetwork:
    """A quantised network with images (`cgsim record --bundle`), and the trace recorded with it."""
    stored = quantized_file.read(network)
    images = quantized_file.image_set(stored)
    found = load_trace(trace)
    for index, name in enumerate(images.ids):
        if index >= found.n_samples or found.samples[index].id != name:
            raise CgsimError(f"{stored.where}: its image {name!r} is not sample {index} of {str(trace)!r}")
    return CosimulationNetwork(load_quantized(stored), images.images, found)


def load_shipped() -> CosimulationNetwork:
    """The quantised network that comes with cgsim; needs no data set."""
    folder = shipped_dir("traces")
    return load_cosimulation(folder / f"{SHIPPED}.safetensors", folder / f"{SHIPPED}.trace.parquet")
