"""How runs are told apart in one plot: colour and mark by method or trace, a short name for each."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from cgsim.results import style
from cgsim.results.compare_methods import Look, is_ungated, look_of, method_of
from cgsim.results.figures.columns import names_of, variant, varied

if TYPE_CHECKING:
    from cgsim.results.figures.columns import Table

_COMPARED = ("method", "gates", "baseline", "trace")


def groups_of(table: Table, traces: np.ndarray) -> tuple[np.ndarray, dict[str, Look]]:
    """Return what each row is told by, its method or trace, and the look of each.

    Args:
        table: a row per run.
        traces: their traces, [R].
    """
    present = {*names_of(table)}
    if {*_COMPARED} <= present:  # of a comparison: methods look as in its own plots
        columns = [np.asarray(table[name]).tolist() for name in _COMPARED]
        rows = [dict(zip(_COMPARED, row, strict=True)) for row in zip(*columns, strict=True)]
        told = ["ungated network" if is_ungated(row) else method_of(row) for row in rows]
        return np.array(told), {name: look_of(row) for name, row in zip(told, rows, strict=True)}
    groups = np.asarray(table["method"]).astype(str) if "method" in present else traces
    looks = itertools.cycle([Look(*pair) for pair in zip(style.LINES, style.MARKERS, strict=True)])
    return groups, dict(zip(dict.fromkeys(groups.tolist()), looks, strict=False))


def short_names(table: Table, traces: np.ndarray, groups: np.ndarray, shown: np.ndarray) -> list[str]:
    """Return what tells each of the rows shown from those of its group: short, as names hide points.

    What all traces begin with, and the method that the colour tells, are left out.
    """
    keys = varied(table)
    words = [name.split("-") for name in traces[shown].tolist()]
    alike = itertools.takewhile(lambda at: len(set(at)) == 1, zip(*words, strict=False))
    start = "".join(f"{at[0]}-" for at in alike)
    names = []
    for row in shown:
        trace = "" if (groups == traces).all() else str(traces[row]).removeprefix(start)
        told = [trace.removeprefix(f"{groups[row].partition(',')[0]}-"), variant(table, int(row), keys)]
        names.append(", ".join(filter(None, told)))
    return names
