"""Finds out what kind of memory configuration a file is, and reads ours.

DRAMsim3's has [sections], Ramulator 2.1's (YAML or JSON) the keys frontend and memory_system; ours (YAML) has
the key dram with the fields of `settings.Config`. Each is held to its own rules; a key that none knows is an
error.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsim.dram.settings import Config, check
from cgsim.errors import CgsimError, nearest
from cgsim.yamlfile import parse_yaml

if TYPE_CHECKING:
    from cgsim.dram.dramsim_ini import Config as DramsimConfig
    from cgsim.dram.ramulator_config import Config as RamulatorConfig

    AnyConfig = Config | DramsimConfig | RamulatorConfig

NEEDED = ("policy", "standard", "channels", "ranks", "mapping", "page_policy", "queue_depth", "refresh")
"""Keys of our files that must be there; the others have defaults (docs/dram.md)."""

_KINDS = (
    "[dram_structure] and other sections (DRAMsim3), frontend and memory_system (Ramulator 2.1), "
    "or dram (cgsim)"
)
_MOST_BYTES = 1 << 20
_TYPES = {"int": "an integer", "str": "text", "bool": "true or false"}


def load_config(path: str | os.PathLike[str]) -> AnyConfig:
    """Read the configuration of a memory: DRAMsim3's .ini, Ramulator 2.1's YAML or JSON, or ours.

    Raises:
        CgsimError: unreadable, of no known kind, or with a key or value that is refused.
    """
    text = read_config(path)
    kind = kind_of(text, str(path))
    if kind == "dramsim3":
        from cgsim.dram.dramsim_ini import parse as parse_ini

        return parse_ini(text, str(path))
    if kind == "ramulator2":
        from cgsim.dram.ramulator_yaml import parse as parse_ramulator

        return parse_ramulator(parse_yaml(text, str(path)), str(path))
    return parse_own(text, str(path))


def read_config(path: str | os.PathLike[str]) -> str:
    """The text of a configuration file.

    Raises:
        CgsimError: unreadable, empty, larger than 1 MiB, or not UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CgsimError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > _MOST_BYTES:
        raise CgsimError(f"{path}: larger than {_MOST_BYTES} bytes, not a memory configuration")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CgsimError(f"{path}: not UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise CgsimError(f"{path}: empty, expected {_KINDS}")
    return text


def kind_of(text: str, source: str) -> str:
    """`dramsim3`, `ramulator2` or `default`, by what is in the text.

    Raises:
        CgsimError: none of these.
    """
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and line[0] not in "#;"), "")
    if first.startswith("[") and first.partition("]")[0][1:].isidentifier():
        return "dramsim3"
    document = parse_yaml(text, source)
    if isinstance(document, Mapping):
        if "memory_system" in document or "frontend" in document:
            return "ramulator2"
        if "dram" in document:
            return "default"
        keys = [str(key) for key in document]
        raise CgsimError(f"{source}: {', '.join(keys[:3])}: not a memory configuration, expected {_KINDS}")
    raise CgsimError(f"{source}: not a memory configuration, expected {_KINDS}")


def parse_own(text: str, source: str) -> Config:
    """Our configuration in a YAML text.

    Raises:
        CgsimError: a key is unknown, missing, or has a value that is refused.
    """
    document = parse_yaml(text, source)
    for key in document:
        if key != "dram":
            raise CgsimError(f"{source}: {key}: unknown key, expected dram alone")
    return config_of(document["dram"], source)


def config_of(values: Any, source: str) -> Config:
    """Our configuration, given the keys of the section dram.

    Raises:
        CgsimError: a key is unknown, missing, or has a value that is refused.
    """
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Config)}
    keys = ("policy", *kinds)
    if not isinstance(values, Mapping):
        raise CgsimError(f"{source}: dram: expected the keys {', '.join(keys)}")
    for key in values:
        if key not in keys:
            raise CgsimError(f"{source}: dram.{key}: unknown key{nearest(str(key), keys)}")
    for key in NEEDED:
        if key not in values:
            raise CgsimError(f"{source}: dram.{key}: missing")
    policy = values["policy"]
    if policy in ("ramulator2", "dramsim3"):
        tool = {"ramulator2": "Ramulator 2.1", "dramsim3": "DRAMsim3"}[policy]
        raise CgsimError(f"{source}: dram.policy: {policy!r} takes the configuration file of {tool} itself")
    if policy != "default":
        raise CgsimError(f"{source}: dram.policy: expected 'default', got {policy!r}")
    given = {key: value for key, value in values.items() if key != "policy"}
    for key, value in given.items():
        names = [name.strip() for name in kinds[key].split("|")]
        fits = any(type(value).__name__ == {"None": "NoneType"}.get(name, name) for name in names)
        if not fits:
            expected = " or ".join(_TYPES.get(name, "null") for name in names)
            raise CgsimError(f"{source}: dram.{key}: expected {expected}, got {_shown(value)}")
    config = Config(**given)
    try:
        check(config)
    except CgsimError as error:
        raise CgsimError(f"{source}: {error}") from None
    return config


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:60]
