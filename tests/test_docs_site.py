"""The site of the documentation: it is built without a warning, and needs nothing but its own files."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
LOADING = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """Anchors, links and everything that a browser would load."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        for key, value in attrs:
            if (tag, key) in LOADING and value:
                self.loaded.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    # 404.html is for servers: its links begin at the root.
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def test_every_page_is_in_the_site(site, pages):
    names = {str(path.relative_to(site).with_suffix("")) for path in pages}
    written = {str(path.relative_to(ROOT / "docs").with_suffix("")) for path in (ROOT / "docs").rglob("*.md")}
    notebooks = {f"tutorials/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert names == written | notebooks


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for path, page in pages.items():
        for address in page.loaded:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            assert not parts.scheme, f"{path.name} loads {address}"
            assert not parts.netloc, f"{path.name} loads {address}"
            assert (path.parent / unquote(parts.path)).exists(), f"{path.name}: {address} is missing"
    for path in site.rglob("*.css"):
        assert "@import" not in path.read_text(encoding="utf-8")
        assert "url(http" not in path.read_text(encoding="utf-8")


def test_every_link_leads_to_a_page_and_an_anchor(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.suffix == ".html":
                found = unquote(parts.fragment)
                known = target in pages and (not found or found in pages[target].ids)
            else:
                known = target.exists()
            if not known:
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_the_reference_tells_every_public_name(pages):
    """What `cgsim` itself offers is described somewhere under api/."""
    import cgsim

    described = set().union(*(page.ids for path, page in pages.items() if path.parent.name == "api"))
    last = {name.rsplit(".", 1)[-1] for name in described}
    missing = set(cgsim.__all__) - last - {"__version__", "models"}
    assert not missing, f"not in docs/api: {sorted(missing)}"
