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
from cgsim.models.run_config import checked_config

CONFIG, CHECKPOINT, LOG = "config.json", "checkpoint.safetensors", "log.csv"
AVERAGE = "average."
"""Before the names of the moving average's tensors."""


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
    return checked_config(config, f"run {str(run)!r}: {CONFIG}")


def save_checkpoint(
    run: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    average: nn.Module | None = None,
) -> None:
    """Write model, momenta and, if there is one, the averaged model; `state` (JSON) goes into the header.

    Then the log as CSV.
    """
    from safetensors.torch import save

    tensors = {f"model.{key}": _plain(value) for key, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"{AVERAGE}{key}": _plain(value) for key, value in average.state_dict().items()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for parameter, slots in optimizer.state.items():
        for slot, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{slot}.{names[id(parameter)]}"] = _plain(value)
    _write(run / CHECKPOINT, save(tensors, {"cgsim.state": json.dumps(state)}))
    write_log(run, state["history"])


def _plain(value: Tensor) -> Tensor:
    """A copy on the CPU that shares its memory with no other tensor."""
    return value.detach().cpu().contiguous().clone()


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_log(run: Path, history: list[dict[str, Any]]) -> None:
    """Write the history as log.csv, one row per unit of training."""
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    _write(run / LOG, text.getvalue().encode())


def read_checkpoint(run: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name and the state; raises CgsimError if unreadable.

    Names are "model.*", "average.*" (with a moving average of the weights) and "optimizer.SLOT.*".
    """
    from safetensors import SafetensorError, safe_open

    path = Path(run) / CHECKPOINT
    if not path.is_file():
        raise CgsimError(f"run {str(run)!r}: no {CHECKPOINT}; training has not finished an epoch")
    try:
        with safe_open(str(path), "pt") as file:
            state = json.loads((file.metadata() or {})["cgsim.state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        # Rows of version 1 have no kind: every unit was an epoch of training.
        history = [_with_kind(row) for row in state["history"]]
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CgsimError(f"run {str(run)!r}: {CHECKPOINT} is damaged or not of cgsim: {error}") from error
    return tensors, state | {"history": history}


def _with_kind(row: dict[str, Any]) -> dict[str, Any]:
    return row if "kind" in row else {"epoch": row["epoch"], "kind": "train", **row}


def checksum(path: Path) -> str:
    """SHA-256 of a file, as "sha256:HEX"."""
    import hashlib

    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def weights(tensors: dict[str, Tensor], *, trained: bool = False) -> dict[str, Tensor]:
    """A checkpoint's weights by the model's names: the moving average if there is one, or those `trained`."""
    averaged = any(key.startswith(AVERAGE) for key in tensors)
    prefix = AVERAGE if averaged and not trained else "model."
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def load_weights(run: str | Path, model: nn.Module, found: dict[str, Tensor]) -> None:
    """Put weights into a model; raises CgsimError if they are another model's."""
    own = model.state_dict()
    for key in [*own, *found]:
        if key not in found or key not in own:
            where = "the model" if key not in own else "the checkpoint"
            raise CgsimError(
                f"run {str(run)!r}: a checkpoint of another model: {key!r} is missing in {where}"
            )
        if own[key].shape != found[key].shape:
            raise CgsimError(
                f"run {str(run)!r}: a checkpoint of another model: {key!r} has shape "
                f"{list(found[key].shape)}, expected {list(own[key].shape)}"
            )
    model.load_state_dict(found)


def load_momenta(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put a checkpoint's optimizer state back."""
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _optimizer, slot, name = key.split(".", 2)
            optimizer.state[parameters[name]][slot] = value.to(parameters[name].device)
