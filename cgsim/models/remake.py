"""The commands that make a trace again, from the configurations of its runs."""

from __future__ import annotations

import json
import shlex
from typing import Any

from cgsim.models.recipe import SECTIONS, SIZES, available_recipes, load_recipe, recipe_of
from cgsim.models.run_config import ORIGINS


def recipe_commands(config: dict[str, Any], samples: int, plain: dict[str, Any] | None) -> str:
    """The commands that make a trace again; `plain` is the configuration of the ungated run, if one was used.

    DATA, TRACE and RUN stand for paths, RUN0, RUN1, ... for those of the runs that it began with, was taught
    by or is compared with; MRUN... for merged, QRUN... for quantised ones, WEIGHTS for a file of weights.
    """
    maker = _Maker()
    other = maker.run(plain, None) if plain is not None else None
    run = maker.run(config, "RUN")
    recording = f"cgsim record {run} --data DATA --samples {samples}"
    recording += f" --ungated {other}" if other is not None else ""
    return " && ".join([*maker.commands, f"{recording} -o TRACE"])


class _Maker:
    def __init__(self) -> None:
        self.commands: list[str] = []
        self._names: dict[tuple[str, ...], str] = {}

    def run(self, config: dict[str, Any], name: str | None) -> str:
        """The name of a run, after the commands that make it have been told once."""
        command = f"cgsim train {_options(config)}{self._origins(config)}"
        key = (command, config["dataset"]["name"], *_files(config))  # what DATA and WEIGHTS stand for
        if key not in self._names:
            name = name or f"RUN{sum(told != 'RUN' for told in self._names.values())}"
            self._names[key] = name
            self.commands.append(f"{command} -o {name}")
        name = self._names[key]
        if "merged" in config:
            self._once(f"cgsim merge {name} -o M{name}")
            name = f"M{name}"
        if "quantization" not in config:
            return name
        images = config["quantization"]["calibration_images"]
        self._once(f"cgsim quantize {name} --data DATA --calibration {images} -o Q{name}")
        return f"Q{name}"

    def _once(self, command: str) -> None:
        if command not in self.commands:
            self.commands.append(command)

    def _origins(self, config: dict[str, Any]) -> str:
        told = ""
        for key in ORIGINS:
            about = config[key]
            if about is not None:
                inner = about["config"]
                told += f" --{key} {'WEIGHTS' if inner is None else self.run(inner, None)}"
        if config["distilled"] and config["teacher"] is None:  # version 1 kept no more of the teacher
            told += " --teacher RUN0"
        return told


def _files(config: dict[str, Any]) -> list[str]:
    """The checksums of the files of weights that a run began with or was taught by."""
    origins = [config[key] for key in ORIGINS if config[key] is not None]
    return [str(about["checksum"]) for about in origins if about["config"] is None]


def _options(config: dict[str, Any]) -> str:
    """Method, network, recipe with everything that differs from the shipped one, and the rest."""
    about, method, name = config["dataset"], config["method"], config["recipe_name"]
    recipe = recipe_of(config).to_json()
    if name not in available_recipes():
        name = f"{method}-short"  # a user's own recipe is told by how it differs from it
    shipped = load_recipe(name, method=method).to_json()
    size = name.removeprefix(f"{method}-")
    told = f"--method {method} --network {config['network']} --data DATA"
    told += f" --recipe {size if size in SIZES else name}"
    told += f" --epochs {recipe['epochs']} --precision {recipe['precision']}"
    for key in recipe:
        if key in SECTIONS:
            own, other = recipe[key], shipped[key]
            changed = {
                f"{key}.{inner}": own.get(inner)  # null: left to its default
                for inner in {**own, **other}
                if inner not in other or inner not in own or own[inner] != other[inner]
            }
        else:
            changed = {key: recipe[key]} if recipe[key] != shipped[key] else {}
        for setting, value in changed.items():
            if setting not in ("epochs", "precision", "method"):
                told += f" --set {shlex.quote(f'{setting}={json.dumps(value)}')}"
    told += f" --seed {config['seed']} --threads {config['environment']['threads']}"
    if about["train_images"] != about["all_train_images"]:
        told += f" --limit {about['train_images']}"
    return told
