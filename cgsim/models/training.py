"""Training with early numbers every epoch: seeded, resumable after a kill with the same result."""

from __future__ import annotations

import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models import checkpoint, quantized_file
from cgsim.models.data import Dataset, ImageSet
from cgsim.models.evaluation import Evaluation, Normalize, evaluate
from cgsim.models.graph import derive_network
from cgsim.models.layers.cgnet import threshold_loss
from cgsim.models.loading import load_dataset
from cgsim.models.quantized_network import QuantizedResNet
from cgsim.models.recipe import Recipe, load_recipe
from cgsim.models.runs import build_model, load_model, require_same_data

MOST_THREADS = 256
"""Beyond some thousands torch does not start; beyond the cores they only cost time."""


@dataclass(frozen=True)
class TrainResult:
    """Where a run lies, its model after the last epoch, and the log, one row per epoch."""

    run: Path
    model: nn.Module
    history: list[dict[str, Any]]

    @property
    def accuracy(self) -> float:
        """Accuracy on the whole test set after the last epoch, 0..1."""
        return float(self.history[-1]["test_accuracy"])

    @property
    def flop_reduction(self) -> float:
        """Dense over executed MACs on the whole test set after the last epoch."""
        return float(self.history[-1]["flop_reduction"])


def train(
    *,
    data: str | Path | Dataset,
    output: str | Path,
    method: str = "cgnet",
    network: str = "resnet20",
    recipe: str | Path | Recipe = "short",
    overrides: dict[str, Any] | None = None,
    seed: int = 0,
    teacher: str | Path | None = None,
    limit: int | None = None,
    resume: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a network ("cgnet" gated, "none" ungated) and keep it in the directory `output`.

    `data` is a path for `load_dataset`, or a Dataset. `recipe` is a name, a YAML file or a Recipe, whose
    keys `overrides` replaces. `teacher`, a run directory, switches knowledge distillation on. `limit`
    takes only that many images of the training set, at even distances. After every epoch the whole test
    set is evaluated in float32 and the checkpoint replaced; `resume` goes on after the last one, with
    the same result as a run that was never stopped. Raises CgsimError on bad input, and when the loss is
    no longer finite: the last checkpoint then stays.
    """
    if threads is not None:
        if not 1 <= threads <= MOST_THREADS:
            raise CgsimError(f"threads: expected 1 to {MOST_THREADS}, got {threads}")
        torch.set_num_threads(threads)
    chosen = load_recipe(recipe, overrides)
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    run = Path(output)
    config = make_config(method, network, chosen, dataset, seed, limit, teacher)
    config["recipe_name"] = "custom" if isinstance(recipe, Recipe) else Path(recipe).name
    torch.manual_seed(seed)
    model = place(build_model(config), device)
    optimizer = make_optimizer(model, chosen)
    history: list[dict[str, Any]] = []
    if resume and (run / checkpoint.CHECKPOINT).is_file():
        _check_same(run, checkpoint.read_config(run), config)
        tensors, state = checkpoint.read_checkpoint(run)
        checkpoint.load_weights(run, model, tensors)
        checkpoint.load_momenta(model, optimizer, tensors)
        history = state["history"]
    elif (run / checkpoint.CHECKPOINT).is_file() or (run / quantized_file.NAME).is_file():
        raise CgsimError(f"run {str(run)!r} exists; go on with it (resume) or name another directory")
    taught_by = None
    if teacher is not None:
        taught_by, teacher_config, _state = load_model(teacher)
        if isinstance(taught_by, QuantizedResNet):
            raise CgsimError(f"run {str(teacher)!r}: quantised; a teacher must be a run of `cgsim train`")
        require_same_data(teacher, teacher_config, dataset)
        place(taught_by, device)
    run.mkdir(parents=True, exist_ok=True)
    if not history:
        checkpoint.write_config(run, config)
    trainer = _Trainer(model, optimizer, chosen, dataset, config, device, progress, taught_by)
    for epoch in range(len(history), chosen.epochs):
        row = trainer.epoch(epoch)
        history = [*history, row]
        checkpoint.save_checkpoint(run, model, optimizer, {"epoch": epoch + 1, "history": history})
        if progress:
            print(describe_epoch(row, chosen.epochs), flush=True)
    return TrainResult(run, model, history)


def describe_epoch(row: dict[str, Any], epochs: int) -> str:
    """One line about one epoch."""
    return (
        f"epoch {row['epoch']}/{epochs}  loss {row['train_loss']:.4f}  "
        f"train {100 * row['train_accuracy']:.2f} %  test {100 * row['test_accuracy']:.2f} %  "
        f"FLOP reduction {row['flop_reduction']:.2f}x  {row['seconds']:.0f} s"
    )


def make_config(
    method: str,
    network: str,
    recipe: Recipe,
    dataset: Dataset,
    seed: int,
    limit: int | None,
    teacher: str | Path | None,
) -> dict[str, Any]:
    """Everything that decides a run, as a JSON object."""
    train_images = dataset.train.spread(limit)
    mean, deviation = dataset.statistics()
    return {
        "format": "cgsim.run",
        "version": 1,
        "method": method,
        "network": network,
        "recipe": recipe.to_json(),
        "seed": seed,
        "distilled": teacher is not None,
        "dataset": {
            "name": dataset.name,
            "classes": list(dataset.classes),
            "shape": list(dataset.train.images.shape[1:]),
            "train_images": len(train_images),
            "all_train_images": len(dataset.train),
            "mean": mean,
            "deviation": deviation,
        },
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        },
    }


def place(model: nn.Module, device: str) -> nn.Module:
    """Move a model to a device, with weights laid out as its convolutions run fastest."""
    model.to(device)
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD; weight decay on convolution and linear weights only, never on thresholds or norms."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum, nesterov=recipe.nesterov)


def distillation_loss(
    logits: Tensor, teacher: Tensor, labels: Tensor, weight: float, temperature: float
) -> Tensor:
    """(1 - w) * cross entropy with the labels + w * t^2 * KL from the teacher's softened outputs."""
    soft = F.kl_div(
        F.log_softmax(logits / temperature, 1),
        F.log_softmax(teacher / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - weight) * F.cross_entropy(logits, labels) + weight * temperature**2 * soft


def augment(images: Tensor, padding: int, flip: bool, generator: np.random.Generator) -> Tensor:
    """Random crops of zero-padded images [B, C, H, W], and each mirrored with probability one half."""
    batch, _channels, height, width = images.shape
    rows = torch.from_numpy(generator.integers(0, 2 * padding + 1, batch))
    columns = torch.from_numpy(generator.integers(0, 2 * padding + 1, batch))
    mirrored = torch.from_numpy(generator.random(batch) < 0.5) & flip
    padded = F.pad(images, (padding,) * 4)
    across = torch.arange(width).expand(batch, width)
    across = torch.where(mirrored[:, None], across.flip(1), across) + columns[:, None]
    down = torch.arange(height) + rows[:, None]
    index = torch.arange(batch)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)


def _check_same(run: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        before, after = old.get(key), value
        if key != "environment" and before != after:
            if isinstance(before, dict) and isinstance(after, dict):
                inner = next(name for name in {**after, **before} if before.get(name) != after.get(name))
                key, before, after = f"{key}.{inner}", before.get(inner), after.get(inner)
            raise CgsimError(f"run {str(run)!r}: cannot resume: {key} was {before!r}, now {after!r}")


class _Trainer:
    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        dataset: Dataset,
        config: dict[str, Any],
        device: str,
        progress: bool,
        teacher: nn.Module | None,
    ) -> None:
        self.model, self.optimizer, self.recipe = model, optimizer, recipe
        self.device, self.progress, self.seed = device, progress, int(config["seed"])
        self.train_set: ImageSet = dataset.train.spread(config["dataset"]["train_images"])
        self.test_set = dataset.test
        about = config["dataset"]
        self.normalize = Normalize(tuple(about["mean"]), tuple(about["deviation"]))
        self.network = derive_network(model, tuple(about["shape"]), config["network"])
        self.teacher = teacher
        self.steps = max(1, len(self.train_set) // recipe.batch_size)

    def epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch, whose random choices depend on the seed and its number only; return its row."""
        from tqdm import tqdm

        started = time.perf_counter()
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self.train_set))
        self.model.train()
        torch.manual_seed(self.seed * 100_003 + epoch)
        total, correct, seen = 0.0, 0, 0
        bar = tqdm(
            range(self.steps), f"epoch {epoch + 1}", leave=False, disable=None if self.progress else True
        )
        for step in bar:
            picks = order[step * self.recipe.batch_size : (step + 1) * self.recipe.batch_size]
            images = torch.from_numpy(self.train_set.images[picks])
            images = augment(images, self.recipe.crop_padding, self.recipe.flip, generator)
            labels = torch.from_numpy(self.train_set.labels[picks]).to(self.device)
            self._set_rate((epoch * self.steps + step) / (self.recipe.epochs * self.steps))
            loss, hits = self._step(images, labels)
            if not math.isfinite(loss):
                raise CgsimError(
                    f"training: the loss is {loss} at epoch {epoch + 1}, step {step + 1}; the last "
                    f"checkpoint is kept. A lower rate than {self.recipe.rate} may help"
                )
            total, correct, seen = total + loss * len(picks), correct + hits, seen + len(picks)
            bar.set_postfix(
                loss=f"{total / seen:.3f}", accuracy=f"{100 * correct / seen:.1f} %", refresh=False
            )
        result = evaluate(self.model, self.test_set, self.normalize, self.network, device=self.device)
        return self._row(epoch, total / seen, correct / seen, result, time.perf_counter() - started)

    def _row(
        self, epoch: int, loss: float, accuracy: float, result: Evaluation, seconds: float
    ) -> dict[str, Any]:
        density = list(result.density.values())
        return {
            "epoch": epoch + 1,
            "train_loss": round(loss, 6),
            "train_accuracy": round(accuracy, 6),
            "test_loss": round(result.loss, 6),
            "test_accuracy": round(result.accuracy, 6),
            "flop_reduction": round(result.flop_reduction, 4),
            "mean_density": round(sum(density) / len(density), 4) if density else 1.0,
            "seconds": round(seconds, 1),
        }

    def _set_rate(self, progress: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(progress)

    def _step(self, images: Tensor, labels: Tensor) -> tuple[float, int]:
        x = self.normalize(images).to(self.device).contiguous(memory_format=torch.channels_last)
        low = self.recipe.precision == "bfloat16"
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=low):
            logits = self.model(x)
            if self.teacher is not None:
                with torch.no_grad():
                    taught = self.teacher(x).float()
        logits = logits.float()
        if self.teacher is None:
            loss = F.cross_entropy(logits, labels)
        else:
            weight, temperature = self.recipe.distill_weight, self.recipe.distill_temperature
            loss = distillation_loss(logits, taught, labels, weight, temperature)
        value = float(loss.detach())
        if self.recipe.threshold_weight:
            loss = loss + self.recipe.threshold_weight * threshold_loss(self.model).to(loss.device)
        if math.isfinite(value):
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return value, int((logits.argmax(1) == labels).sum())
