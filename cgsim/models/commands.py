"""What the command line calls: training, evaluation and recording with plain arguments."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import nn

from cgsim.errors import CgsimError
from cgsim.models import quantized_file
from cgsim.models.checkpoint import CONFIG, write_config
from cgsim.models.comparison import compare
from cgsim.models.data import Dataset
from cgsim.models.evaluation import Evaluation, Normalize, evaluate
from cgsim.models.graph import derive_network
from cgsim.models.loading import load_dataset
from cgsim.models.networks.build import own_architecture
from cgsim.models.quantize import SCHEME, quantize
from cgsim.models.quantized_network import QuantizedResNet
from cgsim.models.recipe import recipe_of
from cgsim.models.recording import record
from cgsim.models.remake import recipe_commands
from cgsim.models.run_config import ORIGINS
from cgsim.models.runs import load_model, preprocessing, reference_macs, require_same_data
from cgsim.models.training import train
from cgsim.models.warm_start import require_same_architecture
from cgsim.trace.metadata import REFERENCE

BUNDLED = 4
"""Images that go into a bundle with the quantised network."""


def train_command(
    *,
    data: str,
    output: str,
    method: str | None = None,
    network: str = "resnet20",
    recipe: str = "short",
    epochs: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    precision: str | None = None,
    target: float | None = None,
    partitions: int | None = None,
    settings: dict[str, Any] | None = None,
    init: str | None = None,
    teacher: str | None = None,
    limit: int | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Train and return what happened as a JSON object; see `cgsim.models.training.train`.

    `settings` replace keys of the recipe ("batch_size", "gating.alpha", ...); the others that name one do so
    too.
    """
    started = time.perf_counter()
    named = {
        "epochs": epochs,
        "precision": precision,
        "gating.target": target,
        "gating.partitions": partitions,
    }
    result = train(
        data=data,
        output=output,
        method=method,
        network=network,
        recipe=recipe,
        overrides={**(settings or {}), **{key: value for key, value in named.items() if value is not None}},
        seed=seed,
        init=init,
        teacher=teacher,
        limit=limit,
        resume=resume,
        device=device,
        threads=threads,
        progress=progress,
    )
    return {
        "run": str(result.run),
        "method": result.method,
        "network": network,
        "epochs": len(result.history),
        "accuracy": result.accuracy,
        "flop_reduction": result.flop_reduction,
        "seconds": round(time.perf_counter() - started, 1),
        "history": result.history,
    }


def evaluate_command(
    run: str, *, data: str, limit: int | None = None, ungated: str | None = None, progress: bool = True
) -> dict[str, Any]:
    """Evaluate a run's model on the test set (`limit` images of it); a JSON object.

    With an `ungated` run it tells the share of images to which both give the same class.
    """
    dataset = load_dataset(data)
    loaded, plain_loaded = _loaded(run, ungated)
    _model, config, result = _evaluated(run, dataset, limit, progress, loaded)
    found: dict[str, Any] = {}
    if ungated is not None:
        _plain, _config, plain = _evaluated(ungated, dataset, limit, progress, plain_loaded)
        found = {"accuracy_ungated": plain.accuracy, "agreement": result.agreement(plain)}
    return {
        "run": run,
        "dataset": config["dataset"]["name"],
        "samples": len(dataset.test.spread(limit)),
        "accuracy": result.accuracy,
        "loss": result.loss,
        "flop_reduction": result.flop_reduction,
        "gated_layers_reduction": result.gated_reduction,
        **found,
        "density": result.density,
    }


def record_command(
    run: str,
    *,
    data: str,
    output: str,
    samples: int = 64,
    ungated: str | None = None,
    bundle: str | None = None,
    verify: bool | str = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Record a trace of a run on `samples` test images at even distances; a JSON object about it.

    `run` may be a run of `quantize_command`, or the file of a quantised network. The run, and the
    `ungated` run if one is named, are first evaluated on the whole test set, so that both accuracies in the
    trace's metadata belong to the data that were used. `bundle` names a file into which a quantised
    network goes with the first BUNDLED images of the trace.
    """
    _writable(output, "a trace file")
    if bundle is not None:
        _writable(bundle, "a file")
    dataset = load_dataset(data)
    if not 1 <= samples <= len(dataset.test):
        raise CgsimError(f"record: samples must be 1 to {len(dataset.test)} (the test set), got {samples}")
    loaded, plain_loaded = _loaded(run, ungated)
    if bundle is not None and not isinstance(loaded[0], QuantizedResNet):
        raise CgsimError(f"run {run!r}: not quantised; a bundle needs a run of `cgsim quantize`")
    model, config, result = _evaluated(run, dataset, None, progress, loaded)
    images = dataset.test.spread(samples)
    ungated_accuracy, plain_config, agreement = None, None, None
    if ungated is not None:
        _plain, plain_config, plain_result = _evaluated(ungated, dataset, None, progress, plain_loaded)
        ungated_accuracy, agreement = plain_result.accuracy, result.agreement(plain_result)
    gated = config["method"] != "none"
    trace = record(
        model,
        images,
        output,
        network_name=config["network"],
        method=config["method"] if gated else "dense",
        method_parameters=_parameters(config) | _measured(result, agreement),
        dataset=dataset.name,
        split="test",
        accuracy_gated=result.accuracy if gated else None,
        accuracy_ungated=ungated_accuracy if gated else result.accuracy,
        seed=config["seed"],
        command=recipe_commands(config, samples, plain_config),
        notes=_notes(config, result),
        normalize=preprocessing(model, config),
        verify=verify,
        progress=progress,
    )
    if bundle is not None:
        quantized_file.write(bundle, model, config, quantized_file.subset(images, BUNDLED))
    return {
        "trace": output,
        "samples": trace.n_samples,
        "accuracy_gated": trace.metadata.accuracy_gated,
        "accuracy_ungated": trace.metadata.accuracy_ungated,
        "flop_reduction": trace.metadata.flop_reduction,
        "flop_reduction_test_set": result.flop_reduction,
    }


def quantize_command(
    run: str, *, data: str, output: str, calibration: int = 512, progress: bool = True
) -> dict[str, Any]:
    """Quantise a run's model to int8 and write a run that `record_command` takes; a JSON object about it.

    `calibration` images, at even distances among those that the run was trained on, set the scales. Both
    models are evaluated on the whole test set.
    """
    started = time.perf_counter()
    target = Path(output)
    if (target / CONFIG).exists() or (target.exists() and not target.is_dir()):
        raise CgsimError(f"run {output!r} exists; name another directory")
    model, config, _state = load_model(run)
    if isinstance(model, QuantizedResNet):
        raise CgsimError(f"run {run!r}: quantised already; expected a run of `cgsim train`")
    dataset = load_dataset(data)
    require_same_data(run, config, dataset)
    trained_on = dataset.train.spread(config["dataset"]["train_images"])
    if not 1 <= calibration <= len(trained_on):
        raise CgsimError(
            f"quantize: calibration must be 1 to {len(trained_on)} (the training images), got {calibration}"
        )
    normalize = preprocessing(model, config)
    assert isinstance(normalize, Normalize)
    quantized = quantize(model, trained_on.spread(calibration), normalize)
    network = derive_network(model, tuple(config["dataset"]["shape"]), config["network"])
    found = compare(
        model,
        quantized,
        dataset.test,
        normalize,
        network,
        reference_macs=reference_macs(config),
        progress=progress,
    )
    about = {
        "scheme": SCHEME,
        "calibration_images": calibration,
        "accuracy_float": found.original.accuracy,
        "accuracy_quantized": found.quantized.accuracy,
        "flop_reduction_float": round(found.original.flop_reduction, 4),
        "flop_reduction_quantized": round(found.quantized.flop_reduction, 4),
        "gates_changed": round(found.gates_changed, 6),
        "predictions_changed": found.predictions_changed,
    }
    made = config | {"quantization": about}
    target.mkdir(parents=True, exist_ok=True)
    quantized_file.write(target / quantized_file.NAME, quantized, made)
    write_config(target, made)  # last: a folder with it is a whole run
    return {
        "run": output,
        **about,
        "gates_changed_by_layer": found.gates_changed_by_layer,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _writable(path: str, expected: str) -> None:
    """Raise CgsimError, now and not after the evaluation, if a file cannot be written."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise CgsimError(f"{path}: cannot be written: no folder {str(folder)!r}")
    if Path(path).is_dir():
        raise CgsimError(f"{path}: cannot be written: a folder, expected the name of {expected}")


_Loaded = tuple[nn.Module, dict[str, Any], dict[str, Any]]


def _loaded(run: str, ungated: str | None) -> tuple[_Loaded, _Loaded | None]:
    """A run and the `ungated` one; CgsimError unless that is the ungated network of the same architecture."""
    loaded = load_model(run)
    if ungated is None:
        return loaded, None
    plain = load_model(ungated)
    config, plain_config = loaded[1], plain[1]
    network = config["network"]
    if plain_config["method"] != "none" or plain_config["network"] != network:
        raise CgsimError(f"run {ungated!r}: expected an ungated {network} (method 'none')")
    theirs, ours = (one["recipe"]["architecture"] for one in (plain_config, config))
    require_same_architecture(f"run {ungated!r}", network, theirs, ours, f"run {run!r} has")
    return loaded, plain


def _evaluated(
    run: str,
    dataset: Dataset,
    limit: int | None,
    progress: bool,
    loaded: _Loaded | None = None,
) -> tuple[nn.Module, dict[str, Any], Evaluation]:
    model, config, _state = loaded or load_model(run)
    require_same_data(run, config, dataset)
    network = derive_network(model, tuple(config["dataset"]["shape"]), config["network"])
    result = evaluate(
        model,
        dataset.test.spread(limit),
        preprocessing(model, config),
        network,
        progress=progress,
        reference_macs=reference_macs(config),
    )
    return model, config, result


def _parameters(config: dict[str, Any]) -> dict[str, Any]:
    """What a trace's metadata say about how a model was made; `reference_macs` are the ungated network's."""
    found: dict[str, Any] = {REFERENCE: reference_macs(config)}
    if "quantization" in config:
        found["quantization"] = config["quantization"]
    if config["method"] == "gate-decorator":
        found["merged"] = "merged" in config
    recipe = recipe_of(config)
    found |= own_architecture(config["network"], recipe.architecture)
    if config["method"] == "none":
        return found
    for key in ORIGINS:
        if config[key] is not None:
            found[key] = {name: config[key][name] for name in ("name", "checksum")}
    return {**recipe.gating, "epochs": recipe.epochs, "distilled": config["distilled"], **found}


def _measured(result: Evaluation, agreement: float | None) -> dict[str, Any]:
    """What the whole test set shows beyond accuracy: MACs saved in gated layers, agreement with ungated."""
    found: dict[str, Any] = {}
    if result.gated_reduction is not None:
        found["gated_layers_reduction"] = round(result.gated_reduction, 4)
    if agreement is not None:
        found["agreement_with_ungated"] = round(agreement, 6)
    return found


def _notes(config: dict[str, Any], result: Evaluation) -> str:
    notes = f"FLOP reduction on the whole test set: {result.flop_reduction:.4f}."
    if "quantization" in config:
        notes += " Gates and accuracies are those of the network in integers (int8)."
    architecture = own_architecture(config["network"], config["recipe"]["architecture"])
    if architecture.get("order") == "before_add" and config["method"] == "cgnet":
        notes += " Post-activation blocks: a ReLU follows both convolutions, before the addition."
    return notes + (" Distilled from the ungated network." if config["distilled"] else "")
