"""What the command line calls: training, evaluation and recording with plain arguments."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import nn

from cgsim.errors import CgsimError
from cgsim.models.data import Dataset
from cgsim.models.evaluation import Evaluation, Normalize, evaluate
from cgsim.models.graph import derive_network
from cgsim.models.loading import load_dataset
from cgsim.models.recording import record
from cgsim.models.training import load_model, require_same_data, train


def train_command(
    *,
    data: str,
    output: str,
    method: str = "cgnet",
    network: str = "resnet20",
    recipe: str = "short",
    epochs: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    precision: str | None = None,
    target: float | None = None,
    partitions: int | None = None,
    teacher: str | None = None,
    limit: int | None = None,
    resume: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train and return what happened as a JSON object; see `cgsim.models.training.train`."""
    started = time.perf_counter()
    result = train(
        data=data,
        output=output,
        method=method,
        network=network,
        recipe=recipe,
        overrides={"epochs": epochs, "precision": precision, "target": target, "partitions": partitions},
        seed=seed,
        teacher=teacher,
        limit=limit,
        resume=resume,
        threads=threads,
        progress=progress,
    )
    return {
        "run": str(result.run),
        "method": method,
        "network": network,
        "epochs": len(result.history),
        "accuracy": result.accuracy,
        "flop_reduction": result.flop_reduction,
        "seconds": round(time.perf_counter() - started, 1),
        "history": result.history,
    }


def evaluate_command(
    run: str, *, data: str, limit: int | None = None, progress: bool = True
) -> dict[str, Any]:
    """Evaluate a run's model on the test set (`limit` images of it); a JSON object."""
    dataset = load_dataset(data)
    _model, config, result = _evaluated(run, dataset, limit, progress)
    return {
        "run": run,
        "dataset": config["dataset"]["name"],
        "samples": len(dataset.test.spread(limit)),
        "accuracy": result.accuracy,
        "loss": result.loss,
        "flop_reduction": result.flop_reduction,
        "density": result.density,
    }


def record_command(
    run: str,
    *,
    data: str,
    output: str,
    samples: int = 64,
    ungated: str | None = None,
    verify: bool | str = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Record a trace of a run on `samples` test images at even distances; a JSON object about it.

    The run, and the `ungated` run if one is named, are first evaluated on the whole test set, so that
    both accuracies in the trace's metadata belong to the data that were used.
    """
    folder = Path(output).absolute().parent
    if not folder.is_dir():  # told now, not after the evaluation
        raise CgsimError(f"{output}: cannot be written: no folder {str(folder)!r}")
    if Path(output).is_dir():
        raise CgsimError(f"{output}: cannot be written: a folder, expected the name of a trace file")
    dataset = load_dataset(data)
    if not 1 <= samples <= len(dataset.test):
        raise CgsimError(f"record: samples must be 1 to {len(dataset.test)} (the test set), got {samples}")
    model, config, result = _evaluated(run, dataset, None, progress)
    ungated_accuracy = None
    if ungated is not None:
        _plain, plain_config, plain_result = _evaluated(ungated, dataset, None, progress)
        if plain_config["method"] != "none" or plain_config["network"] != config["network"]:
            raise CgsimError(f"run {ungated!r}: expected an ungated {config['network']} (method 'none')")
        ungated_accuracy = plain_result.accuracy
    gated = config["method"] != "none"
    trace = record(
        model,
        dataset.test.spread(samples),
        output,
        network_name=config["network"],
        method=config["method"] if gated else "dense",
        method_parameters=_parameters(config) if gated else {},
        dataset=dataset.name,
        split="test",
        accuracy_gated=result.accuracy if gated else None,
        accuracy_ungated=ungated_accuracy if gated else result.accuracy,
        seed=config["seed"],
        command=recipe_commands(config, samples, ungated is not None),
        notes=_notes(config, result),
        normalize=_normalize(config),
        verify=verify,
        progress=progress,
    )
    return {
        "trace": output,
        "samples": trace.n_samples,
        "accuracy_gated": trace.metadata.accuracy_gated,
        "accuracy_ungated": trace.metadata.accuracy_ungated,
        "flop_reduction": trace.metadata.flop_reduction,
        "flop_reduction_test_set": result.flop_reduction,
    }


def recipe_commands(config: dict[str, Any], samples: int, ungated: bool) -> str:
    """The commands that make a trace again; DATA, RUN and TRACE stand for paths."""
    about, recipe = config["dataset"], config["recipe"]
    common = f"--network {config['network']} --data DATA --recipe {config['recipe_name']}"
    common += f" --epochs {recipe['epochs']} --precision {recipe['precision']}"
    common += f" --seed {config['seed']} --threads {config['environment']['threads']}"
    if about["train_images"] != about["all_train_images"]:
        common += f" --limit {about['train_images']}"
    plain = f"cgsim train --method none {common} -o RUN0"
    gating = f" --partitions {recipe['partitions']} --target {recipe['target']}"
    gating += " --teacher RUN0" if config["distilled"] else ""
    gated = f"cgsim train --method {config['method']} {common}{gating} -o RUN"
    recording = (
        f"cgsim record RUN --data DATA --samples {samples}{' --ungated RUN0' if ungated else ''} -o TRACE"
    )
    if config["method"] == "none":
        return f"{plain.replace('RUN0', 'RUN')} && {recording}"
    commands = [plain] if ungated or config["distilled"] else []
    return " && ".join([*commands, gated, recording])


def _evaluated(
    run: str, dataset: Dataset, limit: int | None, progress: bool
) -> tuple[nn.Module, dict[str, Any], Evaluation]:
    model, config, _state = load_model(run)
    require_same_data(run, config, dataset)
    network = derive_network(model, tuple(config["dataset"]["shape"]), config["network"])
    test = dataset.test.spread(limit)
    return model, config, evaluate(model, test, _normalize(config), network, progress=progress)


def _normalize(config: dict[str, Any]) -> Normalize:
    return Normalize(tuple(config["dataset"]["mean"]), tuple(config["dataset"]["deviation"]))


def _parameters(config: dict[str, Any]) -> dict[str, Any]:
    keys = (
        "partitions",
        "target",
        "threshold_weight",
        "alpha",
        "sparse_backprop",
        "norm",
        "shuffle",
        "order",
    )
    chosen = {key: config["recipe"][key] for key in keys}
    return chosen | {"epochs": config["recipe"]["epochs"], "distilled": config["distilled"]}


def _notes(config: dict[str, Any], result: Evaluation) -> str:
    notes = f"FLOP reduction on the whole test set: {result.flop_reduction:.4f}."
    if config["recipe"]["order"] == "before_add":
        notes += " Post-activation blocks: a ReLU follows both convolutions, before the addition."
    return notes + (" Distilled from the ungated network." if config["distilled"] else "")
