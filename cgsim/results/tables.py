"""Results as text that fits a terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cgsim.engine.columns import DRAM_COUNTS, ENERGIES, MODES, PHASES, STALLS, TENSORS
from cgsim.errors import CgsimError
from cgsim.results.energy_groups import ENERGY_GROUPS
from cgsim.results.naming import batch_of, shown
from cgsim.shorten import shorten
from cgsim.trace.metadata import REFERENCE

if TYPE_CHECKING:
    import numpy as np

    from cgsim.results.counted import CountedRun
    from cgsim.results.statistics import Interval

MIN_WIDTH = 72
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")

# name, heading (two lines), width; the layer's column takes what is left.
_COLUMNS = (
    ("dense_cycles", "cycles", "dense", 6),
    ("gated_cycles", "", "gated", 5),
    ("speedup", "speed-", "up", 6),
    ("flop_reduction", "FLOP", "red.", 6),
    ("efficiency", "effi-", "ciency", 6),
    ("dense_offchip_bytes", "off-chip B", "dense", 6),
    ("gated_offchip_bytes", "", "gated", 5),
    ("dense_utilization", "utilization", "dense", 6),
    ("utilization", "", "gated", 5),
)
_COUNTED = {"dense_cycles", "gated_cycles", "dense_offchip_bytes", "gated_offchip_bytes"}


def compact(value: float) -> str:
    """Return a number in at most 5 characters, three significant digits: 12.3M, 987, 1.20k, - for NaN."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    power = 0
    while power < len(_PREFIXES) - 1 and abs(value) >= (999.5 if power or abs(value) >= 1000 else 1000):
        value /= 1000
        power += 1
    if power == 0:
        return f"{value:.0f}"
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f}{_PREFIXES[power]}"


def trimmed(value: float) -> str:
    """Return a number as `compact` does, without zeros at the end of its decimals: 2.5k, 1k."""
    return re.sub(
        r"\.(\d*[1-9])?0+(?=\D|$)", lambda found: f".{found[1]}" if found[1] else "", compact(value)
    )


def ratio_text(value: float, digits: int = 2) -> str:
    """Return a ratio with `digits` decimals (fewer from 100 on); - for NaN."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    return f"{value:.{digits}f}" if abs(value) < 99.95 else compact(value)


def interval_text(interval: Interval) -> str:
    """Return the bounds of a ratio with as many decimals as tell them apart: 1.084 to 1.092."""
    half = interval.half_width
    digits = min(6, max(2, -math.floor(math.log10(half)))) if 0 < half < math.inf else 3
    low, high = (ratio_text(bound, digits) for bound in (interval.low, interval.high))
    return low if low == high else f"{low} to {high}"


def margin(value: float, low: float, high: float) -> str:
    """Return how far the farther bound of an interval is from its value, as a share of it: ±0.34%.

    ±0% where nothing varies; - where there is no interval.
    """
    share = 100 * max(high - value, value - low) / value if value else math.nan
    if not math.isfinite(share):
        return "-"
    if share < 0.005:  # what is below 1e-9 is the rounding of sums in another order
        return "±0%" if share < 1e-9 else "<0.01%"
    return f"±{share:.2f}%" if share < 9.995 else f"±{share:.0f}%"


def percent(value: float) -> str:
    """Return a share as percent, three significant digits at most: 4.2%, 87%."""
    if not math.isfinite(value):
        return "-"
    shown = 100 * value
    return f"{shown:.1f}%" if shown < 9.95 else f"{shown:.0f}%"


def run_table(run: CountedRun, width: int = 80) -> str:
    """Return the table of a run: origin, one line per layer (per image), total, latency, where cycles go.

    Raises CgsimError if `width` is below 72.
    """
    if width < MIN_WIDTH:
        raise CgsimError(f"table: width {width} is too small, expected {MIN_WIDTH} or more")
    total = run.summary()
    lines = [*_origin(run, width), ""]
    lines += _layer_lines(run, total, width)
    lines += ["", *_confidence(run, width)]
    lines += ["", *_latency_lines(total), "", *_memory_lines(total, run.samples), ""]
    lines += [*energy_lines(total, run.samples), *_static_lines(total, width), ""]
    lines += [*_where(run, total, width), *_bus(total, width)]
    return "\n".join(line.rstrip() for line in lines)


def describe_hardware(hardware: Mapping[str, Any]) -> str:
    """Return one line on an accelerator: array, column groups, clock, memory."""
    array, dram = hardware["array"], hardware["dram"]
    groups = array["column_groups"]
    engines = hardware.get("engines", {})
    if engines.get("first"):
        blocks = [engines[name] for name in ("first", "second", "third") if engines.get(name)]
        sizes = [f"{one['inputs']} x {one['outputs']} ({one['kernel']} x {one['kernel']})" for one in blocks]
        return f"engines {', '.join(sizes)}, {hardware['clock_mhz']:g} MHz"
    told = [
        f"{array['rows']} x {array['cols']} {array['dataflow']} array",
        str(array["pipelining"]),
        f"{groups} column group{'s' if groups != 1 else ''}",
    ]
    mapping = hardware.get("mapping", {})
    if batch_of(hardware) > 1:
        told.append(f"batch {batch_of(hardware)}")
    told += [
        f"{mapping[key]} {key.removesuffix('_order')} order"
        for key, usual in (("pixel_order", "raster"), ("channel_order", "natural"))
        if mapping.get(key, usual) != usual
    ]
    told += [f"{hardware['clock_mhz']:g} MHz", describe_dram(dram)]
    return ", ".join(told)


def describe_dram(dram: Mapping[str, Any]) -> str:
    """Return a few words on the memory: standard and width."""
    if dram["standard"] == "ideal":
        return f"ideal DRAM {dram['bytes_per_cycle']:g} B/cycle"
    told = f"{dram['standard']} DRAM"
    for key in ("channels", "ranks"):
        if dram.get(key, 1) > 1:
            told += f", {dram[key]} {key}"
    return told


def _origin(run: CountedRun, width: int) -> list[str]:
    trace, hardware = run.provenance["trace"], run.provenance["hardware"]
    metadata = trace["metadata"]
    images = f"{run.samples} image{'s' if run.samples != 1 else ''}"
    told = [trace["network"], metadata.get("method"), metadata.get("dataset"), images]
    lines = [
        f"trace     {trace['name']}: {', '.join(str(item) for item in told if item)}",
        f"hardware  {hardware['name']}: {describe_hardware(hardware)}",
    ]
    return [line for text in lines for line in _wrap(text, width, indent=10)]


def _wrap(text: str, width: int, indent: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def _layer_lines(run: CountedRun, total: Mapping[str, Any], width: int) -> list[str]:
    layers = run.by_layer()
    name_width = width - sum(column[3] + 1 for column in _COLUMNS)
    names = [str(name) for name in layers["layer"]]
    name_width = max(min(name_width, max(map(len, [*names, "per image"]))), 9)
    first = _upper_headings(name_width)
    second = "layer".ljust(name_width) + "".join(f" {lower:>{cell}}" for _, _, lower, cell in _COLUMNS)
    rule = "─" * len(second)
    lines = [first, second, rule]
    for index, name in enumerate(names):
        row = {key: float(values[index]) for key, values in layers.items() if key in _KEYS}
        lines.append(_line(shorten(name, name_width), name_width, row, run.samples))
    lines += [rule, _line("total", name_width, {key: float(total[key]) for key in _KEYS}, run.samples)]
    return lines + [line for remark in _remarks(run, layers) for line in _wrap(remark, width, indent=0)]


def _confidence(run: CountedRun, width: int) -> list[str]:
    """Lines on how far the totals would move if other images had been drawn."""
    from cgsim.results.statistics import FEW

    found = run.confidence()
    names = ("speedup", "flop_reduction", "efficiency", "offchip_reduction")
    told = [
        f"{name.replace('flop_', 'FLOP ').replace('offchip_', 'off-chip ')} {interval_text(found[name])}"
        for name in names
        if found[name].known
    ]
    if not told:
        return _wrap("One image, or one batch, tells nothing of others: no confidence interval.", width, 0)
    few = next(iter(found.values())).samples < FEW
    remark = f". With fewer than {FEW} images the intervals are too narrow." if few else ""
    return _wrap(f"95% confidence: {', '.join(told)}{remark}", width, indent=16)


def _remarks(run: CountedRun, layers: Mapping[str, np.ndarray]) -> list[str]:
    """What dense execution is, where that is not plain."""
    remarks = []
    own = int(layers["dense_macs"].sum()) // run.samples
    ungated = run.provenance["trace"]["metadata"].get("method_parameters", {}).get(REFERENCE, own)
    if isinstance(ungated, int) and ungated != own:
        remarks.append(
            f"Dense is this network, {compact(own)} MACs, without gates. The ungated one it stands for has "
            f"{compact(ungated)}: `cgsim compare` measures against that."
        )
    parted = (layers["dense_cycles"] == 0) & (layers["gated_cycles"] > 0)
    if (parted & (layers["operator"] == "add")).any():
        remarks.append(
            "Dense executes additions of 0 cycles with a convolution; gates of whole channels part them."
        )
    return remarks


_KEYS = tuple(column[0] for column in _COLUMNS)


def _upper_headings(name_width: int) -> str:
    """Build the upper line; a heading whose neighbour to the right has none spans both."""
    text = "per image".ljust(name_width)
    index = 0
    while index < len(_COLUMNS):
        _, upper, _, cell = _COLUMNS[index]
        paired = index + 1 < len(_COLUMNS) and not _COLUMNS[index + 1][1]
        if paired:
            cell += 1 + _COLUMNS[index + 1][3]
            index += 1
            text += f" {f' {upper} ':─^{cell - 1}}".rjust(cell + 1)
        else:
            text += f" {upper:>{cell}}"
        index += 1
    return text


def _line(name: str, name_width: int, row: Mapping[str, float], samples: int) -> str:
    text = name.ljust(name_width)
    for key, _, _, cell in _COLUMNS:
        if key in _COUNTED:
            value = compact(row[key] / samples)
        elif key.endswith("utilization"):
            value = percent(row[key]) if row["dense_cycles"] and row["flop_reduction"] > 0 else "-"
        else:
            value = ratio_text(row[key])
        text += f" {value:>{cell}}"
    return text


def _latency_lines(total: Mapping[str, Any]) -> list[str]:
    rows = (
        ("latency, mean", "latency_ms_mean", "ms"),
        ("latency, 99th percentile", "latency_ms_p99", "ms"),
        ("images per second", "images_per_second", ""),
    )
    lines = [f"{'':26}{'dense':>10}{'gated':>10}"]
    for title, key, unit in rows:
        cells = "".join(f"{_significant(total[f'{mode}_{key}']):>10}" for mode in ("dense", "gated"))
        lines.append(f"{title:<26}{cells} {unit}")
    if total["accuracy_ungated"] is not None and total["accuracy_gated"] is not None:
        cells = f"{100 * total['accuracy_ungated']:>10.2f}{100 * total['accuracy_gated']:>10.2f}"
        lines.append(f"{'accuracy, whole test set':<26}{cells} %")
    return lines


def _significant(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def _memory_lines(total: Mapping[str, Any], samples: int) -> list[str]:
    """Lines on off-chip traffic by tensor and, where it is simulated, on the DRAM."""
    lines = [f"{'off-chip, per image':<26}{'dense':>10}{'gated':>10}{'reduction':>11}"]
    weights = [name for name in TENSORS if "weights" in name]
    others = [name for name in TENSORS if name not in weights]
    groups = {
        "weights read": weights,
        **{name.replace("_", " "): [name] for name in others},
        "all": [*TENSORS],
    }
    for title, names in groups.items():
        values = [sum(total[f"{mode}_{name}_bytes"] for name in names) for mode in MODES]
        if any(values):
            lines.append(_both(title, values, samples, "B"))
        if names is weights:  # one path of dense execution, two of gated: only their sum can be compared
            for name in names:
                cells = "".join(f"{compact(total[f'{mode}_{name}_bytes'] / samples):>10}" for mode in MODES)
                lines.append(f"{'  ' + name.removesuffix('_weights_read') + ' path':<26}{cells} B")
    lines.append(_both("bursts", [total[f"{mode}_offchip_bursts"] for mode in MODES], samples))
    if not any(total[f"{mode}_dram_clock"] for mode in MODES):
        return lines
    lines.append(_both("DRAM: rows opened", [total[f"{mode}_dram_activates"] for mode in MODES], samples))
    for title, name in (("DRAM: row hits", "row_hit_rate"), ("DRAM: data bus in use", "bus_utilization")):
        lines.append(f"{title:<26}" + "".join(f"{percent(total[f'{mode}_{name}']):>10}" for mode in MODES))
    return lines


def energy_lines(total: Mapping[str, Any], samples: int) -> list[str]:
    """Lines on energy by component, per image, and on power; one line if nothing is known."""
    if not any(total[f"{mode}_{name}_energy_pj"] > 0 for mode in MODES for name in ENERGIES):
        return ["energy: not known, this technology has no table of costs (docs/energy.md)"]
    lines = [f"{'energy, per image':<26}{'dense':>10}{'gated':>10}{'reduction':>11}"]
    for title, names in {**ENERGY_GROUPS, "chip and DRAM": ()}.items():
        parts = [f"{name}_energy_pj" for name in names] or ["energy_pj"]
        values = [sum(total[f"{mode}_{part}"] for part in parts) / samples / 1e6 for mode in MODES]
        if any(values):
            cells = "".join(f"{_significant(value):>10}" for value in values)
            lines.append(f"{title:<26}{cells} µJ {ratio_text(_ratio(*values)) if all(values) else '-':>7}")
    cells = "".join(f"{_significant(total[f'{mode}_power_mw']):>10}" for mode in MODES)
    lines.append(f"{'power':<26}{cells} mW")
    return lines


def _static_lines(total: Mapping[str, Any], width: int) -> list[str]:
    """A line on area, or on what is taken of an FPGA."""
    if not math.isnan(total["area_mm2"]):
        told = f"area: {_significant(total['area_mm2'])} mm²"
        if total["gating_area_mm2"]:
            gating = _significant(total["gating_area_mm2"])
            told += f", of which gating {gating} mm² ({percent(total['gating_area_overhead'])} more)"
        return _wrap(told, width, indent=6)
    if not math.isnan(total["dsp"]):
        parts = {"dsp": "DSP", "lut": "LUT", "ff": "FF", "bram36": "BRAM36", "uram": "URAM"}
        counts = [f"{total[name]:,.10g} {title}" for name, title in parts.items() if total[name]]
        added = [
            f"{total[f'gating_{name}']:,.10g} {title}"
            for name, title in parts.items()
            if total[f"gating_{name}"]
        ]
        rest = f"; of which gating {', '.join(added)}" if added else ""
        return _wrap(f"FPGA: {', '.join(counts)}{rest}", width, indent=6)
    return []


def _both(title: str, values: Sequence[float], samples: int, unit: str = "") -> str:
    cells = "".join(f"{compact(value / samples):>10}" for value in values)
    return f"{title:<26}{cells} {unit:<2} {ratio_text(_ratio(*values)):>7}"


def _ratio(dividend: float, divisor: float) -> float:
    if divisor:
        return dividend / divisor
    return math.inf if dividend else math.nan


def _bus(total: Mapping[str, Any], width: int) -> list[str]:
    """Lines on what the clocks of the DRAM's data bus go to."""
    lines = []
    for mode in reversed(MODES):
        clocks = total[f"{mode}_dram_clock"]
        if clocks:
            parts = {"data": total[f"{mode}_dram_data_cycles"]}
            parts |= {n.removeprefix("lost_").replace("_", " "): total[f"{mode}_dram_{n}"] for n in _LOST}
            shares = sorted(parts.items(), key=lambda item: -item[1])
            told = [f"{name} {percent(n / clocks)}" for name, n in shares if n >= 0.005 * clocks]
            lines += _wrap(f"{mode} DRAM bus: {', '.join(told)}", width, indent=16)
    return lines


_LOST = tuple(name for name in DRAM_COUNTS if name.startswith("lost_"))


def _where(run: CountedRun, total: Mapping[str, Any], width: int) -> list[str]:
    hardware = run.provenance["hardware"]
    lines = []
    for mode in ("gated", "dense"):
        parts = {shown(name, hardware): total[f"{mode}_{name}_cycles"] for name in PHASES}
        parts |= {f"{shown(name, hardware)} stall": total[f"{mode}_{name}_stall_cycles"] for name in STALLS}
        cycles = total[f"{mode}_cycles"]
        shares = sorted(parts.items(), key=lambda item: -item[1])
        told = [f"{name} {percent(n / cycles)}" for name, n in shares if n >= 0.005 * cycles > 0]
        lines += _wrap(f"{mode} cycles: {', '.join(told)}", width, indent=14)
    return lines
