"""Sections of a hardware file: off-chip memory, and what moves tiles to and from it."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cgsim.dram.settings import Config
from cgsim.dram.standards import STANDARDS
from cgsim.hardware.constraints import OneOf, Step
from cgsim.hardware.section import Section, extra

BANDWIDTH_STEP = Step(Fraction(1, 256))


class Dma(Section):
    """Moves tiles between DRAM and the buffers."""

    conditional_fetch: Literal["eager", "on_demand"] = Field(
        description="When conditional weights and activations are fetched. `eager`: always, ahead of time. "
        "`on_demand`: only what the gates ask for, after the base phase has shown it.",
    )
    burst_bytes: Literal[32, 64, 128, 256, 512, 1024] = Field(
        default=64,
        json_schema_extra=extra("bytes"),
        description="What the DMA asks the DRAM for at a time, aligned to its own size. At least one request "
        "of the standard.",
    )
    max_outstanding: int = Field(
        default=64,
        ge=1,
        le=4096,
        json_schema_extra=extra("bursts"),
        description="Bursts that may be under way: asked for, data not yet back.",
    )


class Dram(Section):
    """Off-chip memory."""

    standard: Annotated[str, OneOf(lambda: ("ideal", *STANDARDS))] = Field(
        description="`ideal` transfers a fixed number of bytes per cycle after a fixed latency. The others "
        "are simulated command by command (docs/dram.md).",
        json_schema_extra=extra(
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
            **extra("bytes/cycle"),
            "expected": "a number above 0 up to 65536 in steps of 1/256",
        },
        description="`ideal` only, and needed there: bandwidth per cycle of the accelerator, reads and "
        "writes together, in steps of 1/256. Gigabytes per second = this x clock_mhz / 1000.",
    )
    latency_cycles: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        json_schema_extra={**extra("cycles"), "expected": "an integer from 0 to 1000000"},
        description="`ideal` only, and needed there: from a request to its first byte, in cycles of the "
        "accelerator.",
    )
    channels: Literal[1, 2, 4, 8, 16, 32] = Field(
        default=1, json_schema_extra=extra("channels"), description="Independent channels."
    )
    ranks: Literal[1, 2, 4, 8] = Field(
        default=1,
        json_schema_extra=extra("ranks"),
        description="Ranks of a channel, which share its data bus. HBM2 has 1.",
    )
    mapping: str = Field(
        default="streaming",
        json_schema_extra={
            **extra(),
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
        json_schema_extra=extra("requests"),
        description="Reads, and writes, that wait in the controller of a channel.",
    )
    row_hit_cap: int = Field(
        default=64,
        ge=1,
        le=4096,
        json_schema_extra=extra("accesses"),
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
        json_schema_extra=extra("refreshes"),
        description="Refreshes that are put off at most while requests wait.",
    )
    crossing_cycles: int = Field(
        default=2,
        ge=0,
        le=64,
        json_schema_extra=extra("cycles"),
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
