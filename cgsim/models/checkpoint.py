"""A run directory: config.json, checkpoint.safetensors and log.csv; written atomically, never a pickle."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cgsim.atomic import atomic_path
from cgsim.errors import CgsimError
from cgsim.models.run_config import check_config

CONFIG, CHECKPOINT, LOG = "config.json", "checkpoint.safetensors", "log.csv"


def write_config(run: Path, config: dict[str, Any]) -> None:
    """Write the run's configuration."""
    _write(run / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def read_config(run: str | Path) -> dict[str, Any]:
    """Read a run's configuration; raises CgsimError if the directory is no run."""
    path = Path(run) / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CgsimError(
            f"run {str(run)!r}: no {CONFIG}; expected a directory made by `cgsim train`"
        ) from None
    except (OSError, ValueError) as error:
        raise CgsimError(f"run {str(run)!r}: {CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("format") != "cgsim.run" or config.get("version") != 1:
        raise CgsimError(f"run {str(run)!r}: {CONFIG} is not of a cgsim run, version 1")
    check_config(config, f"run {str(run)!r}: {CONFIG}")
    return config


def save_checkpoint(
    run: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write model and momenta with `state` (JSON) in the file's header, then the log as CSV."""
    from safetensors.torch import save

    tensors = {f"model.{key}": value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for parameter, slots in optimizer.state.items():
        for slot, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{slot}.{names[id(parameter)]}"] = value.detach().cpu().contiguous()
    _write(run / CHECKPOINT, save(tensors, {"cgsim.state": json.dumps(state)}))
    _write(run / LOG, _log_csv(state["history"]))


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _log_csv(history: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    return text.getvalue().encode()


def read_checkpoint(run: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name ("model.*", "optimizer.SLOT.*") and the state; raises CgsimError if unreadable."""
    from safetensors import SafetensorError, safe_open

    path = Path(run) / CHECKPOINT
    if not path.is_file():
        raise CgsimError(f"run {str(run)!r}: no {CHECKPOINT}; training has not finished an epoch")
    try:
        with safe_open(str(path), "pt") as file:
            state = json.loads((file.metadata() or {})["cgsim.state"])
            return {key: file.get_tensor(key) for key in file.keys()}, state  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CgsimError(f"run {str(run)!r}: {CHECKPOINT} is damaged or not of cgsim: {error}") from error


def load_weights(run: str | Path, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put a checkpoint's weights into a model; raises CgsimError if they are another model's."""
    weights = {
        key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")
    }
    own = model.state_dict()
    for key in [*own, *weights]:
        if key not in weights or key not in own:
            where = "the model" if key not in own else "the checkpoint"
            raise CgsimError(
                f"run {str(run)!r}: a checkpoint of another model: {key!r} is missing in {where}"
            )
        if own[key].shape != weights[key].shape:
            raise CgsimError(
                f"run {str(run)!r}: a checkpoint of another model: {key!r} has shape "
                f"{list(weights[key].shape)}, expected {list(own[key].shape)}"
            )
    model.load_state_dict(weights)


def load_momenta(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put a checkpoint's optimizer state back."""
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _optimizer, slot, name = key.split(".", 2)
            optimizer.state[parameters[name]][slot] = value.to(parameters[name].device)
