"""Reads one YAML mapping strictly: no duplicate keys, no objects, errors on one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from cgsim.errors import CgsimError

_MOST_BYTES = 1 << 20


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, without duplicate keys and with `1e3` read as the number that it looks like."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dict; raise on a key that comes twice."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, source: str) -> Any:
    """Return what a YAML text holds.

    Raises:
        CgsimError: not YAML, a duplicate key, or a tag that asks for an object; with line and column.
    """
    try:
        loader = _StrictLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        raise CgsimError(f"{source}:{place} {problem}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise CgsimError(f"{source}: not valid YAML, {reason}") from None


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        CgsimError: as of `read_text`, or not valid YAML.
    """
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        CgsimError: unreadable, larger than 1 MiB, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CgsimError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > _MOST_BYTES:
        raise CgsimError(f"{path}: larger than {_MOST_BYTES} bytes, too large a file for this")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CgsimError(f"{path}: not UTF-8 text (byte {error.start})") from None
