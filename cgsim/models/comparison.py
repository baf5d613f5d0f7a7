"""A quantised model beside the float one it was made from, on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from cgsim.models.data import ImageSet
from cgsim.models.evaluation import Evaluation, GateTap, Preprocess, Tally, batch_size_for, batches
from cgsim.models.quantized_network import QuantizedResNet
from cgsim.trace.network import Network


@dataclass(frozen=True)
class Comparison:
    """Both evaluations, and the shares (0..1) of gates and of predictions that quantisation changed."""

    original: Evaluation
    quantized: Evaluation
    gates_changed: float
    predictions_changed: float
    gates_changed_by_layer: dict[str, float]


@torch.no_grad()
def compare(
    original: nn.Module,
    quantized: QuantizedResNet,
    data: ImageSet,
    normalize: Preprocess,
    network: Network,
    reference_macs: int | None = None,
    progress: bool = False,
) -> Comparison:
    """Run both models (at inference, on the CPU) over all images of `data`.

    `reference_macs`: those of the ungated network, per sample (None: of `network`, dense).
    """
    tallies = Tally(network, reference_macs), Tally(network, reference_macs)
    changed: dict[str, int] = {}
    gates: dict[str, int] = {}
    predictions = 0
    with GateTap(original) as first, GateTap(quantized) as second:
        for images, labels in batches(data, batch_size_for(data), "comparing", progress):
            answers = []
            for model, tap, tally, preprocess in (
                (original, first, tallies[0], normalize),
                (quantized, second, tallies[1], quantized.input),
            ):
                tap.clear()
                logits = model(preprocess(images).contiguous(memory_format=torch.channels_last))
                tally.add(logits, labels, tap.gates)
                answers.append(logits.argmax(1))
            predictions += int((answers[0] != answers[1]).sum())
            for name, found in first.gates.items():
                changed[name] = changed.get(name, 0) + int((found != second.gates[name]).sum())
                gates[name] = gates.get(name, 0) + found.numel()
    return Comparison(
        tallies[0].result(),
        tallies[1].result(),
        sum(changed.values()) / max(sum(gates.values()), 1),
        predictions / len(data),
        {name: count / gates[name] for name, count in changed.items()},
    )
