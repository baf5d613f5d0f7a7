"""One unit of training at a time, as a method plans it; random choices depend on seed and unit only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cgsim.errors import CgsimError
from cgsim.models.augmentation import Crops
from cgsim.models.data import Dataset, ImageSet
from cgsim.models.devices import Devices
from cgsim.models.evaluation import Evaluation, Normalize, evaluate
from cgsim.models.graph import derive_network
from cgsim.models.methods import EpochPlan, Method
from cgsim.models.objective import task_loss
from cgsim.models.pictures import Pictures
from cgsim.models.recipe import Recipe
from cgsim.models.registry import gating_modules
from cgsim.models.runs import reference_macs


def place(model: nn.Module, device: str) -> nn.Module:
    """Move a model to a device, with weights laid out as its convolutions run fastest."""
    model.to(device)
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def make_optimizer(model: nn.Module, recipe: Recipe, method: Method) -> torch.optim.Optimizer:
    """SGD; weight decay and the learning rate's factor of each parameter as the method says."""
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        key = (not method.no_decay(name, parameter), method.rate_factor(name, parameter))
        groups.setdefault(key, []).append(parameter)
    listed: list[dict[str, Any]] = [
        {"params": members, "weight_decay": recipe.weight_decay if decayed else 0.0, "factor": factor}
        for (decayed, factor), members in groups.items()
    ]
    return torch.optim.SGD(listed, lr=recipe.rate, momentum=recipe.momentum, nesterov=recipe.nesterov)


def averaged(model: nn.Module, recipe: Recipe) -> AveragedModel | None:
    """The moving average of a model's weights, if the recipe wants one; buffers are the latest."""
    if not recipe.ema_decay:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay))


class Trainer:
    """A model with what trains it; `unit` trains one unit and returns its row of the log."""

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        dataset: Dataset,
        config: dict[str, Any],
        *,
        average: AveragedModel | None = None,
        teacher: nn.Module | None = None,
        devices: Devices | None = None,
        progress: bool = False,
    ) -> None:
        self.model, self.method, self.optimizer, self.recipe = model, method, optimizer, recipe
        self.average, self.teacher = average, teacher
        self.devices = devices or Devices()
        self.device, self.progress, self.seed = self.devices.device, progress, int(config["seed"])
        world = self.devices.world
        if recipe.batch_size % world:
            raise CgsimError(
                f"recipe: batch_size {recipe.batch_size} cannot be shared evenly by {world} processes"
            )
        if recipe.batch_size // world < method.least_batch:
            raise CgsimError(
                f"recipe: batch_size {recipe.batch_size}: {method.name} needs {method.least_batch} images "
                f"or more for each of {world} processes"
            )
        self.autocast = _autocast(recipe, self.device)
        self.scaler = torch.amp.GradScaler("cuda", enabled=recipe.precision == "float16")
        self.train_set: ImageSet = dataset.train.spread(config["dataset"]["train_images"])
        self.test_set = dataset.test
        about = config["dataset"]
        self.normalize = Normalize(tuple(about["mean"]), tuple(about["deviation"]))
        self.name, self.shape = config["network"], tuple(about["shape"])
        self.reference = reference_macs(config)
        derive_network(model, self.shape, self.name)  # a model that cannot be recorded is refused now
        if method.name != "none" and not gating_modules(model):
            raise CgsimError(f"network {self.name!r}: with these settings {method.name} gates nothing in it")

    def unit(self, plan: EpochPlan, done: int) -> dict[str, Any]:
        """Train the unit that follows `done` ones; return its row."""
        started = time.perf_counter()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not self.method.frozen(plan, name))
        if plan.fresh_optimizer:
            self.optimizer.state.clear()
        loss, accuracy = self._train(plan, done) if plan.images != 0 else (0.0, 0.0)
        self.devices.spread_buffers(self.model)
        self._require_finite(plan, done)
        self.method.after_unit(plan, self.model)
        if self.average is not None:
            for copy, buffer in zip(self.average.module.buffers(), self.model.buffers(), strict=True):
                copy.copy_(buffer)
        row = None
        if self.devices.first:
            row = _row(plan, done, loss, accuracy, self._evaluate(), time.perf_counter() - started)
        found: dict[str, Any] = self.devices.spread(row)
        if not math.isfinite(found["test_loss"]):
            raise CgsimError(
                f"training: the test loss is {found['test_loss']} after epoch {done + 1} ({plan.kind}); the "
                f"last checkpoint is kept. A lower rate than {self.recipe.rate} may help"
            )
        return found

    def _require_finite(self, plan: EpochPlan, done: int) -> None:
        """Raise CgsimError, in all processes, if the unit's last steps left weights or statistics useless."""
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise CgsimError(
                    f"training: {name!r} is not finite after epoch {done + 1} ({plan.kind}); the last "
                    f"checkpoint is kept. A lower rate than {self.recipe.rate} may help"
                )

    def _evaluate(self) -> Evaluation:
        evaluated = self.model if self.average is None else self.average.module
        # Shapes and gates of a layer may change between units, so the network is derived anew.
        network = derive_network(evaluated, self.shape, self.name)
        return evaluate(
            evaluated,
            self.test_set,
            self.normalize,
            network,
            device=self.device,
            reference_macs=self.reference,
        )

    def _train(self, plan: EpochPlan, done: int) -> tuple[float, float]:
        """Mean loss and accuracy on the unit's images, while it learns."""
        from tqdm import tqdm

        devices = self.devices
        generator = np.random.default_rng([self.seed, done])
        order = generator.permutation(len(self.train_set))[: plan.images]
        steps = max(1, len(order) // self.recipe.batch_size)
        self.model.train()
        called = devices.wrap(self.model)
        torch.manual_seed(self.seed * 100_003 + done + devices.rank * 7_368_787)
        total, correct, seen = 0.0, 0, 0
        told = f"{plan.kind} {done + 1}"
        bar = tqdm(range(steps), told, leave=False, disable=None if self.progress else True)
        for step in bar:
            picks = order[step * self.recipe.batch_size : (step + 1) * self.recipe.batch_size]
            crops = Crops.draw(len(picks), self.recipe.crop_padding, self.recipe.flip, generator)
            share = devices.share(len(picks))
            own = picks[share]
            images = self._images(own, crops.part(share), done)
            labels = torch.from_numpy(self.train_set.labels[own]).to(self.device)
            # Exact, so that the same step has the same rate to the last bit however it is counted.
            progress: Any = Fraction(step, steps)
            rate = float(plan.rate(progress))
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            whole = min(1.0, float((done + progress) / self.recipe.epochs))
            loss, hits = self._step(called, plan, images, labels, whole)
            if not math.isfinite(loss):
                raise CgsimError(
                    f"training: the loss is {loss} at epoch {done + 1} ({plan.kind}), step {step + 1}; the "
                    f"last checkpoint is kept. A lower rate than {self.recipe.rate} may help"
                )
            total, correct, seen = total + loss * len(picks), correct + hits, seen + len(own)
            bar.set_postfix(
                loss=f"{total / (seen * devices.world):.3f}",
                accuracy=f"{100 * correct / seen:.1f} %",
                refresh=False,
            )
        everything = devices.total(seen)
        return total / everything, devices.total(correct) / everything

    def _images(self, picks: np.ndarray, crops: Crops, done: int) -> Tensor:
        """Training images uint8 on the device: random crops of padded images, or of photographs."""
        source: Any = self.train_set.images
        if isinstance(source, Pictures):
            recipe = self.recipe
            found = source.crops(picks, self.seed, done, recipe.crop_scale, recipe.flip)
            return torch.from_numpy(found).to(self.device)
        return crops.apply(torch.from_numpy(source[picks]).to(self.device))

    def _step(
        self, called: nn.Module, plan: EpochPlan, images: Tensor, labels: Tensor, progress: float
    ) -> tuple[float, int]:
        """Task's loss over all processes, own hits; nothing is learnt from a loss that is not finite."""
        x = self.normalize(images).contiguous(memory_format=torch.channels_last)
        taught = None
        with self.autocast():
            logits = called(x)
            if self.teacher is not None:
                with torch.no_grad():
                    taught = self.teacher(x).float()
        logits = logits.float()
        loss = task_loss(self.recipe, logits, labels, taught)
        value = float(loss.detach())
        added = self.method.loss(self.model, progress)
        if added is not None:
            loss = loss + added.to(loss.device)
            value = value if math.isfinite(float(loss.detach())) else float(loss.detach())
        value = self.devices.mean(value)
        if math.isfinite(value):
            self._learn(plan, loss)
        return value, int((logits.argmax(1) == labels).sum())

    def _learn(self, plan: EpochPlan, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        if not self.scaler.is_enabled() or self._gradients_are_finite():  # else the scaler skips the step
            self.method.after_backward(plan, self.model)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def _gradients_are_finite(self) -> bool:
        gradients = [one.grad for one in self.model.parameters() if one.grad is not None]
        return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def _autocast(recipe: Recipe, device: str) -> Callable[[], AbstractContextManager[Any]]:
    """The context of the forward pass: convolutions in the recipe's precision."""
    kind = torch.device(device).type
    if recipe.precision == "float16" and kind != "cuda":
        raise CgsimError("recipe: precision float16 needs CUDA; on a CPU bfloat16 is as fast")
    low = torch.float16 if recipe.precision == "float16" else torch.bfloat16
    return partial(torch.autocast, kind, low, enabled=recipe.precision != "float32")


def _row(
    plan: EpochPlan, done: int, loss: float, accuracy: float, result: Evaluation, seconds: float
) -> dict[str, Any]:
    density = list(result.density.values())
    return {
        "epoch": done + 1,
        "kind": plan.kind,
        "train_loss": round(loss, 6),
        "train_accuracy": round(accuracy, 6),
        "test_loss": round(result.loss, 6),
        "test_accuracy": round(result.accuracy, 6),
        "flop_reduction": round(result.flop_reduction, 4),
        "mean_density": round(sum(density) / len(density), 4) if density else 1.0,
        "seconds": round(seconds, 1),
    }
