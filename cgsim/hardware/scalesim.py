"""Reads SCALE-Sim configuration files into accelerators of cgsim (docs/scalesim.md)."""

from __future__ import annotations

import configparser
import os
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cgsim.atomic import atomic_path
from cgsim.errors import CgsimError, nearest
from cgsim.hardware.model import Hardware
from cgsim.yamlfile import read_text

REQUIRED = {
    "ArrayHeight": "array.rows",
    "ArrayWidth": "array.cols",
    "Dataflow": "array.dataflow",
    "IfmapSramSzkB": "buffers.activation_kib",
    "FilterSramSzkB": "buffers.weight_kib",
    "OfmapSramSzkB": "buffers.accumulator_kib",
}
"""Keys of [architecture_presets] that a configuration must have, and what they become."""

V1_NAMES = {"ifmapsramsz": "IfmapSramSzkB", "filtersramsz": "FilterSramSzkB", "ofmapsramsz": "OfmapSramSzkB"}
"""Names that SCALE-Sim v1 wrote, in lower case, and those of later versions."""

UNUSED: tuple[tuple[str, type, str], ...] = (
    (
        "IfmapOffset FilterOffset OfmapOffset",
        int,
        "where tensors begin in the address traces that SCALE-Sim writes; cgsim writes no such traces",
    ),
    ("MemoryBanks", int, "never used by SCALE-Sim"),
    (
        "ReadRequestBuffer WriteRequestBuffer",
        int,
        "queues in front of Ramulator; the ideal DRAM takes any number of requests",
    ),
    (
        "IfmapCustomLayout FilterCustomLayout",
        bool,
        "stalls of a data layout over SRAM banks; the buffers of cgsim feed the array without stalls (only "
        "gated feeds can meet in a bank: gate_unit.activation_banks)",
    ),
    (
        "IfmapSRAMBankBandwidth IfmapSRAMBankNum IfmapSRAMBankPort "
        "FilterSRAMBankBandwidth FilterSRAMBankNum FilterSRAMBankPort",
        int,
        "banks of that layout; under InterfaceBandwidth USER, SCALE-Sim v3 also reads DRAM at the "
        "BankBandwidth of each buffer, where one DRAM channel of dram.bytes_per_cycle serves all here",
    ),
    (
        "SparsitySupport OptimizedMapping",
        bool,
        "weights drawn at random in N:M patterns; cgsim skips what recorded gates switch off",
    ),
    ("SparseRep", str, "storage format of such weights"),
    ("BlockSize RandomNumberGeneratorSeed", int, "size and seed of such patterns"),
    (
        "InterfaceBandwidth",
        str,
        "cgsim reports both at once: array cycles without stalls (which CALC counts), and cycles with those "
        "of the memory (USER)",
    ),
    ("UseRamulatorTrace", bool, "latencies of a second pass through Ramulator, by hand"),
    ("TopologyCsvLoc", str, "the network: use cgsim trace import"),
)
"""Keys without a counterpart: their names, the type of their values, and why there is none."""

NOT_IN_SCALESIM = {
    "style": "SCALE-Sim has no such key",
    "clock_mhz": "SCALE-Sim counts cycles only: set yours",
    "array.pipelining": "the convention of SCALE-Sim",
    "array.column_groups": "SCALE-Sim has one feed",
    "gate_unit.enabled": "SCALE-Sim has no gates; the keys below count once this is true",
    "vector_unit.lanes": "not in SCALE-Sim: one element per column keeps up with the array",
    "buffers.gate_kib": "not in SCALE-Sim",
    "buffers.double_buffered": "as in SCALE-Sim",
    "dma.conditional_fetch": "not in SCALE-Sim",
    "dram.standard": "as in SCALE-Sim without Ramulator",
    "dram.latency_cycles": "SCALE-Sim has no such key",
}
"""Comments of values that no key of SCALE-Sim gives."""

FASTEST_DRAM = 65536


@dataclass(frozen=True)
class ImportedHardware:
    """An accelerator and how it came about.

    `text` is the hardware file with comments. `notes` are the remarks that a user should read; `unused` maps
    every key that was found but has no counterpart to the reason why.
    """

    hardware: Hardware
    text: str
    notes: tuple[str, ...]
    unused: dict[str, str]


def import_configuration(
    path: str | os.PathLike[str], output: str | os.PathLike[str] | None = None
) -> ImportedHardware:
    """Read a configuration of SCALE-Sim v1, v2 or v3; with `output`, write it as a hardware file.

    Raises:
        CgsimError: unreadable, not a configuration file, a key that is missing or has a wrong value, or
            an `output` that cannot be written; one line that names file, key and what was expected.
    """
    keys = _Keys(Path(path))
    values = _hardware_values(keys)
    try:
        hardware = Hardware.from_dict(values, str(path))
    except CgsimError as error:
        raise CgsimError(_in_their_words(str(error))) from None
    imported = ImportedHardware(
        hardware, _text(hardware, keys, Path(path).name), tuple(keys.notes), keys.unused
    )
    if output is not None:
        with atomic_path(output) as temporary:
            temporary.write_text(imported.text, encoding="utf-8")
    return imported


class _Keys:
    """The keys of a configuration file, found by name whatever their case and section."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.unused: dict[str, str] = {}
        self.found: dict[str, tuple[str, str]] = {}
        self.unknown: list[str] = []
        known = {name.lower(): name for name in ("run_name", "Bandwidth", *REQUIRED)} | V1_NAMES
        reasons: dict[str, tuple[str, type, str]] = {}
        for names, kind, why in UNUSED:
            reasons |= {name.lower(): (name, kind, why) for name in names.split()}
        for section, key, value in _items(path):
            place = f"[{section}] {key}"
            name = known.get(key.lower()) or reasons.get(key.lower(), ("",))[0]
            if not name:
                self.unknown.append(key)
                self.notes.append(f"{place} is not known and left out")
                continue
            if name in self.found:
                raise CgsimError(f"{path}: {place}: {name} is there twice")
            self.found[name] = (place, value.strip().strip("\"'").strip())
            if key.lower() in reasons:
                _, kind, why = reasons[key.lower()]
                self._check(name, kind)
                self.unused[name] = why

    def text(self, name: str) -> str | None:
        """The value of a key, None if it is not there."""
        return self.found[name][1] if name in self.found else None

    def number(self, name: str) -> int | None:
        """The value of a key as a number; of a list, the first, with a note."""
        text = self.text(name)
        if text is None:
            return None
        first, comma, _ = text.partition(",")
        if comma:
            self.notes.append(f"{self.found[name][0]} is the list {text}, of which the first is taken")
        if not re.fullmatch("[+-]?[0-9]{1,18}", first.strip()):
            raise self.wrong(name, "an integer")
        return int(first)

    def wrong(self, name: str, expected: str) -> CgsimError:
        """The error of a value that is refused."""
        place, value = self.found[name]
        shown = value if len(value) <= 40 else value[:37] + "..."
        return CgsimError(f"{self.path}: {place}: expected {expected}, got {shown!r}")

    def missing(self, name: str) -> CgsimError:
        """The error of a key that is not there."""
        close = nearest(name, self.unknown)
        return CgsimError(
            f"{self.path}: [architecture_presets] {name} is missing, expected for {REQUIRED[name]}"
            + (close.replace("did you mean", "is it") if "did you mean" in close else "")
        )

    def is_true(self, name: str) -> bool:
        """Whether a key is there and true."""
        return configparser.ConfigParser.BOOLEAN_STATES.get((self.text(name) or "").lower(), False)

    def _check(self, name: str, kind: type) -> None:
        if kind is int:
            self.number(name)
        elif kind is bool and self.found[name][1].lower() not in configparser.ConfigParser.BOOLEAN_STATES:
            raise self.wrong(name, "true or false")
        elif name == "InterfaceBandwidth" and self.found[name][1].upper() not in ("USER", "CALC"):
            raise self.wrong(name, "USER or CALC")


def _items(path: Path) -> list[tuple[str, str, str]]:
    """Section, key and value of everything in the file."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        if path.is_dir():
            raise CgsimError(f"{path}: a folder, expected a configuration file")
        parser.read_string(read_text(path))
    except configparser.MissingSectionHeaderError as error:
        raise CgsimError(f"{path}: line {error.lineno}: expected a [section], got {error.line!r}") from None
    except configparser.ParsingError as error:
        number, line = error.errors[0]
        raise CgsimError(f"{path}: line {number}: expected [section] or key: value, got {line}") from None
    except (configparser.DuplicateOptionError, configparser.DuplicateSectionError) as error:
        what = getattr(error, "option", None) or f"[{error.section}]"
        raise CgsimError(f"{path}: line {error.lineno}: {what} is there twice") from None
    return [(section, key, value) for section in parser.sections() for key, value in parser.items(section)]


def _hardware_values(keys: _Keys) -> dict[str, Any]:
    """Nested dicts of a hardware file."""
    sizes: dict[str, int] = {}
    for name in REQUIRED:
        if keys.text(name) is None:
            raise keys.missing(name)
        if name != "Dataflow":
            sizes[name] = keys.number(name) or 0
    dataflow = (keys.text("Dataflow") or "").lower()
    if dataflow not in ("ws", "is", "os"):
        raise keys.wrong("Dataflow", "ws, is or os")
    if keys.is_true("SparsitySupport"):
        keys.notes.append(
            f"{keys.found['SparsitySupport'][0]} is true: no such weights here, layers are dense"
        )
    for name in ("IfmapCustomLayout", "FilterCustomLayout"):
        if keys.is_true(name):
            keys.notes.append(f"{keys.found[name][0]} is true: stalls of that layout are not modelled")
    rows, cols = sizes["ArrayHeight"], sizes["ArrayWidth"]
    return {
        "name": _name(keys),
        "description": f"{rows} x {cols} {dataflow} array, imported from SCALE-Sim's {keys.path.name}"[:2000],
        "style": "asic",
        "clock_mhz": 1000.0,
        "array": {
            "rows": rows,
            "cols": cols,
            "dataflow": dataflow,
            "pipelining": "scalesim",
            "column_groups": 1,
        },
        "gate_unit": {
            "enabled": False,
            "group_sync": "tile",
            "scan_bits_per_cycle": 64,
            "compare_latency": 2,
        },
        "vector_unit": {"lanes": cols},
        "buffers": {
            "activation_kib": float(sizes["IfmapSramSzkB"]),
            "weight_kib": float(sizes["FilterSramSzkB"]),
            "accumulator_kib": float(sizes["OfmapSramSzkB"]),
            "gate_kib": 16.0,
            "double_buffered": True,
        },
        "dma": {"conditional_fetch": "eager"},
        "dram": {"standard": "ideal", "bytes_per_cycle": _bandwidth(keys), "latency_cycles": 0},
    }


def _bandwidth(keys: _Keys) -> float:
    """DRAM bytes per cycle: words of one byte."""
    bandwidth = keys.number("Bandwidth")
    calculated = (keys.text("InterfaceBandwidth") or "CALC").upper() == "CALC"
    if bandwidth is None:
        keys.notes.append("no Bandwidth is given: the DRAM gets the highest that cgsim takes")
        return float(FASTEST_DRAM)
    if calculated:
        keys.notes.append(
            f"{keys.found['Bandwidth'][0]} becomes dram.bytes_per_cycle, though SCALE-Sim uses it only where "
            "InterfaceBandwidth is USER: compare its cycles with the array cycles of cgsim, which have no "
            "stalls"
        )
    return float(bandwidth)


def _name(keys: _Keys) -> str:
    told = keys.text("run_name")
    given = told or keys.path.stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", given).lstrip("._-")[:64] or "scalesim"
    if told != name:
        why = f"is {told!r}, which is no name here" if told else "is not given"
        keys.notes.append(f"run_name {why}: named {name!r}")
    return name


def _in_their_words(message: str) -> str:
    """The message with the keys of SCALE-Sim beside those of cgsim."""
    for name, target in {**REQUIRED, "Bandwidth": "dram.bytes_per_cycle"}.items():
        message = message.replace(f" {target}: ", f" [architecture_presets] {name} ({target}): ")
    return message


def _text(hardware: Hardware, keys: _Keys, source: str) -> str:
    """The hardware file, with where each value comes from and what was left out."""
    told = [f"Imported by `cgsim hardware import` from SCALE-Sim's {source}."]
    told += [f"Note: {note}." for note in keys.notes]
    reasons: dict[str, list[str]] = {}
    for name, why in keys.unused.items():
        reasons.setdefault(why, []).append(name)
    told += [f"Not taken over: {', '.join(names)}: {why}." for why, names in reasons.items()]
    lines = [
        line
        for text in told
        for line in textwrap.wrap(
            text, 108, initial_indent="# ", subsequent_indent="#   ", break_long_words=False
        )
    ]
    comments = dict(NOT_IN_SCALESIM) | {target: name for name, target in REQUIRED.items()}
    comments["name"] = "run_name" if keys.text("run_name") else NOT_IN_SCALESIM["style"]
    comments["buffers.accumulator_kib"] += "; partial sums take 4 bytes here"
    comments["dram.bytes_per_cycle"] = (
        "Bandwidth; one DRAM for all, where SCALE-Sim has one for each of three buffers"
        if keys.text("Bandwidth")
        else "no Bandwidth given"
    )
    return "\n".join([*lines, *_yaml_lines(hardware.to_file(), comments)]) + "\n"


def _yaml_lines(values: Mapping[str, Any], comments: Mapping[str, str], prefix: str = "") -> list[str]:
    lines = []
    indent = "  " if prefix else ""
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += ["", f"{key}:", *_yaml_lines(value, comments, f"{key}.")]
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        written = yaml.safe_dump({key: value}, allow_unicode=True, width=10_000).rstrip("\n")
        comment = comments.get(prefix + key)
        lines.append(f"{indent}{written:<30}  # {comment}" if comment else indent + written)
    return lines
