"""`cgsim train`, `evaluate`, `quantize` and `record`: commands that need torch."""

from __future__ import annotations

import argparse
from typing import Any

from cgsim.commands.extras import need
from cgsim.commands.interrupts import insistent_interrupt
from cgsim.commands.parser import Parser, add_command, interactive, natural, positive, print_json
from cgsim.errors import CgsimError


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the commands."""
    train = add_command(
        commands,
        "train",
        run_train,
        "train a gated (or ungated) network",
        "Train a network and write checkpoint, configuration and history into a folder.\n"
        "An interrupted training goes on with --resume.",
        "cgsim train --method cgnet --network resnet20 --data PATH -o runs/cgnet",
        "cgsim train --method cgnet --set gating.target=2.0 --init runs/cgnet \\\n"
        "    --data PATH -o runs/stronger    # begin with the weights of another run",
        "cgsim train --method none --data PATH -o runs/ungated --resume",
    )
    train.add_argument(
        "--method",
        metavar="NAME",
        help="none (ungated), cgnet (default), batch-shaping, mixture-of-depths or gate-decorator",
    )
    train.add_argument("--network", default="resnet20", metavar="NAME", help="default resnet20")
    train.add_argument(
        "--data", required=True, metavar="PATH", help="folder of a data set, or of photographs"
    )
    train.add_argument("-o", "--output", required=True, metavar="RUN", help="folder for the trained model")
    train.add_argument(
        "--recipe",
        default="short",
        metavar="NAME",
        help="short (default) or paper, the method's own; the full name of a recipe, or a YAML file",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="instead of the recipe's value, such as batch_size=64 or gating.target=0.6",
    )
    train.add_argument("--epochs", type=natural, metavar="N", help="instead of the recipe's epochs")
    train.add_argument("--seed", type=natural, default=0, metavar="S", help="default 0")
    train.add_argument(
        "--device", default="auto", metavar="D", help="cpu, cuda, or auto (default): CUDA if there is one"
    )
    train.add_argument("--threads", type=positive, metavar="N", help="CPU threads of torch")
    train.add_argument("--precision", choices=("float32", "bfloat16", "float16"), help="of the forward pass")
    train.add_argument("--init", metavar="RUN", help="begin with the weights of a run, or of a file")
    train.add_argument("--teacher", metavar="RUN", help="ungated model to distil from")
    train.add_argument("--target", type=float, metavar="T", help="CGNet: target threshold")
    train.add_argument(
        "--partitions", type=positive, metavar="P", help="CGNet: base path is 1/P of the inputs"
    )
    train.add_argument("--limit", type=positive, metavar="N", help="N training images, evenly spread")
    train.add_argument("--resume", action="store_true", help="go on with an interrupted training")
    _add_evaluate(commands)
    _add_quantize(commands)
    record = add_command(
        commands,
        "record",
        run_record,
        "record the gates of a trained model into a trace",
        "Run a trained model on test images and stream its gates into a trace. Accuracy is\n"
        "that of the whole test set.",
        "cgsim record runs/cgnet --data PATH --samples 64 -o cgnet.trace.parquet",
        "cgsim record runs/cgnet --data PATH --ungated runs/ungated \\\n"
        "    -o cgnet.trace.parquet    # with the accuracy of the ungated network",
    )
    record.add_argument(
        "run_dir", metavar="RUN", help="folder that cgsim train or quantize wrote, or a quantised network"
    )
    record.add_argument("--data", required=True, metavar="PATH", help="the data set of the training")
    record.add_argument("--samples", type=positive, default=64, metavar="N", help="test images (default 64)")
    record.add_argument("-o", "--output", required=True, metavar="TRACE", help="trace to write")
    record.add_argument("--ungated", metavar="RUN", help="the ungated model, for its accuracy")
    record.add_argument(
        "--bundle", metavar="FILE", help="write a quantised network here with the trace's first 4 images"
    )
    record.add_argument(
        "--no-verify", action="store_true", help="do not recompute the layers with the recorded gates"
    )


def _add_evaluate(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "evaluate",
        run_evaluate,
        "accuracy and FLOP reduction of a trained model on the test set",
        "Run a trained or quantised model on the test images: accuracy, FLOP reduction (MACs of the\n"
        "ungated network over those executed) and the share of gates that are on in each layer.",
        "cgsim evaluate runs/cgnet --data PATH",
        "cgsim evaluate runs/cgnet --data PATH --ungated runs/ungated --difficulty",
    )
    parser.add_argument(
        "run_dir", metavar="RUN", help="folder that cgsim train or quantize wrote, or a quantised network"
    )
    parser.add_argument("--data", required=True, metavar="PATH", help="the data set of the training")
    parser.add_argument("--limit", type=positive, metavar="N", help="N test images, evenly spread")
    parser.add_argument("--ungated", metavar="RUN", help="the ungated model: how often both agree")
    parser.add_argument(
        "--difficulty", action="store_true", help="MACs of the images that are easy and hard for --ungated"
    )


def _add_quantize(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "quantize",
        run_quantize,
        "turn a trained model into one of int8 weights, activations and thresholds",
        "Quantise a trained model to int8 (no training), compare both on the test set, and write a run that "
        "cgsim record takes.",
        "cgsim quantize runs/cgnet --data PATH -o runs/cgnet-int8",
    )
    parser.add_argument("run_dir", metavar="RUN", help="folder that cgsim train wrote")
    parser.add_argument("--data", required=True, metavar="PATH", help="the data set of the training")
    parser.add_argument(
        "--calibration", type=positive, default=512, metavar="N", help="training images (default 512)"
    )
    parser.add_argument("-o", "--output", required=True, metavar="QRUN", help="folder for the int8 model")


def run_train(arguments: argparse.Namespace) -> None:
    """Train; one line for each epoch."""
    need_torch()
    with insistent_interrupt():
        from cgsim.models import train_command
        from cgsim.models.devices import leave

    keys = "method network data output recipe epochs seed threads device precision init teacher target"
    options = {key: getattr(arguments, key) for key in [*keys.split(), "partitions", "limit", "resume"]}
    options["settings"] = dict(_setting(text) for text in arguments.set)
    result = train_command(**options, progress=not arguments.json)
    if arguments.json:
        print_json(result)
    else:
        told = f"accuracy {100 * result['accuracy']:.2f} %"
        if result.get("flop_reduction"):
            told += f", FLOP reduction {result['flop_reduction']:.2f}"
        print(f"{result['run']}: {told}")
    leave()


def _setting(text: str) -> tuple[str, Any]:
    """Key and value of KEY=VALUE; the value is read as in a YAML file, and 1e-3 as a number."""
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CgsimError(f"--set {text!r}: expected KEY=VALUE, such as gating.target=0.6")
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise CgsimError(
            f"--set {text!r}: the value cannot be read: {' '.join(str(error).split())}"
        ) from error
    if (
        found is None and "." not in key
    ):  # a section's key then has its default; these have none to go back to
        raise CgsimError(f"--set {text!r}: expected a value behind '='")
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            return key, found
    return key, found


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate a run."""
    if arguments.difficulty and arguments.ungated is None:
        raise CgsimError("evaluate: --difficulty needs --ungated RUN, whose loss tells what is hard")
    need_torch()
    with insistent_interrupt():
        from cgsim.models import evaluate_command, run_difficulty

    progress = interactive() and not arguments.json
    result = evaluate_command(
        arguments.run_dir,
        data=arguments.data,
        limit=arguments.limit,
        ungated=arguments.ungated,
        progress=progress,
    )
    if arguments.difficulty:
        found = run_difficulty(
            arguments.run_dir, arguments.ungated, arguments.data, arguments.limit, progress
        )
        result["difficulty"] = found.summary()
    if arguments.json:
        print_json(result)
        return
    saved = result["gated_layers_reduction"]
    print(
        f"{result['run']}: {result['samples']} samples, accuracy {100 * result['accuracy']:.2f} %, "
        f"loss {result['loss']:.4f}, FLOP reduction {result['flop_reduction']:.2f}"
        + (f" ({saved:.2f} in gated layers)" if saved is not None else "")
    )
    if "agreement" in result:
        print(
            f"  ungated {100 * result['accuracy_ungated']:.2f} %; both give the same class to "
            f"{100 * result['agreement']:.2f} % of the samples"
        )
    width = max(map(len, result["density"]), default=0)
    for name, share in result["density"].items():
        print(f"  {name:{width}}  {100 * share:5.1f} % of the gates on")
    if arguments.difficulty:
        print(_told_difficulty(result["difficulty"]))


def _told_difficulty(found: dict[str, Any]) -> str:
    """A line for each tenth of the images, from easy to hard, and what they come to."""
    told = ["  tenths of the images by the ungated network's loss, easiest first: loss, mean MACs"]
    told += [
        f"  {part['ungated_loss']:10.4f}  {part['macs']:15,.0f} +- {part['macs_error']:,.0f}"
        for part in found["parts"]
    ]
    for what, key in (("hard over easy", "hard_over_easy"), ("rank correlation", "rank_correlation")):
        if found[key] is not None:
            told.append(f"  {what} {found[key]:.3f}")
    return "\n".join(told)


def run_quantize(arguments: argparse.Namespace) -> None:
    """Quantise a run."""
    need_torch()
    with insistent_interrupt():
        from cgsim.models import quantize_command

    result = quantize_command(
        arguments.run_dir,
        data=arguments.data,
        output=arguments.output,
        calibration=arguments.calibration,
        progress=interactive() and not arguments.json,
    )
    if arguments.json:
        print_json(result)
        return
    print(f"{result['run']}: {_told_quantized(result)}")


def _told_quantized(result: dict[str, Any]) -> str:
    """One line about a quantisation."""
    before, after = 100 * result["accuracy_float"], 100 * result["accuracy_quantized"]
    told = f"accuracy {before:.2f} % before, {after:.2f} % after"
    if result["gates_changed"] or result["flop_reduction_float"] != 1:
        told += (
            f"; FLOP reduction {result['flop_reduction_float']:.2f} before, "
            f"{result['flop_reduction_quantized']:.2f} after; "
            f"{100 * result['gates_changed']:.2f} % of the gates changed"
        )
    return told


def run_record(arguments: argparse.Namespace) -> None:
    """Record a trace."""
    need_torch()
    with insistent_interrupt():
        from cgsim.models import record_command

    result = record_command(
        arguments.run_dir,
        data=arguments.data,
        samples=arguments.samples,
        output=arguments.output,
        ungated=arguments.ungated,
        bundle=arguments.bundle,
        verify=not arguments.no_verify,
        progress=interactive() and not arguments.json,
    )
    if arguments.json:
        print_json(result)
        return
    told = [f"{result['samples']} samples"]
    for name, key in (("accuracy", "accuracy_gated"), ("ungated", "accuracy_ungated")):
        if result.get(key) is not None:
            told.append(f"{name} {100 * result[key]:.2f} %")
    told.append(f"FLOP reduction {result['flop_reduction_test_set']:.2f} (test set)")
    print(f"{result['trace']}: {', '.join(told)}")


def need_torch() -> None:
    """Raise CgsimError if what training needs is not installed."""
    need("models", "torch", "safetensors", what="training and recording")
