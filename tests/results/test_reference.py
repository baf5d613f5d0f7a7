from __future__ import annotations

from pathlib import Path

from cgsim.results.derive import UNITS, summary_units
from cgsim.results.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "columns.md"


def test_the_page_is_that_of_the_code():
    told = "run: python -m cgsim.results.reference docs/columns.md"
    assert PAGE.read_text(encoding="utf-8") == reference(), told


def test_every_column_is_there():
    page = reference()
    for name in {*UNITS, *summary_units()}:
        assert f"| `{name}` |" in page
