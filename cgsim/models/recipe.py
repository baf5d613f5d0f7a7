"""Training recipes: every number that decides a run, in a YAML file, cgsim's or the user's."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgsim.errors import CgsimError, nearest

_FOLDER = Path(__file__).parent / "recipes"
_CHOICES = {
    "schedule": ("cosine", "step"),
    "precision": ("float32", "bfloat16"),
    "norm": ("after", "separate"),
    "order": ("before_add", "after_add"),
}


@dataclass(frozen=True)
class Recipe:
    """One way to train; the gating keys (from `partitions` on) matter to method "cgnet" only.

    `rate` is the peak of the learning rate: linear warm-up over the first share `warmup` of all steps,
    then a half cosine to zero ("cosine"), or divided by 10 at each of `milestones`, shares of all epochs
    ("step"). `crop_padding` pixels on each side for random crops; `flip` mirrors half of the images.
    `distill_weight` w and `distill_temperature` t apply when a teacher is given: loss =
    (1 - w) * cross entropy + w * t^2 * KL(teacher / t, student / t).
    """

    epochs: int = 8
    batch_size: int = 128
    rate: float = 0.1
    schedule: str = "cosine"
    warmup: float = 0.1
    milestones: tuple[float, ...] = ()
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    crop_padding: int = 2
    flip: bool = True
    precision: str = "float32"
    order: str = "before_add"
    partitions: int = 4
    target: float = 1.0
    threshold_weight: float = 1e-4
    alpha: float = 2.0
    sparse_backprop: bool = True
    norm: str = "after"
    shuffle: bool = False
    distill_weight: float = 0.5
    distill_temperature: float = 4.0

    def __post_init__(self) -> None:
        """Raise CgsimError on a value of the wrong type or out of range."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _coerce(field, getattr(self, field.name)))
        for key in ("epochs", "batch_size", "rate", "alpha", "distill_temperature"):
            if getattr(self, key) <= 0:
                raise CgsimError(f"recipe: {key} must be above 0, got {getattr(self, key)}")
        for key in ("warmup", "momentum", "distill_weight"):
            if not 0 <= getattr(self, key) <= 1:
                raise CgsimError(f"recipe: {key} must be between 0 and 1, got {getattr(self, key)}")
        for key in ("weight_decay", "crop_padding", "threshold_weight"):
            if getattr(self, key) < 0:
                raise CgsimError(f"recipe: {key} must not be negative, got {getattr(self, key)}")
        for key, valid in _CHOICES.items():
            if getattr(self, key) not in valid:
                near = nearest(str(getattr(self, key)), valid)
                raise CgsimError(f"recipe: {key} {getattr(self, key)!r} is not known{near}")

    def rate_at(self, progress: float) -> float:
        """Learning rate at `progress` in 0..1 of the whole training."""
        if progress < self.warmup:
            return self.rate * progress / self.warmup
        if self.schedule == "step":
            return self.rate * 0.1 ** sum(progress >= share for share in self.milestones)
        return (
            self.rate * 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / max(1e-9, 1 - self.warmup)))
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field."""
        return dataclasses.asdict(self) | {"milestones": list(self.milestones)}


def _coerce(field: dataclasses.Field[Any], value: Any) -> Any:
    kind = str(field.type)
    number = _is_number(value)
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and number and int(value) == value:
        return int(value)
    if kind == "float" and number:
        return float(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind.startswith("tuple") and isinstance(value, list | tuple) and all(map(_is_number, value)):
        return tuple(float(item) for item in value)
    hint = ""
    if kind == "float" and isinstance(value, str):
        hint = " (YAML reads 1e-4 as text; write 1.0e-4)"
    raise CgsimError(f"recipe: {field.name} must be {kind}, got {value!r}{hint}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def available_recipes() -> list[str]:
    """Names of the recipes that come with cgsim."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_recipe(source: str | Path | Recipe = "short", overrides: dict[str, Any] | None = None) -> Recipe:
    """A recipe by name or from a YAML file; `overrides` whose value is not None replace its keys."""
    if isinstance(source, Recipe):
        values = source.to_json()
    else:
        values = _read(source)
    values |= {key: value for key, value in (overrides or {}).items() if value is not None}
    known = {field.name for field in dataclasses.fields(Recipe)}
    for key in values:
        if key not in known:
            raise CgsimError(f"recipe {str(source)!r}: unknown key {key!r}{nearest(str(key), known)}")
    return Recipe(**values)


def _read(source: str | Path) -> dict[str, Any]:
    import yaml

    path = Path(source)
    if path.suffix not in (".yaml", ".yml"):
        path = _FOLDER / f"{source}.yaml"
        if not path.is_file():
            raise CgsimError(
                f"recipe {str(source)!r} is not known{nearest(str(source), available_recipes())}"
            )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CgsimError(f"recipe {str(source)!r}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise CgsimError(f"recipe {str(source)!r}: expected keys and values")
    return values
