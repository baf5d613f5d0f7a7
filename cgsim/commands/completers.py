"""What a shell offers where a value is typed: accelerators, keys of `--set`, traces, folders, files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Completer = Callable[..., "Iterable[str] | dict[str, str]"]
"""Called with `prefix` (what is typed so far) and more keywords; a dict maps offers to what they mean."""


def completer_of(action: argparse.Action, command: str) -> Completer:
    """Return what completes an argument, by its metavar (docs/command-line.md tells those in use).

    Args:
        action: the argument.
        command: its command, such as `cgsim train`.
    """
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    name = max(action.option_strings, key=len, default="")
    if metavar.startswith("KEY="):
        return settings if command != "cgsim train" else recipe_settings
    if (command, name) == ("cgsim train", "--recipe"):
        return recipes
    if (command, action.dest) == ("cgsim plot", "figure"):
        return figures
    return _BY_METAVAR.get(metavar, nothing if metavar in _NUMBERS else files())


def files(*suffixes: str, folders: bool = False) -> Completer:
    """Return a completer of paths: files with one of the suffixes (none: any), and folders on the way.

    Args:
        suffixes: such as `.yaml`.
        folders: offer folders alone.
    """

    def complete(prefix: str, **_: Any) -> list[str]:
        folder, name = os.path.split(prefix)
        try:
            entries = sorted(os.scandir(os.path.expanduser(folder) or "."), key=lambda entry: entry.name)
        except OSError:
            return []
        offers = []
        for entry in entries:
            if not entry.name.startswith(name) or (entry.name.startswith(".") and not name.startswith(".")):
                continue
            path = os.path.join(folder, entry.name)
            if entry.is_dir():
                offers.append(f"{path}/")
            elif not folders and entry.name.endswith(suffixes or ("",)):
                offers.append(path)
        return offers

    return complete


def hardware(prefix: str, **_: Any) -> list[str]:
    """Offer the shipped accelerators, then YAML files."""
    from cgsim.shipped import shipped_dir

    names = sorted(path.stem for path in shipped_dir("hwconfigs").glob("*.yaml"))
    return [*(name for name in names if name.startswith(prefix)), *files(".yaml", ".yml")(prefix)]


def settings(prefix: str, **_: Any) -> dict[str, str]:
    """Offer the dotted keys of an accelerator, each with its meaning; behind `=` the values of a choice."""
    from cgsim.hardware.messages import choices, fields
    from cgsim.hardware.model import Hardware

    known = dict(fields(Hardware))
    key, equals, typed = prefix.partition("=")
    if not equals:
        return {f"{name}=": _first_sentence(field) for name, field in known.items() if name.startswith(key)}
    if key not in known:
        return {}
    before, comma, _last = typed.rpartition(",")
    values = [str(value).lower() if isinstance(value, bool) else str(value) for value in choices(known[key])]
    return {f"{key}={before}{comma}{value}": "" for value in values}


def _first_sentence(field: Any) -> str:
    return str(field.description or "").partition(". ")[0].rstrip(".").replace("`", "")


def networks(prefix: str, **_: Any) -> list[str]:
    """Offer the networks that synthetic traces are made of."""
    from cgsim.trace.networks import NETWORKS

    return [name for name in NETWORKS if name.startswith(prefix)]


def recipes(prefix: str, **_: Any) -> list[str]:
    """Offer the shipped recipes of `cgsim train`, then YAML files."""
    from cgsim.models.recipe import available_recipes

    names = ["short", "paper", *available_recipes()]
    return [*(name for name in names if name.startswith(prefix)), *files(".yaml", ".yml")(prefix)]


def recipe_settings(prefix: str, parsed_args: argparse.Namespace | None = None, **_: Any) -> list[str]:
    """Offer the keys of a recipe; those of its sections as the recipe asked for has them."""
    import yaml

    from cgsim.models import recipe

    told = vars(parsed_args or argparse.Namespace())
    source = told.get("recipe") or "short"
    name = recipe.recipe_name(source, told.get("method"))
    path = Path(recipe.__file__).parent / "recipes" / f"{name}.yaml"
    try:
        values = yaml.safe_load((path if path.is_file() else Path(source)).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        values = {}
    if not isinstance(values, dict):  # no recipe
        values = {}
    sections = {key: value for key, value in values.items() if isinstance(value, dict)}
    keys = [key for key in recipe.KEYS if key not in ("method", "gating", "architecture")]
    keys += [f"{section}.{key}" for section, inner in sections.items() for key in inner]
    return [f"{key}=" for key in keys if key.startswith(prefix)]


def figures(prefix: str, **_: Any) -> dict[str, str]:
    """Offer the figures of `cgsim plot`, each with what it shows."""
    from cgsim.results.figures.catalogue import CATALOGUE

    return {name: entry.shows for name, entry in CATALOGUE.items() if name.startswith(prefix)}


def nothing(**_: Any) -> list[str]:
    """Offer nothing: a number, or free text."""
    return []


_FOLDER = files(folders=True)
_BY_METAVAR: dict[str, Completer] = {
    "HW": hardware,
    "TRACE": files(".parquet"),
    "NETWORK": networks,
    "YAML": files(".yaml", ".yml"),
    "EXPERIMENT": files(".yaml", ".yml"),
    **dict.fromkeys(("DIR", "RUN", "RUN2", "QRUN"), _FOLDER),
}
_NUMBERS = ("C", "D", "L", "N", "P", "S", "T", "X", "SHARE", "ADDRESS", "LAYERS", "LIST", "NAME")
