"""Compiled kernels belong to one state of the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

import cgsim
from cgsim.engine.compile_cache import KEPT, cache_folder, kernel_sources, source_digest


def test_a_change_of_a_kernel_or_of_what_it_imports_changes_the_folder(tmp_path: Path) -> None:
    texts = {
        "engine/kernels": "from cgsim.mapping.sizes import ROWS\n\n\n@njit(cache=True)\ndef f(): pass\n",
        "mapping/sizes": "from cgsim.mapping.deeper import COLS\n",
        "mapping/deeper": "COLS = 1\n",
        "engine/other": "from cgsim.engine.kernels import f\n",
    }
    for name, text in texts.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    before = source_digest(tmp_path)
    for name, matters in (("engine/other", False), ("mapping/deeper", True), ("engine/kernels", True)):
        with (tmp_path / f"{name}.py").open("a") as file:
            file.write("# changed\n")
        assert (source_digest(tmp_path) != before) == matters, name
        before = source_digest(tmp_path)


def test_every_module_that_compiles_is_a_kernel_source() -> None:
    package = Path(cgsim.__file__).parent
    sources = kernel_sources(package)
    for path in package.glob("*/*.py"):
        assert path in sources or "@njit" not in path.read_text(), path


def test_old_states_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = tmp_path / "cgsim" / "kernels"
    for number in range(KEPT + 3):
        (home / f"old{number}").mkdir(parents=True)
    folder = cache_folder()
    assert folder.parent == home
    assert len(list(home.iterdir())) == KEPT + 1


def test_without_a_cache_to_write_a_private_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = cache_folder()
    assert folder.is_dir()
    assert tmp_path not in folder.parents
