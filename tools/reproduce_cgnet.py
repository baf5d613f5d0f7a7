"""Measure, draw and tabulate what docs/cgnet.md tells of CGNet's accelerator: `make reproduce-cgnet`.

The questions are experiments and stand in reproduce_cgnet.yaml. Results go to out/cgnet, where the next call
finds them unless it is told `--anew`; tables go between the markers of the page, figures to docs/images.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import cgsim
from cgsim.results import style
from cgsim.trace import fit, load_trace, resnet18_imagenet, synthesize, transplant

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cgnet.md"
PRESETS_PAGE = ROOT / "docs" / "presets.md"
IMAGES = ROOT / "docs" / "images"
OUT = ROOT / "out" / "cgnet"
RESNET18 = ROOT / "traces" / "resnet18-synthetic.trace.parquet"
RESNET20 = ROOT / "traces" / "resnet20-cgnet.trace.parquet"
SAMPLES = 4
NAMED = ("8 x 8", "16 x 16", "16 x 48", "24 x 32", "32 x 32", "64 x 64")  # in the figure
PRESETS = ("cgnet-28nm", "eyeriss-class", "tpu-v1-class", "ethos-u55-class")

# Hua et al., NeurIPS 2019: 2.4 of 2.8; MICRO 2019: 2.3 of 2.8.
NEURIPS, MICRO, REDUCTION = 2.4, 2.3, 2.8
# Hua et al., NeurIPS 2019, table of hardware platforms: ASIC baseline and CGNet.
BASELINE_FPS, GATED_FPS = 254.3, 613.9
BASELINE_WATT, GATED_WATT = 0.20, 0.25

FLOWS = {
    "ws": ("ws", "raster"),
    "os": ("os", "raster"),
    "is, raster": ("is", "raster"),
    "is, block": ("is", "block"),
}
STALLS = {
    "waits for memory": ("activation_load_stall", "weight_load_stall", "store_stall"),
    "groups wait for each other": ("group_imbalance_stall",),
    "stationary operands load": ("load_weights",),
    "vector unit alone": ("vector",),
    "decision, drain, gate unit": ("decision", "drain", "gate_unit_stall", "bank_conflict_stall"),
    "conditional path": ("conditional",),
    "base path": ("base",),
}


def traces() -> dict[str, Path]:
    """Gates of other statistics, most of FLOP reduction 2.8; made once."""
    OUT.mkdir(parents=True, exist_ok=True)
    found = {"as the trained ResNet-20's (shipped)": RESNET18}

    def made(label: str, name: str, parts: int = 4, **options: Any) -> None:
        network = resnet18_imagenet(p=parts)
        path = OUT / f"{name}.trace.parquet"
        if not path.exists():
            if "correlation_length" in options:
                synthesize(network, path, samples=SAMPLES, seed=0, **options)
            else:
                transplant(fit(load_trace(RESNET20)), network, path, samples=SAMPLES, seed=0, **options)
        found[label] = path

    for length in (0.5, 2.0, 8.0):
        for common in (0.0, 0.3, 0.7):
            label = f"correlated over {length:g} pixels, channels {common:g}"
            shape = {"correlation_length": length, "channel_correlation": common}
            made(label, f"l{length:g}-c{common:g}", flop_reduction=REDUCTION, **shape)
    for reduction in (2.0, 3.0):
        label = f"as the trained ResNet-20's, FLOP reduction {reduction}"
        made(label, f"r{reduction}", flop_reduction=reduction)
    for parts in (8, 16):
        label = f"as the trained ResNet-20's, base path 1/{parts} of the input channels"
        made(label, f"p{parts}", parts, flop_reduction=REDUCTION)
    found["the trained ResNet-20 itself, 28 x 28 pixels"] = RESNET20
    return found


def measure(question: str, vary: Any, trace: Path = RESNET18, hardware: str = "cgnet-28nm") -> pd.DataFrame:
    """One row for each point of the question, with images per second and what is kept."""
    experiment = {
        "name": question,
        "traces": [str(trace)],
        "hardware": hardware,
        "vary": vary if isinstance(vary, list) else [vary],
        "samples": SAMPLES,
    }
    table = cgsim.run_experiment(cgsim.Experiment.from_dict(experiment), output=OUT / question, workers=1)
    if "error" in table and table["error"].notna().any():
        raise SystemExit(f"{question}: {table['error'].dropna().iloc[0]}")
    clock_mhz = cgsim.load_hardware(hardware).clock_mhz
    for side in ("dense", "gated"):
        table[f"{side}_fps"] = clock_mhz * 1e6 * table["samples"] / table[f"{side}_cycles"]
    alone = table["dense_array_cycles"] / table["gated_array_cycles"]
    table["array_alone"] = alone
    return table


def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    shown = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in shown)


def put(name: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between the markers of a table in a page."""
    start, end = f"<!-- {name}: made by tools/reproduce_cgnet.py -->\n", f"<!-- end of {name} -->"
    before, rest = page.read_text(encoding="utf-8").split(start)
    after = rest.split(end, 1)[1]
    page.write_text(f"{before}{start}\n{text}\n\n{end}{after}", encoding="utf-8")


def arrays_table(table: pd.DataFrame) -> str:
    """Arrays with a feed for each column: images per second, what is kept; one image, four together."""
    rows = []
    for (size, together), one in by_array(table).items():
        if together > 1:
            continue
        four = by_array(table)[size, 4]
        rows.append(
            [
                size,
                one["array.rows"] * one["array.cols"],
                f"{one['dense_fps']:.0f}",
                f"{one['gated_fps']:.0f}",
                f"{one['speedup']:.2f}",
                f"{one['efficiency']:.2f}",
                f"{one['array_alone']:.2f}",
                f"{four['dense_fps']:.0f}",
                f"{four['gated_fps']:.0f}",
                f"{four['speedup']:.2f}",
                f"{four['efficiency']:.2f}",
            ]
        )
    published = ["published", "", f"{BASELINE_FPS:.0f}", f"{GATED_FPS:.0f}", NEURIPS, "0.86", *[""] * 5]
    heads = ["array", "PEs", "images/s, dense", "gated", "speedup", "kept", "array alone"]
    heads += ["4 together: dense", "gated", "speedup", "kept"]
    return markdown(heads, [*rows, published])


def by_array(table: pd.DataFrame) -> dict[tuple[str, int], dict[str, Any]]:
    """Rows by array ("16 x 48") and images that share folds."""
    return {
        (f"{one['array.rows']} x {one['array.cols']}", one["mapping.batch"]): one
        for one in table.to_dict("records")
    }


def settings_table(table: pd.DataFrame, vary: Mapping[str, Any]) -> str:
    """One row for each entry of a list of settings."""
    rows = []
    for setting, one in zip(vary["list"], table.to_dict("records"), strict=True):
        words = [f"`{key}` {value}" for key, value in setting.items() if value is not None]
        shown = (
            ", ".join(words) or "as shipped",
            f"{one['dense_fps']:.0f}",
            f"{one['gated_fps']:.0f}",
            f"{one['speedup']:.2f}",
            f"{one['efficiency']:.2f}",
            f"{one['dense_offchip_bytes'] / one['samples'] / 1e6:.1f}, "
            f"{one['gated_offchip_bytes'] / one['samples'] / 1e6:.1f}",
        )
        rows.append(shown)
    heads = ["setting", "images/s, dense", "gated", "speedup", "kept", "off-chip MB per image, dense, gated"]
    return markdown(heads, rows)


def sync_table(table: pd.DataFrame) -> str:
    """What is kept by when groups wait for each other."""
    kept = table.pivot_table(index="array.column_groups", columns="gate_unit.group_sync", values="efficiency")
    order = ["fold", "tile", "layer"]
    rows = [
        [groups, *(f"{row[sync]:.2f}" for sync in order)]
        for groups, row in kept.sort_index(ascending=False).iterrows()
    ]
    return markdown(["column groups", *(f"`{sync}`" for sync in order)], rows)


def statistics_table(vary: Mapping[str, Any]) -> str:
    """What is kept on gates of other statistics."""
    rows = []
    for index, (label, path) in enumerate(traces().items()):
        table = measure(f"statistics-{index}", vary, path).set_index("array.column_groups")
        kept = [f"{table.loc[groups, 'efficiency']:.2f}" for groups in (48, 12, 1)]
        first = table.loc[48]
        rows.append([label, f"{first['flop_reduction']:.2f}", f"{first['speedup']:.2f}", *kept])
    heads = ["gates", "FLOP reduction", "speedup, 48 feeds", "kept, 48 feeds", "12", "1"]
    return markdown(heads, rows)


def draw_feeds(table: pd.DataFrame) -> None:
    """Kept share against columns per feed, by dataflow, beside the published shares."""
    figure = style.Plot(5.6, 3.8)
    axes = figure.add_subplot()
    for (label, (flow, order)), colour, marker in zip(
        FLOWS.items(), style.LINES, style.MARKERS, strict=False
    ):
        one = table[
            (table["array.dataflow"] == flow) & (table["mapping.pixel_order"].fillna("raster") == order)
        ]
        one = one.sort_values("array.column_groups", ascending=False)
        width = 48 / one["array.column_groups"]
        axes.plot(
            width, one["efficiency"], color=colour, marker=marker, markersize=4, linewidth=1.3, label=label
        )
    for share, name in ((NEURIPS / REDUCTION, "NeurIPS: 2.4"), (MICRO / REDUCTION, "MICRO: 2.3")):
        axes.axhline(share, color=style.BLACK, linewidth=0.8, linestyle="--")
        at = {"xytext": (0, 2), "textcoords": "offset points", "fontsize": style.SMALL, "ha": "right"}
        axes.annotate(name, (48, share), **at)
    axes.axhline(1 / REDUCTION, color=style.BLACK, linewidth=0.8, linestyle=":")
    above = {"xytext": (0, 2), "textcoords": "offset points", "fontsize": style.SMALL}
    axes.annotate("as slow as dense", (1, 1 / REDUCTION), **above)
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8, 16, 48], ["1", "2", "4", "8", "16", "48"])
    axes.set_ylim(0, 1)
    style.dress(
        axes, title="ResNet-18 on 16 x 48", x="columns that share a feed", y="speedup / FLOP reduction"
    )
    axes.legend(fontsize=style.SMALL, frameon=False)
    style.write(figure, IMAGES / "cgnet-feeds.png")


def draw_arrays(table: pd.DataFrame) -> None:
    """Kept share against images per second of dense execution, one image and four at a time."""
    figure = style.Plot(5.6, 3.8)
    axes = figure.add_subplot()
    looks = {1: (style.BLUE, "o", "one image at a time"), 4: (style.GREEN, "^", "4 images share folds")}
    for (size, together), one in by_array(table).items():
        colour, marker, label = looks[together]
        first = label if size == "8 x 8" else None
        axes.plot(one["dense_fps"], one["efficiency"], marker, color=colour, markersize=5, label=first)
        if together == 1 and size in NAMED:
            side = {"xytext": (4, -9), "ha": "left"}  # nothing is drawn there
            at = {**side, "textcoords": "offset points", "fontsize": style.SMALL}
            axes.annotate(size, (one["dense_fps"], one["efficiency"]), **at)
    shares = (NEURIPS / REDUCTION, MICRO / REDUCTION)
    for share, name, lift in zip(shares, ("NeurIPS: 2.4 x", "MICRO: 2.3 x"), (3, -9), strict=True):
        axes.axhline(share, color=style.BLACK, linewidth=0.8, linestyle="--")
        at = {"xytext": (-2, lift), "textcoords": "offset points", "fontsize": style.SMALL, "ha": "right"}
        axes.annotate(name, (1, share), xycoords=axes.get_yaxis_transform(), **at)
    axes.plot(BASELINE_FPS, shares[0], "*", color=style.VERMILLION, markersize=11, label="published")
    axes.set_xscale("log")
    axes.set_xticks([30, 100, 300, 1000], ["30", "100", "300", "1000"])
    axes.set_ylim(0.4, 1)
    title = "A feed for each column, 800 MHz"
    style.dress(axes, title=title, x="images/s, dense", y="speedup / FLOP reduction")
    axes.legend(fontsize=style.SMALL, frameon=False, loc="lower left")
    style.write(figure, IMAGES / "cgnet-arrays.png")


def causes_table(table: pd.DataFrame) -> str:
    """Where the cycles of the shipped array go, dense and gated."""
    one = table.iloc[0]
    rows = []
    for label, columns in STALLS.items():
        cells = []
        for side in ("dense", "gated"):
            cycles = sum(one[f"{side}_{column}_cycles"] for column in columns)
            cells.append(f"{cycles / one['samples'] / 1e3:,.0f}")
        rows.append([label, *cells])
    totals = [f"{one[f'{side}_cycles'] / one['samples'] / 1e3:,.0f}" for side in ("dense", "gated")]
    ideal = one["dense_cycles"] / one["flop_reduction"] / one["samples"] / 1e3
    rows.append(["**together**", *totals])
    rows.append(["dense / FLOP reduction", "", f"{ideal:,.0f}"])
    return markdown(["thousand cycles per image", "dense", "gated"], rows)


def presets_table() -> str:
    """The accelerators of the literature on the synthetic ResNet-18."""
    rows = []
    for name in PRESETS:
        one = measure(f"preset-{name}", {"list": [{}]}, hardware=name).iloc[0]
        figures = [f"{one[key]:.2f}" for key in ("speedup", "efficiency", "dense_utilization")]
        rows.append([f"`{name}`", f"{one['dense_fps']:.0f}", f"{one['gated_fps']:.0f}", *figures])
    heads = ["name", "images/s, dense", "gated", "speedup", "kept", "MACs of the array used, dense"]
    return markdown(heads, rows)


def energy_table(table: pd.DataFrame) -> str:
    """Energy per image by component, dense and gated, beside what is published."""
    one = table.iloc[0]
    names = [
        name.removeprefix("dense_").removesuffix("_energy_pj")
        for name in table.columns
        if name.startswith("dense_") and name.endswith("_energy_pj") and name != "dense_energy_pj"
    ]
    if not names:
        return "Not measured yet: this version of cgsim counts no energy of array and buffers."

    def millijoules(column: str) -> float:
        return float(one[column]) / one["samples"] / 1e9

    rows, sums = [], {}
    for name in names:
        both = [millijoules(f"{side}_{name}_energy_pj") for side in ("dense", "gated")]
        rows.append([name.replace("_", " "), *(f"{value:.3f}" for value in both)])
    for side in ("dense", "gated"):
        total = millijoules(f"{side}_energy_pj")
        memory = millijoules(f"{side}_dram_energy_pj") if "dram" in names else 0.0
        sums[side] = (total, total if math.isnan(memory) else total - memory)
    rows.append(["**together**", *(f"{sums[side][0]:.3f}" for side in sums)])
    rows.append(["**without DRAM**", *(f"{sums[side][1]:.3f}" for side in sums)])
    shown = [
        f"{1e3 * watt / fps:.2f}" for watt, fps in ((BASELINE_WATT, BASELINE_FPS), (GATED_WATT, GATED_FPS))
    ]
    rows.append(["published", *shown])
    ratio = sums["dense"][1] / sums["gated"][1]
    note = f"Without DRAM, dense takes {ratio:.2f} times as much as gated; published {1.93}."
    return markdown(["mJ per image", "dense", "gated"], rows) + "\n\n" + note


def main() -> None:
    """Measure, draw the figures and write the tables into the page."""
    if "--anew" in sys.argv[1:]:
        shutil.rmtree(OUT, ignore_errors=True)
    questions = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    found = {name: measure(name, vary) for name, vary in questions.items() if name != "statistics"}
    draw_arrays(found["arrays"])
    draw_feeds(found["dataflows"])
    put("arrays", arrays_table(found["arrays"]))
    put("causes", causes_table(found["buffers"]))
    put("sync", sync_table(found["sync"]))
    for name in ("unit", "buffers", "memory"):
        put(name, settings_table(found[name], questions[name]))
    put("energy", energy_table(found["buffers"]))
    put("presets", presets_table(), PRESETS_PAGE)
    put("statistics", statistics_table(questions["statistics"]))


if __name__ == "__main__":
    main()
