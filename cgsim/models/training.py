"""Training with early numbers every epoch: seeded, resumable after a kill with the same result."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models import checkpoint, quantized_file, warm_start
from cgsim.models.data import Dataset
from cgsim.models.devices import Devices, opened
from cgsim.models.evaluation import Normalize
from cgsim.models.loading import load_dataset
from cgsim.models.methods import EpochPlan, Method
from cgsim.models.recipe import Recipe, load_recipe, recipe_name, recipe_of
from cgsim.models.run_config import FORMAT, VERSION
from cgsim.models.runs import build_model, configured_method, load_model, require_same_data
from cgsim.models.trainer import Trainer, averaged, make_optimizer, place

MOST_THREADS = 256
"""Beyond some thousands torch does not start; beyond the cores they only cost time."""
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class TrainResult:
    """Where a run lies, its method, its model at the end, and the log, one row per unit of training."""

    run: Path
    method: str
    model: nn.Module
    history: list[dict[str, Any]]

    @property
    def accuracy(self) -> float:
        """Accuracy on the whole test set after the last epoch, 0..1."""
        return float(self.history[-1]["test_accuracy"])

    @property
    def flop_reduction(self) -> float:
        """MACs of the ungated network over executed ones on the whole test set after the last epoch."""
        return float(self.history[-1]["flop_reduction"])


def train(
    *,
    data: str | Path | Dataset,
    output: str | Path,
    method: str | None = None,
    network: str = "resnet20",
    recipe: str | Path | Recipe = "short",
    overrides: dict[str, Any] | None = None,
    seed: int = 0,
    init: str | Path | None = None,
    teacher: str | Path | None = None,
    limit: int | None = None,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a network as a gating method makes it ("none": ungated) and keep it in the directory `output`.

    `data` is a path for `load_dataset`, or a Dataset. `recipe` is a name, a YAML file or a Recipe, whose
    keys `overrides` replaces ("epochs", "gating.target", ...); `method` defaults to the recipe's, or CGNet.
    `init`, a run or a file of weights of the ungated network, is what training begins with. `teacher`, a
    run directory, switches knowledge distillation on. `limit` takes only that many images of the training
    set, at even distances. After every unit (an epoch, mostly) the whole test set is evaluated in float32
    and the checkpoint replaced; `resume` goes on after the last one, with the same result as a run that was
    never stopped. `device` is "cpu", "cuda", or "auto": CUDA where there is one. Under torchrun the processes
    share each batch, and the first one evaluates and writes. Raises CgsimError on bad input, and when the
    loss is no longer finite: the last checkpoint then stays.
    """
    if threads is not None:
        if not 1 <= threads <= MOST_THREADS:
            raise CgsimError(f"threads: expected 1 to {MOST_THREADS}, got {threads}")
        torch.set_num_threads(threads)
    if not 0 <= seed <= MOST_SEED:
        raise CgsimError(f"seed: expected 0 to {MOST_SEED}, got {seed}")
    chosen = load_recipe(recipe, overrides, method)
    if chosen.epochs == 0 and init is None:
        raise CgsimError("recipe: epochs 0 trains nothing; it needs weights to begin with (init)")
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    run = Path(output)
    config = make_config(network, chosen, dataset, seed, limit, init=init, teacher=teacher)
    config["recipe_name"] = recipe_name(recipe, method)
    if (run / quantized_file.NAME).is_file() or (not resume and (run / checkpoint.CHECKPOINT).is_file()):
        raise CgsimError(f"run {str(run)!r} exists; go on with it (resume) or name another directory")
    with opened(device) as devices:
        config["environment"] |= {"processes": devices.world, "device": torch.device(devices.device).type}
        return _run(run, config, dataset, chosen, devices, init, teacher, progress and devices.first)


def _run(
    run: Path,
    config: dict[str, Any],
    dataset: Dataset,
    recipe: Recipe,
    devices: Devices,
    init: str | Path | None,
    teacher: str | Path | None,
    progress: bool,
) -> TrainResult:
    taught_by = _teacher(teacher, dataset, config, devices.device)
    going = _Going(run, config, dataset, recipe, devices.device, init, progress)
    history, method, average = going.history, going.method, going.average
    trainer = Trainer(
        going.model,
        method,
        going.optimizer,
        recipe,
        dataset,
        config,
        average=average,
        teacher=taught_by,
        devices=devices,
        progress=progress,
    )
    if going.scaler:
        trainer.scaler.load_state_dict(going.scaler)
    if devices.first:
        run.mkdir(parents=True, exist_ok=True)
        if history:
            checkpoint.write_log(run, history)  # a kill may have come between checkpoint and log
        else:
            checkpoint.write_config(run, config)
    while (plan := _next(method, recipe, history, going.model)) is not None:
        row = trainer.unit(plan, len(history))
        history = [*history, row]
        if devices.first:
            state = {"epoch": len(history), "history": history, "scaler": trainer.scaler.state_dict()}
            averaged_model = None if average is None else average.module
            checkpoint.save_checkpoint(run, going.model, going.optimizer, state, averaged_model)
        if progress:
            print(describe_epoch(row, recipe.epochs), flush=True)
    return TrainResult(run, method.name, going.model if average is None else average.module, history)


def _next(
    method: Method, recipe: Recipe, history: list[dict[str, Any]], model: nn.Module
) -> EpochPlan | None:
    """The next unit; with `epochs` 0 one in which nothing is trained, so that weights become a run."""
    if recipe.epochs == 0:
        return None if history else EpochPlan("init", lambda _progress: 0.0, images=0)
    return method.plan(recipe, history, model)


class _Going:
    """Where training begins: a new model, one with trained weights, or the last checkpoint of `run`."""

    def __init__(
        self,
        run: Path,
        config: dict[str, Any],
        dataset: Dataset,
        recipe: Recipe,
        device: str,
        init: str | Path | None,
        progress: bool,
    ) -> None:
        self.method: Method = configured_method(config)
        self.history: list[dict[str, Any]] = []
        self.scaler: dict[str, Any] = {}
        torch.manual_seed(config["seed"])
        self.model = build_model(config)
        resumed = (run / checkpoint.CHECKPOINT).is_file()
        if not resumed:
            self._begin(config, dataset, init, progress)
        place(self.model, device)
        self.optimizer = make_optimizer(self.model, recipe, self.method)
        self.average = averaged(self.model, recipe)
        if resumed:
            _check_same(run, checkpoint.read_config(run), config)
            tensors, state = checkpoint.read_checkpoint(run)
            checkpoint.load_weights(run, self.model, checkpoint.weights(tensors, trained=True))
            checkpoint.load_momenta(self.model, self.optimizer, tensors)
            if self.average is not None:
                checkpoint.load_weights(run, self.average.module, checkpoint.weights(tensors))
                self.average.n_averaged.fill_(1)  # only whether it is 0 matters to a moving average
            self.history, self.scaler = state["history"], state.get("scaler", {})

    def _begin(
        self, config: dict[str, Any], dataset: Dataset, init: str | Path | None, progress: bool
    ) -> None:
        if init is not None:
            source = config["init"]["config"]
            if source is not None:
                _require_same_pixels("init", init, source, config)
            adoption = warm_start.adopt(self.model, self.method, init, config["network"], source)
            if progress:
                print(adoption.describe(init), flush=True)
        about = config["dataset"]
        normalize = Normalize(tuple(about["mean"]), tuple(about["deviation"]))
        trained_on = dataset.train.spread(about["train_images"])

        def images(count: int) -> Tensor:
            return normalize(trained_on.spread(count).images)

        self.method.prepare(self.model, images)


def _teacher(
    run: str | Path | None, dataset: Dataset, config: dict[str, Any], device: str
) -> nn.Module | None:
    if run is None:
        return None
    model, source, _state = load_model(run)
    require_same_data(run, source, dataset)
    _require_same_pixels("teacher", run, source, config)
    return place(model, device)


def _require_same_pixels(what: str, run: str | Path, source: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise CgsimError unless another run's images were normalised as those of this one will be."""
    for key, name in (("mean", "pixel_mean"), ("deviation", "pixel_deviation")):
        theirs, ours = source["dataset"][key], config["dataset"][key]
        if theirs != ours:
            raise CgsimError(f"{what} {str(run)!r}: trained with {name} {theirs}, this run has {ours}")


def describe_epoch(row: dict[str, Any], epochs: int) -> str:
    """One line about one unit of training."""
    what = f"epoch {row['epoch']}/{epochs}" if row["kind"] == "train" else f"{row['kind']} {row['epoch']}"
    return (
        f"{what}  loss {row['train_loss']:.4f}  "
        f"train {100 * row['train_accuracy']:.2f} %  test {100 * row['test_accuracy']:.2f} %  "
        f"FLOP reduction {row['flop_reduction']:.2f}x  {row['seconds']:.0f} s"
    )


def make_config(
    network: str,
    recipe: Recipe,
    dataset: Dataset,
    seed: int,
    limit: int | None,
    *,
    init: str | Path | None = None,
    teacher: str | Path | None = None,
) -> dict[str, Any]:
    """Everything that decides a run, as a JSON object."""
    train_images = dataset.train.spread(limit)
    mean, deviation = _statistics(dataset, recipe)
    return {
        "format": FORMAT,
        "version": VERSION,
        "method": recipe.method,
        "network": network,
        "recipe": recipe.to_json(),
        "seed": seed,
        "distilled": teacher is not None,
        "init": None if init is None else warm_start.origin(init),
        "teacher": None if teacher is None else warm_start.origin(teacher),
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


def _statistics(dataset: Dataset, recipe: Recipe) -> tuple[list[float], list[float]]:
    """Mean and deviation that images are normalised by: the recipe's, or else the data's own."""
    if not recipe.pixel_mean:
        return dataset.statistics()
    if len(recipe.pixel_mean) != dataset.channels:
        raise CgsimError(
            f"recipe: pixel_mean has {len(recipe.pixel_mean)} numbers, but the images have "
            f"{dataset.channels} channels"
        )
    return list(recipe.pixel_mean), list(recipe.pixel_deviation)


def _check_same(run: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise CgsimError if a run began with other settings than it is to go on with."""
    old = old | {"recipe": recipe_of(old).to_json()}
    for part in ("processes", "device"):  # another number of them gives another run
        before, after = (found["environment"].get(part) for found in (old, new))
        if before not in (None, after):
            raise CgsimError(f"run {str(run)!r}: cannot resume: {part} was {before!r}, now {after!r}")
    for key, value in new.items():
        before, after = old.get(key), value
        while isinstance(before, dict) and isinstance(after, dict) and before != after:
            inner = next(name for name in {**after, **before} if before.get(name) != after.get(name))
            key, before, after = f"{key}.{inner}", before.get(inner), after.get(inner)
        if key.startswith("environment"):
            continue
        if before != after:
            raise CgsimError(f"run {str(run)!r}: cannot resume: {key} was {before!r}, now {after!r}")
