"""What a run's config.json must hold, checked before anything is computed with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cgsim.errors import CgsimError
from cgsim.models.recipe import FLAT, SIZES

FORMAT, VERSION = "cgsim.run", 2
"""Version 1 had flat recipes, CGNet and ungated networks only; `checked_config` reads it as version 2."""

_KEYS: dict[str, Any] = {
    "method": "a text",
    "network": "a text",
    "recipe": {},
    "recipe_name": "a text",
    "seed": "a whole number",
    "distilled": "true or false",
    "dataset": {
        "name": "a text",
        "classes": "a list of texts",
        "shape": "a list of whole numbers",
        "train_images": "a whole number",
        "all_train_images": "a whole number",
        "mean": "a list of numbers",
        "deviation": "a list of numbers",
    },
    "environment": {"threads": "a whole number"},
}
"""Key to what it holds, or to the keys of its section. The keys of `recipe` are checked by Recipe."""
_ORIGIN = {"name": "a text", "checksum": "a text"}
ORIGINS = ("init", "teacher")
"""Keys that hold null, or trained weights that a run began with or was taught by, and their run's config."""

_LIST = "a list of "


def checked_config(config: Any, where: str) -> dict[str, Any]:
    """The configuration in its present form; raises CgsimError, beginning with `where`, if it is none.

    Extra keys ("quantization", a merged network's widths) stay as they are.
    """
    if not isinstance(config, dict) or config.get("format") != FORMAT or config.get("version") not in (1, 2):
        raise CgsimError(f"{where} is not of a cgsim run, version 1 or 2")
    _section(config, _KEYS, "", where)
    about = config["dataset"]
    for key in ("shape", "mean", "deviation"):
        expected = 3 if key == "shape" else about["shape"][0]
        if len(about[key]) != expected:
            raise CgsimError(f"{where}: dataset.{key}: expected {expected} values, got {about[key]}")
    if config["version"] == 1:
        config = _from_version_1(config)
    for key in ORIGINS:
        if key not in config:
            raise CgsimError(f"{where}: {key}: missing, expected a section or null")
        if config[key] is not None:
            _section(config[key], _ORIGIN, f"{key}.", where)
            inner = config[key].get("config")
            if inner is not None:
                config = config | {
                    key: config[key] | {"config": checked_config(inner, f"{where}: {key}.config")}
                }
    return config


def _from_version_1(config: dict[str, Any]) -> dict[str, Any]:
    recipe = dict(config["recipe"])
    found: dict[str, dict[str, Any]] = {}
    for section, names in FLAT.items():
        found[section] = {new: recipe.pop(old) for old, new in names.items() if old in recipe}
    if config["method"] == "none":
        found["gating"] = {}
    recipe = {"method": config["method"], **recipe, **found}
    name = config["recipe_name"]
    name = f"{config['method']}-{name}" if name in SIZES else name
    return config | {
        "version": VERSION,
        "recipe": recipe,
        "recipe_name": name,
        "init": None,
        "teacher": None,
    }


def _section(values: Any, keys: Mapping[str, Any], prefix: str, where: str) -> None:
    if not isinstance(values, dict):
        raise CgsimError(f"{where}: {prefix.rstrip('.')}: expected a section, got {values!r}")
    for key, kind in keys.items():
        if key not in values:
            told = "a section" if isinstance(kind, Mapping) else kind
            raise CgsimError(f"{where}: {prefix}{key}: missing, expected {told}")
        if isinstance(kind, Mapping):
            _section(values[key], kind, f"{prefix}{key}.", where)
        elif not _is(values[key], kind):
            raise CgsimError(f"{where}: {prefix}{key}: expected {kind}, got {values[key]!r}")


def _is(value: Any, kind: str) -> bool:
    if kind.startswith(_LIST):
        return isinstance(value, list) and all(
            _is(item, f"a {kind.removeprefix(_LIST).removesuffix('s')}") for item in value
        )
    if isinstance(value, bool) or kind == "true or false":
        return isinstance(value, bool) and kind == "true or false"
    if kind == "a text":
        return isinstance(value, str)
    if kind == "a whole number":
        return isinstance(value, int) and value >= 0
    return isinstance(value, int | float) and math.isfinite(value)
