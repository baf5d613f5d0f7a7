"""Settings of `policy: ramulator2`: what Ramulator 2.1 calls a resolved configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

LEVELS = ("Channel", "Rank", "BankGroup", "Bank", "Row", "Column")
"""Levels of the tree, the root first; HBM2 has PseudoChannel in the place of Rank."""


@dataclass(frozen=True)
class Standard:
    """A standard as Ramulator 2.1 defines it (names and order of its commands and timing values)."""

    controller: str
    commands: tuple[str, ...]
    timing: tuple[str, ...]
    prefetch: int
    inj: int  # offers per clock in the reference runs


STANDARDS: Mapping[str, Standard] = MappingProxyType(
    {
        "DDR4": Standard(
            "GenericDDR",
            ("ACT", "PREpb", "PREab", "RD", "WR", "RDA", "WRA", "REFab"),
            (
                "rate",
                "nBL",
                "nCL",
                "nRCD",
                "nRP",
                "nRAS",
                "nRC",
                "nWR",
                "nRTP",
                "nCWL",
                "nCCDS",
                "nCCDL",
                "nRRDS",
                "nRRDL",
                "nWTRS",
                "nWTRL",
                "nFAW",
                "nRFC",
                "nREFI",
                "nCS",
                "tCK_ps",
            ),
            prefetch=8,
            inj=1,
        ),
        "HBM2": Standard(
            "HBM12",
            ("ACT", "PREpb", "PREab", "RD", "WR", "RDA", "WRA", "REFab", "REFpb"),
            (
                "rate",
                "nBL",
                "nCL",
                "nRCDRD",
                "nRCDWR",
                "nRP",
                "nRAS",
                "nRC",
                "nWR",
                "nRTPL",
                "nCWL",
                "nCCDS",
                "nCCDL",
                "nRRDS",
                "nRRDL",
                "nWTRS",
                "nWTRL",
                "nFAW",
                "nRFC",
                "nRFCpb",
                "nRREFD",
                "nREFI",
                "nREFIpb",
                "tCK_ps",
            ),
            prefetch=4,
            inj=4,
        ),
        "LPDDR5": Standard(
            "LPDDR5",
            (
                "ACT1",
                "ACT2",
                "PREpb",
                "PREab",
                "CAS_RD",
                "CAS_WR",
                "RD",
                "WR",
                "RDA",
                "WRA",
                "REFab",
                "REFpb",
            ),
            (
                "rate",
                "nBL_min",
                "nBL_max",
                "nCL",
                "nRCD",
                "nRP",
                "nRPab",
                "nRAS",
                "nRC",
                "nWR",
                "nRTP",
                "nCWL",
                "nPPD",
                "nCCDS",
                "nCCDL",
                "nCCDS_WR",
                "nCCDL_WR",
                "nRRDS",
                "nRRDL",
                "nWTRS",
                "nWTRL",
                "nFAW",
                "nRFC",
                "nRFCpb",
                "nREFI",
                "nREFIpb",
                "nWCKPST",
                "nCAS",
                "nAAD",
                "nCS",
                "tCK_ps",
                "nPBR2PBR",
                "nPBR2ACT",
            ),
            prefetch=16,
            inj=4,
        ),
    }
)

"""What Ramulator 2.1 fixes per standard."""

Scheduler = Literal["FRFCFS", "FRFCFS-RowHit"]
Refresh = Literal["AllBank", "PerBank", "NoRefresh"]
RowPolicy = Literal["Open", "ClosedCAP"]
Mapper = Literal["RoBaRaCoCh", "ChRaBaRoCo", "MOP4CLXOR", "PassThroughAddrMapper"]


@dataclass(frozen=True)
class Constraint:
    """`following` issues at the earliest `latency` clocks after the `window`-th last of `preceding`.

    At the node of `level` that both address; `sibling`: at every other node under the same parent.
    """

    level: int
    preceding: tuple[str, ...]
    following: tuple[str, ...]
    latency: int
    window: int = 1
    sibling: bool = False


@dataclass(frozen=True)
class Config:
    """One memory system: `channels` alike. Times in DRAM clocks, `rows`, `columns` in device terms.

    `ranks` are pseudo-channels for HBM2; `banks` are those of a group; a request takes `prefetch` columns.
    `inj` requests are offered per clock at most. No read is accepted while `max_outstanding` (0: any number
    of) reads await their data. `read_latency` runs from the read command to its last data.
    """

    standard: str
    channels: int
    ranks: int
    bank_groups: int
    banks: int
    rows: int
    columns: int
    channel_width: int
    timing: Mapping[str, int]
    constraints: tuple[Constraint, ...]
    read_latency: int
    read_queue: int
    write_queue: int
    priority_queue: int
    low_watermark: float
    high_watermark: float
    scheduler: Scheduler
    refresh: Refresh
    scatter_interval: int
    row_policy: RowPolicy
    cap: int
    mapper: Mapper
    interleave_bits: int
    wck_always_on: bool
    inj: int
    max_outstanding: int = 0

    @property
    def policy(self) -> str:
        """Name of the policy."""
        return "ramulator2"

    @property
    def prefetch(self) -> int:
        """Columns per request."""
        return STANDARDS[self.standard].prefetch

    @property
    def request_bytes(self) -> int:
        """Bytes of a request."""
        return self.channel_width // 8 * self.prefetch

    @property
    def enter_writes(self) -> int:
        """Write mode begins when more writes wait (compared in single precision, as the tool does)."""
        limit = np.float32(self.high_watermark) * np.float32(self.write_queue)
        return int(np.floor(limit))

    @property
    def leave_writes(self) -> int:
        """Write mode ends when fewer writes wait and a read does."""
        limit = np.float32(self.low_watermark) * np.float32(self.write_queue)
        return int(np.ceil(limit))

    @property
    def tck_ns(self) -> float:
        """Length of a clock, ns."""
        return self.timing["tCK_ps"] / 1000
