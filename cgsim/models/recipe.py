"""Training recipes: every number that decides a run, in a YAML file, cgsim's or the user's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from cgsim.errors import CgsimError, nearest
from cgsim.models.fields import build, coerce_fields, require_choice, require_range

_FOLDER = Path(__file__).parent / "recipes"
SIZES = ("short", "paper")
"""Endings of the shipped recipes' names: `short` with method M means M-short."""
SECTIONS = ("architecture", "gating")
DEFAULT_METHOD = "cgnet"
_CHOICES = {
    "schedule": ("cosine", "step"),
    "precision": ("float32", "bfloat16", "float16"),
    "optimizer": ("sgd",),
}
_ABOVE_ZERO = ("batch_size", "rate", "distill_temperature")
_SHARES = ("warmup", "crop_scale", "momentum", "distill_weight", "label_smoothing", "ema_decay")
_NOT_NEGATIVE = ("epochs", "weight_decay", "crop_padding")


@dataclass(frozen=True)
class Recipe:
    """One way to train.

    `method` names the gating method, None leaves it open. `gating` holds the method's settings,
    `architecture` the keywords of the network's class ("order", "width", "stem_stride", ...).

    `rate` is the peak of the learning rate: linear warm-up over the first share `warmup` of all steps,
    then a half cosine to zero ("cosine"), or divided by 10 at each of `milestones`, shares of all epochs
    ("step"). `crop_padding` pixels on each side for random crops, of photographs crops of at least the share
    `crop_scale` of their area; `flip` mirrors half of the images. `pixel_mean` and `pixel_deviation` per
    channel, for pixels from 0 to 1, replace the data's own: trained weights want those of their training.
    `precision` is that of the forward pass; "float16" needs CUDA and scales the loss. `ema_decay` d above 0
    keeps a moving average of the weights, w' = d * w' + (1 - d) * w after each step: it is what is
    evaluated and recorded. `label_smoothing` spreads that share of each label over all classes.
    `distill_weight` w and `distill_temperature` t apply when a teacher is given: loss =
    (1 - w) * cross entropy + w * t^2 * KL(teacher / t, student / t).
    """

    method: str | None = None
    epochs: int = 8
    batch_size: int = 128
    optimizer: str = "sgd"
    rate: float = 0.1
    schedule: str = "cosine"
    warmup: float = 0.1
    milestones: tuple[float, ...] = ()
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    crop_padding: int = 2
    crop_scale: float = 0.08
    flip: bool = True
    pixel_mean: tuple[float, ...] = ()
    pixel_deviation: tuple[float, ...] = ()
    precision: str = "float32"
    ema_decay: float = 0.0
    label_smoothing: float = 0.0
    distill_weight: float = 0.5
    distill_temperature: float = 4.0
    architecture: dict[str, Any] = field(default_factory=dict)
    gating: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise CgsimError on a value of the wrong type or out of range."""
        coerce_fields(self, "recipe")
        for key in _ABOVE_ZERO:
            require_range(f"recipe: {key}", getattr(self, key), 0, above=True)
        for key in _SHARES:
            require_range(f"recipe: {key}", getattr(self, key), 0, 1)
        for key in _NOT_NEGATIVE:
            require_range(f"recipe: {key}", getattr(self, key), 0)
        for key, valid in _CHOICES.items():
            require_choice(f"recipe: {key}", getattr(self, key), valid)
        if len(self.pixel_mean) != len(self.pixel_deviation) or not all(self.pixel_deviation):
            raise CgsimError(
                "recipe: pixel_mean and pixel_deviation: expected as many numbers in both, no deviation 0"
            )
        if sorted(self.milestones) != list(self.milestones) or not all(0 < m < 1 for m in self.milestones):
            raise CgsimError(
                f"recipe: milestones: expected rising shares of the epochs above 0 and below 1, got "
                f"{list(self.milestones)}"
            )
        if self.nesterov and self.momentum == 0:
            raise CgsimError("recipe: momentum 0 goes with nesterov: false only")
        if self.ema_decay == 1:
            raise CgsimError("recipe: ema_decay must be below 1, got 1.0: the average would never move")

    def rate_at(self, progress: float) -> float:
        """Learning rate at `progress` in 0..1 of the whole training; a Fraction meets milestones exactly."""
        if progress < self.warmup:
            return self.rate * progress / self.warmup
        if self.schedule == "step":
            return self.rate * 0.1 ** sum(progress >= Fraction(str(share)) for share in self.milestones)
        return (
            self.rate * 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / max(1e-9, 1 - self.warmup)))
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field."""
        found = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


KEYS = tuple(item.name for item in dataclasses.fields(Recipe))


def available_recipes() -> list[str]:
    """Names of the recipes that come with cgsim."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def recipe_name(source: str | Path | Recipe, method: str | None = None) -> str:
    """The name under which a run keeps its recipe: `short` with its method, a file's name, or "custom"."""
    if isinstance(source, Recipe):
        return "custom"
    if str(source) in SIZES:
        return f"{method or DEFAULT_METHOD}-{source}"
    return Path(source).name


def load_recipe(
    source: str | Path | Recipe = "short",
    overrides: Mapping[str, Any] | None = None,
    method: str | None = None,
) -> Recipe:
    """A recipe by name, from a YAML file or a Recipe, with its method and all of that method's settings.

    `short` and `paper` mean those of `method` (CGNet's if none is named). `overrides` replace keys: None
    leaves a key as it is, but takes one of a section ("gating.target") out, so that it has its default.
    Raises CgsimError on an unknown key or value, and if the recipe is for another method than `method`.
    """
    from cgsim.models.methods import make_method

    where = f"recipe {str(recipe_name(source, method) if isinstance(source, Recipe) else source)!r}"
    values = source.to_json() if isinstance(source, Recipe) else _read(source, method)
    _check_keys(values, where)
    told = values.get("method")
    if method is not None and told not in (None, method):
        raise CgsimError(f"{where} is for method {told!r}, not {method!r}")
    values["method"] = method or told or DEFAULT_METHOD
    for key, value in (overrides or {}).items():
        if value is not None or "." in key:
            _override(values, key, value)
    recipe = Recipe(**values)
    settings = make_method(values["method"], recipe.gating).settings()
    return dataclasses.replace(recipe, gating=settings)


def recipe_of(config: Mapping[str, Any]) -> Recipe:
    """The recipe of a run's configuration; settings that did not exist then have their defaults."""
    return load_recipe(build(Recipe, config["recipe"], "recipe"), method=config["method"])


def _check_keys(values: dict[str, Any], where: str) -> None:
    for key in values:
        if key not in KEYS:
            raise CgsimError(f"{where}: unknown key {key!r}{_hint(str(key))}")
    for key in SECTIONS:
        found = values.get(key)
        if key in values and not isinstance(found, dict):
            raise CgsimError(f"{where}: {key}: expected keys and values, got {found!r}")


def _hint(key: str) -> str:
    for section, moved in FLAT.items():
        if key in moved:
            return f" (write it as {moved[key]!r} in the section {section!r})"
    return nearest(key, KEYS)


FLAT = {
    "gating": {
        "partitions": "partitions",
        "target": "target",
        "threshold_weight": "threshold_weight",
        "alpha": "alpha",
        "sparse_backprop": "sparse_backprop",
        "norm": "norm_variant",
        "shuffle": "shuffle",
    },
    "architecture": {"order": "order"},
}
"""Keys that recipes of version 1 had beside the others: section to old name to new name."""


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    section, dot, inner = key.partition(".")
    if dot and section in SECTIONS:
        others = {name: old for name, old in values.get(section, {}).items() if name != inner}
        values[section] = others if value is None else {**others, inner: value}
    elif dot or key not in KEYS or key in (*SECTIONS, "method"):
        known = [name for name in KEYS if name not in (*SECTIONS, "method")]
        sections = ", ".join(f"{name}.KEY" for name in SECTIONS)
        hint = _hint(key) if key not in KEYS else f" (valid: {', '.join(known)}, {sections})"
        raise CgsimError(f"recipe: cannot set {key!r}{hint}")
    else:
        values[key] = value


def _read(source: str | Path, method: str | None) -> dict[str, Any]:
    from cgsim.yamlfile import read_yaml  # YAML is not for those who make models without recipes

    path = Path(source)
    if path.suffix not in (".yaml", ".yml"):
        name = recipe_name(source, method)
        path = _FOLDER / f"{name}.yaml"
        if not path.is_file():
            raise CgsimError(f"recipe {name!r} is not known{nearest(name, available_recipes())}")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise CgsimError(f"recipe {str(source)!r}: expected keys and values")
    return values
