"""Post-training quantisation: a trained residual network, gated or not, becomes one of integers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.calibration import Observed, calibrate
from cgsim.models.data import ImageSet
from cgsim.models.evaluation import Normalize
from cgsim.models.integer import HIGHEST, INT32, LOWEST, fixed_point, half, integer_threshold, largest_sum
from cgsim.models.layers.cgnet import CGConv2d
from cgsim.models.networks.cifar_resnet import BasicBlock, CifarResNet
from cgsim.models.quantized_layers import Join, QuantizedCGConv2d, QuantizedConv2d, Requantize
from cgsim.models.quantized_network import QuantizedBlock, QuantizedResNet

SCHEME = (
    "int8: weights per output channel, activations per tensor, symmetric; activation scales are powers of two"
)


@torch.no_grad()
def quantize(model: nn.Module, images: ImageSet, normalize: Normalize) -> QuantizedResNet:
    """The int8 network of a trained float one; `images`, put through `normalize`, calibrate its scales.

    Weights are int8 with one scale per output channel (largest magnitude = 127), activations int8 with one
    power of two per tensor and no zero point. The model is read, not changed. Raises CgsimError if a
    module has no integer form, or if there are no images.
    """
    if not isinstance(model, CifarResNet):
        raise CgsimError(
            f"quantize: {type(model).__name__} has no integer form; expected a CIFAR ResNet (resnet20, ...)"
        )
    for block in model.modules():
        if isinstance(block, BasicBlock) and block.activation != "relu":
            raise CgsimError(
                f"quantize: the activation {block.activation!r} has no integer form; expected 'relu'"
            )
    if len(images) == 0:
        raise CgsimError("quantize: no calibration images; expected 1 or more")
    quantized = QuantizedResNet(model).eval()
    was_training = model.training
    model.eval()
    try:
        scales = calibrate(model, images, normalize, _observed(model))
        height, width = _final_size(model, images)
    finally:
        model.train(was_training)
    _set_input(quantized, normalize, scales["input"])
    with _naming("conv1"):
        _set_conv(quantized.conv1, quantized.norm1, model.conv1, model.bn1, scales["input"], scales["norm1"])
    scale = scales["norm1"]
    for name, block in quantized.blocks():
        original = model.get_submodule(name)
        assert isinstance(original, BasicBlock)
        with _naming(name):
            own = {key: scales.get(f"{name}.{key}") for key in _BLOCK}
            scale = _set_block(block, original, scale, own)
    size = np.full(model.fc.in_features, height * width)
    _set_requantization(quantized.pool_norm, scale / size, 0.0, scales["pool"])
    with _naming("fc"):
        _set_weights(quantized.fc, model.fc.weight[:, :, None, None], scales["pool"])
        step = scales["pool"] * _numpy(quantized.fc.weight_scale)
        _set_requantization(quantized.logits, step, _numpy(model.fc.bias), scales["logits"] * _EXTRA)
    return quantized


_BLOCK = ("norm1", "norm2", "shortcut_norm", "join")
_EXTRA = 2.0**-7
"""Logits keep seven bits more than int8 has: sixteen, with one to spare."""


@contextmanager
def _naming(layer: str) -> Iterator[None]:
    """Let errors inside begin with the layer's name (of a block, then of the layer in it)."""
    try:
        yield
    except CgsimError as error:
        inner = str(error).removeprefix("quantize: layer ")
        told = f"'{layer}.{inner[1:]}" if inner != str(error) else f"{layer!r}: {inner}"
        raise CgsimError(f"quantize: layer {told}") from error


def _observed(model: CifarResNet) -> Observed:
    """Where in the float network the values lie that become int8."""

    def same(value: Tensor) -> Tensor:
        return value

    found: Observed = {"norm1": (model.bn1, F.relu), "pool": (model.pool, same), "logits": (model.fc, same)}
    for name, block in model.named_modules():
        if isinstance(block, BasicBlock):
            found[f"{name}.norm1"] = (block.bn1, F.relu)
            found[f"{name}.norm2"] = (block.bn2, F.relu if block.order == "before_add" else same)
            if not isinstance(block.shortcut, nn.Identity):
                found[f"{name}.shortcut_norm"] = (block.shortcut_bn, same)
            found[f"{name}.join"] = (block, same)
    return found


def _final_size(model: CifarResNet, images: ImageSet) -> tuple[int, int]:
    sizes: list[tuple[int, int]] = []
    handle = model.pool.register_forward_pre_hook(lambda _module, x: sizes.append(tuple(x[0].shape[2:])))
    try:
        model(torch.zeros(1, *images.images.shape[1:]))
    finally:
        handle.remove()
    return sizes[0]


def _set_block(
    block: QuantizedBlock, original: BasicBlock, scale: float, scales: dict[str, float | None]
) -> float:
    """Set a block's numbers for an input of `scale`; return the scale of its result."""
    norm1, norm2, shortcut, join = (scales[key] for key in _BLOCK)
    assert norm1 is not None
    assert norm2 is not None
    assert join is not None
    with _naming("conv1"):
        _set_conv(block.conv1, block.norm1, original.conv1, original.bn1, scale, norm1)
    with _naming("conv2"):
        _set_conv(block.conv2, block.norm2, original.conv2, original.bn2, norm1, norm2)
    if isinstance(block.shortcut, QuantizedConv2d) and shortcut is not None:
        assert isinstance(block.shortcut_norm, Requantize)
        with _naming("shortcut"):
            _set_conv(
                block.shortcut, block.shortcut_norm, original.shortcut, original.shortcut_bn, scale, shortcut
            )
    _set_join(block.join, norm2, scale if shortcut is None else shortcut, join)
    return join


def _set_join(join: Join, left: float, right: float, result: float) -> None:
    finest = min(left, right, result)
    steps = [round(math.log2(scale / finest)) for scale in (left, right, result)]
    join.multiplier.copy_(torch.tensor([1 << steps[0], 1 << steps[1]]))
    join.shift.fill_(steps[2])
    join.bias.fill_(int(half(np.array(steps[2]))))
    join.scale.fill_(result)


def _set_input(quantized: QuantizedResNet, normalize: Normalize, scale: float) -> None:
    table = quantized.input.table
    for channel, (mean, deviation) in enumerate(zip(normalize.mean, normalize.deviation, strict=True)):
        for value in range(256):
            real = (Fraction(value, 255) - Fraction(mean)) / Fraction(deviation) / Fraction(scale)
            table[channel, value] = min(max(math.floor(real + Fraction(1, 2)), LOWEST), HIGHEST)
    quantized.input.scale.fill_(scale)


def _set_conv(
    layer: QuantizedConv2d,
    requantize: Requantize,
    conv: nn.Module,
    norm: nn.Module,
    input_scale: float,
    output_scale: float,
) -> None:
    """Set weights, thresholds and requantisation of a convolution and of the batch norm behind it."""
    assert isinstance(conv, nn.Conv2d | CGConv2d)
    _set_weights(layer, conv.weight, input_scale)
    step = input_scale * _numpy(layer.weight_scale)
    if isinstance(layer, QuantizedCGConv2d):
        assert isinstance(conv, CGConv2d)
        _set_thresholds(layer, conv, input_scale)
        if layer.separate:
            _set_separate(layer, requantize, conv, step, output_scale)
            return
    factor, offset = _folded(norm)
    _set_requantization(requantize, step * factor, offset, output_scale)


def _set_thresholds(layer: QuantizedCGConv2d, conv: CGConv2d, input_scale: float) -> None:
    """Fold the decision's batch norm into one int32 comparison, or two."""
    low, *high = (_numpy(threshold) for threshold in conv.comparison_thresholds())
    if not all(np.isfinite(threshold).all() for threshold in (low, *high)):
        raise CgsimError("a gate's threshold is not finite")
    scale = _numpy(layer.weight_scale)
    layer.threshold.copy_(torch.from_numpy(integer_threshold(low, input_scale, scale)))
    if high:
        upper = integer_threshold(high[0], input_scale, scale, upper=True)
        layer.threshold_high.copy_(torch.from_numpy(upper))


def _set_separate(
    layer: QuantizedCGConv2d, requantize: Requantize, conv: CGConv2d, step: np.ndarray, output_scale: float
) -> None:
    """Two batch norms, chosen by the gate: both brought to one shift per channel, which follows."""
    pairs = [_folded(norm) for norm in (conv.norm_ungated, conv.norm_gated)]
    shifts = [fixed_point(step * factor / output_scale, offset / output_scale)[2] for factor, offset in pairs]
    shift = np.minimum(*shifts)  # the larger multiplier has 15 bits
    for row, (factor, offset) in enumerate(pairs):
        layer.multiplier[row] = torch.from_numpy(np.rint(np.ldexp(step * factor / output_scale, shift)))
        bias = np.rint(np.ldexp(offset / output_scale, shift)).astype(np.int64) + half(shift)
        layer.bias[row] = torch.from_numpy(bias)
    requantize.multiplier.fill_(1)
    requantize.bias.fill_(0)
    requantize.shift.copy_(torch.from_numpy(shift))
    requantize.scale.fill_(output_scale)


def _set_weights(layer: QuantizedConv2d, weight: Tensor, input_scale: float) -> None:
    real = _numpy(weight)
    largest = np.abs(real).max(axis=(1, 2, 3))
    if not np.isfinite(largest).all():
        raise CgsimError("a weight is not finite")
    scale = np.where(largest > 0, largest / HIGHEST, 1.0)
    layer.weight.copy_(torch.from_numpy(np.rint(real / scale[:, None, None, None])))
    layer.weight_scale.copy_(torch.from_numpy(scale))
    layer.input_scale.fill_(input_scale)
    if largest_sum(layer.weight) >= INT32:
        raise CgsimError(f"sums of {layer.weight[0].numel()} products may not fit int32")


def _set_requantization(requantize: Requantize, factor: np.ndarray, offset: Any, scale: float) -> None:
    """Make `requantize` turn sums into steps of `scale` of the real value factor * sum + offset."""
    offsets = np.broadcast_to(np.asarray(offset, np.float64), factor.shape)
    multiplier, bias, shift = fixed_point(factor / scale, offsets / scale)
    requantize.multiplier.copy_(torch.from_numpy(multiplier))
    requantize.bias.copy_(torch.from_numpy(bias))
    requantize.shift.copy_(torch.from_numpy(shift))
    requantize.scale.fill_(scale)


def _folded(norm: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset (float64 [N]) of a batch norm at inference."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None or norm.running_mean is None:
        raise CgsimError(
            f"{type(norm).__name__} behind a convolution; expected nn.BatchNorm2d with running mean and "
            f"variance"
        )
    factor = _numpy(norm.weight) / np.sqrt(_numpy(norm.running_var) + norm.eps)
    return factor, _numpy(norm.bias) - _numpy(norm.running_mean) * factor


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
