"""The base of all sections of a hardware file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


def extra(unit: str = "", not_modelled: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a field tells besides its bounds: its unit, and values that exist but have no model yet."""
    return {"unit": unit, "not_modelled": dict(not_modelled or {})}


class Section(BaseModel):
    """Base of all sections: immutable, no unknown keys, no silent conversion, no nan or inf."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
