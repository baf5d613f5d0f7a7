"""From a module that is a leaf of a network to the layers of a trace that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models import registry
from cgsim.models.deciders import decider_cost
from cgsim.models.quantized_layers import IntegerPool, QuantizedConv2d, QuantizedLinear
from cgsim.trace.network import Layer

_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
Shape = tuple[int, int, int]
Make = Callable[[Any, str, tuple[Tensor, ...], Tensor, list[str]], Sequence[Layer]]
"""From a leaf, its name, its positional tensors, its output and the inputs' producers to its layers."""


def leaf_maker(module: nn.Module) -> Make | None:
    """What turns a module into layers if the module is a leaf of the network, else None."""
    if hasattr(module, "trace_layers"):
        return _own_account
    if registry.registration(module) is not None:
        return _gated
    if isinstance(module, nn.Conv2d | nn.Linear | QuantizedConv2d):
        return _plain
    if isinstance(module, _POOLS):
        return _pool_module
    if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d | IntegerPool):
        return _adaptive_pool_module
    return None


def all_are(values: tuple[int, ...], wanted: int) -> bool:
    """True if every value is the wanted one."""
    return all(value == wanted for value in values)


def chw(shape: tuple[int, ...]) -> Shape:
    """[channels, height, width] of a tensor of a batch; features are channels of one pixel."""
    if len(shape) == 4:
        return shape[1], shape[2], shape[3]
    if len(shape) == 2:
        return shape[1], 1, 1
    raise CgsimError(
        f"tensor of shape {list(shape)}: expected [batch, channels, height, width] or [batch, channels]"
    )


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[-1])) if isinstance(value, tuple | list) else (int(value), int(value))


def _operator(conv: Any, name: str, x: Tensor, y: Tensor, source: str, **gating: Any) -> Layer:
    in_shape, out_shape = chw(tuple(x.shape)), chw(tuple(y.shape))
    if isinstance(conv, nn.Linear | QuantizedLinear):
        return Layer(name, "linear", in_shape, out_shape, producers=(source,), **gating)
    padding: Any = conv.padding
    if padding == "valid":
        padding = 0
    elif padding == "same":
        total = [
            dilation * (size - 1) for dilation, size in zip(conv.dilation, conv.kernel_size, strict=True)
        ]
        if any(value % 2 for value in total):
            raise CgsimError(
                f"module {name!r}: its padding differs between sides, which a trace cannot express"
            )
        padding = [value // 2 for value in total]
    return Layer(
        name,
        "conv2d",
        in_shape,
        out_shape,
        kernel=_pair(conv.kernel_size),
        stride=_pair(conv.stride),
        padding=_pair(padding),
        dilation=_pair(conv.dilation),
        groups=int(conv.groups),
        producers=(source,),
        **gating,
    )


def _own_account(
    module: Any, name: str, inputs: tuple[Tensor, ...], y: Tensor, sources: list[str]
) -> list[Layer]:
    return list(module.trace_layers(name, inputs, y, tuple(sources)))


def _plain(
    module: nn.Module, name: str, inputs: tuple[Tensor, ...], y: Tensor, sources: list[str]
) -> list[Layer]:
    return [_operator(module, name, inputs[0], y, sources[0])]


def _gated(
    module: nn.Module, name: str, inputs: tuple[Tensor, ...], y: Tensor, sources: list[str]
) -> list[Layer]:
    entry = registry.registration(module)
    assert entry is not None
    base_channels, base_groups = entry.base(module)
    macs, weights = entry.gate_network_macs(module), 0
    if entry.gate_network is not None:
        macs, weights = decider_cost(entry.gate_network(module), inputs[0])
    layer = _operator(
        entry.conv(module),
        name,
        inputs[0],
        y,
        sources[0],
        gate=entry.granularity,
        base_channels=base_channels,
        base_groups=base_groups,
        gate_network_macs=macs,
        gate_network_weights=weights if weights < macs else 0,
    )
    return [layer]


def plain_pool(
    name: str, shape: tuple[int, ...], out: tuple[int, ...], given: dict[str, Any], source: str
) -> Layer:
    """A pool with the arguments of torch's functions, from and to tensors of these shapes."""
    kernel = _pair(given["kernel_size"])
    return Layer(
        name,
        "pool",
        chw(shape),
        chw(out),
        kernel=kernel,
        stride=_pair(given.get("stride") or kernel),
        padding=_pair(given.get("padding", 0)),
        dilation=_pair(given.get("dilation", 1)),
        producers=(source,),
    )


def _pool_module(
    module: Any, name: str, inputs: tuple[Tensor, ...], y: Tensor, sources: list[str]
) -> list[Layer]:
    return [plain_pool(name, tuple(inputs[0].shape), tuple(y.shape), vars(module), sources[0])]


def divided_pool(name: str, shape: tuple[int, ...], out: tuple[int, ...], source: str) -> Layer:
    """An adaptive pool, where it cuts the image into equal windows."""
    if any(before % after for before, after in zip(shape[2:], out[2:], strict=True)):
        raise CgsimError(
            f"layer {name!r}: an adaptive pool from {list(shape[2:])} to {list(out[2:])} pixels; a trace can "
            f"express it only where the windows are of one size"
        )
    kernel = (shape[2] // out[2], shape[3] // out[3])
    return plain_pool(name, shape, out, {"kernel_size": kernel}, source)


def _adaptive_pool_module(
    _module: Any, name: str, inputs: tuple[Tensor, ...], y: Tensor, sources: list[str]
) -> list[Layer]:
    shape, out = tuple(inputs[0].shape), tuple(y.shape)
    if all_are(out[2:], 1):
        return [Layer(name, "global_pool", chw(shape), (shape[1], 1, 1), producers=(sources[0],))]
    return [] if out == shape else [divided_pool(name, shape, out, sources[0])]
