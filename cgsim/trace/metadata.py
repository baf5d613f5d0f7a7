"""Provenance of a trace: what was recorded, from which model, and how to make it again."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from cgsim.errors import CgsimError, nearest

FORMAT_VERSION = 1
"""The version that is written; `READABLE_VERSIONS` are those that can be read."""
READABLE_VERSIONS = (1,)

REFERENCE = "reference_macs"
"""Key of `method_parameters`: MACs per sample of the ungated network, where it is another one."""

METHODS = (
    "cgnet",
    "gate-decorator",
    "batch-shaping",
    "mixture-of-depths",
    "user",
    "synthetic",
    "dense",
)


@dataclass(frozen=True)
class Sample:
    """One recorded input: its name in the data set, its label and what the gated model predicted."""

    id: str
    label: int | None = None
    prediction: int | None = None

    def __post_init__(self) -> None:
        """Raise CgsimError on an ill-typed field."""
        name: Any = self.id
        if not isinstance(name, str) or not name:
            raise CgsimError(f"sample: 'id' must be a non-empty string, got {self.id!r}")
        for key in ("label", "prediction"):
            value: Any = getattr(self, key)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise CgsimError(f"sample {self.id!r}: {key!r} must be an integer or null, got {value!r}")

    def to_json(self) -> list[Any]:
        """The sample as [id, label, prediction]."""
        return [self.id, self.label, self.prediction]

    @classmethod
    def from_json(cls, data: Any) -> Sample:
        """Build from `to_json`'s list; raises CgsimError."""
        if not isinstance(data, list) or len(data) != 3:
            raise CgsimError(f"sample: expected [id, label, prediction], got {_short(data)}")
        return cls(*data)


@dataclass(frozen=True)
class Metadata:
    """Where the gates come from. Accuracies are fractions 0..1 over the whole split.

    `flop_reduction` is dense MACs over executed MACs of the samples in the trace; the writer fills it in.
    `command` makes the trace again; `created` is ISO 8601 in UTC; `versions` are library versions.
    """

    model: str
    method: str
    method_parameters: dict[str, Any] = field(default_factory=dict)
    dataset: str = ""
    split: str = ""
    accuracy_gated: float | None = None
    accuracy_ungated: float | None = None
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    command: str = ""
    notes: str = ""
    flop_reduction: float | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Raise CgsimError on an ill-typed field or an unknown method."""
        for item in dataclasses.fields(self):
            _check_field(item.name, str(item.type), getattr(self, item.name))
        if self.method not in METHODS:
            raise CgsimError(f"metadata: method {self.method!r} is not known{nearest(self.method, METHODS)}")
        for key in ("accuracy_gated", "accuracy_ungated"):
            value = getattr(self, key)
            if value is not None and not 0 <= value <= 1:
                raise CgsimError(f"metadata: {key!r} is a fraction from 0 to 1, got {value}")

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field but the format version."""
        data = dataclasses.asdict(self)
        del data["format_version"]
        return data

    @classmethod
    def from_json(cls, data: Any) -> Metadata:
        """Build from `to_json`'s object; raises CgsimError on unknown, missing or ill-typed fields."""
        if not isinstance(data, dict):
            raise CgsimError("metadata: expected an object")
        names = [item.name for item in dataclasses.fields(cls) if item.name != "format_version"]
        for key in data:
            if key not in names:
                raise CgsimError(f"metadata: unknown key {key!r}{nearest(key, names)}")
        for key in names:
            if key not in data:
                raise CgsimError(f"metadata: key {key!r} is missing")
        return cls(**data)


def _check_field(name: str, kind: str, value: Any) -> None:
    if kind == "str":
        good = isinstance(value, str)
    elif kind == "dict[str, str]":
        good = isinstance(value, dict) and all(isinstance(v, str) for pair in value.items() for v in pair)
    elif kind.startswith("dict"):
        good = isinstance(value, dict) and all(isinstance(key, str) for key in value)
    elif value is None:
        good = kind.endswith("| None")
    elif isinstance(value, bool):
        good = False
    elif kind.startswith("int"):
        good = isinstance(value, int)
    else:
        good = isinstance(value, int | float) and math.isfinite(value)
    if not good:
        raise CgsimError(f"metadata: key {name!r} must be {kind}, got {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
