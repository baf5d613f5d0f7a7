"""Activation functions by the names that recipes and the methods' hooks use."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cgsim.models.fields import require_choice

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def activation_function(name: str) -> Activation:
    """The function of that name; raises CgsimError if there is none."""
    require_choice("architecture: activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
