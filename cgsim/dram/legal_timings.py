"""What the checker of legality holds a log against: JEDEC's parameters by name, read from a configuration.

Read anew from the files of both tools, not from what the controllers make of them: a controller's mistake
must not become the checker's.
"""

from __future__ import annotations

import configparser
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from cgsim.dram.own_config import kind_of, parse_own, read_config
from cgsim.dram.settings import Config
from cgsim.errors import CgsimError
from cgsim.yamlfile import parse_yaml


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


def load_timings(path: str | os.PathLike[str]) -> Timings:
    """Timings of a configuration file, which `own_config.load_config` accepts.

    Raises:
        CgsimError: unreadable, or of a standard that the checker does not know.
    """
    text = read_config(path)
    kind = kind_of(text, str(path))
    if kind == "dramsim3":
        return dramsim_timings(text, str(path))
    if kind == "ramulator2":
        return ramulator_timings(parse_yaml(text, str(path)), str(path))
    return standard_timings(parse_own(text, str(path)))


def standard_timings(config: Config) -> Timings:
    """Timings of a standard of ours; what LPDDR adds after writes is in its tWR and tWTR."""
    d = config.device
    return Timings(
        channels=config.channels,
        ranks=config.ranks * d.pseudo,
        bank_groups=d.groups,
        banks=d.banks,
        pseudo_channels=int(d.pseudo > 1),
        command_buses=1 + d.dual,
        activate_clocks=d.act_clocks,
        activate_shift=d.act_shift,
        burst=d.burst,
        burst_group=d.burst_max,
        read_latency=d.cl,
        write_latency=d.cwl,
        write_extra=0,
        read_to_write_gap=d.rtw - d.cl - d.burst + d.cwl,
        trcd_read=d.rcdr,
        trcd_write=d.rcdw,
        trp=d.rp,
        trp_all=d.rpab,
        tras=d.ras,
        trc=d.rc,
        trrd_s=d.rrds,
        trrd_l=d.rrdl,
        tfaw=d.faw,
        tccd_s=d.ccds,
        tccd_l=d.ccdl,
        tccd_s_write=d.ccds,
        tccd_l_write=d.ccdl,
        twtr_s=d.wtrs,
        twtr_l=d.wtrl,
        trtp=d.rtp,
        twr=d.wr,
        trtrs=d.cs,
        tppd=d.ppd,
        trfc=d.rfc,
        trfc_bank=d.rfcpb,
        trrefd=d.pbact,
        trefresh_gap=d.pbpb,
        trefi=0 if config.refresh == "none" else d.refi,
        postponed=POSTPONED,
        pulled_in=PULLED_IN,
    )


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
    ini = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";", " #"))
    ini.optionxform = str  # type: ignore[assignment,method-assign]
    ini.read_string(text, source)
    structure, timing, system = ini["dram_structure"], ini["timing"], ini["system"]
    protocol = structure["protocol"]
    if protocol not in ("DDR3", "DDR4", "LPDDR4", "HBM", "HBM2"):
        known = "DDR3, DDR4, LPDDR4 and HBM"
        raise CgsimError(f"{source}: protocol: the checker knows {known}, not {protocol!r}")
    hbm, lpddr4 = protocol.startswith("HBM"), protocol == "LPDDR4"

    def time(name: str, otherwise: int) -> int:
        return int(timing.get(name, str(otherwise)))

    tck = float(timing.get("tCK", "1.0"))
    burst = int(structure.get("BL", "8")) // 2
    additive = time("AL", 0)
    trcd = time("tRCD", 10)
    groups, banks = int(structure["bankgroups"]), int(structure["banks_per_group"])
    if not structure.getboolean("bankgroup_enable", True):
        groups, banks = 1, groups * banks
    # With one bank group there is none that is another.
    tccd_l = time("tCCD_L", 6) if groups > 1 else time("tCCD_S", 4)
    twtr_l = time("tWTR_L", 5) if groups > 1 else time("tWTR_S", 5)
    trrd_l = time("tRRD_L", 4) if groups > 1 else time("tRRD_S", 4)
    devices = int(system["bus_width"]) // int(structure["device_width"])
    page_bits = int(structure["columns"]) * int(structure["device_width"]) * (2 if hbm else 1)
    rank_mib = devices * page_bits * int(structure["rows"]) * groups * banks // 8 >> 20
    gap = math.ceil(_TDQSCK_MAX_NS / tck) + _LPDDR4_PREAMBLE if lpddr4 else 1 + time("tWPRE", 1)
    return Timings(
        channels=int(system.get("channels", "1")),
        ranks=max(1, int(system["channel_size"]) // rank_mib),
        bank_groups=groups,
        banks=banks,
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
        trrd_l=trrd_l,
        tfaw=time("tFAW", 50),
        tccd_s=time("tCCD_S", 4),
        tccd_l=tccd_l,
        tccd_s_write=time("tCCD_S", 4),
        tccd_l_write=tccd_l,
        twtr_s=time("tWTR_S", 5),
        twtr_l=twtr_l,
        trtp=additive + (time("tRTP_L", 5) if hbm and "tRTP" not in timing else time("tRTP", 5)),
        twr=time("tWR", 10),
        trtrs=time("tRTRS", 2),
        tppd=time("tPPD", 0) if lpddr4 else 0,
        trfc=time("tRFC", 74),
        trfc_bank=time("tRFCb", 20),
        trrefd=trrd_l,
        trefresh_gap=trrd_l,
        trefi=time("tREFI", 7800),
        postponed=POSTPONED,
        pulled_in=PULLED_IN,
    )
