"""Hook of MkDocs: every notebook becomes a page, tutorials/NAME.md, with the outputs that are stored in it.

A notebook links to the documentation as it lies in the repository (../docs/page.md); on the site that becomes
../page.md, and another notebook its page. Nothing is executed: the tests do that (tests/test_notebooks.py).
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
FOLDER = "tutorials"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the pictures in them, to the files of the site."""
    from mkdocs.structure.files import File

    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        page, pictures = render(path)
        files.append(File.generated(config, f"{FOLDER}/{path.stem}.md", content=page))
        for name, data in pictures.items():
            files.append(File.generated(config, f"{FOLDER}/{name}", content=data))
    return files


def render(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures (name: PNG)."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text.replace("](../docs/", "](../").replace(".ipynb)", ".md)"))
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell.get("outputs", []):
            name = f"{path.stem}-{len(pictures) + 1}.png"
            part, picture = _output(output, name)
            parts.append(part)
            if picture:
                pictures[name] = picture
        if len(parts) == 2:
            parts.insert(1, f"*This page is the notebook `notebooks/{path.name}`, as the tests run it.*")
    return "\n\n".join(parts) + "\n", pictures


def _output(output: dict[str, Any], name: str) -> tuple[str, bytes | None]:
    """Return Markdown for one output of a cell, and the picture in it, if it is one."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"![Output of the cell above]({name})", base64.b64decode("".join(data["image/png"]))
    if "text/html" in data:
        html = re.sub(r"<style.*?</style>\s*", "", "".join(data["text/html"]), flags=re.DOTALL)
        return f'<div class="cell-table">\n{html}\n</div>', None
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```{{ .text .cell-output }}\n{text.rstrip()}\n```", None
