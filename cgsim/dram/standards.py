"""Standards of memories: organisation, timing in DRAM clocks, currents; numbers with their source."""

from __future__ import annotations

from dataclasses import dataclass

from cgsim.errors import CgsimError, nearest


@dataclass(frozen=True)
class Currents:
    """Of one device, in V and mA (names as data sheets give them); `devices` of them make a rank."""

    vdd: float
    idd0: float
    idd2n: float
    idd3n: float
    idd4r: float
    idd4w: float
    idd5ab: float
    devices: int


@dataclass(frozen=True)
class Standard:
    """One device grade, organised as a channel.

    request_bytes: one burst, the unit of a request. groups, banks (of a group), rows, columns (bursts of
    a row): of a rank or pseudo-channel. pseudo: pseudo-channels of a channel, each with its own data bus.
    dual: row and column commands have a bus each. act_clocks: clocks for which ACT holds its bus;
    act_shift: clocks after which it counts.

    Timing in clocks, JEDEC's names without the t: burst (data clocks of a request), burst_max (with the
    pauses inside a burst), rtw (RD to WR), rcdr and rcdw (ACT to RD, WR), rpab (after PREA), cs (between
    ranks), wrrdcs (least WR to RD of another rank), rfc and refi (all banks), rfcpb, refipb, pbact (to ACT
    of another bank), pbpb (to the next) of per-bank refresh; 0 where the standard has none. What LPDDR adds
    to tWR and tWTR for tDQSS (1) is in wr, wtrs, wtrl.
    """

    name: str
    source: str
    tck_ps: int
    request_bytes: int
    groups: int
    banks: int
    rows: int
    columns: int
    cl: int
    cwl: int
    burst: int
    rcdr: int
    rcdw: int
    rp: int
    rpab: int
    ras: int
    rc: int
    rtp: int
    wr: int
    ccds: int
    ccdl: int
    rrds: int
    rrdl: int
    faw: int
    wtrs: int
    wtrl: int
    rtw: int
    cs: int
    rfc: int
    refi: int
    burst_max: int = 0
    ppd: int = 0
    wrrdcs: int = 0
    rfcpb: int = 0
    refipb: int = 0
    pbact: int = 0
    pbpb: int = 0
    pseudo: int = 1
    dual: bool = False
    act_clocks: int = 1
    act_shift: int = 0
    currents: Currents | None = None
    currents_note: str = ""

    @property
    def rank_bytes(self) -> int:
        """Capacity of a rank or pseudo-channel."""
        return self.groups * self.banks * self.rows * self.columns * self.request_bytes

    @property
    def peak_bytes_per_clock(self) -> float:
        """Of one channel, all its pseudo-channels together."""
        return self.pseudo * self.request_bytes / self.burst


_RAMULATOR = "Ramulator 2.1 (commit c5b1c3a), preset "
_DRAMSIM = "DRAMsim3 (commit 2981759), "

_ALL = (
    Standard(
        name="DDR4-2400",
        source=_RAMULATOR
        + "DDR4_8Gb_x8, DDR4_2400U; 64-bit channel; currents: "
        + _DRAMSIM
        + "DDR4_8Gb_x8_2400",
        tck_ps=833,
        request_bytes=64,
        groups=4,
        banks=4,
        rows=65536,
        columns=128,
        cl=17,
        cwl=12,
        burst=4,
        burst_max=4,
        rcdr=17,
        rcdw=17,
        rp=17,
        rpab=17,
        ras=39,
        rc=56,
        rtp=9,
        wr=18,
        ccds=4,
        ccdl=6,
        rrds=4,
        rrdl=6,
        faw=26,
        wtrs=3,
        wtrl=9,
        rtw=11,
        cs=2,
        rfc=433,
        refi=9364,
        currents=Currents(1.2, 48, 34, 43, 135, 123, 250, 8),
    ),
    Standard(
        name="DDR4-3200",
        source=_RAMULATOR
        + "DDR4_8Gb_x8, DDR4_3200AA; 64-bit channel; currents: "
        + _DRAMSIM
        + "DDR4_8Gb_x8_3200",
        tck_ps=625,
        request_bytes=64,
        groups=4,
        banks=4,
        rows=65536,
        columns=128,
        cl=22,
        cwl=16,
        burst=4,
        burst_max=4,
        rcdr=22,
        rcdw=22,
        rp=22,
        rpab=22,
        ras=52,
        rc=74,
        rtp=12,
        wr=24,
        ccds=4,
        ccdl=8,
        rrds=4,
        rrdl=8,
        faw=34,
        wtrs=4,
        wtrl=12,
        rtw=12,
        cs=2,
        rfc=576,
        refi=12480,
        currents=Currents(1.2, 57, 37, 52, 168, 150, 250, 8),
    ),
    Standard(
        name="LPDDR4-2400",
        source=_DRAMSIM + "LPDDR4_8Gb_x16_2400: four x16 devices, 64-bit channel, bursts of 16",
        tck_ps=830,
        request_bytes=128,
        groups=2,
        banks=4,
        rows=65536,
        columns=64,
        cl=17,
        cwl=14,
        burst=8,
        burst_max=8,
        rcdr=15,
        rcdw=15,
        rp=15,
        rpab=15,
        ras=32,
        rc=47,
        rtp=12,
        wr=31,
        ccds=8,
        ccdl=8,
        rrds=8,
        rrdl=8,
        faw=32,
        wtrs=9,
        wtrl=17,
        rtw=18,
        cs=1,
        rfc=392,
        refi=8660,
        ppd=2,
        currents=Currents(1.2, 80, 34, 47, 243, 228, 280, 4),
    ),
    Standard(
        name="LPDDR5-6400",
        source=_RAMULATOR + "LPDDR5_8Gb_x16, LPDDR5_6400: one x16 device, clock of WCK always on",
        tck_ps=1250,
        request_bytes=32,
        groups=4,
        banks=4,
        rows=32768,
        columns=64,
        cl=17,
        cwl=9,
        burst=2,
        burst_max=4,
        rcdr=15,
        rcdw=15,
        rp=15,
        rpab=17,
        ras=34,
        rc=49,
        rtp=8,
        wr=29,
        ccds=2,
        ccdl=4,
        rrds=4,
        rrdl=4,
        faw=16,
        wtrs=6,
        wtrl=11,
        rtw=12,
        cs=2,
        wrrdcs=12,
        rfc=168,
        refi=3125,
        ppd=2,
        rfcpb=96,
        refipb=195,  # of one bank: the 391 of the preset is for two at once
        pbact=6,
        pbpb=72,
        act_clocks=2,
        currents_note="neither reference tool has currents of LPDDR5",
    ),
    Standard(
        name="HBM2-2000",
        source=_RAMULATOR + "HBM2_8Gb, HBM2_2000Mbps: two 64-bit pseudo-channels of a channel",
        tck_ps=1000,
        request_bytes=32,
        groups=4,
        banks=4,
        rows=65536,
        columns=32,
        cl=14,
        cwl=5,
        burst=2,
        burst_max=2,
        rcdr=14,
        rcdw=12,
        rp=14,
        rpab=14,
        ras=34,
        rc=48,
        rtp=5,
        wr=16,
        ccds=2,
        ccdl=4,
        rrds=4,
        rrdl=4,
        faw=15,
        wtrs=6,
        wtrl=8,
        rtw=13,
        cs=0,
        rfc=350,
        refi=3900,
        rfcpb=160,
        refipb=122,
        pbact=8,
        pbpb=8,
        pseudo=2,
        dual=True,
        act_clocks=2,
        act_shift=1,
        currents_note="the reference tools have currents of HBM2 for 128-bit channels only",
    ),
)
STANDARDS = {standard.name: standard for standard in _ALL}


def standard(name: str) -> Standard:
    """The standard of that name."""
    if name not in STANDARDS:
        raise CgsimError(f"dram standard {name!r} is unknown{nearest(name, STANDARDS)}")
    return STANDARDS[name]
