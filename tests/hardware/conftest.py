from __future__ import annotations

from typing import Any

import pytest

from cgsim.hardware import load_hardware


@pytest.fixture
def values() -> dict[str, Any]:
    """A valid configuration as nested dicts, to be broken."""
    return load_hardware("asic-28nm").to_dict() | {
        "engines": load_hardware("dpacs-bottleneck-parallel").to_dict()["engines"]
    }
