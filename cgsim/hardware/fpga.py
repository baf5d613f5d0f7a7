"""What an accelerator takes of an FPGA, and whether the FPGA has it.

The machine is that of rtl/ (array, column groups, gate unit), with its buffers in block RAM and a vector unit
beside it. Lines in which operands wait for their row or column, queues and memories are computed from their
shapes (`fpga_memory`); logic is counted by component, with the counts of fpga_costs.yaml, fitted on Yosys
synthesis of rtl/. What was fitted, what was held and how far off it is: docs/fpga.md.

Not counted: DMA, the memory controller and the interconnect (of a Zynq board hard blocks and vendors' cores),
and whatever else a design holds: `fpga.usable_percent` leaves room for these.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

from cgsim.errors import CgsimError, nearest
from cgsim.hardware.fpga_devices import RESOURCES, Device, devices, find_device
from cgsim.hardware.fpga_memory import LUTRAM_WORDS, blocks18, luts_of_memory, ultrarams
from cgsim.hardware.memories import SUM_BITS, memories
from cgsim.yamlfile import read_yaml

INDEX_BITS = 20
"""Of a pixel, an address or a count (rtl/cgsim_pkg.sv)."""
TAG_BITS = 50
"""What travels beside the sums of a vector (`tag_t`)."""
TABLE_WORDS = {"parts": 256, "folds": 1024}
"""Depths of the tables of a layer (parameters of rtl/gated_array.sv)."""


class Accelerator(Protocol):
    """What is read of a `cgsim.hardware.Hardware`, which itself asks here whether it fits."""

    @property
    def name(self) -> str:
        """`name` of the file."""

    @property
    def technology(self) -> str | None:
        """`technology` of the file."""

    @property
    def array(self) -> Any:
        """Section `array`."""

    @property
    def gate_unit(self) -> Any:
        """Section `gate_unit`."""

    @property
    def vector_unit(self) -> Any:
        """Section `vector_unit`."""

    @property
    def buffers(self) -> Any:
        """Section `buffers`."""

    @property
    def fpga(self) -> Any:
        """Section `fpga`."""

    def model_copy(self, *, update: dict[str, Any]) -> Any:
        """Return a changed copy (pydantic)."""


@dataclass(frozen=True)
class Amounts:
    """Counts of an FPGA's resources. `bram36`: block RAMs of 36 Kb, halves are blocks of 18 Kb."""

    dsp: float = 0
    lut: float = 0
    ff: float = 0
    bram36: float = 0
    uram: float = 0

    def __add__(self, other: Amounts) -> Amounts:
        return self._with(other, 1)

    def __sub__(self, other: Amounts) -> Amounts:
        return self._with(other, -1)

    def _with(self, other: Amounts, sign: int) -> Amounts:
        return Amounts(**{name: getattr(self, name) + sign * getattr(other, name) for name in RESOURCES})

    def rounded(self) -> Amounts:
        """Whole LUTs, flip-flops and slices, and half block RAMs, rounded up."""
        exact = {name: math.ceil(round(getattr(self, name), 6)) for name in RESOURCES}
        return Amounts(**{**exact, "bram36": math.ceil(round(self.bram36 * 2, 6)) / 2})

    def to_dict(self) -> dict[str, float]:
        """The counts by name."""
        return {name: getattr(self, name) for name in RESOURCES}


@dataclass(frozen=True)
class Resources(Amounts):
    """What an accelerator takes of its FPGA.

    Attributes:
        parts: by component; they add up to the total but for rounding.
        gating: what the gate unit and the column groups add to the same accelerator without them.
        family: whose counts these are.
        device: the FPGA, None if cgsim does not know it by name.
        available: what the accelerator may take of each resource; those without a limit are missing.
    """

    parts: dict[str, Amounts] = field(default_factory=dict)
    gating: Amounts = Amounts()
    family: str = ""
    device: Device | None = None
    available: dict[str, int] = field(default_factory=dict)

    @property
    def over(self) -> dict[str, tuple[float, int]]:
        """Resources of which more are taken than there are: how many, and how many there are."""
        return {
            name: (getattr(self, name), limit)
            for name, limit in self.available.items()
            if getattr(self, name) > limit
        }

    @property
    def utilisation(self) -> dict[str, float]:
        """Share of what is available, by resource (1: all of it); what the FPGA does not have is missing."""
        return {name: getattr(self, name) / limit for name, limit in self.available.items() if limit}


def resources(hardware: Accelerator) -> Resources:
    """Estimate what an accelerator takes of its FPGA.

    Args:
        hardware: any; an ASIC-style one needs `fpga.family`, to say what it would take.

    Raises:
        CgsimError: no family is known, or `fpga.macs_per_dsp` is refused.
    """
    device = find_device(hardware.technology)
    family = hardware.fpga.family or (device.family if device else None)
    if family is None:
        raise CgsimError(
            f"hardware {hardware.name!r}: technology: {_unknown(hardware.technology)}; or give fpga.family"
        )
    _check_packing(hardware, family)
    available = _available(hardware, device)
    has_uram = family == "ultrascale+" and available.get("uram", 0) > 0
    parts = _parts(hardware, family, available["uram"] if has_uram else 0)
    total = sum(parts.values(), Amounts()).rounded()
    gating = Amounts()
    if hardware.gate_unit.enabled or hardware.array.column_groups > 1:
        plain = _parts(_ungated(hardware), family, available["uram"] if has_uram else 0)
        gating = total - sum(plain.values(), Amounts()).rounded()
    return Resources(
        **total.to_dict(), parts=parts, gating=gating, family=family, device=device, available=available
    )


def check_fits(hardware: Accelerator, source: str) -> None:
    """Raise CgsimError, which `source` begins, if an FPGA-style accelerator does not fit its FPGA.

    Without a technology and without limits there is nothing that it would have to fit.
    """
    limits = hardware.fpga
    if hardware.technology is None and limits.family is None:
        return
    if limits.family is None and find_device(hardware.technology) is None:
        raise CgsimError(f"{source}: technology: {_unknown(hardware.technology)}; another needs fpga.family")
    try:
        taken = resources(hardware)
    except CgsimError as error:
        raise CgsimError(f"{source}: {str(error).removeprefix(f'hardware {hardware.name!r}: ')}") from None
    if taken.over:
        what = taken.device.name if taken.device else "the FPGA"
        share = f" ({limits.usable_percent:g} % of it)" if limits.usable_percent < 100 else ""
        listed = ", ".join(
            f"{needed:g} {RESOURCES[name]} of {limit}" for name, (needed, limit) in taken.over.items()
        )
        raise CgsimError(f"{source}: does not fit {what}{share}: takes {listed}")


@functools.cache
def costs() -> dict[str, dict[str, dict[str, float]]]:
    """Counts of fpga_costs.yaml: family -> component -> resource."""
    table = read_yaml(Path(__file__).with_name("fpga_costs.yaml"))
    found: dict[str, dict[str, dict[str, float]]] = {
        family: {} for family in ("7-series", "ultrascale+", "ecp5")
    }
    for component, by_family in table.items():
        for names, counts in by_family.items():
            for family in names.split(", "):
                found[family][component] = counts
    return found


def _unknown(technology: str | None) -> str:
    if technology is None:
        return "expected the name of an FPGA"
    return f"unknown FPGA {technology!r}{nearest(technology, devices())}"


def _check_packing(hardware: Accelerator, family: str) -> None:
    if hardware.fpga.macs_per_dsp == 1:
        return
    if family != "ultrascale+":
        raise CgsimError(
            f"hardware {hardware.name!r}: fpga.macs_per_dsp: expected 1, got 2: two int8 products need the "
            f"factors of 27 bits of 'ultrascale+', this is {family!r}"
        )
    if hardware.array.group_cols % 2:
        raise CgsimError(
            f"hardware {hardware.name!r}: fpga.macs_per_dsp: expected 1, got 2: pairs of columns share a DSP "
            f"slice, and a column group has {hardware.array.group_cols}"
        )


def _available(hardware: Accelerator, device: Device | None) -> dict[str, int]:
    """What may be taken of each resource: of the device, or as the file says; in whole numbers."""
    limits = {}
    for name in RESOURCES:
        given = getattr(hardware.fpga, name)
        if given is None and device is not None:
            given = getattr(device, name)
        if given is not None:
            limits[name] = math.floor(given * hardware.fpga.usable_percent / 100 + 1e-9)
    return limits


def _ungated(hardware: Accelerator) -> Any:
    """The same accelerator with one feed and no gate unit."""
    array = hardware.array.model_copy(update={"column_groups": 1})
    unit = hardware.gate_unit.model_copy(update={"enabled": False})
    return hardware.model_copy(update={"array": array, "gate_unit": unit})


def _parts(hardware: Accelerator, family: str, urams: int) -> dict[str, Amounts]:
    logic = array_parts(Shape.of(hardware), family)
    lanes = hardware.vector_unit.lanes
    logic["vector_unit"] = _scaled(costs()[family]["vector_lane"], lanes)
    return logic | _buffers(hardware, family, urams)


@dataclass(frozen=True)
class Shape:
    """What rtl/gated_array.sv is built for (its parameters)."""

    rows: int
    cols: int
    groups: int
    output: bool
    """`os`: sums stay in the PEs."""
    window: int
    """Candidates that a scanner examines at once."""
    queue: int
    gated: bool
    banked: bool
    macs_per_dsp: int = 1

    @classmethod
    def of(cls, hardware: Accelerator) -> Shape:
        """The array of an accelerator. Scanners examine a power of two of candidates, at least 2."""
        array, unit = hardware.array, hardware.gate_unit
        return cls(
            rows=array.rows,
            cols=array.cols,
            groups=array.column_groups,
            output=array.dataflow == "os",
            window=max(2, 1 << (unit.scan_bits_per_cycle - 1).bit_length()),
            queue=unit.fifo_depth,
            gated=unit.enabled,
            banked=unit.enabled and unit.activation_banks != "ideal",
            macs_per_dsp=hardware.fpga.macs_per_dsp,
        )


def array_parts(shape: Shape, family: str) -> dict[str, Amounts]:
    """What array, control and gate unit take, without the memories that hold a layer.

    Args:
        shape: parameters of rtl/gated_array.sv.
        family: `7-series`, `ultrascale+` or `ecp5`.
    """
    cost = costs()[family]
    rows, cols, groups = shape.rows, shape.cols, shape.groups
    pes = _scaled(cost["pe_output" if shape.output else "pe_stationary"], rows * cols)
    pes = replace(pes, dsp=pes.dsp / shape.macs_per_dsp)
    parts = {
        "pes": pes,
        "lines": Amounts(lut=_lines(shape, family)),
        "columns": _scaled(cost["column"], cols),
        "control": _scaled(cost["control"], 1) + _scaled(cost["group"], groups),
    }
    if groups & (groups - 1):
        parts["control"] += _scaled(cost["odd_groups"], groups)
    if shape.output:
        parts["control"] += _scaled(cost["row_of_pixels"], rows * groups)
        if rows & (rows - 1):
            parts["control"] += _scaled(cost["odd_rows"], groups)
    if shape.gated:
        parts["gate_unit"] = (
            _scaled(cost["gate_unit"], groups)
            + _scaled(cost["gate_unit_bit"], groups * shape.window)
            + Amounts(lut=_queues(shape, family))
        )
        if shape.queue > LUTRAM_WORDS:
            blocks = blocks18(shape.queue, shape.window + INDEX_BITS)
            parts["gate_unit"] += Amounts(bram36=groups * blocks / 2)
    if shape.banked:
        parts["arbiter"] = _scaled(cost["arbiter"], groups)
    return parts


def computed_luts(shape: Shape, family: str) -> int:
    """LUTs that are computed from shapes: lines, and the queues of the scanners."""
    return _lines(shape, family) + (_queues(shape, family) if shape.gated else 0)


def _queues(shape: Shape, family: str) -> int:
    if shape.queue > LUTRAM_WORDS:
        return 0  # block RAM
    return shape.groups * luts_of_memory(shape.queue, shape.window + INDEX_BITS, family)


def _lines(shape: Shape, family: str) -> int:
    """LUTs of the lines in which operands, sums and their tags wait (memories of one reader)."""
    rows, cols, groups = shape.rows, shape.cols, shape.groups
    width = cols // groups
    row_bits = max(1, (rows - 1).bit_length())
    loads = 8 if shape.output else 8 + 1 + row_bits
    exits = min(width, max(cols - 2, 0))
    delays = (rows, cols - 1) if shape.output else (rows + cols - 2,)
    return (
        (rows - 1) * luts_of_memory(rows, 8 * groups, family)
        + (width - 1) * luts_of_memory(width, loads * groups, family)
        + exits * luts_of_memory(cols, SUM_BITS * groups, family)
        + groups * sum(luts_of_memory(delay, TAG_BITS, family) for delay in delays)
    )


def _buffers(hardware: Accelerator, family: str, urams: int) -> dict[str, Amounts]:
    """The four buffers (`cgsim.hardware.memories`) and the tables of a layer: block RAM, UltraRAM or LUTs."""
    array, unit = hardware.array, hardware.gate_unit
    parts = {}
    for name, own in memories(hardware).items():
        parts[f"{name}_buffer"], urams = _memory(own.number, own.words, own.bits, family, urams)
    tables = [
        (TABLE_WORDS["parts"], 112, array.column_groups),
        (TABLE_WORDS["folds"], 16, array.column_groups),
    ]
    if unit.enabled:
        each = (TABLE_WORDS["folds"], INDEX_BITS, 6 * array.column_groups)  # two counts, read at three places
        lists = (TABLE_WORDS["folds"], 32, array.column_groups)
        tables += [each, lists, (TABLE_WORDS["folds"], SUM_BITS, array.cols)]  # thresholds
    parts["tables"] = sum(
        (Amounts(bram36=count * blocks18(words, bits) / 2) for words, bits, count in tables), Amounts()
    )
    return parts


def _memory(count: int, words: int, bits: int, family: str, urams: int) -> tuple[Amounts, int]:
    """`count` memories, in UltraRAM if at least half of it is used; and the UltraRAMs that are left."""
    if words <= LUTRAM_WORDS:
        return Amounts(lut=count * luts_of_memory(words, bits, family)), urams
    needed = count * ultrarams(words, bits)
    if needed <= urams and 2 * count * words * bits >= needed * 4096 * 72:
        return Amounts(uram=needed), urams - needed
    return Amounts(bram36=count * blocks18(words, bits) / 2), urams


def _scaled(cost: dict[str, float], times: float) -> Amounts:
    return Amounts(**{one.name: cost.get(one.name, 0) * times for one in fields(Amounts)})
