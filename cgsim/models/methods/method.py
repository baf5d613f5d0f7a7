"""What a gating method is to networks and to training; the base class is the ungated network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from cgsim.models.fields import coerce_fields

Role = Literal["stem", "body", "shortcut"]
MakeBlock = Callable[[int, int, int], nn.Module]
"""Builds a residual block from input channels, output channels and stride; it has a method `branch(x)`."""


@dataclass(frozen=True)
class EpochPlan:
    """One unit of training, after which the model is evaluated and the checkpoint replaced.

    `kind` goes into the log. `rate` maps the unit's own progress in 0..1 to a learning rate. `images` trains
    on that many of the training images (all if None). `fresh_optimizer` forgets the momenta before the unit.
    """

    kind: str
    rate: Callable[[float], float]
    images: int | None = None
    fresh_optimizer: bool = False


@dataclass(frozen=True)
class Method:
    """The ungated network, and the base of the methods: each field of a subclass is a setting of a recipe.

    A network asks `conv`, `norm` and `block` for its parts; training asks the rest. Whatever a method
    must remember between two units of training lives in parameters and buffers of the model, so that a
    checkpoint holds all of it.
    """

    name: ClassVar[str] = "none"
    families: ClassVar[tuple[str, ...]] = ("cifar_resnet", "resnet", "vgg", "mobilenet", "efficientnet_lite")
    """Families of networks that the method is defined for."""
    least_batch: ClassVar[int] = 1
    """Images that a process needs at once, so that norms have something to average."""

    def __post_init__(self) -> None:
        """Raise CgsimError on a setting of the wrong type or out of range."""
        coerce_fields(self, "gating")
        self.check()

    def check(self) -> None:
        """Raise CgsimError on a setting out of range."""

    def fitted(self, first_width: int) -> Method:
        """The method for a network whose first block has that many channels."""
        return self

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        *,
        role: Role = "body",
        activation: str | None = None,
    ) -> nn.Module:
        """A convolution without bias; `activation` names the function behind it and its norm, or is None."""
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        if role != "shortcut":
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        return conv

    def norm(self, channels: int, conv: nn.Module) -> nn.Module:
        """What stands behind a convolution of `conv`: a batch norm, or nothing if it normalises itself."""
        return nn.BatchNorm2d(channels)

    def block(self, make: MakeBlock, inputs: int, outputs: int, stride: int, index: int) -> nn.Module:
        """The residual block `index` (from 0) of a stage."""
        return make(inputs, outputs, stride)

    def adopted(self, name: str) -> str:
        """The name, in this method's model, of a tensor of the ungated model."""
        return name

    def prepare(self, model: nn.Module, images: Callable[[int], Tensor]) -> None:
        """Called once with a new model, after it adopted ungated weights if there are any.

        `images(n)` are n training images at even distances, normalised, [n, C, H, W].
        """

    def loss(self, model: nn.Module, progress: float) -> Tensor | None:
        """What is added to the task's loss of a step, at `progress` in 0..1 of the whole training."""
        return None

    def no_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """True if weight decay leaves a parameter alone."""
        return parameter.ndim <= 1

    def rate_factor(self, name: str, parameter: nn.Parameter) -> float:
        """By what the learning rate is multiplied for a parameter."""
        return 1.0

    def frozen(self, plan: EpochPlan, name: str) -> bool:
        """True if a parameter does not learn in a unit of training."""
        return False

    def plan(self, recipe: Any, history: list[dict[str, Any]], model: nn.Module) -> EpochPlan | None:
        """The next unit of training after those of `history`, or None at the end."""
        done, epochs = len(history), recipe.epochs
        if done >= epochs:
            return None
        return EpochPlan("train", lambda progress: recipe.rate_at((done + progress) / epochs))

    def after_backward(self, plan: EpochPlan, model: nn.Module) -> None:
        """Called between the gradients and the optimizer's step."""

    def after_unit(self, plan: EpochPlan, model: nn.Module) -> None:
        """Called at the end of a unit, before the evaluation."""

    def settings(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return dataclasses.asdict(self)
