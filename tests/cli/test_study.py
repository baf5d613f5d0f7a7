"""The study page shows what today's code measures: one row of it, measured again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "images"))
    import study_measure

    yield study_measure
    del sys.modules["study_measure"]


def test_the_page_is_up_to_date(study):
    one = study.measure("ResNet-20", 16, 4)
    figures = f"{one.cycles * one.speedup:,.0f} | {one.cycles:,.0f} | {one.speedup:.2f} | {one.kept:.2f}"
    row = f"| ResNet-20 | ws | {figures} |"
    assert row in (DOCS / "study.md").read_text(encoding="utf-8"), "run python docs/images/study.py"
    assert sum(one.parts.values()) == pytest.approx(1 / one.speedup)
    assert min(one.parts.values()) > -0.01


def test_every_figure_is_there():
    page = (DOCS / "study.md").read_text(encoding="utf-8")
    shown = {line.split("](images/")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")}
    assert shown == {path.name for path in (DOCS / "images").glob("study-*.png")}
