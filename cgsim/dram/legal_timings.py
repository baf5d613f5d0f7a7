"""What the checker of legality holds a log against: JEDEC's parameters by name, read from a configuration.

Read anew from the files of both tools, not from what the controllers make of them: a controller's mistake
must not become the checker's.
"""

from __future__ import annotations

import configparser
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from cgsim.errors import CgsimError


class Timings(NamedTuple):
    """Organisation and timing; all times in DRAM clocks.

    Attributes:
        ranks: of a channel, or its pseudo-channels (`pseudo_channels`: 1), which have own data buses.
        banks: of a bank group.
        command_buses: 2 where row and column commands have one each (HBM2).
        activate_clocks: clocks that an activate takes on its bus; activate_shift: after how many of them
            distances from and to it count (HBM2: 2 and 1).
        burst: clocks of data per column command; burst_group: until the same bank group is free again
            (LPDDR5: its data come in two halves).
        read_latency, write_latency: from column command to first data, additive latency included.
        write_extra: clocks more after writes (LPDDR4: 1, for tDQSS).
        read_to_write_gap: clocks from a read's last data to a write's first data, same rank.
        trp_all: of a precharge of all banks.
        trtrs: clocks between data of two ranks.
        trrefd: from a bank's refresh to an activate in another bank; trefresh_gap: to its refresh.
        trefi: 0 if refreshes are not checked; postponed, pulled_in: refreshes that may be late or early.
    """

    channels: int
    ranks: int
    bank_groups: int
    banks: int
    pseudo_channels: int
    command_buses: int
    activate_clocks: int
    activate_shift: int
    burst: int
    burst_group: int
    read_latency: int
    write_latency: int
    write_extra: int
    read_to_write_gap: int
    trcd_read: int
    trcd_write: int
    trp: int
    trp_all: int
    tras: int
    trc: int
    trrd_s: int
    trrd_l: int
    tfaw: int
    tccd_s: int
    tccd_l: int
    tccd_s_write: int
    tccd_l_write: int
    twtr_s: int
    twtr_l: int
    trtp: int
    twr: int
    trtrs: int
    tppd: int
    trfc: int
    trfc_bank: int
    trrefd: int
    trefresh_gap: int
    trefi: int
    postponed: int
    pulled_in: int


POSTPONED = PULLED_IN = 8
"""Refreshes that may be postponed or pulled in (JESD79-4, JESD209-4, JESD209-5, JESD235)."""

_TDQSCK_MAX_NS = 3.5
"""LPDDR4: latest strobe of a read (JESD209-4)."""
_LPDDR4_PREAMBLE = 2
"""LPDDR4: clocks of a write's preamble (tWPRE 1.8, JESD209-4)."""
_READ_TO_WRITE_GAP = 2
"""DDR4: one clock, and one of the write's preamble (JESD79-4); HBM2, LPDDR5: as both tools have it."""

_NAMES = {
    "DDR4": "rate nBL nCL nRCD nRP nRAS nRC nWR nRTP nCWL nCCDS nCCDL nRRDS nRRDL nWTRS nWTRL nFAW nRFC "
    "nREFI nCS tCK_ps",
    "HBM2": "rate nBL nCL nRCDRD nRCDWR nRP nRAS nRC nWR nRTPL nCWL nCCDS nCCDL nRRDS nRRDL nWTRS nWTRL nFAW "
    "nRFC nRFCpb nRREFD nREFI nREFIpb tCK_ps",
    "LPDDR5": "rate nBL_min nBL_max nCL nRCD nRP nRPab nRAS nRC nWR nRTP nCWL nPPD nCCDS nCCDL nCCDS_WR "
    "nCCDL_WR nRRDS nRRDL nWTRS nWTRL nFAW nRFC nRFCpb nREFI nREFIpb nWCKPST nCAS nAAD nCS tCK_ps nPBR2PBR "
    "nPBR2ACT",
}
"""Order of Ramulator 2.1's resolved `timing` lists."""


def ramulator_timings(document: Mapping[str, Any], source: str) -> Timings:
    """Timings of a resolved Ramulator 2.1 configuration.

    Raises:
        CgsimError: a standard that the checker does not know, or a list of another length.
    """
    controllers = document["memory_system"]["controllers"]
    controller = controllers[0]
    dram = controller["dram"]
    if dram["impl"] not in _NAMES:
        raise CgsimError(f"{source}: dram.impl: the checker knows {', '.join(_NAMES)}, not {dram['impl']!r}")
    names = _NAMES[dram["impl"]].split()
    if len(names) != len(dram["timing"]):
        raise CgsimError(f"{source}: timing: expected {len(names)} values, got {len(dram['timing'])}")
    given = dict(zip(names, dram["timing"], strict=True))

    def n(name: str, *otherwise: str) -> int:
        """The first of these that the standard has; 0 if none."""
        return int(next((given[key] for key in (name, *otherwise) if key in given), 0))

    hbm = dram["impl"] == "HBM2"
    _, ranks, groups, banks = dram["org"]["count"][:4]
    refreshes = controller["refresh_manager"]["impl"] != "NoRefresh"
    return Timings(
        channels=len(controllers),
        ranks=ranks,
        bank_groups=groups,
        banks=banks,
        pseudo_channels=int(hbm),
        command_buses=2 if hbm else 1,
        activate_clocks=2 if hbm else 1,
        activate_shift=int(hbm),
        burst=n("nBL", "nBL_min"),
        burst_group=n("nBL", "nBL_max"),
        read_latency=n("nCL"),
        write_latency=n("nCWL"),
        write_extra=0,
        read_to_write_gap=_READ_TO_WRITE_GAP,
        trcd_read=n("nRCDRD", "nRCD"),
        trcd_write=n("nRCDWR", "nRCD"),
        trp=n("nRP"),
        trp_all=n("nRPab", "nRP"),
        tras=n("nRAS"),
        trc=n("nRC"),
        trrd_s=n("nRRDS"),
        trrd_l=n("nRRDL"),
        tfaw=n("nFAW"),
        tccd_s=n("nCCDS"),
        tccd_l=n("nCCDL"),
        tccd_s_write=n("nCCDS_WR", "nCCDS"),
        tccd_l_write=n("nCCDL_WR", "nCCDL"),
        twtr_s=n("nWTRS"),
        twtr_l=n("nWTRL"),
        trtp=n("nRTP", "nRTPL"),
        twr=n("nWR"),
        trtrs=n("nCS"),
        tppd=n("nPPD"),
        trfc=n("nRFC"),
        trfc_bank=n("nRFCpb"),
        trrefd=n("nRREFD", "nPBR2ACT"),
        trefresh_gap=n("nRREFD", "nPBR2PBR"),
        trefi=n("nREFI") if refreshes else 0,
        postponed=POSTPONED,
        pulled_in=PULLED_IN,
    )


def dramsim_timings(text: str, source: str) -> Timings:
    """Timings of a DRAMsim3 configuration.

    Keys that DRAMsim3 leaves unread but JEDEC demands (tRTP_L of HBM) count here; for keys that are not
    there, DRAMsim3's defaults do.

    Raises:
        CgsimError: a protocol that the checker does not know.
    """
    ini = configparser.ConfigParser()
    ini.optionxform = str  # type: ignore[assignment,method-assign]
    ini.read_string(text)
    structure, timing, system = ini["dram_structure"], ini["timing"], ini["system"]
    protocol = structure["protocol"]
    if protocol not in ("DDR4", "LPDDR4", "HBM", "HBM2"):
        raise CgsimError(f"{source}: protocol: the checker knows DDR4, LPDDR4 and HBM, not {protocol!r}")
    hbm, lpddr4 = protocol.startswith("HBM"), protocol == "LPDDR4"

    def time(name: str, otherwise: int) -> int:
        return int(timing.get(name, str(otherwise)))

    tck = float(timing.get("tCK", "1.0"))
    burst = int(structure.get("BL", "8")) // 2
    additive = time("AL", 0)
    trcd = time("tRCD", 10)
    trrefd = time("tRRD_L", 4)
    devices = int(system["bus_width"]) // int(structure["device_width"])
    page_bits = int(structure["columns"]) * int(structure["device_width"]) * (2 if hbm else 1)
    banks = int(structure["bankgroups"]) * int(structure["banks_per_group"])
    rank_mib = devices * page_bits * int(structure["rows"]) * banks // 8 >> 20
    gap = math.ceil(_TDQSCK_MAX_NS / tck) + _LPDDR4_PREAMBLE if lpddr4 else 1 + time("tWPRE", 1)
    return Timings(
        channels=int(system.get("channels", "1")),
        ranks=max(1, int(system["channel_size"]) // rank_mib),
        bank_groups=int(structure["bankgroups"]),
        banks=int(structure["banks_per_group"]),
        pseudo_channels=0,
        command_buses=2 if hbm else 1,
        activate_clocks=1,
        activate_shift=0,
        burst=burst,
        burst_group=burst,
        read_latency=additive + time("CL", 12),
        write_latency=additive + time("CWL", 12),
        write_extra=int(lpddr4),
        read_to_write_gap=gap,
        trcd_read=(time("tRCDRD", 24) if hbm else trcd) - additive,
        trcd_write=(time("tRCDWR", 20) if hbm else trcd) - additive,
        trp=time("tRP", 10),
        trp_all=time("tRP", 10),
        tras=time("tRAS", 24),
        trc=time("tRAS", 24) + time("tRP", 10),
        trrd_s=time("tRRD_S", 4),
        trrd_l=trrefd,
        tfaw=time("tFAW", 50),
        tccd_s=time("tCCD_S", 4),
        tccd_l=time("tCCD_L", 6),
        tccd_s_write=time("tCCD_S", 4),
        tccd_l_write=time("tCCD_L", 6),
        twtr_s=time("tWTR_S", 5),
        twtr_l=time("tWTR_L", 5),
        trtp=additive + (time("tRTP_L", 5) if hbm and "tRTP" not in timing else time("tRTP", 5)),
        twr=time("tWR", 10),
        trtrs=time("tRTRS", 2),
        tppd=time("tPPD", 0) if lpddr4 else 0,
        trfc=time("tRFC", 74),
        trfc_bank=time("tRFCb", 20),
        trrefd=trrefd,
        trefresh_gap=trrefd,
        trefi=time("tREFI", 7800),
        postponed=POSTPONED,
        pulled_in=PULLED_IN,
    )
