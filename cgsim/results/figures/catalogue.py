"""Every figure by its name: what it shows, what it is drawn of, and how."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsim.errors import CgsimError, nearest
from cgsim.results.figures.sources import Source, kept, read_source

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A figure that can be drawn from sources.

    Attributes:
        shows: what is to be seen.
        sources: what it is drawn of, in words.
        kinds: of sources that have it.
        options: it takes besides `title` and `where`.
        several: whether it takes several sources.
        draw: makes it, from sources of those kinds and its options.
    """

    shows: str
    sources: str
    kinds: tuple[str, ...]
    options: tuple[str, ...]
    several: bool
    draw: Callable[[Sequence[Source], Options], Figure]


def draw(
    name: str,
    sources: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Figure:
    """Draw a figure from results folders, tables or a trace, as `cgsim plot` does.

    Args:
        name: of the figure, one of CATALOGUE.
        sources: folders of `cgsim simulate`, `sweep`, `compare` and `optimize`, tables, or a trace.
        path: PNG, SVG or PDF to write.
        **options: those of the figure (CATALOGUE[name].options), `title`, and `where`: column -> values of
            the rows to keep.

    Raises:
        CgsimError: no such figure, option, source or column, or `path` cannot be written.
    """
    entry = entry_of(name)
    given = {key: value for key, value in options.items() if value not in (None, "", (), {}, [])}
    for key in given:
        if key not in (*entry.options, "title", "where"):
            takers = [other for other, one in CATALOGUE.items() if key in one.options]
            of = (
                f", only of {', '.join(takers)}"
                if takers
                else nearest(key, (*entry.options, "title", "where"))
            )
            raise CgsimError(f"figure {name!r}: {key!r} is no option of it{of}")
    from cgsim.results import style  # matplotlib takes its time, and a list of figures needs none

    if path is not None:
        style.plot_format(path)
    if not sources:
        raise CgsimError(f"figure {name!r}: expected a source: {entry.sources}")
    if len(sources) > 1 and not entry.several:
        raise CgsimError(f"figure {name!r}: {len(sources)} sources, expected one: {entry.sources}")
    read = [_read(source, entry) for source in sources]
    for source in read:
        if source.kind not in entry.kinds:
            raise CgsimError(f"{source.name}: is of kind {source.kind!r}; {name} is of {entry.sources}")
    if len({source.kind for source in read}) > 1:
        kinds = ", ".join(source.kind for source in read)
        raise CgsimError(f"figure {name!r}: expected sources of one kind, got {kinds}")
    where = given.pop("where", {})
    if where:
        read = [kept(source, where) for source in read]
    figure = entry.draw(read, given)
    if path is not None:
        style.write(figure, path)
    return figure


def _read(source: str | os.PathLike[str], entry: Entry) -> Source:
    """Read a source; where only traces will do, whatever the name of the file says."""
    import pandas as pd

    if entry.kinds == ("trace",) and not Path(source).is_dir():
        return Source(os.fspath(source), "trace", pd.DataFrame())
    return read_source(source)


def entry_of(name: str) -> Entry:
    """Return the figure of that name; raises CgsimError with the nearest one."""
    if name not in CATALOGUE:
        raise CgsimError(f"unknown figure {name!r}{nearest(name, CATALOGUE)}")
    return CATALOGUE[name]


def _is_run(source: Source) -> bool:
    """Tell whether a table has a row per sample and layer."""
    return source.kind == "simulate" or {"sample", "layer"} <= {*map(str, source.table.columns)}


def _title(source: Source, options: Options) -> str:
    from cgsim.results.plots import title_of

    known = {"trace", "hardware"} <= source.provenance.keys()
    return str(options.get("title") or (title_of(dict(source.provenance)) if known else ""))


def _batch(source: Source) -> int:
    from cgsim.results.naming import batch_of

    return batch_of(source.provenance.get("hardware", {}))


def _joined(sources: Sequence[Source]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the tables of several sources as one, and those of their samples."""
    import pandas as pd

    if len(sources) == 1:
        return sources[0].table, sources[0].samples
    samples = [source.samples for source in sources if source.samples is not None]
    tables = pd.concat([source.table for source in sources], ignore_index=True)
    return tables, pd.concat(samples, ignore_index=True) if samples else None


def _speedup_vs_flops(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.figures.layer_speedup import speedup_vs_flops
    from cgsim.results.figures.network_speedup import speedup_of_networks

    if len(sources) == 1 and _is_run(sources[0]):
        own = sources[0]
        return speedup_vs_flops(own.table, title=_title(own, options), batch=_batch(own))
    if any(_is_run(source) for source in sources):
        table, samples = _runs(sources)
    else:
        table, samples = _joined(sources)
    title = str(options.get("title") or "")
    if not title and "hardware" in table.columns and table["hardware"].nunique() == 1:
        title = f"speedup against FLOP reduction on {table['hardware'].iloc[0]}"
    return speedup_of_networks(table, samples, title=title)


def _runs(sources: Sequence[Source]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return folders of `cgsim simulate` as a sweep would have them: a row per run, and its samples."""
    import pandas as pd

    from cgsim.results.run import Run
    from cgsim.results.statistics import sample_counts

    rows, samples = [], []
    for number, source in enumerate(sources):
        if source.kind != "simulate":
            raise CgsimError(f"{source.name}: a table of layers, expected a folder of cgsim simulate")
        run = Run.load(source.name)
        if len(source.table) != run.samples * run.summary()["layers"]:
            raise CgsimError(f"{source.name}: --where: this figure is of whole runs")
        origin = run.provenance
        head = {"row": str(number), "trace": origin["trace"]["name"], "hardware": origin["hardware"]["name"]}
        head["clock_mhz"] = float(origin["hardware"]["clock_mhz"])
        if sum(_identity(other) == _identity(source) for other in sources) > 1:  # as --set made them
            head["hardware"] = Path(source.name).name
        rows.append(head | {key: run.summary()[key] for key in ("speedup", "flop_reduction")})
        samples.append(pd.DataFrame(sample_counts(run)).assign(**head))
    return pd.DataFrame(rows), pd.concat(samples, ignore_index=True)


def _identity(source: Source) -> tuple[Any, Any]:
    origin = source.provenance
    return origin.get("trace", {}).get("name"), origin.get("hardware", {}).get("name")


def _speedup_vs_array(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.sweep_plots import speedup_vs_array

    figure = speedup_vs_array(_joined(sources)[0])
    if options.get("title"):
        figure.axes[0].set_title(options["title"], loc="left")
    return figure


def _heatmap(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.figures.heat_map import heatmap

    told = {key: str(options[key]) for key in ("x", "y", "value", "title") if key in options}
    return heatmap(_joined(sources)[0], **told)


def _cycles(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.figures.stacked_cycles import cycles

    own = sources[0]
    return cycles(own.table, title=_title(own, options), hardware=own.provenance.get("hardware"))


def _energy(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.figures.stacked_energy import energy

    return energy(sources[0].table, title=_title(sources[0], options))


def _energy_vs_latency(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.figures.network_scatter import energy_vs_latency

    return energy_vs_latency(_joined(sources)[0], title=str(options.get("title") or ""))


def _speedup_vs_area(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.figures.network_scatter import speedup_vs_area

    told = {key: str(options[key]) for key in ("size", "title") if key in options}
    return speedup_vs_area(_joined(sources)[0], **told)


def _roofline(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.roofline import roofline

    own = sources[0]
    if "hardware" not in own.provenance:
        raise CgsimError(
            f"{own.name}: the hardware is not told, which a roofline takes (a folder of simulate)"
        )
    return roofline(own.table, own.provenance["hardware"], title=_title(own, options))


def _latency(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.figures.latencies import latency

    title = str(options.get("title") or "")
    if any(_is_run(source) for source in sources):
        _, samples = _runs(sources)
        title = title or (_title(sources[0], options) if len(sources) == 1 else "")
        return latency(samples, clock_mhz=samples["clock_mhz"].to_numpy(float), title=title)
    table, found = _joined(sources)
    samples = table if found is None else found
    return latency(samples, clock_mhz=_clock(table, found), title=title)


def _clock(table: pd.DataFrame, samples: pd.DataFrame | None) -> np.ndarray | None:
    """Return the clock of each sample in MHz, from the latencies in ms of its run; None if not known."""
    for of in ("gated_", ""):
        cycles, ms = f"{of}latency_cycles", f"{of}latency_ms_mean"
        if samples is not None and cycles in samples and {"row", ms} <= {*table.columns}:
            mean = samples.groupby("row")[cycles].mean()
            clock = mean / (table.drop_duplicates("row").set_index("row")[ms].reindex(mean.index) * 1e3)
            return samples["row"].map(clock).to_numpy(float)
    return None


def _density(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.figures.density_map import density
    from cgsim.trace import load_trace

    sample = options.get("sample", 0)
    if isinstance(sample, str) and sample.isdecimal():
        sample = int(sample)
    return density(
        load_trace(sources[0].name),
        sample,
        options.get("layers"),
        options.get("image"),
        title=str(options.get("title") or ""),
    )


def _pareto(sources: Sequence[Source], options: Options) -> Figure:
    from cgsim.results.pareto import pareto

    own = sources[0]
    objectives = own.provenance.get("objectives")
    if not isinstance(objectives, dict) or not objectives:
        raise CgsimError(f"{own.name}: its objectives are not told, expected a folder of cgsim optimize")
    figure = pareto(own.table, objectives, units=_units(Path(own.name)))
    if options.get("title"):
        figure.suptitle(options["title"], x=0.01, ha="left")
    return figure


def _units(folder: Path) -> dict[str, str]:
    """Return the units that a search told beside its table."""
    about = (folder if folder.is_dir() else folder.parent) / "pareto.json"
    try:
        told = json.loads(about.read_text(encoding="utf-8")).get("units", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return {str(key): str(unit) for key, unit in told.items()} if isinstance(told, dict) else {}


_FOLDER = "a folder of cgsim simulate"
CATALOGUE: dict[str, Entry] = {
    "speedup_vs_flops": Entry(
        "speedup against FLOP reduction, the ideal line, 95% confidence bars",
        "a folder of cgsim simulate (per layer), or several, or of sweep or compare (per network)",
        ("simulate", "sweep", "compare", "table"), (), True, _speedup_vs_flops,
    ),
    "speedup_vs_array": Entry(
        "speedup against array size, FLOP reduction as a dashed line",
        "folders of cgsim sweep over array.rows and array.cols",
        ("sweep", "table"), (), True, _speedup_vs_array,
    ),
    "heatmap": Entry(
        "a figure over two parameters, its value in each cell",
        "folders of cgsim sweep",
        ("sweep", "table", "optimize", "compare"), ("x", "y", "value"), True, _heatmap,
    ),
    "cycles": Entry(
        "where the cycles go: per layer, dense and gated, phases and stalls",
        _FOLDER, ("simulate", "table"), (), False, _cycles,
    ),
    "energy": Entry(
        "where the energy goes: per layer, dense and gated, by component",
        _FOLDER, ("simulate", "table"), (), False, _energy,
    ),
    "energy_vs_latency": Entry(
        "energy against latency per image; a line joins the runs that none beats in both",
        "folders of cgsim sweep or compare", ("sweep", "table", "compare"), (), True, _energy_vs_latency,
    ),
    "speedup_vs_area": Entry(
        "speedup against area, or against LUTs, DSP slices or block RAMs (--size)",
        "folders of cgsim sweep or compare", ("sweep", "table", "compare"), ("size",), True, _speedup_vs_area,
    ),
    "roofline": Entry(
        "MACs per cycle against MACs per off-chip byte, per layer",
        _FOLDER, ("simulate", "table"), (), False, _roofline,
    ),
    "latency": Entry(
        "distribution of latencies over the images, median and 99th percentile",
        "folders of cgsim simulate, sweep or compare",
        ("simulate", "sweep", "compare", "table"), (), True, _latency,
    ),
    "density": Entry(
        "which pixels and channels are computed on one image",
        "a trace", ("trace",), ("layers", "sample", "image"), False, _density,
    ),
    "pareto": Entry(
        "trials of a search and the front of those that nothing beats",
        "a folder of cgsim optimize", ("optimize",), (), False, _pareto,
    ),
}  # fmt: skip
"""The figures by name, as `cgsim plot --list` tells them."""
