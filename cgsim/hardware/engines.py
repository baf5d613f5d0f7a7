"""Sections of a hardware file: engines in place of the array, and the host."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from cgsim.hardware.constraints import expectation
from cgsim.hardware.section import Section, extra


class Engine(Section):
    """A convolution engine: `inputs` x `outputs` channels a cycle, of one tap or of a whole window."""

    kernel: Literal[1, 3] = Field(
        json_schema_extra=extra("pixels"), description="Height and width of its convolutions."
    )
    inputs: int = Field(
        ge=1, le=4096, json_schema_extra=extra("channels"), description="Input channels at once."
    )
    outputs: int = Field(
        ge=1, le=4096, json_schema_extra=extra("channels"), description="Output channels at once."
    )
    taps: Literal[1, 9] = Field(
        default=1, json_schema_extra=extra("taps"), description="Taps at once: one, or a window of 3 x 3."
    )
    most_inputs: int = Field(
        ge=1,
        le=1 << 16,
        json_schema_extra=extra("channels"),
        description="Input channels that its memories hold.",
    )
    most_outputs: int = Field(
        ge=1,
        le=1 << 16,
        json_schema_extra=extra("channels"),
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
        json_schema_extra=extra("cycles"),
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
        json_schema_extra=extra("microseconds"),
        description="Time that it takes the host to start a layer of a batch (with `engines`: what they "
        "compute at once); nothing else happens meanwhile.",
    )
