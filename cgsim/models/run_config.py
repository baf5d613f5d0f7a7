"""What a run's config.json must hold, checked before anything is computed with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cgsim.errors import CgsimError

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

_LIST = "a list of "


def check_config(config: Any, where: str) -> None:
    """Raise CgsimError, beginning with `where`, if a key is missing or holds something else."""
    _section(config, _KEYS, "", where)
    about = config["dataset"]
    for key in ("shape", "mean", "deviation"):
        expected = 3 if key == "shape" else about["shape"][0]
        if len(about[key]) != expected:
            raise CgsimError(f"{where}: dataset.{key}: expected {expected} values, got {about[key]}")


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
