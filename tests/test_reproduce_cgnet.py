"""The reproduction of CGNet's accelerator: its experiments are valid, and its first claims hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import cgsim

ROOT = Path(__file__).parent.parent
TRACE = ROOT / "traces" / "resnet18-synthetic.trace.parquet"
QUESTIONS = yaml.safe_load((ROOT / "tools" / "reproduce_cgnet.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_point_of_a_question_is_accepted(question):
    vary = QUESTIONS[question]
    experiment = cgsim.Experiment.from_dict(
        {"name": question, "traces": str(TRACE), "hardware": "cgnet-28nm", "vary": vary, "samples": 1}
    )
    plan = experiment.plan()
    expected = 1
    for block in vary if isinstance(vary, list) else [vary]:
        points = len(block["list"]) if "list" in block else 1
        for values in block.get("grid", {}).values():
            points *= len(values)
        expected *= points
    assert len(plan) == expected


def test_pages_have_the_marks_of_every_table():
    script = (ROOT / "tools" / "reproduce_cgnet.py").read_text(encoding="utf-8")
    names = set(re.findall(r'put\(\s*"(\w+)"', script)) | {"unit", "buffers", "memory"}
    pages = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("cgnet.md", "presets.md"))
    starts = re.findall(r"<!-- (\w+): made by tools/reproduce_cgnet.py -->", pages)
    assert sorted(starts) == sorted(names)
    for name in names:
        assert pages.count(f"<!-- end of {name} -->") == 1


def test_feeds_decide():
    """One image: near the published speed with a feed for each column, slower than dense with one for all."""
    trace = cgsim.load_trace(TRACE)
    own = cgsim.simulate(trace, "cgnet-28nm", samples=1).summary()
    assert pytest.approx(800e6 / own["dense_cycles"], rel=0.1) == 254.3
    assert pytest.approx(800e6 / own["gated_cycles"], rel=0.1) == 613.9
    assert 2.1 < own["speedup"] < own["dense_array_cycles"] / own["gated_array_cycles"] < 2.4
    shared = cgsim.load_hardware("cgnet-28nm", {"array.column_groups": 1})
    assert cgsim.simulate(trace, shared, samples=1).summary()["speedup"] < 1
