"""Sections of a hardware file: the array, its gate and vector unit, the buffers."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from cgsim.hardware.constraints import IDEAL_OR_COUNT, Step, expectation, ideal_or_count
from cgsim.hardware.section import Section, extra

KIB_STEP = Step(Fraction(1, 1024))


def _capacity(description: str) -> Any:
    return Field(gt=0, le=1 << 20, description=description, json_schema_extra=extra("KiB"))


Kib = Annotated[float, AfterValidator(KIB_STEP)]


class Array(Section):
    """The systolic array."""

    rows: int = Field(
        ge=1,
        le=1024,
        json_schema_extra=extra("PEs"),
        description="Rows of PEs.",
    )
    cols: int = Field(ge=1, le=1024, json_schema_extra=extra("PEs"), description="Columns of PEs.")
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
        json_schema_extra=extra("groups"),
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
        json_schema_extra=extra("bits/cycle"),
        description="Gate bits that the index scanner of one column group reads per cycle.",
    )
    compare_latency: int = Field(
        ge=0,
        le=4096,
        json_schema_extra=extra("cycles"),
        description="From the last base partial sum to its gate bit.",
    )
    fifo_depth: int = Field(
        default=16,
        ge=1,
        le=1 << 16,
        json_schema_extra=extra("entries"),
        description="Needed vectors that the index queue of a column group holds between scanner and array.",
    )
    activation_banks: Annotated[int | str, BeforeValidator(ideal_or_count)] = Field(
        default="ideal",
        json_schema_extra={**extra("banks"), "expected": IDEAL_OR_COUNT},
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
        ge=1, le=1 << 16, json_schema_extra=extra("elements/cycle"), description="Elements per cycle."
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
        json_schema_extra={**extra("bytes/cycle"), "expected": IDEAL_OR_COUNT},
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
