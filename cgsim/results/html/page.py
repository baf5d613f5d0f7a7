"""The HTML of a report: text, data as JSON, and the libraries that draw them, all in one file."""

from __future__ import annotations

import html
import importlib.util
import re
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgsim import __version__
from cgsim.errors import CgsimError
from cgsim.results.files import to_json_text
from cgsim.results.html.flat import told
from cgsim.results.html.parts import Block, Column, Explorer, Pairs, Plot, Section, Sides, Table, Tiles
from cgsim.results.style import LINES

_HERE = Path(__file__).parent
_NO_UNITS = ("1", "name", "hash", "index")


class _Page:
    """Collects the data of the blocks while their HTML is made."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {"colours": list(LINES), "tables": {}, "plots": {}, "explorers": {}}
        self._tables: dict[int, str] = {}
        self._count = 0

    def name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"

    def block(self, block: Block) -> str:
        if isinstance(block, Table):
            return self._table(block)
        if isinstance(block, Plot):
            name = self.name("plot")
            self.data["plots"][name] = {"data": block.data, "layout": block.layout, "height": block.height}
            return _figure(
                f'<div class="plot" id="{name}" style="height:{block.height}px"></div>', block.caption
            )
        if isinstance(block, Explorer):
            return self._explorer(block)
        if isinstance(block, Tiles):
            return _tiles(block)
        return _sides(block) if isinstance(block, Sides) else _pairs(block)

    def _name_of(self, table: Table) -> str:
        """Return the table's name; its data are there once, however many blocks use them."""
        if id(table) not in self._tables:
            name = self._tables[id(table)] = self.name("table")
            self.data["tables"][name] = [_column(column) for column in table.columns]
        return self._tables[id(table)]

    def _table(self, table: Table) -> str:
        name = self._name_of(table)
        return _figure(
            f'<div class="table"><table id="{name}" class="display compact"></table></div>', table.caption
        )

    def _explorer(self, block: Explorer) -> str:
        name = self.name("explorer")
        axes = {"x": block.x, "y": block.y, "colour": block.colour}
        self.data["explorers"][name] = {"table": self._name_of(block.table), **axes}
        choices = "".join(
            f'<label>{label} <select data-axis="{axis}"></select></label>'
            for axis, label in (("x", "across"), ("y", "up"), ("colour", "colour"))
        )
        inner = f'<div class="choices">{choices}<span class="count"></span></div>'
        plot = '<div class="plot" style="height:440px"></div>'
        return _figure(f'<div class="explorer" id="{name}">{inner}{plot}</div>', block.caption)


def page(title: str, sections: Sequence[Section]) -> str:
    """Return the whole page; raises CgsimError if plotly or itables is not installed."""
    plotly = _file("plotly", "package_data", "plotly.min.js")
    tables = _file("itables", "html", "dt_bundle.js")
    looks = _file("itables", "html", "dt_bundle.css")
    own = _Page()
    bodies = [_section(own, place, section) for place, section in enumerate(sections)]
    links = "".join(
        f'<a href="#result-{place}">{html.escape(section.title)}</a>'
        for place, section in enumerate(sections)
    )
    data = to_json_text(own.data, indent=None).replace("<", "\\u003c")
    parts = {
        "title": html.escape(title),
        "style": f"{_css(looks)}\n{_read('style.css')}",
        "links": links if len(sections) > 1 else "",
        "sections": "\n".join(bodies),
        "version": html.escape(__version__),
        "data": data,
        "plotly": _script(plotly),
        "tables": b64encode(tables.encode()).decode(),
        "script": _read("page.js"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


def _file(library: str, *place: str) -> str:
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        raise CgsimError(f"{library} is not installed; cgsim report needs: pip install 'cgsim[report]'")
    path = Path(spec.origin).parent.joinpath(*place)
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        raise CgsimError(f"{library} has no {path.name}: another version than cgsim report knows") from None


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _css(text: str) -> str:
    return text.replace("</", "<\\/")


def _script(text: str) -> str:
    """Return a script as it may stand inside of HTML."""
    return re.sub(r"<(?=/script|!--)", r"\\x3c", text, flags=re.IGNORECASE)


def _section(own: _Page, place: int, section: Section) -> str:
    blocks = "\n".join(own.block(block) for block in section.blocks)
    title, remark = html.escape(section.title), html.escape(section.remark)
    return f'<section id="result-{place}"><h2>{title}</h2><p class="remark">{remark}</p>\n{blocks}</section>'


def _figure(inner: str, caption: str) -> str:
    return f"<figure><figcaption>{html.escape(caption)}</figcaption>{inner}</figure>"


def _column(column: Column) -> dict[str, Any]:
    values = list(column.values) if column.numeric else [_text(value) for value in column.values]
    return {
        "name": column.name,
        "unit": "" if column.unit in _NO_UNITS else column.unit,
        "description": column.description,
        "numeric": column.numeric,
        "shown": column.shown,
        "values": values,
    }


def _text(value: Any) -> str:
    return "" if value is None or value != value else told(value)


def _tiles(block: Tiles) -> str:
    tiles = "".join(
        f"<div class='tile'><b>{html.escape(value)}</b><span>{html.escape(name)}</span>"
        f"<small>{html.escape(remark)}</small></div>"
        for name, value, remark in block.tiles
    )
    return f'<div class="tiles">{tiles}</div>'


def _pairs(block: Pairs) -> str:
    title = html.escape(block.title)
    if list(block.pairs) == [""]:
        inner = f"<pre>{html.escape(block.pairs[''])}</pre>"
    else:
        rows = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
            for key, value in block.pairs.items()
        )
        inner = f'<table class="pairs">{rows}</table>'
    return f"<details{'' if block.folded else ' open'}><summary>{title}</summary>{inner}</details>"


def _sides(block: Sides) -> str:
    heads = "".join(f"<th>{html.escape(head)}</th>" for head in block.heads)
    rows = []
    for name, cells in block.rows.items():
        marked = [
            f"<td{' class=differs' if cell != cells[0] else ''}>{html.escape(cell)}</td>" for cell in cells
        ]
        rows.append(f"<tr><th>{html.escape(name)}</th>{''.join(marked)}</tr>")
    body = "".join(rows) or "<tr><td>nothing differs</td></tr>"
    table = f'<table class="sides"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    return _figure(f'<div class="table">{table}</div>', block.caption)
