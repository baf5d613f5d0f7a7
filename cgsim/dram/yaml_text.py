"""Parses YAML strictly: no duplicate keys, no objects, errors on one line."""

from __future__ import annotations

from typing import Any

import yaml

from cgsim.errors import CgsimError


class _Loader(yaml.SafeLoader):
    """The safe loader, without duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                message = f"key {key!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load_yaml(text: str, source: str) -> Any:
    """What a YAML (or JSON) text holds.

    Raises:
        CgsimError: not YAML, a key that is there twice, or a tag that asks for an object.
    """
    try:
        loader = _Loader(text)
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
