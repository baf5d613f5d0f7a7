"""Finds and loads a hardware file: by name, by path, or from a dict."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgsim.errors import CgsimError, nearest
from cgsim.hardware.model import Hardware
from cgsim.shipped import shipped_dir
from cgsim.yamlfile import parse_yaml, read_yaml


def load_hardware(
    source: str | os.PathLike[str] | Mapping[str, Any] | Hardware,
    overrides: Mapping[str, Any] | None = None,
) -> Hardware:
    """Load an accelerator.

    Args:
        source: the name of a shipped one (`asic-28nm`), the path of a YAML file, nested dicts with the keys
            of such a file (docs/configuration.md), or a Hardware.
        overrides: dotted keys to replace, such as `{"array.rows": 16}`.

    Raises:
        CgsimError: not found, unreadable, or with a key or value that is refused; one line that names the
            file and key, what was expected, and the nearest valid name.
    """
    if isinstance(source, Hardware):
        hardware = source
    elif isinstance(source, Mapping):
        hardware = Hardware.from_dict(source)
    elif isinstance(source, (str, os.PathLike)):
        path = find_hardware(source)
        values = read_yaml(path)
        if values is None:
            raise CgsimError(f"{path}: empty, expected the keys {', '.join(Hardware.model_fields)}")
        hardware = Hardware.from_dict(values, str(path))
    else:
        raise CgsimError(f"hardware: expected a name, a path or a dict, got {type(source).__name__}")
    return hardware.override(overrides) if overrides else hardware


def find_hardware(source: str | os.PathLike[str]) -> Path:
    """Return the path of a hardware file, given its path or the name of a shipped one.

    Raises:
        CgsimError: there is no such file or name.
    """
    path = Path(source)
    text = os.fspath(source)
    if path.is_file():
        return path
    is_name = path.name == text and path.suffix not in (".yaml", ".yml")
    shipped = shipped_dir("hwconfigs") / f"{text}.yaml"
    if is_name and text and shipped.is_file():
        return shipped
    if is_name:
        raise CgsimError(f"hardware {text!r}: no such name or file{nearest(text, available_hardware())}")
    if path.is_dir():
        raise CgsimError(f"{path}: a folder, expected a YAML file")
    raise CgsimError(f"{path}: no such file{nearest(path.stem, available_hardware())}")


def available_hardware() -> list[str]:
    """Return the names of the shipped accelerators, sorted."""
    return sorted(path.stem for path in shipped_dir("hwconfigs").glob("*.yaml"))


def parse_setting(text: str) -> tuple[str, list[Any]]:
    """Split `key=value` or `key=value,value,...` into the dotted key and its YAML-typed values.

    The key is not looked up here: `Hardware.override` does that.

    Raises:
        CgsimError: no `=`, no value, or a value that is not YAML.
    """
    key, equals, rest = text.partition("=")
    key = key.strip()
    if not equals or not key or not rest.strip():
        raise CgsimError(f"setting {text!r}: expected key=value, such as array.rows=16")
    parts = rest.split(",")
    if not all(part.strip() for part in parts):
        raise CgsimError(f"setting {text!r}: a value is missing between commas")
    return key, [parse_yaml(part, f"setting {text!r}") for part in parts]
