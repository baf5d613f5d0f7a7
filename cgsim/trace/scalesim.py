"""Reads SCALE-Sim topology files into dense traces (docs/scalesim.md).

Such a file is a list of layers, none of them connected; SCALE-Sim (github.com/scalesim-project/SCALE-Sim)
runs one after the other.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from cgsim.errors import CgsimError
from cgsim.trace.metadata import Metadata, Sample
from cgsim.trace.network import INPUT, Layer, Network

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

Form = Literal["conv", "gemm"]
FORMS: tuple[Form, ...] = get_args(Form)

NAME = "Layer name"
COLUMNS: dict[Form, tuple[str, ...]] = {
    "conv": (
        NAME,
        "IFMAP Height",
        "IFMAP Width",
        "Filter Height",
        "Filter Width",
        "Channels",
        "Num Filter",
        "Strides",
    ),
    "gemm": (NAME, "M", "N", "K"),
}
LARGEST = 1 << 24
MOST_BYTES = 16 << 20
MOST_LAYERS = 1 << 16


@dataclass(frozen=True)
class Topology:
    """What a topology file holds. `notes` say in words what was not taken over as it stands."""

    network: Network
    form: Form
    notes: tuple[str, ...]


@dataclass
class _Notes:
    """What the import has to tell, each with the lines that it concerns."""

    lines: dict[str, list[int]] = field(default_factory=dict)

    def add(self, text: str, line: int) -> None:
        """Note `text` for a line of the file."""
        self.lines.setdefault(text, []).append(line)

    def told(self) -> tuple[str, ...]:
        """One sentence for each note, with the lines in front."""
        return tuple(f"{_lines(numbers)}: {text}" for text, numbers in self.lines.items())


def import_topology(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    form: Form | None = None,
    split_depthwise: bool = False,
    samples: int = 1,
    command: str = "",
) -> Topology:
    """Write the layers of a topology file as a trace without gates; arguments as of `read_topology`.

    `samples` is the number of (equal) samples in the trace; `command` is kept in it. Raises CgsimError,
    and leaves no file, on whatever `read_topology` refuses or if the trace cannot be written.
    """
    import datetime as dt
    import platform

    import cgsim
    from cgsim.trace.writer import TraceWriter

    topology = read_topology(path, form, split_depthwise)
    metadata = Metadata(
        model=topology.network.name,
        method="dense",
        method_parameters={
            "imported": "SCALE-Sim topology",
            "file": Path(path).name,
            "form": topology.form,
            "split_depthwise": split_depthwise,
        },
        versions={"cgsim": cgsim.__version__, "python": platform.python_version()},
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=command,
        notes="; ".join(("layers are not connected, and carry no gates", *topology.notes)),
    )
    with TraceWriter(output, topology.network, metadata) as writer:
        for number in range(samples):
            writer.append(Sample(f"sample-{number}"), {})
    return topology


def read_topology(
    path: str | os.PathLike[str], form: Form | None = None, split_depthwise: bool = False
) -> Topology:
    """Read a topology file in SCALE-Sim's convolution or GEMM form.

    Args:
        path: the file. Its first line is a header, and what follows the last comma of a line is dropped.
        form: `conv` or `gemm`; by default found from the header and the number of columns.
        split_depthwise: a layer with "DP" in its name becomes one layer for each of its channels, as in
            SCALE-Sim, instead of one depthwise convolution.

    Raises:
        CgsimError: unreadable, or a malformed line: one message with file, line, column and what was
            expected there.
    """
    lines = _read_lines(path)
    rows = [(number, _fields(f"{path}: line {number}", line)) for number, line in enumerate(lines, 1)]
    header, rows = (rows[0][1] if rows else []), [row for row in rows[1:] if any(row[1])]
    if not rows:
        raise CgsimError(f"{path}: no layers, expected a header line and then one line for each layer")
    form = form or _form(header, rows[0][1])
    notes = _Notes()
    if all(re.fullmatch("[0-9]+", text) for text in header[1 : len(COLUMNS[form])] or [""]):
        notes.add("looks like a layer, but the first line is skipped as the header, as in SCALE-Sim", 1)
    layers: list[tuple[int, Layer]] = []
    for number, fields in rows:
        place = f"{path}: line {number}"
        row = _Row(place, number, form, fields, notes)
        made = row.convolution(split_depthwise) if form == "conv" else [row.gemm()]
        if len(layers) + len(made) > MOST_LAYERS:
            raise CgsimError(f"{place}: more than {MOST_LAYERS} layers")
        for layer in made:
            try:
                layer.check()
            except CgsimError as error:
                raise CgsimError(f"{place}: {error}") from None
        layers += [(number, layer) for layer in made]
    network = Network(Path(path).stem, tuple(_renamed(layers, notes)))
    return Topology(network, form, notes.told())


class _Row:
    """One line, that is one layer: its columns by name, checked as they are asked for."""

    def __init__(self, place: str, line: int, form: Form, fields: list[str], notes: _Notes) -> None:
        self.place = place
        self.line = line
        self.notes = notes
        self.columns = COLUMNS[form]
        count = len(self.columns)
        *kept, tail = fields
        if not kept or (len(kept) < count and re.fullmatch("[0-9]+", tail)):
            notes.add("no comma at the end of the line, its last number is taken nevertheless", line)
            kept.append(tail)
        while len(kept) > count and not kept[-1]:
            kept.pop()
        most = count + 1
        if len(kept) > most:
            raise CgsimError(f"{place}: {len(kept)} columns, expected {', '.join(self.columns)} [, N:M]")
        self.fields = kept
        self.extra = kept[count] if len(kept) > count else ""
        self.name = kept[0]
        if not self.name:
            raise CgsimError(f"{place}: column {NAME!r} is empty, expected a name")

    def number(self, column: str) -> int:
        """The value of a column."""
        position = self.columns.index(column)
        if position >= len(self.fields):
            raise CgsimError(
                f"{self.place}: column {column!r} is missing, expected {', '.join(self.columns)} and a comma "
                f"behind the last (what follows the last comma is dropped)"
            )
        return self._checked(column, self.fields[position])

    def _checked(self, column: str, text: str) -> int:
        if re.fullmatch("[0-9]+", text) and len(text) <= 4000 and 1 <= int(text) <= LARGEST:
            return int(text)
        shown = repr(text) if len(text) <= 40 else f"{text[:37]!r}..."
        raise CgsimError(
            f"{self.place}: column {column!r}: expected an integer from 1 to {LARGEST}, got {shown}"
        )

    def convolution(self, split_depthwise: bool) -> list[Layer]:
        """The layer, or the layers of a depthwise one that is split, of a line in convolution form."""
        values = {column: self.number(column) for column in self.columns[1:]}
        for side in ("Height", "Width"):
            filter_size, size = values[f"Filter {side}"], values[f"IFMAP {side}"]
            if filter_size > size:
                raise CgsimError(
                    f"{self.place}: column 'Filter {side}': expected at most the input's {size} (there is no "
                    f"padding), got {filter_size}"
                )
        stride = (values["Strides"], values["Strides"])
        if re.fullmatch("[0-9]+", self.extra):  # SCALE-Sim v2: a second stride
            stride = (values["Strides"], self._checked("Stride width", self.extra))
        else:
            self._sparsity()
        sides = [
            _side(values[f"IFMAP {side}"], values[f"Filter {side}"], step)
            for side, step in zip(("Height", "Width"), stride, strict=True)
        ]
        if any(padding for _, padding in sides):
            self.notes.add(
                "the last windows reach over the edge of the input; SCALE-Sim counts them, so they are "
                "imported, with zeros as padding",
                self.line,
            )
        channels, filters = values["Channels"], values["Num Filter"]
        layer = Layer(
            self.name,
            "conv2d",
            in_shape=(channels, values["IFMAP Height"], values["IFMAP Width"]),
            out_shape=(filters, sides[0][0], sides[1][0]),
            kernel=(values["Filter Height"], values["Filter Width"]),
            stride=stride,
            padding=(sides[0][1], sides[1][1]),
            producers=(),
        )
        if "DP" not in self.name:
            return [layer]
        if not split_depthwise:
            out_shape = (channels * filters, *layer.out_shape[1:])
            self.notes.add("'DP' in the name, imported as a depthwise convolution", self.line)
            return [replace(layer, out_shape=out_shape, groups=channels)]
        if channels > MOST_LAYERS:
            raise CgsimError(f"{self.place}: more than {MOST_LAYERS} layers")
        self.notes.add("'DP' in the name, imported as one layer for each channel", self.line)
        single = replace(layer, in_shape=(1, *layer.in_shape[1:]))
        return [replace(single, name=f"{self.name}Channel_{channel}") for channel in range(channels)]

    def gemm(self) -> Layer:
        """The layer of a line in GEMM form: a 1 x 1 convolution of M pixels, K channels and N filters."""
        m, n, k = (self.number(column) for column in self.columns[1:])
        if self.extra != "1":
            self._sparsity()
        return Layer(self.name, "conv2d", (k, 1, m), (n, 1, m), producers=())

    def _sparsity(self) -> None:
        """Check an N:M column, and note that it is not taken over."""
        if not self.extra:
            return
        match = re.fullmatch("([0-9]{1,9}) *: *([0-9]{1,9})", self.extra)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise CgsimError(
                f"{self.place}: column {len(self.columns) + 1} (N:M sparsity): expected N:M with N from 1 to "
                f"M, such as 2:4, got {self.extra[:40]!r}"
            )
        if match[1] != match[2]:
            self.notes.add(
                "N:M sparsity is not imported, the layer is dense: SCALE-Sim draws such weights at random, "
                "and gates recorded from a model take their place here",
                self.line,
            )


def _side(size: int, window: int, stride: int) -> tuple[int, int]:
    """Output size and padding along one axis.

    SCALE-Sim counts ceil((size - window + stride) / stride) windows from the first pixel on, of which the
    last may reach over the edge. Half of what it lacks, rounded up, as padding on both sides gives the same
    number of windows: less than a stride more than needed is never enough for one more.
    """
    count = -(-(size - window) // stride) + 1
    return count, -(-((count - 1) * stride + window - size) // 2)


def _read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Lines of a text file with any line ends; a byte order mark is left out."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise CgsimError(f"{path}: a folder, expected a topology file (CSV)") from None
    except FileNotFoundError:
        raise CgsimError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise CgsimError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MOST_BYTES:
        raise CgsimError(f"{path}: larger than {MOST_BYTES >> 20} MiB, not a topology file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CgsimError(f"{path}: not UTF-8 text (byte {error.start}), expected a CSV file") from None
    return re.split("\r\n|\r|\n", text)


def _fields(place: str, line: str) -> list[str]:
    """The fields of a line, that behind the last comma included; quotes around a field are left out."""
    try:
        return [text.strip() for text in next(csv.reader([line.strip()], skipinitialspace=True), [""])]
    except csv.Error as error:
        raise CgsimError(f"{place}: not CSV, {error}") from None


def _form(header: Sequence[str], first: Sequence[str]) -> Form:
    """The form that the header names, else the one that the number of columns fits better."""
    names = [name.lower() for name in header]
    if any("filter" in name or "ifmap" in name for name in names):
        return "conv"
    if {"m", "n", "k"} <= set(names):
        return "gemm"
    return "conv" if len(first) >= len(COLUMNS["conv"]) - 1 else "gemm"


def _renamed(layers: Sequence[tuple[int, Layer]], notes: _Notes) -> list[Layer]:
    """The layers with names of their own: a name that is taken gets a number behind it."""
    given = {layer.name for _, layer in layers}
    taken, counts, renamed = {INPUT}, Counter[str](), []
    for line, layer in layers:
        name = layer.name
        while name in taken or (name != layer.name and name in given):
            counts[layer.name] += 1
            name = f"{layer.name}_{counts[layer.name] + 1}"
        taken.add(name)
        if name != layer.name:
            notes.add("the name is taken, imported with a number behind it", line)
            layer = replace(layer, name=name)
        renamed.append(layer)
    return renamed


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"
