"""Which modules gate, and how to read their gates: the one door through which a user's own modules enter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from cgsim.errors import CgsimError, nearest
from cgsim.models.layers.batch_shaping import BatchShapedConv2d
from cgsim.models.layers.cgnet import CGConv2d
from cgsim.models.layers.gated_norm import PrunableConv2d
from cgsim.models.layers.mixture_of_depths import ChannelGather
from cgsim.models.quantized_layers import QuantizedCGConv2d

GatesFn = Callable[[Any, tuple[Any, ...], Tensor], Tensor]
RecomputeFn = Callable[[Any, tuple[Any, ...], Tensor], Tensor]
_GRANULARITIES = ("activation", "pixel", "channel", "static")


@dataclass(frozen=True)
class Registration:
    """How one class of modules gates; see `register` for the fields."""

    gates_fn: GatesFn
    granularity: str
    conv: Callable[[Any], nn.Module]
    base: Callable[[Any], tuple[int, int]]
    gate_network_macs: Callable[[Any], int]
    gate_network: Callable[[Any], nn.Module] | None
    recompute_fn: RecomputeFn | None
    exact: bool = False


_registry: dict[type[nn.Module], Registration] = {}


def register(
    module_class: type[nn.Module],
    gates_fn: GatesFn,
    granularity: str,
    *,
    conv: Callable[[Any], nn.Module] | None = None,
    base: Callable[[Any], tuple[int, int]] | None = None,
    gate_network_macs: Callable[[Any], int] | int = 0,
    gate_network: Callable[[Any], nn.Module] | None = None,
    recompute_fn: RecomputeFn | None = None,
    exact: bool = False,
) -> Registration:
    """Let cgsim record the gates of every `module_class` in any model.

    `gates_fn(module, inputs, output)` gets the positional inputs and the output of one forward call at
    inference and returns a bool tensor (or one that is nonzero where computed). With batch B, output
    channels N and output size H' x W' its shape is [B, N, H', W'] for granularity "activation",
    [B, H', W'] or [B, 1, H', W'] for "pixel", [B, N] for "channel" and [N] for "static".

    `conv(module)` returns the nn.Conv2d or nn.Linear whose work is gated, or anything with its
    attributes (default: the module itself if it has them, else its only such submodule). `base(module)`
    returns (base_channels, base_groups) and is needed for "activation" (`cgsim.trace.Layer` says what
    they mean). `gate_network(module)` returns the module that decides beyond the base path, called with the
    layer's input: MACs and weights of its convolutions and linear layers are counted. Where it is no such
    module, `gate_network_macs` are the MACs per sample, counted as those of fully connected layers.
    `recompute_fn(module, inputs, gates)` returns the output computed with given gates; with it,
    recording proves that the recorded bits are what the model used; `exact` says that not a bit of the
    output may then differ, as for a module that computes in integers.

    A class registered again is replaced; subclasses inherit. Raises CgsimError on a bad granularity.
    """
    if granularity not in _GRANULARITIES:
        raise CgsimError(
            f"register {module_class.__name__}: granularity {granularity!r} is not known"
            + nearest(str(granularity), _GRANULARITIES)
        )
    if granularity == "activation" and base is None:
        raise CgsimError(f"register {module_class.__name__}: granularity 'activation' needs base=")
    if gate_network is not None and gate_network_macs != 0:
        raise CgsimError(
            f"register {module_class.__name__}: gate_network and gate_network_macs exclude each other"
        )
    macs = gate_network_macs if callable(gate_network_macs) else lambda _module: int(gate_network_macs)
    entry = Registration(
        gates_fn,
        granularity,
        conv or _find_conv,
        base or (lambda _module: (0, 1)),
        macs,
        gate_network,
        recompute_fn,
        exact,
    )
    _registry[module_class] = entry
    return entry


def registration(module: nn.Module) -> Registration | None:
    """The entry for a module, through its base classes; None if it does not gate."""
    for cls in type(module).__mro__:
        if cls in _registry:
            return _registry[cls]
    return None


def layer_name(qualified: str) -> str:
    """The layer's name in a trace for a module's qualified name (the model itself has none)."""
    return qualified or "layer"


def gating_modules(model: nn.Module) -> dict[str, nn.Module]:
    """All registered modules of a model by their layers' names, outermost only."""
    found: dict[str, nn.Module] = {}
    outer: str | None = None
    for name, module in model.named_modules():
        inside = outer is not None and name.startswith(outer)
        if not inside and registration(module) is not None:
            found[layer_name(name)] = module
            outer = f"{name}." if name else ""
    return found


def _find_conv(module: nn.Module) -> nn.Module:
    if hasattr(module, "kernel_size") or isinstance(module, nn.Linear):
        return module
    inner = [child for child in module.modules() if isinstance(child, nn.Conv2d | nn.Linear)]
    if len(inner) != 1:
        raise CgsimError(
            f"{type(module).__name__}: holds {len(inner)} convolutions or linear layers; "
            f"say which one is gated with register(..., conv=)"
        )
    return inner[0]


def _gates_of_input(module: Any, inputs: tuple[Any, ...], _output: Tensor) -> Tensor:
    gates: Tensor = module.gates(inputs[0])
    return gates


def _with_gates(module: Any, inputs: tuple[Any, ...], gates: Tensor) -> Tensor:
    output: Tensor = module.masked_forward(inputs[0], gates)
    return output


register(
    CGConv2d,
    _gates_of_input,
    "activation",
    base=lambda module: (module.base_channels, module.base_groups),
    recompute_fn=_with_gates,
)
register(
    QuantizedCGConv2d,
    _gates_of_input,
    "activation",
    base=lambda module: (module.base_channels, module.base_groups),
    recompute_fn=_with_gates,
    exact=True,
)
register(
    PrunableConv2d,
    lambda module, _inputs, _output: module.mask,
    "static",
    recompute_fn=_with_gates,
)
register(
    BatchShapedConv2d,
    _gates_of_input,
    "channel",
    gate_network_macs=lambda module: module.gate_network.macs,
    recompute_fn=_with_gates,
)
register(
    ChannelGather,
    lambda module, inputs, _output: module.gates(inputs[1]),
    "channel",
    recompute_fn=_with_gates,
    exact=True,
)
