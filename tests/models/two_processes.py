"""One of the processes of test_devices: trains on synthetic images and tells in one line what it did."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from cgsim.errors import CgsimError
from cgsim.models import Dataset, Recipe, checkpoint, train, trainer
from cgsim.models.devices import leave
from tests.models.conftest import synthetic


class StoppedError(Exception):
    """Stands for a kill."""


def run(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Train, two epochs of 6 batches or until after `stop` of them; what happened."""
    torch.set_num_threads(1)
    train_set = synthetic(96, "train", 0)
    train_set.images[:, 0, 0, 0] = range(96)  # says which image it is
    dataset = Dataset("quadrants", ("a", "b", "c", "d"), train_set, synthetic(40, "test", 1))
    output = folder / options.get("name", "run")
    seen: list[list[int]] = []
    wrote: list[bool] = []
    step, unit, save = trainer.Trainer._step, trainer.Trainer.unit, checkpoint.save_checkpoint
    units: list[dict[str, Any]] = []

    def watched_step(self: Any, called: Any, plan: Any, images: Any, *rest: Any) -> Any:
        seen.append(images[:, 0, 0, 0].tolist())
        return step(self, called, plan, images, *rest)

    def watched_unit(self: Any, *arguments: Any) -> dict[str, Any]:
        if options.get("stop") == len(units):
            raise StoppedError
        units.append(unit(self, *arguments))
        return units[-1]

    def watched_save(*arguments: Any) -> None:
        wrote.append(True)
        save(*arguments)

    trainer.Trainer._step, trainer.Trainer.unit = watched_step, watched_unit  # type: ignore[method-assign]
    checkpoint.save_checkpoint = watched_save
    recipe = Recipe(
        epochs=options.get("epochs", 2),
        batch_size=options.get("batch_size", 16),
        rate=0.05,
        crop_padding=0,
        flip=False,
    )
    told: dict[str, Any] = {"error": None, "weights": None}
    try:
        result = train(
            data=dataset,
            output=output,
            method="cgnet",
            network="resnet8",
            recipe=recipe,
            device="cpu",
            resume=options.get("resume", False),
            progress=False,
        )
        digest = hashlib.sha256()
        for value in result.model.state_dict().values():
            digest.update(value.numpy().tobytes())
        told["weights"] = digest.hexdigest()
    except StoppedError:
        pass
    except CgsimError as error:
        told["error"] = str(error)
    finally:
        trainer.Trainer._step, trainer.Trainer.unit = step, unit  # type: ignore[method-assign]
        checkpoint.save_checkpoint = save
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in units]
    return {**told, "seen": seen, "history": history, "wrote": bool(wrote)}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), json.loads(sys.argv[2]))))
    leave()
