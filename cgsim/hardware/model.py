"""What an accelerator is: the keys of a hardware file, their units, bounds and meaning.

The classes below are the whole definition. The loader validates against them, error messages and
docs/configuration.md are generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from cgsim.dram.settings import Config, check
from cgsim.dram.standards import STANDARDS
from cgsim.errors import CgsimError
from cgsim.hardware.constraints import IDEAL_OR_COUNT, OneOf, Step, expectation, ideal_or_count
from cgsim.hardware.messages import check_key, configuration_error, expected, plain

KIB_STEP = Step(Fraction(1, 1024))
BANDWIDTH_STEP = Step(Fraction(1, 256))


def _extra(unit: str = "", not_modelled: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"unit": unit, "not_modelled": dict(not_modelled or {})}


def _capacity(description: str) -> Any:
    return Field(gt=0, le=1 << 20, description=description, json_schema_extra=_extra("KiB"))


Kib = Annotated[float, AfterValidator(KIB_STEP)]


class Section(BaseModel):
    """Base of all sections: immutable, no unknown keys, no silent conversion, no nan or inf."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Array(Section):
    """The systolic array."""

    rows: int = Field(
        ge=1,
        le=1024,
        json_schema_extra=_extra("PEs"),
        description="Rows of PEs.",
    )
    cols: int = Field(ge=1, le=1024, json_schema_extra=_extra("PEs"), description="Columns of PEs.")
    dataflow: Literal["ws", "is", "os"] = Field(
        description="What stays in the PEs: `ws` weights (rows: K, columns: output channels), `is` input "
        "activations (rows: K, columns: pixels), `os` partial sums (rows: pixels, columns: output channels).",
    )
    pipelining: Literal["overlapped", "serial", "scalesim"] = Field(
        description="How folds follow each other. `overlapped`: the next weights are loaded while this fold "
        "streams. `serial`: a fold starts when the one before it has left the array. `scalesim`: the "
        "convention of SCALE-Sim, for comparison.",
    )
    column_groups: int = Field(
        ge=1,
        le=1024,
        json_schema_extra=_extra("groups"),
        description="Equal groups of columns, each with its own feed, so that a group skips what none of its "
        "columns needs. 1 is the plain systolic array. Must divide `cols`.",
    )

    @field_validator("column_groups")
    @classmethod
    def _divides_cols(cls, value: int, info: ValidationInfo) -> int:
        cols = info.data.get("cols")
        if cols is not None and cols % value:
            raise expectation(f"a divisor of array.cols ({cols})")
        return value

    @property
    def group_cols(self) -> int:
        """Columns of one column group."""
        return self.cols // self.column_groups

    @property
    def pes(self) -> int:
        """PEs of the array; the MACs of a cycle at full utilisation."""
        return self.rows * self.cols


class GateUnit(Section):
    """The logic that decides, compacts and skips."""

    enabled: bool = Field(
        description="Whether the accelerator has gate logic. Without it nothing is skipped: gated runs are "
        "dense runs.",
    )
    group_sync: Literal["fold", "tile", "layer"] = Field(
        description="When column groups wait for each other: at every fold, at the end of a phase of a tile, "
        "or only at the end of a layer.",
    )
    scan_bits_per_cycle: int = Field(
        ge=1,
        le=1 << 16,
        json_schema_extra=_extra("bits/cycle"),
        description="Gate bits that the index scanner of one column group reads per cycle.",
    )
    compare_latency: int = Field(
        ge=0,
        le=4096,
        json_schema_extra=_extra("cycles"),
        description="From the last base partial sum to its gate bit.",
    )
    fifo_depth: int = Field(
        default=16,
        ge=1,
        le=1 << 16,
        json_schema_extra=_extra("entries"),
        description="Needed vectors that the index queue of a column group holds between scanner and array.",
    )
    activation_banks: Annotated[int | str, BeforeValidator(ideal_or_count)] = Field(
        default="ideal",
        json_schema_extra={**_extra("banks"), "expected": IDEAL_OR_COUNT},
        description="Banks of the activation buffer that the feeds of the column groups read, one word per "
        "bank and cycle; a conflict stalls the later group. `ideal`: no conflicts. A number needs "
        "`group_sync` `fold` or `tile`.",
    )

    @field_validator("activation_banks")
    @classmethod
    def _banks_need_meetings(cls, value: int | str, info: ValidationInfo) -> int | str:
        if value != "ideal" and info.data.get("group_sync") == "layer":
            raise expectation("'ideal' where gate_unit.group_sync is 'layer'")
        return value


class VectorUnit(Section):
    """Pooling, residual addition, batch norm, activation functions."""

    lanes: int = Field(
        ge=1, le=1 << 16, json_schema_extra=_extra("elements/cycle"), description="Elements per cycle."
    )


class Buffers(Section):
    """On-chip SRAM."""

    activation_kib: Kib = _capacity("Input, output and residual activations.")
    weight_kib: Kib = _capacity("Weights of the base and the conditional path.")
    accumulator_kib: Kib = _capacity("Partial sums, 4 bytes each.")
    gate_kib: Kib = _capacity("Gate bits.")
    double_buffered: bool = Field(
        description="Whether the next tile is loaded, and the last one stored, while this one computes.",
    )
    keep_on_chip: bool = Field(
        default=False,
        description="Whether an output that fits stays in the activation buffer for the layers that read it.",
    )
    bytes_per_cycle: Annotated[int | str, BeforeValidator(ideal_or_count)] = Field(
        default="ideal",
        json_schema_extra={**_extra("bytes/cycle"), "expected": IDEAL_OR_COUNT},
        description="Bytes per cycle that the DMA moves into and out of the buffers, together. `ideal`: the "
        "buffers never hold the DMA up.",
    )

    @property
    def activation_bytes(self) -> int:
        """Capacity of the activation buffer in bytes."""
        return int(self.activation_kib * 1024)

    @property
    def weight_bytes(self) -> int:
        """Capacity of the weight buffer in bytes."""
        return int(self.weight_kib * 1024)

    @property
    def accumulator_bytes(self) -> int:
        """Capacity of the accumulator buffer in bytes."""
        return int(self.accumulator_kib * 1024)

    @property
    def gate_bytes(self) -> int:
        """Capacity of the gate buffer in bytes."""
        return int(self.gate_kib * 1024)


class Dma(Section):
    """Moves tiles between DRAM and the buffers."""

    conditional_fetch: Literal["eager", "on_demand"] = Field(
        description="When conditional weights and activations are fetched. `eager`: always, ahead of time. "
        "`on_demand`: only what the gates ask for, after the base phase has shown it.",
    )
    burst_bytes: Literal[32, 64, 128, 256, 512, 1024] = Field(
        default=64,
        json_schema_extra=_extra("bytes"),
        description="What the DMA asks the DRAM for at a time, aligned to its own size. At least one request "
        "of the standard.",
    )
    max_outstanding: int = Field(
        default=64,
        ge=1,
        le=4096,
        json_schema_extra=_extra("bursts"),
        description="Bursts that may be under way: asked for, data not yet back.",
    )


class Dram(Section):
    """Off-chip memory."""

    standard: Annotated[str, OneOf(lambda: ("ideal", *STANDARDS))] = Field(
        description="`ideal` transfers a fixed number of bytes per cycle after a fixed latency. The others "
        "are simulated command by command (docs/dram.md).",
        json_schema_extra=_extra(
            not_modelled=dict.fromkeys(
                ("ddr3", "ddr5", "lpddr3", "gddr5", "gddr6", "hbm", "hbm3"),
                "its timing tables are not at hand",
            ),
        ),
    )
    bytes_per_cycle: Annotated[float | None, AfterValidator(BANDWIDTH_STEP)] = Field(
        default=None,
        gt=0,
        le=1 << 16,
        json_schema_extra={
            **_extra("bytes/cycle"),
            "expected": "a number above 0 up to 65536 in steps of 1/256",
        },
        description="`ideal` only, and needed there: bandwidth per cycle of the accelerator, reads and "
        "writes together, in steps of 1/256. Gigabytes per second = this x clock_mhz / 1000.",
    )
    latency_cycles: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        json_schema_extra={**_extra("cycles"), "expected": "an integer from 0 to 1000000"},
        description="`ideal` only, and needed there: from a request to its first byte, in cycles of the "
        "accelerator.",
    )
    channels: Literal[1, 2, 4, 8, 16, 32] = Field(
        default=1, json_schema_extra=_extra("channels"), description="Independent channels."
    )
    ranks: Literal[1, 2, 4, 8] = Field(
        default=1,
        json_schema_extra=_extra("ranks"),
        description="Ranks of a channel, which share its data bus. HBM2 has 1.",
    )
    mapping: str = Field(
        default="streaming",
        json_schema_extra={
            **_extra(),
            "expected": "'streaming', 'RoBaRaCoCh', 'ChRaBaRoCo', 'MOP4CLXOR' or 'rochrababgco'",
        },
        description="Which bits of an address are channel, rank, bank group, bank, row and column. "
        "`streaming`: ours, for long bursts of several streams. `RoBaRaCoCh`, `ChRaBaRoCo`, `MOP4CLXOR`: "
        "Ramulator's. Twelve letters such as `rochrababgco`: DRAMsim3's, highest bits first.",
    )
    page_policy: Literal["open", "closed"] = Field(
        default="open",
        description="Whether a row stays open behind an access, or is closed when nobody waits for it.",
    )
    queue_depth: int = Field(
        default=32,
        ge=1,
        le=256,
        json_schema_extra=_extra("requests"),
        description="Reads, and writes, that wait in the controller of a channel.",
    )
    row_hit_cap: int = Field(
        default=64,
        ge=1,
        le=4096,
        json_schema_extra=_extra("accesses"),
        description="Accesses of an open row after which an older request for another row of the bank is no "
        "longer passed over.",
    )
    refresh: Literal["all_bank", "per_bank", "none"] = Field(
        default="all_bank",
        description="How rows are refreshed: all banks of a rank at once, or bank by bank (LPDDR, HBM).",
    )
    refresh_postponed: int = Field(
        default=8,
        ge=1,
        le=8,
        json_schema_extra=_extra("refreshes"),
        description="Refreshes that are put off at most while requests wait.",
    )
    crossing_cycles: int = Field(
        default=2,
        ge=0,
        le=64,
        json_schema_extra=_extra("cycles"),
        description="Cycles of the receiving clock that a request, and its completion, take from one clock "
        "domain into the other.",
    )

    def controller(self, dma: Dma) -> Config:
        """The settings of the controller that `dma` sees (not for `ideal`)."""
        per_burst = max(1, dma.burst_bytes // STANDARDS[self.standard].request_bytes)
        return Config(
            standard=self.standard,
            channels=self.channels,
            ranks=self.ranks,
            mapping=self.mapping,
            page_policy=self.page_policy,
            queue_depth=self.queue_depth,
            row_hit_cap=self.row_hit_cap,
            refresh=self.refresh,
            refresh_postponed=self.refresh_postponed,
            inj=self.channels,
            max_outstanding=dma.max_outstanding * per_burst,
        )


def _limit(unit: str) -> Any:
    extra = {**_extra(unit), "expected": "an integer from 0 to 100000000"}
    return Field(
        default=None,
        ge=0,
        le=100_000_000,
        json_schema_extra=extra,
        description=f"{unit[0].upper()}{unit[1:]} that there are. Default: those of the device.",
    )


class Fpga(Section):
    """What an FPGA-style accelerator may take (docs/fpga.md). Counts only where `style` is `fpga`."""

    family: Literal["7-series", "ultrascale+", "ecp5"] | None = Field(
        default=None,
        json_schema_extra={**_extra(), "expected": "'7-series', 'ultrascale+', 'ecp5' or null"},
        description="Family of an FPGA that cgsim does not know by name. Default: that of the device which "
        "`technology` names.",
    )
    macs_per_dsp: Literal[1, 2] = Field(
        default=1,
        json_schema_extra=_extra("MACs"),
        description="2: two int8 products with a common factor in one DSP slice (AMD WP486), which then adds "
        "nothing: sums take LUTs. Needs `ultrascale+` and an even number of columns in a group.",
    )
    usable_percent: float = Field(
        default=100.0,
        gt=0,
        le=100,
        json_schema_extra=_extra("%"),
        description="Share of each resource that the accelerator may take; the rest is for what is beside "
        "it.",
    )
    dsp: int | None = _limit("DSP slices")
    lut: int | None = _limit("LUTs")
    ff: int | None = _limit("flip-flops")
    bram36: int | None = _limit("block RAMs of 36 Kb")
    uram: int | None = _limit("UltraRAMs")


def _cost(unit: str, description: str) -> Any:
    extra = {**_extra(unit), "expected": f"a number of {unit}, 0 or more"}
    return Field(default=None, ge=0, le=1e9, json_schema_extra=extra, description=description)


class Costs(Section):
    """Energy and leakage that are known better than cgsim's tables have them (docs/energy.md).

    Default of each: what the table says.
    """

    table: str | None = Field(
        default=None,
        max_length=1000,
        json_schema_extra=_extra(),
        description="A shipped table (`16nm`, `28nm`, `45nm`, `65nm`), the path of a file like them, or "
        "`cacti`: CACTI itself at the node of `technology`. Default: that of `technology`, if there is one.",
    )
    mac_pj: float | None = _cost("pJ", "A MAC.")
    pe_clock_gated_pj: float | None = _cost("pJ", "A cycle of a PE that a vector passes without a MAC.")
    pe_idle_pj: float | None = _cost("pJ", "A cycle of a PE without a vector.")
    register_pj: float | None = _cost("pJ", "A byte that goes from PE to PE.")
    activation_read_pj: float | None = _cost("pJ", "A byte read from the activation buffer.")
    activation_write_pj: float | None = _cost("pJ", "A byte written to it.")
    weight_read_pj: float | None = _cost("pJ", "A byte read from the weight buffer.")
    weight_write_pj: float | None = _cost("pJ", "A byte written to it.")
    accumulator_read_pj: float | None = _cost("pJ", "A byte read from the accumulator buffer.")
    accumulator_write_pj: float | None = _cost("pJ", "A byte written to it.")
    gate_read_pj: float | None = _cost("pJ", "A byte read from the gate buffer.")
    gate_write_pj: float | None = _cost("pJ", "A byte written to it.")
    compare_pj: float | None = _cost("pJ", "A sum compared with its threshold.")
    scan_pj: float | None = _cost("pJ", "A gate bit that an index scanner examines.")
    fifo_pj: float | None = _cost("pJ", "An index written to a queue and read from it.")
    vector_pj: float | None = _cost("pJ", "An element operation of the vector unit.")
    dram_pj: float | None = _cost("pJ", "A byte to or from a DRAM of `standard: ideal`.")
    leakage_array_mw: float | None = _cost("mW", "Leakage of the array.")
    leakage_activation_mw: float | None = _cost("mW", "Leakage of the activation buffer.")
    leakage_weight_mw: float | None = _cost("mW", "Leakage of the weight buffer.")
    leakage_accumulator_mw: float | None = _cost("mW", "Leakage of the accumulator buffer.")
    leakage_gate_mw: float | None = _cost("mW", "Leakage of the gate buffer.")
    leakage_gate_unit_mw: float | None = _cost("mW", "Leakage of the gate unit.")
    leakage_vector_mw: float | None = _cost("mW", "Leakage of the vector unit.")


class Engine(Section):
    """A convolution engine: `inputs` x `outputs` channels a cycle, of one tap or of a whole window."""

    kernel: Literal[1, 3] = Field(
        json_schema_extra=_extra("pixels"), description="Height and width of its convolutions."
    )
    inputs: int = Field(
        ge=1, le=4096, json_schema_extra=_extra("channels"), description="Input channels at once."
    )
    outputs: int = Field(
        ge=1, le=4096, json_schema_extra=_extra("channels"), description="Output channels at once."
    )
    taps: Literal[1, 9] = Field(
        default=1, json_schema_extra=_extra("taps"), description="Taps at once: one, or a window of 3 x 3."
    )
    most_inputs: int = Field(
        ge=1,
        le=1 << 16,
        json_schema_extra=_extra("channels"),
        description="Input channels that its memories hold.",
    )
    most_outputs: int = Field(
        ge=1,
        le=1 << 16,
        json_schema_extra=_extra("channels"),
        description="Output channels that its memories hold; of a layer with more it computes some after "
        "others, call by call.",
    )

    @field_validator("taps")
    @classmethod
    def _fits_the_kernel(cls, value: int, info: ValidationInfo) -> int:
        if value == 9 and info.data.get("kernel") == 1:
            raise expectation("1 where the kernel is 1")
        return value


class Engines(Section):
    """Engines in place of the systolic array, one for each convolution of a block (docs/board.md).

    With them `array` tells only how many MACs a cycle there are; gate unit, buffers and DRAM do not count.
    """

    execution: Literal["pipelined", "sequential"] = Field(
        default="pipelined",
        description="Whether the engines of a block work at once, each on what the one before has finished, "
        "or one after another.",
    )
    restart_cycles: int = Field(
        default=0,
        ge=0,
        le=1000,
        json_schema_extra=_extra("cycles"),
        description="Between two runs of an innermost loop; also what a skipped tap costs.",
    )
    first: Engine | None = Field(default=None, description="Of a block's first convolution.")
    second: Engine | None = Field(default=None, description="Of its second convolution.")
    third: Engine | None = Field(default=None, description="Of its third one, and of shortcuts.")
    stem: Engine | None = Field(
        default=None, description="Of the network's first convolution. Default: one of the others."
    )

    @property
    def pipeline(self) -> tuple[Engine, ...]:
        """The engines of a block, in order; none: the accelerator is a systolic array."""
        return tuple(engine for engine in (self.first, self.second, self.third) if engine is not None)


class Host(Section):
    """The processor that starts the accelerator."""

    call_us: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        json_schema_extra=_extra("microseconds"),
        description="Time that it takes the host to start a layer of a batch (with `engines`: what they "
        "compute at once); nothing else happens meanwhile.",
    )


class MappingOptions(Section):
    """Choices of the compiler that the machine itself leaves open."""

    batch: int = Field(
        default=1,
        ge=1,
        le=1024,
        json_schema_extra=_extra("samples"),
        description="Samples that share folds: a layer is executed for all of them before the next.",
    )
    pixel_order: Literal["raster", "block"] = Field(
        default="raster",
        description="How `is` assigns pixels to columns: row by row, or in spatially compact blocks of a "
        "column group's width.",
    )
    channel_order: Literal["natural", "clustered"] = Field(
        default="natural",
        description="How output channels are assigned to columns. `clustered`: channels that gate together "
        "share a column group, learned from the first half of the trace's samples.",
    )
    objective: Literal["balanced", "cycles", "traffic"] = Field(
        default="balanced",
        description="What tile sizes and loop orders are chosen for. `cycles`: fewest cycles. `traffic`: "
        "fewest off-chip bytes. `balanced`: fewest bytes among those within 2 % of the fewest cycles.",
    )
    activation_layout: Literal["pixel_major", "channel_major"] = Field(
        default="pixel_major",
        description="How activations lie in DRAM. `pixel_major`: in blocks of as many channels as a burst "
        "holds, pixel by pixel. `channel_major`: channel by channel.",
    )


_SELDOM = ("fpga", "engines", "host", "costs")
"""Sections that most hardware files do without."""


class Hardware(Section):
    """One accelerator. Immutable; `override` returns a changed copy.

    Sources of the model: docs/machine-model.md. Keys, units and bounds: docs/configuration.md.
    """

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        json_schema_extra={"expected": "a name of letters, digits, '.', '_' and '-' (at most 64)"},
        description="The name that tables and plots show.",
    )
    description: str = Field(default="", max_length=2000, description="What this accelerator stands for.")
    style: Literal["asic", "fpga"] = Field(description="ASIC-style or FPGA-style.")
    technology: str | None = Field(
        default=None, max_length=64, description="Process or device, such as `28nm`."
    )
    clock_mhz: float = Field(
        ge=1,
        le=10_000,
        json_schema_extra=_extra("MHz"),
        description="Clock of the array and of everything on chip.",
    )
    array: Array
    gate_unit: GateUnit
    vector_unit: VectorUnit
    buffers: Buffers
    dma: Dma
    dram: Dram
    mapping: MappingOptions = MappingOptions()
    fpga: Fpga = Fpga()
    engines: Engines = Engines()
    host: Host = Host()
    costs: Costs = Costs()

    @property
    def cycle_ns(self) -> float:
        """Length of one cycle in nanoseconds."""
        return 1000.0 / self.clock_mhz

    @property
    def dram_bytes_per_cycle(self) -> float:
        """Peak bandwidth of the DRAM in bytes per cycle of the accelerator."""
        dram = self.dram
        if dram.standard == "ideal":
            assert dram.bytes_per_cycle is not None  # see check_memory
            return dram.bytes_per_cycle
        standard = STANDARDS[dram.standard]
        peak = standard.peak_bytes_per_clock * dram.channels
        return peak * self.cycle_ns * 1000 / standard.tck_ps

    @property
    def dram_gb_per_second(self) -> float:
        """Peak bandwidth of the DRAM in gigabytes (1e9 bytes) per second."""
        return self.dram_bytes_per_cycle * self.clock_mhz / 1000.0

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as nested dicts of plain values (what a hardware file holds)."""
        return self.model_dump(mode="json")

    def to_file(self) -> dict[str, Any]:
        """What a hardware file needs: `to_dict` without sections that are seldom used and say nothing."""
        fields = type(self).model_fields
        silent = [name for name in _SELDOM if getattr(self, name) == fields[name].default]
        return {name: value for name, value in self.to_dict().items() if name not in silent}

    def get(self, key: str) -> Any:
        """Return the value of a dotted key, such as `array.rows`.

        Raises:
            CgsimError: unknown key (with the nearest valid one).
        """
        check_key(type(self), key, f"hardware {self.name!r}")
        value: Any = self
        for part in key.split("."):
            value = getattr(value, part, None)  # of a section that is null
        return value

    @classmethod
    def from_dict(cls, values: Any, source: str = "hardware") -> Hardware:
        """Validate nested dicts. `source` (usually a file name) starts every message.

        Raises:
            CgsimError: one line with every bad key, what was expected there, and the value.
        """
        values = plain(values)
        try:
            hardware = cls.model_validate(values)
        except ValidationError as error:
            raise configuration_error(cls, error, source) from None
        hardware._check_memory(source)
        if hardware.costs.table is not None:
            from cgsim.hardware.table_choice import table_of

            table_of(hardware)
        if hardware.style == "fpga" and not hardware.engines.pipeline:
            from cgsim.hardware.fpga import check_fits

            check_fits(hardware, source)
        return hardware

    def _check_memory(self, source: str) -> None:
        dram, fields = self.dram, Dram.model_fields
        if dram.standard == "ideal":
            missing = [key for key in ("bytes_per_cycle", "latency_cycles") if getattr(dram, key) is None]
            if missing:
                wanted = [f"dram.{key}: missing, expected {expected(fields[key])}" for key in missing]
                raise CgsimError(f"{source}: {'; '.join(wanted)}")
            return
        try:
            check(dram.controller(self.dma))
        except CgsimError as error:
            raise CgsimError(f"{source}: {error}") from None
        request = STANDARDS[dram.standard].request_bytes
        if self.dma.burst_bytes % request:
            raise CgsimError(
                f"{source}: dma.burst_bytes: expected a multiple of {request}, the bytes of a request of "
                f"{dram.standard}, got {self.dma.burst_bytes}"
            )

    def override(self, values: Mapping[str, Any]) -> Hardware:
        """Return a copy with dotted keys replaced, such as `{"array.rows": 16}`.

        Raises:
            CgsimError: unknown key (with the nearest valid one), or a value that is refused.
        """
        changed = self.to_dict()
        for key, value in values.items():
            check_key(type(self), key, f"hardware {self.name!r}")
            *sections, leaf = key.split(".")
            target = changed
            for section in sections:
                if target[section] is None:
                    raise CgsimError(f"hardware {self.name!r}: {key}: section {section} is null")
                target = target[section]
            target[leaf] = value
        return type(self).from_dict(changed, f"hardware {self.name!r}")
