"""`cgsim merge`: a pruned run into a run of the smaller network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from cgsim.errors import CgsimError
from cgsim.models import checkpoint, warm_start
from cgsim.models.graph import derive_network
from cgsim.models.merging import merge
from cgsim.models.methods import Method
from cgsim.models.runs import build_model, load_model, reference_macs

TOLERANCE = 1e-4
"""Outputs of a merged network may differ by this share of the largest: float32 sums in another order."""


def merge_command(run: str, *, output: str) -> dict[str, Any]:
    """Merge a run of method "gate-decorator" into a run of the smaller network; a JSON object about it.

    Both networks are compared on random images first. Raises CgsimError if the run is of another method, or
    merged or quantised already.
    """
    target = Path(output)
    if (target / checkpoint.CONFIG).exists() or (target.exists() and not target.is_dir()):
        raise CgsimError(f"run {output!r} exists; name another directory")
    model, config, state = load_model(run)
    if config["method"] != "gate-decorator" or "quantization" in config or "merged" in config:
        told = "merged already" if "merged" in config else f"of method {config['method']!r}"
        told = "quantised" if "quantization" in config else told
        raise CgsimError(f"run {run!r}: {told}; expected a run of `cgsim train --method gate-decorator`")
    image = tuple(config["dataset"]["shape"])
    merged, widths = merge(model, image)
    difference = _difference(model, merged, image)
    if not difference <= TOLERANCE:
        raise CgsimError(
            f"run {run!r}: the merged network's outputs differ by {difference:.1e} of the largest"
        )
    about = {key: value for key, value in warm_start.origin(run).items() if key != "config"}
    target.mkdir(parents=True, exist_ok=True)
    checkpoint.save_checkpoint(target, merged, torch.optim.SGD(merged.parameters()), state)
    checkpoint.write_config(target, config | {"merged": about | {"widths": widths}})  # last: the run is whole
    macs = derive_network(merged, image, config["network"]).dense_macs
    with torch.random.fork_rng(devices=[]):
        full = build_model(config, Method())
    return {
        "run": output,
        "parameters": _parameters(merged),
        "parameters_ungated": _parameters(full),
        "macs": macs,
        "macs_ungated": reference_macs(config),
        "flop_reduction": reference_macs(config) / macs,
        "difference": difference,
        "widths": widths,
    }


@torch.no_grad()
def _difference(model: nn.Module, merged: nn.Module, image: tuple[int, int, int]) -> float:
    images = torch.randn(4, *image, generator=torch.Generator().manual_seed(0))
    one, two = model.eval()(images), merged(images)
    return float((one - two).abs().max() / one.abs().max().clamp_min(1e-12))


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
