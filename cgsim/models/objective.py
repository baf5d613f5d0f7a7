"""The task's loss: cross entropy with labels, and with a teacher's outputs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cgsim.models.recipe import Recipe


def distillation_loss(
    logits: Tensor,
    teacher: Tensor,
    labels: Tensor,
    weight: float,
    temperature: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """(1 - w) * cross entropy with the labels + w * t^2 * KL from the teacher's softened outputs."""
    soft = F.kl_div(
        F.log_softmax(logits / temperature, 1),
        F.log_softmax(teacher / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    hard = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    return (1 - weight) * hard + weight * temperature**2 * soft


def task_loss(recipe: Recipe, logits: Tensor, labels: Tensor, taught: Tensor | None) -> Tensor:
    """Mean loss of logits [B, classes], as a recipe says; `taught` are a teacher's logits if there is one."""
    if taught is None:
        return F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    weight, temperature = recipe.distill_weight, recipe.distill_temperature
    return distillation_loss(logits, taught, labels, weight, temperature, recipe.label_smoothing)
