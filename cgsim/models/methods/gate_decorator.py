"""Gate Decorator: static pruning of filters by the gradients of gated batch norms, tick by tick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.fields import require_range
from cgsim.models.layers.gated_norm import GatedBatchNorm2d, PrunableConv2d, gated_norms
from cgsim.models.methods.method import EpochPlan, Method, Role

_ROUNDING = 5e-5
"""A log has FLOP reductions to four places."""


@dataclass(frozen=True)
class _Unit(EpochPlan):
    """`frozen` names the parameters that do not learn in the unit."""

    frozen: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class GateDecorator(Method):
    """Gate Decorator (You et al., NeurIPS 2019); it starts from a trained ungated network.

    *Ticks* prune: one epoch on `tick_images` images (None: all) at the rate `low_rate`, in which only norms
    and linear layers learn; then `prune_share` of the filters that are left are switched off, but
    `least_share` of each layer's stays. In front of every `ticks_per_tock` ticks stands a *tock* of
    `tock_epochs` epochs, in which everything learns and `sparsity_weight` * sum of |phi| is added to the
    loss. When the MACs have fallen by `target_reduction`, fine-tuning follows: the recipe's `epochs`, then
    `final_epochs` at `low_rate`. Tocks and fine-tuning take the rate from `low_rate` up to the recipe's
    `rate` and down again, in straight lines; the recipe's `schedule` and `warmup` play no part. With
    `decay_all` weight decay acts on phi and biases too, as in the public code.
    """

    name: ClassVar[str] = "gate-decorator"
    target_reduction: float = 2.0
    tick_images: int | None = None
    prune_share: float = 0.002
    least_share: float = 0.1
    ticks_per_tock: int = 10
    tock_epochs: int = 10
    sparsity_weight: float = 1e-3
    low_rate: float = 1e-3
    final_epochs: int = 10
    decay_all: bool = False

    def check(self) -> None:
        """Raise CgsimError on a setting out of range."""
        require_range("gating: target_reduction", self.target_reduction, 1, above=True)
        require_range("gating: prune_share", self.prune_share, 0, 1, above=True)
        require_range("gating: least_share", self.least_share, 0, 1)
        require_range("gating: ticks_per_tock", self.ticks_per_tock, 1)
        require_range("gating: tock_epochs", self.tock_epochs, 0)
        require_range("gating: sparsity_weight", self.sparsity_weight, 0)
        require_range("gating: low_rate", self.low_rate, 0, above=True)
        require_range("gating: final_epochs", self.final_epochs, 0)
        if self.tick_images is not None:
            require_range("gating: tick_images", self.tick_images, 1)

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
        """A PrunableConv2d, wherever it stands; a classifier is a linear layer."""
        conv = super().conv(
            inputs, outputs, kernel, stride, padding, groups, role=role, activation=activation
        )
        return PrunableConv2d(conv) if isinstance(conv, nn.Conv2d) else conv

    def norm(self, channels: int, conv: nn.Module) -> nn.Module:
        """A gated batch norm behind a PrunableConv2d."""
        norm = super().norm(channels, conv)
        if isinstance(conv, PrunableConv2d) and isinstance(norm, nn.BatchNorm2d):
            return GatedBatchNorm2d(norm, conv)
        return norm

    def prepare(self, model: nn.Module, images: Callable[[int], Tensor]) -> None:
        """Turn the adopted batch norms into gated ones."""
        norms = gated_norms(model)
        if not norms:
            raise CgsimError("gate-decorator: the network has no batch norm behind a convolution")
        if not any(int(norm.num_batches_tracked) for norm in norms.values()):
            raise CgsimError(
                "gate-decorator prunes a trained network: name an ungated run of the same network (init)"
            )
        for norm in norms.values():
            norm.decorate()

    def no_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Norms and biases, unless `decay_all`."""
        return not self.decay_all and super().no_decay(name, parameter)

    def frozen(self, plan: EpochPlan, name: str) -> bool:
        """True for the convolutions in a tick."""
        return isinstance(plan, _Unit) and name in plan.frozen

    def plan(self, recipe: Any, history: list[dict[str, Any]], model: nn.Module) -> EpochPlan | None:
        """The next tick, epoch of a tock, or epoch of fine-tuning."""
        kinds = [row["kind"] for row in history]
        if history and history[-1]["flop_reduction"] >= self.target_reduction - _ROUNDING:
            return self._finetuning(recipe, kinds.count("finetune"))
        ticks = kinds.count("tick")
        tocks = next((back for back, kind in enumerate(reversed(kinds)) if kind != "tock"), len(kinds))
        if ticks % self.ticks_per_tock == 0 and tocks < self.tock_epochs:
            rate = self._triangle(recipe.rate, tocks, self.tock_epochs)
            return _Unit("tock", rate, fresh_optimizer=tocks == 0)
        frozen = frozenset(
            f"{name}.{inner}"
            for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d)
            for inner, _parameter in module.named_parameters(recurse=False)
        )
        return _Unit("tick", self._low, self.tick_images, fresh_optimizer=True, frozen=frozen)

    def _finetuning(self, recipe: Any, done: int) -> EpochPlan | None:
        if done >= recipe.epochs + self.final_epochs:
            return None
        rate = self._triangle(recipe.rate, done, recipe.epochs) if done < recipe.epochs else self._low
        return _Unit("finetune", rate, fresh_optimizer=done == 0)

    def _low(self, _progress: float) -> float:
        return self.low_rate

    def _triangle(self, high: float, done: int, epochs: int) -> Callable[[float], float]:
        """The rate in the unit after `done` of `epochs`: low, high in the middle of all of them, low."""

        def rate(progress: float) -> float:
            return high - (high - self.low_rate) * abs(2 * (done + progress) / epochs - 1)

        return rate

    @torch.no_grad()
    def after_backward(self, plan: EpochPlan, model: nn.Module) -> None:
        """In ticks, add to the scores; in tocks, add the gradient of sparsity_weight * sum of |phi|."""
        for norm in gated_norms(model).values():
            if plan.kind == "tick":
                norm.tally()
            elif plan.kind == "tock" and norm.weight.grad is not None:
                norm.weight.grad += self.sparsity_weight * norm.weight.sign()

    def after_unit(self, plan: EpochPlan, model: nn.Module) -> None:
        """Prune at the end of a tick."""
        if plan.kind == "tick":
            # Imported here: it derives networks, and so needs all methods' layers.
            from cgsim.models.pruning import prune_step

            prune_step(model, self.prune_share, self.least_share, self.target_reduction)
