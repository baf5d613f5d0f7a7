"""`cgsim.html_report`: from results folders to one HTML file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from cgsim.errors import CgsimError
from cgsim.results.figures.sources import FOLDERS, Source, read_source
from cgsim.results.files import write_text
from cgsim.results.html import of_run, of_table
from cgsim.results.html.flat import flat
from cgsim.results.html.page import page
from cgsim.results.html.parts import Pairs
from cgsim.results.html.sides import sides_of
from cgsim.results.run import Run


def html_report(
    results: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> None:
    """Write one self-contained HTML file with tables, interactive plots, configuration and provenance.

    The file loads nothing: it works without a network, and from a mail. The same results give the same bytes.

    Args:
        results: one or several folders that `cgsim simulate`, `sweep`, `compare` or `optimize` wrote; several
            are also compared with each other.
        path: the HTML file to write.
        title: of the report; by default the names of the results.

    Raises:
        CgsimError: a folder holds no results or damaged ones, plotly or itables is missing (the extra
            `report`), or `path` cannot be written.
    """
    folders = [results] if isinstance(results, (str, os.PathLike)) else list(results)
    if not folders:
        raise CgsimError("report: expected a results folder")
    sources = [_source(folder) for folder in folders]
    titles = _titles([source.name for source in sources])
    runs = {place: Run.load(source.name) for place, source in enumerate(sources) if source.kind == "simulate"}
    sections = []
    if len(sources) > 1:
        sections.append(sides_of(sources, titles, list(runs.values())))
    for place, source in enumerate(sources):
        if place in runs:
            section = of_run.section_of(runs[place], titles[place])
        else:
            section = of_table.section_of(source, titles[place])
        section.blocks.extend(_provenance(source))
        sections.append(section)
    write_text(path, page(title or ", ".join(titles), sections))


def _source(folder: str | os.PathLike[str]) -> Source:
    if Path(folder).is_file():
        raise CgsimError(f"{folder}: expected a results folder, with one of {', '.join(FOLDERS)}")
    source = read_source(folder)
    if source.kind == "trace":
        raise CgsimError(f"{folder}: expected a results folder, with one of {', '.join(FOLDERS)}")
    if source.table.empty:
        raise CgsimError(f"{folder}: its table has no rows, there is nothing to report")
    return source


def _titles(names: Sequence[str]) -> list[str]:
    """Return the last parts of the folders' paths, as many as tell them apart."""
    parts = [Path(os.path.abspath(name)).parts for name in names]
    for count in range(1, max(map(len, parts)) + 1):
        found = ["/".join(own[-count:]) for own in parts]
        if len(set(found)) == len(set(parts)):
            break
    return [f"{name} ({place + 1})" if found.count(name) > 1 else name for place, name in enumerate(found)]


def _provenance(source: Source) -> list[Pairs]:
    """Return where the figures come from, what they were run on, and the traces."""
    told = dict(source.provenance)
    hardware = told.pop("hardware", {})
    traces = told.pop("traces", None) or {"": told.pop("trace", {})}
    found = [Pairs("Provenance", flat(told), folded=False)]
    for name, trace in traces.items() if isinstance(traces, dict) else ():
        pairs = flat(trace) if isinstance(trace, dict) else {"path": str(trace)}
        found.append(Pairs(f"Trace {name or pairs.get('name', '')}", pairs))
    several = hardware if isinstance(hardware, list) else [hardware]
    for one in several:
        if isinstance(one, dict) and one:
            own = one if "array" in one else {"accelerators": one}
            text = yaml.safe_dump(json.loads(json.dumps(own)), sort_keys=False, allow_unicode=True)
            found.append(Pairs(f"Hardware {one.get('name', '')} (YAML)", {"": text}))
    return found
