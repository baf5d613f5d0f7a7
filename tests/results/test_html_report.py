"""The HTML report in a browser: it loads nothing, tables sort and filter, plots show what the tables show."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest

import cgsim
from cgsim.errors import CgsimError
from cgsim.results import Run
from cgsim.trace import synthesize, tiny_network
from tests.conftest import VALIDATE

EVIL = "<script>window.evil=1</script>&\"'"


def browser_path() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def browser():
    path = browser_path()
    if path is None:
        message = "reports need Chromium; on Debian: sudo apt-get install chromium"
        if os.environ.get("CI") or VALIDATE:
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run, another one, a sweep, a search and a comparison; the run's trace has a name that is a script."""
    place = tmp_path_factory.mktemp("results")
    trace = synthesize(tiny_network(), place / "tiny.trace.parquet", samples=4, density=0.3)
    hardware = cgsim.load_hardware("edge-16x16")
    run = cgsim.simulate(trace, hardware)
    run.save(place / "other")
    provenance = run.provenance | {"trace": run.provenance["trace"] | {"name": EVIL}}
    Run(run.columns, provenance=provenance, mapping=run.mapping, fused=run.fused).save(place / "run")
    cgsim.simulate(trace, hardware.override({"array.rows": 4})).save(place / "small")
    grid = {"array.rows": [4, 8, 16], "buffers.weight_kib": [16, 6789]}
    cgsim.sweep(trace, hardware, grid, workers=1, output=place / "sweep")
    search = {"traces": str(trace), "hardware": "edge-16x16", "vary": {"array.rows": [4, 8, 16]}}
    cgsim.optimize(
        search | {"objectives": ["latency", "pes"], "sampler": "grid"}, workers=1, output=place / "search"
    )
    cgsim.compare([trace], hardware, workers=1).save(place / "compare")
    return place


@pytest.fixture
def opened(browser, tmp_path):
    """Open a report of some folders: the page, once it is ready; it must load nothing and tell no error."""
    contexts = []

    def open_report(*folders, width=1280, scheme="light"):
        cgsim.html_report(folders, tmp_path / "report.html")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        context.set_default_timeout(120_000)
        contexts.append(context)
        page, told, asked = context.new_page(), [], []
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        assert told == []
        assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []
        return page

    yield open_report
    for context in contexts:
        context.close()


def eventually(page, holds):
    """Wait until something holds: tables are drawn a moment after what was clicked or typed."""
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(50)
    assert holds()


def rows_of(page, table="table.dataTable"):
    return page.eval_on_selector_all(
        f"{table} tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def points(page):
    """Points of the explorer's plot, without the ideal line."""
    return page.evaluate(
        "document.querySelector('.explorer .plot').data.filter(one => one.mode == 'markers')"
        ".flatMap(one => [...one.x].map((x, i) => [x, one.y[i]]))"
    )


def test_a_run(opened, results):
    page = opened(results / "run")
    layers = Run.load(results / "run").by_layer()
    shown = rows_of(page)
    assert [row[0] for row in shown] == list(layers["layer"])
    speedups = [float(row[-4]) for row in shown]
    np.testing.assert_allclose(speedups, layers["speedup"], rtol=1e-3)
    bars = page.evaluate("document.querySelectorAll('.plot')[0].data.map(one => [...one.x])")
    total = (layers["dense_cycles"] + layers["gated_cycles"]).sum() / 4
    assert np.sum(bars) == pytest.approx(total)
    parts = page.evaluate("document.querySelectorAll('.plot')[1].data.map(one => [...one.x])")
    energy = (layers["dense_energy_pj"] + layers["gated_energy_pj"]).sum() / 4e6
    assert np.sum(parts) == pytest.approx(energy)
    curves = page.evaluate("document.querySelectorAll('.plot')[3].data.map(one => [...one.x].length)")
    assert curves == [5, 5]  # four images, and the beginning
    assert page.evaluate("window.evil") is None
    assert EVIL in page.inner_text("main")


def test_a_sweep_is_filtered_and_sorted(opened, results):
    page = opened(results / "sweep")
    table = pd.read_parquet(results / "sweep" / "sweep.parquet")
    expected = sorted(zip(table["flop_reduction"], table["speedup"], strict=True))
    np.testing.assert_allclose(sorted(map(tuple, points(page))), expected)
    assert page.inner_text(".explorer .count") == "6 of 6 rows drawn"

    page.fill(".dt-search input", "6789")
    eventually(page, lambda: [row[1] for row in rows_of(page)] == ["6,789"] * 3)
    eventually(page, lambda: len(points(page)) == 3)
    page.fill(".dt-search input", "")
    eventually(page, lambda: len(rows_of(page)) == len(points(page)) == 6)

    assert page.inner_text("table.dataTable thead th:nth-child(1)").replace("\n", "").startswith("array.rows")
    sizes = sorted(table["array.rows"])
    for wanted in (sizes[::-1], sizes):
        page.click("table.dataTable thead th:nth-child(1) .dtcc-button_order")
        eventually(page, lambda wanted=wanted: [int(row[0]) for row in rows_of(page)] == wanted)

    page.select_option("select[data-axis=x]", "array.rows")
    page.select_option("select[data-axis=y]", "gated_cycles_per_image")
    expected = sorted(zip(table["array.rows"], table["gated_cycles_per_image"], strict=True))
    eventually(page, lambda: np.allclose(sorted(map(tuple, points(page))), expected))


def test_numbers_are_filtered_as_numbers(opened, results):
    page = opened(results / "sweep")
    page.click("table.dataTable thead th:nth-child(1) .dtcc-button_dropdown")
    page.select_option(".dtcc-dropdown select", "greater")
    page.fill(".dtcc-dropdown input", "7")
    eventually(page, lambda: {row[0] for row in rows_of(page)} == {"8", "16"})
    eventually(page, lambda: len(points(page)) == 4)


def test_a_search_and_a_comparison(opened, results):
    page = opened(results / "search", results / "compare")
    trials = pd.read_parquet(results / "search" / "trials.parquet")
    expected = sorted(zip(trials["latency"], trials["pes"], strict=True))
    np.testing.assert_allclose(sorted(map(tuple, points(page))), expected)
    assert page.locator("section").count() == 3  # with the one beside each other


def test_runs_side_by_side(opened, results):
    page = opened(results / "other", results / "small")
    told = page.inner_text("section >> nth=0")
    assert re.search(r"hardware.array.rows\s+16\s+4\b", told)
    assert "hardware.array.cols" not in told
    cycles = [Run.load(results / name).summary()["gated_cycles_per_image"] for name in ("other", "small")]
    assert f"({cycles[1] / cycles[0]:.3f}×)" in told


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (420, "light")])
def test_nothing_sticks_out(opened, results, width, scheme):
    page = opened(results / "run", results / "sweep", width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")


def test_equal_results_are_equal_files_without_addresses(results, tmp_path):
    for name in ("a.html", "b.html"):
        cgsim.html_report([results / "run", results / "sweep"], tmp_path / name)
    text = (tmp_path / "a.html").read_text()
    assert text == (tmp_path / "b.html").read_text()
    assert len(text) < 6.5e6
    assert not re.search(
        r"""(src|href)=["']?(https?:)?//""", text.split('<script type="application/json"')[0]
    )
    data = json.loads(re.search(r'id="report">(.*?)</script>', text)[1])
    assert set(data) == {"colours", "tables", "plots", "explorers"}
    assert EVIL not in text


def test_titles_tell_folders_apart(results, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        shutil.copytree(results / "other", tmp_path / place / "run")
    cgsim.html_report([tmp_path / "a" / "run", tmp_path / "b" / "run"], tmp_path / "r.html", title="x<y")
    text = (tmp_path / "r.html").read_text()
    assert "<h2>a/run</h2>" in text
    assert "<h2>b/run</h2>" in text
    assert "<h1>x&lt;y</h1>" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", r"none: no such file or folder"),
        (".", r"no results in this folder, expected one of layers\.parquet, "),
        ("other/layers.parquet", r"layers\.parquet: expected a results folder, with one of"),
    ],
)
def test_what_is_no_result_is_refused(results, tmp_path, name, message):
    with pytest.raises(CgsimError, match=message):
        cgsim.html_report(results / name, tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_missing_libraries_are_named(results, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(CgsimError, match=r"plotly is not installed; .* pip install 'cgsim\[report\]'"):
        cgsim.html_report(results / "run", tmp_path / "r.html")
