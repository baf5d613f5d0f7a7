"""Do harder images take more work? Executed MACs of each image against the ungated network's loss on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cgsim.errors import CgsimError
from cgsim.models.data import Dataset, ImageSet
from cgsim.models.evaluation import GateTap, Preprocess, batch_size_for, batches, macs_by_layer
from cgsim.models.graph import derive_network
from cgsim.models.loading import load_dataset
from cgsim.models.runs import load_model, preprocessing, require_same_data


@dataclass(frozen=True)
class GateUse:
    """How many gates of a layer are on for every image, for none, or for some."""

    always_on: int
    always_off: int
    conditional: int


@dataclass(frozen=True)
class Part:
    """Images of similar difficulty: their number, mean losses, accuracies, and MACs per image."""

    images: int
    ungated_loss: float
    ungated_accuracy: float
    gated_accuracy: float
    macs: float
    macs_error: float
    """Standard error of `macs`."""


@dataclass(frozen=True)
class Difficulty:
    """What a gated network does with each of S images, and how hard the ungated network finds them.

    `loss` [S] is the ungated network's cross entropy, the measure of difficulty; `macs` int64 [S] what the
    gated network executes, gate networks included; `ungated_correct` and `gated_correct` bool [S]. `gates`
    tells by layer which gates depend on the image.
    """

    loss: NDArray[np.float64]
    macs: NDArray[np.int64]
    ungated_correct: NDArray[np.bool_]
    gated_correct: NDArray[np.bool_]
    gates: dict[str, GateUse]

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's correlation of difficulty and MACs; None if either is the same for all images."""
        from scipy.stats import rankdata

        if len(self.loss) < 2 or np.ptp(self.loss) == 0 or np.ptp(self.macs) == 0:
            return None
        return float(np.corrcoef(rankdata(self.loss), rankdata(self.macs))[0, 1])

    def parts(self, count: int = 10) -> list[Part]:
        """The images sorted from easy to hard, in `count` parts as equal as can be.

        Raises CgsimError if there are fewer than two images to a part.
        """
        if count < 1 or 2 * count > len(self.loss):
            raise CgsimError(
                f"difficulty: {len(self.loss)} images do not make {count} parts; expected 1 or more parts of "
                f"at least two images each"
            )
        order = np.argsort(self.loss, kind="stable")
        return [self._part(picks) for picks in np.array_split(order, count)]

    def _part(self, picks: NDArray[np.int64]) -> Part:
        macs = self.macs[picks]
        return Part(
            len(picks),
            float(self.loss[picks].mean()),
            float(self.ungated_correct[picks].mean()),
            float(self.gated_correct[picks].mean()),
            float(macs.mean()),
            float(macs.std(ddof=1) / np.sqrt(len(picks))),
        )

    def summary(self, count: int = 10) -> dict[str, Any]:
        """A JSON object: parts from easy to hard, correlation, hardest over easiest part, gates by layer."""
        parts = self.parts(count)
        return {
            "images": len(self.loss),
            "rank_correlation": self.rank_correlation,
            "hard_over_easy": parts[-1].macs / parts[0].macs if parts[0].macs else None,
            "parts": [vars(part) for part in parts],
            "gates": {name: vars(use) for name, use in self.gates.items()},
        }


def run_difficulty(
    run: str | Path,
    ungated: str | Path,
    data: str | Path | Dataset,
    samples: int | None = None,
    progress: bool = False,
) -> Difficulty:
    """The difficulty of test images for the run `ungated` and the work of `run` on them, of any method.

    `data` is a path for `load_dataset`, or a Dataset; `samples` takes only that many images of the test set,
    at even distances. Raises CgsimError if either run was trained on other data.
    """
    dataset = data if isinstance(data, Dataset) else load_dataset(data)
    images = dataset.test.spread(samples)
    found = []
    for name in (run, ungated):
        model, config, _state = load_model(name)
        require_same_data(name, config, dataset)
        found.append((model, preprocessing(model, config)))
    (gated, prepare), (plain, prepare_plain) = found
    return measure_difficulty(gated, plain, images, prepare, prepare_plain, progress)


@torch.no_grad()
def measure_difficulty(
    gated: nn.Module,
    ungated: nn.Module,
    images: ImageSet,
    preprocess: Preprocess,
    preprocess_ungated: Preprocess,
    progress: bool = False,
) -> Difficulty:
    """As `run_difficulty`, of two models at hand; both are left in the mode they were in.

    A gate is conditional if it is on for some of the images and off for others.
    """
    shape = images.images.shape[1:]
    network = derive_network(gated, (int(shape[0]), int(shape[1]), int(shape[2])), "gated")
    modes = [(model, model.training) for model in (gated, ungated)]
    losses, macs, plain_hits, hits = [], [], [], []
    on: dict[str, Tensor] = {}
    try:
        for model, _training in modes:
            model.eval()
        with GateTap(gated) as tap:
            for raw, labels in batches(images, batch_size_for(images), "measuring", progress):
                logits = ungated(preprocess_ungated(raw)).float()
                losses.append(F.cross_entropy(logits.double(), labels, reduction="none"))
                plain_hits.append(logits.argmax(1) == labels)
                tap.clear()
                hits.append(gated(preprocess(raw)).argmax(1) == labels)
                by_layer = macs_by_layer(network, len(labels), tap.gates)
                macs.append(np.sum(list(by_layer.values()), axis=0))
                for name, gates in tap.gates.items():
                    static = network.by_name[name].gate == "static"
                    count = gates.long() * len(labels) if static else gates.sum(0)
                    on[name] = on.get(name, torch.zeros((), dtype=torch.int64)) + count
    finally:
        for model, training in modes:
            model.train(training)
    return Difficulty(
        torch.cat(losses).numpy(),
        np.concatenate(macs),
        torch.cat(plain_hits).numpy(),
        torch.cat(hits).numpy(),
        {name: _use(count, len(images)) for name, count in on.items()},
    )


def _use(on: Tensor, images: int) -> GateUse:
    off, always = int((on == 0).sum()), int((on == images).sum())
    return GateUse(always, off, on.numel() - always - off)
