"""The four gating methods: how each builds a network, trains it, and is told by name."""

from __future__ import annotations

from typing import Any

from cgsim.errors import CgsimError, nearest
from cgsim.models.fields import build
from cgsim.models.methods.batch_shaping import BatchShaping
from cgsim.models.methods.cgnet import CGNet
from cgsim.models.methods.gate_decorator import GateDecorator
from cgsim.models.methods.method import EpochPlan as EpochPlan
from cgsim.models.methods.method import Method as Method
from cgsim.models.methods.mixture_of_depths import MixtureOfDepths

_METHODS: dict[str, type[Method]] = {
    kind.name: kind for kind in (Method, CGNet, GateDecorator, BatchShaping, MixtureOfDepths)
}
METHODS: tuple[str, ...] = tuple(_METHODS)
"""Names of the methods; "none" is the ungated network."""


def make_method(name: str, settings: dict[str, Any] | None = None) -> Method:
    """A method by its name with its settings (the section `gating` of a recipe).

    Raises CgsimError on an unknown method, an unknown setting, or a value that it cannot take.
    """
    if name not in _METHODS:
        raise CgsimError(f"method {name!r} is not known{nearest(name, METHODS)}")
    return build(_METHODS[name], settings or {}, f"method {name!r}: gating")
