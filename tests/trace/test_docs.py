"""The examples of docs/trace-format.md run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cgsim.trace import Layer, Metadata, load_trace
from cgsim.trace.metadata import METHODS

PAGE = (Path(__file__).parents[2] / "docs" / "trace-format.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example: str, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.trace.parquet"
    exec(compile(example, "docs/trace-format.md", "exec"), {"path": str(tiny), "out": out})
    if "TraceWriter" in example:
        assert load_trace(out).n_samples == 4


def test_every_key_is_described() -> None:
    assert len(EXAMPLES) == 3
    for name in (*Layer.__dataclass_fields__, *Metadata.__dataclass_fields__, *METHODS):
        assert f"`{name}`" in PAGE, name
