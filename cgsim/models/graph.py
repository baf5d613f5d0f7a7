"""From a PyTorch model to cgsim's Network: one traced forward pass finds layers, shapes and producers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from cgsim.errors import CgsimError
from cgsim.models import registry
from cgsim.models.leaves import Make, all_are, chw, divided_pool, leaf_maker, plain_pool
from cgsim.trace.network import INPUT, Layer, Network

# fmt: off
_KEEPS_LAYOUT = frozenset((
    "relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "elu", "gelu", "silu", "mish",
    "hardswish", "hardsigmoid", "sigmoid", "tanh", "softmax", "log_softmax", "dropout",
    "feature_dropout", "alpha_dropout", "batch_norm", "instance_norm", "group_norm", "layer_norm",
    "clone", "contiguous", "detach", "to", "float", "half", "bfloat16", "double", "requires_grad_",
    "neg", "abs", "exp", "clamp", "clamp_", "add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_",
    "true_divide", "__add__", "__radd__", "__iadd__", "__sub__", "__isub__", "__mul__", "__rmul__",
    "__imul__", "__truediv__", "__itruediv__", "long", "int", "__rshift__", "bitwise_right_shift",
))
_NOT_OF_ZERO = frozenset((
    "sigmoid", "hardsigmoid", "softmax", "log_softmax", "batch_norm", "instance_norm", "group_norm",
    "layer_norm", "exp", "add", "add_", "sub", "sub_", "__add__", "__radd__", "__iadd__", "__sub__",
    "__isub__",
))
# fmt: on
"""Functions that may turn zero, what a gate leaves of a channel that is off, into another constant."""
_LIMITS = {
    **dict.fromkeys(("clamp", "clamp_"), (None, None, "min", "max")),
    **dict.fromkeys(("hardtanh", "hardtanh_"), (-1.0, 1.0, "min_val", "max_val")),
}
"""Functions that keep values between two limits, which may exclude zero; their defaults and keywords."""
_ADDS = frozenset(("add", "add_", "__add__", "__radd__", "__iadd__"))
_RESHAPES = frozenset(("flatten", "view", "reshape", "squeeze", "unsqueeze", "view_as", "reshape_as"))
_ADAPTIVE_POOLS = frozenset(("adaptive_avg_pool2d", "adaptive_max_pool2d"))
_GLOBAL_POOLS = _ADAPTIVE_POOLS | {"mean", "amax"}
_PLAIN_POOLS = frozenset(("max_pool2d", "avg_pool2d", "boolean_dispatch"))


def derive_network(model: nn.Module, sample_shape: tuple[int, int, int], name: str) -> Network:
    """The Network of a model for inputs of `sample_shape` (channels, height, width).

    Runs one forward pass at inference on zeros. nn.Conv2d, nn.Linear, pools, registered gating modules
    and residual additions become layers; batch norms, activations, dropout and flattening belong to the
    layer before them. A module with a method `trace_layers(name, inputs, output, producers)` says itself
    which layers it is: given its name, its positional tensors, the tensor that it returned and the names of
    the layers that made the inputs, it returns Layers in order, of which the last made the output. Raises
    CgsimError if the model cannot take such inputs and, naming the place, where it does something that a
    trace cannot express (a concatenation, a reordering of channels, a functional convolution, ...).
    """
    tracer = _Tracer(model)
    was_training = model.training
    parameter = next(model.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    x = torch.zeros(1, *sample_shape, device=device)
    try:
        model.eval()
        with torch.no_grad(), tracer:
            tracer.tag(x, INPUT)
            model(x)
    except RuntimeError as error:
        size = " x ".join(map(str, sample_shape))
        told = str(error).splitlines()[0]
        raise CgsimError(f"network {name!r}: it cannot take images of {size}: {told}") from error
    finally:
        tracer.remove()
        model.train(was_training)
    if not tracer.layers:
        raise CgsimError(
            f"network {name!r}: the model called no convolution or linear layer that can be traced"
        )
    return Network(name, tuple(tracer.layers))


class _Tracer(TorchFunctionMode):
    """Tags each tensor of a forward pass with the layer that made it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self._tags: dict[int, tuple[Tensor, str]] = {}
        self._stack: list[str] = []
        self._names: set[str] = set()
        self._handles: list[Any] = []
        self._inside = 0  # leaves that are being called
        self._zeros_kept = 0  # modules being called that have `keeps_zeros`: off channels leave them as zeros
        outer: str | None = None
        for name, module in model.named_modules():
            if outer is not None and name.startswith(outer):
                continue
            make = leaf_maker(module)
            if make is not None:
                outer = f"{name}." if name else ""
            self._handles.append(module.register_forward_pre_hook(self._enter(name, make is not None)))
            self._handles.append(module.register_forward_hook(self._leave(name, make), always_call=True))

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()

    def tag(self, tensor: Tensor, producer: str) -> None:
        """Say which layer made a tensor; keeps it alive so that its identity stays its own."""
        self._tags[id(tensor)] = (tensor, producer)

    def _tag_of(self, value: Any) -> str | None:
        found = self._tags.get(id(value))
        return found[1] if found is not None else None

    def _enter(self, name: str, leaf: bool) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any) -> None:
            self._stack.append(name)
            self._zeros_kept += bool(getattr(module, "keeps_zeros", False))
            if leaf:
                self._inside += 1

        return hook

    def _leave(self, name: str, make: Make | None) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._stack.pop()
            self._zeros_kept -= bool(getattr(module, "keeps_zeros", False))
            if make is None:
                return
            self._inside -= 1
            if output is None:
                return
            if not isinstance(output, Tensor):
                raise CgsimError(f"module {name!r}: returns {type(output).__name__}, expected one tensor")
            with torch._C.DisableTorchFunction():
                tensors = tuple(value for value in inputs if isinstance(value, Tensor))
                sources = [self._tag_of(value) for value in tensors]
                if None in (sources if hasattr(module, "trace_layers") else sources[:1] or [None]):
                    raise CgsimError(f"module {name!r}: cannot tell which layer made its input")
                known = [source or "" for source in sources]
                layers = make(module, self._free_name(name), tensors, output, known)
                if not layers:  # it changes nothing
                    self.tag(output, known[0])
                for layer in layers:
                    self._names.add(layer.name)
                    self._append(layer, output)

        return hook

    def _append(self, layer: Layer, output: Tensor) -> None:
        self.layers.append(layer)
        self.tag(output, layer.name)

    def _free_name(self, wanted: str) -> str:
        wanted = registry.layer_name(wanted)
        name, count = wanted, 1
        while name in self._names:
            count += 1
            name = f"{wanted}_{count}"
        self._names.add(name)
        return name

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func`, then tag what it returns, or add a layer for it."""
        kwargs = kwargs or {}
        if self._inside:
            return func(*args, **kwargs)
        tensors = [value for value in _flatten((args, kwargs)) if isinstance(value, Tensor)]
        shapes = [tuple(value.shape) for value in tensors]
        sources = [self._tag_of(value) for value in tensors]
        output = func(*args, **kwargs)
        if not isinstance(output, Tensor | tuple | list) or not any(sources):
            return output
        name = getattr(func, "__name__", "") or (resolve_name(func) or "function").rsplit(".", 1)[-1]
        if name == "__get__" or not any(isinstance(value, Tensor) for value in _flatten(output)):
            return output
        if not isinstance(output, Tensor):
            raise self._refusal(name)
        tagged = [
            (tensor, tag, shape) for tensor, tag, shape in zip(tensors, sources, shapes, strict=True) if tag
        ]
        self._record(name, tagged, output, args, kwargs)
        return output

    def _record(self, name: str, tagged: list[Any], output: Tensor, args: Any, kwargs: Any) -> None:
        _tensor, producer, shape = tagged[0]
        out = tuple(output.shape)
        alike = all(tag == producer and other == shape for _tensor, tag, other in tagged)
        if len(tagged) > 1 and not (alike and name in _KEEPS_LAYOUT - _ADDS):
            scaled = kwargs.get("alpha", 1) != 1
            if name not in _ADDS or scaled or any(other != shape for _tensor, _tag, other in tagged):
                raise self._refusal(name)
            shared = chw(out)
            producers = tuple(tag for _tensor, tag, _shape in tagged)
            self._append(Layer(self._place("add"), "add", shared, shared, producers=producers), output)
        elif name in _GLOBAL_POOLS and len(shape) == 4 and out[:2] == shape[:2] and all_are(out[2:], 1):
            layer = Layer(
                self._place("pool"), "global_pool", chw(shape), (shape[1], 1, 1), producers=(producer,)
            )
            self._append(layer, output)
        elif name in _ADAPTIVE_POOLS and len(shape) == 4:
            if out == shape:
                self.tag(output, producer)
            else:
                self._append(divided_pool(self._place("pool"), shape, out, producer), output)
        elif name in _PLAIN_POOLS and len(shape) == 4:
            given = (
                dict(zip(("input", "kernel_size", "stride", "padding", "dilation"), args, strict=False))
                | kwargs
            )
            layer = plain_pool(self._place("pool"), shape, out, given, producer)
            self._append(layer, output)
        elif (name in _KEEPS_LAYOUT and out == shape) or (name in _RESHAPES and _same_order(shape, out)):
            self.tag(output, producer)
            moved = name in _NOT_OF_ZERO or _excludes_zero(name, args, kwargs)
            if moved and not self._zeros_kept:
                self._constant(producer)
        else:
            raise self._refusal(name)

    def _constant(self, name: str) -> None:
        """Note that off channels of a layer, or of those whose sum or pool it is, are read as constants."""
        for index, layer in enumerate(self.layers):
            if layer.name == name:
                if layer.on_array and layer.gate in ("channel", "static"):
                    self.layers[index] = dataclasses.replace(layer, off_outputs="constant")
                elif layer.operator in ("pool", "global_pool", "add"):
                    for producer in layer.producers:
                        self._constant(producer)

    def _place(self, kind: str) -> str:
        where = self._stack[-1] if self._stack else ""
        return self._free_name(f"{where}.{kind}" if where else kind)

    def _refusal(self, function: str) -> CgsimError:
        where = (self._stack[-1] if self._stack else "") or "the model"
        return CgsimError(
            f"module {where!r}: a trace cannot express its call of {function!r}; expected nn.Conv2d, "
            f"nn.Linear, pools, registered gating modules, elementwise functions, additions and flattening"
        )


def _flatten(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [inner for item in value for inner in _flatten(item)]
    return [value]


def _same_order(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """True if a reshape only adds or drops dimensions, so that channels stay where they are."""
    return [size for size in before if size != 1] == [size for size in after if size != 1] or (
        len(after) == 2 and after[0] == before[0]
    )


def _excludes_zero(function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """True if a function of `_LIMITS` cannot return zero, or if its limits are tensors, so that who knows."""
    if function not in _LIMITS:
        return False
    low, high, low_key, high_key = _LIMITS[function]
    low = args[1] if len(args) > 1 else kwargs.get(low_key, low)
    high = args[2] if len(args) > 2 else kwargs.get(high_key, high)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return True
    return (low is not None and low > 0) or (high is not None and high < 0)
