"""What an accelerator is: a hardware file as a whole.

Its sections (section.py says what one is) are the whole definition of keys, units, bounds and meaning. The
loader validates against them, error messages and docs/configuration.md are generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from cgsim.dram.settings import check
from cgsim.dram.standards import STANDARDS
from cgsim.errors import CgsimError
from cgsim.hardware.chip import Array, Buffers, GateUnit, VectorUnit
from cgsim.hardware.engines import Engines, Host
from cgsim.hardware.given import Costs, Fpga
from cgsim.hardware.messages import check_key, configuration_error, expected, plain
from cgsim.hardware.offchip import Dma, Dram
from cgsim.hardware.section import Section, extra


class MappingOptions(Section):
    """Choices of the compiler that the machine itself leaves open."""

    batch: int = Field(
        default=1,
        ge=1,
        le=1024,
        json_schema_extra=extra("samples"),
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
        json_schema_extra=extra("MHz"),
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
