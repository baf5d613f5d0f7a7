"""Energy of a DRAM from the currents of its data sheet (IDD), per command and background.

Scope: the devices of the ranks that are simulated, core supply (VDD). Not in it: VPP (IPP), I/O, termination.
An energy is V x mA x clocks x ns per clock = pJ, times the devices of a rank, since each command reaches all
of them. The formulas are DRAMsim3's, which take the background current off that of each command. (The tool
prints the same sums without the ns per clock, in V mA clocks, as pJ; its mean power in mW is right.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from cgsim.dram.counters import (
    ACTIVATES,
    ACTIVE_CYCLES,
    BANK_REFRESHES,
    CLOCK,
    IDLE_CYCLES,
    READ_COMMANDS,
    REFRESHES,
    SELF_REFRESH_CYCLES,
    WRITE_COMMANDS,
)
from cgsim.dram.standards import Standard

PARTS = ("activate", "read", "write", "refresh", "bank_refresh", "active", "idle", "self_refresh")
"""What energy is spent on: commands, then ranks with a bank open, with all closed, in self refresh."""
_COUNTED = (
    ACTIVATES,
    READ_COMMANDS,
    WRITE_COMMANDS,
    REFRESHES,
    BANK_REFRESHES,
    ACTIVE_CYCLES,
    IDLE_CYCLES,
    SELF_REFRESH_CYCLES,
)


@dataclass(frozen=True)
class Currents:
    """What the energy of a rank depends on. Currents in mA per device, times in DRAM clocks.

    `bank_refresh` (IDD5PB) and `self_refresh` (IDD6) are needed only where such clocks are counted.
    """

    vdd: float
    """Supply voltage, V."""
    idd0: float
    """One bank activated and precharged again and again."""
    idd2n: float
    """All banks closed."""
    idd3n: float
    """A bank open."""
    idd4r: float
    """Reading without pause."""
    idd4w: float
    """Writing without pause."""
    idd5ab: float
    """Refreshing all banks."""
    devices: int
    """Devices of a rank (of a pseudo-channel)."""
    tras: int
    trp: int
    trfc: int
    burst: int
    """Clocks that the data of a column command take."""
    tck_ns: float
    idd5pb: float | None = None
    idd6: float | None = None
    trfc_bank: int | None = None


def clocks_energy(currents: Currents) -> np.ndarray:
    """V mA clocks per command, or per clock of background, of all devices of a rank: [PARTS].

    NaN where the currents for it are not given.
    """
    c = currents
    active_part = c.idd3n * c.tras + c.idd2n * c.trp
    bank_refresh = np.nan if c.idd5pb is None or c.trfc_bank is None else (c.idd5pb - c.idd3n) * c.trfc_bank
    each = (
        c.idd0 * (c.tras + c.trp) - active_part,
        (c.idd4r - c.idd3n) * c.burst,
        (c.idd4w - c.idd3n) * c.burst,
        (c.idd5ab - c.idd3n) * c.trfc,
        bank_refresh,
        c.idd3n,
        c.idd2n,
        np.nan if c.idd6 is None else c.idd6,
    )
    return np.array(each) * c.vdd * c.devices


def energy_pj(currents: Currents, counts: np.ndarray) -> dict[str, float]:
    """Energy in pJ per part, from what a controller counted; their sum is under "total"."""
    energy = clocks_energy(currents) * currents.tck_ns
    times = counts[list(_COUNTED)]
    found = {
        part: float(each * count) if count else 0.0
        for part, each, count in zip(PARTS, energy, times, strict=True)
    }
    return {**found, "total": sum(found.values())}


def mean_power_mw(currents: Currents, counts: np.ndarray) -> float:
    """Mean power in mW (pJ per ns) over the clocks that the controller has run, all ranks and channels."""
    clocks = int(counts[CLOCK])
    return energy_pj(currents, counts)["total"] / (clocks * currents.tck_ns) if clocks else 0.0


def dramsim_currents(
    power: Mapping[str, float], timing: Mapping[str, int], devices: int, burst: int, tck_ns: float
) -> Currents:
    """Currents under the names of DRAMsim3's .ini."""
    return Currents(
        vdd=power["VDD"],
        idd0=power["IDD0"],
        idd2n=power["IDD2N"],
        idd3n=power["IDD3N"],
        idd4r=power["IDD4R"],
        idd4w=power["IDD4W"],
        idd5ab=power["IDD5AB"],
        devices=devices,
        tras=timing["tRAS"],
        trp=timing["tRP"],
        trfc=timing["tRFC"],
        burst=burst,
        tck_ns=tck_ns,
        idd5pb=power["IDD5PB"],
        idd6=power["IDD6x"],
        trfc_bank=timing["tRFCb"],
    )


def standard_currents(device: Standard) -> Currents | None:
    """Currents of a standard of ours; None where they are not known."""
    if device.currents is None:
        return None
    return Currents(
        **asdict(device.currents),
        tras=device.ras,
        trp=device.rp,
        trfc=device.rfc,
        burst=device.burst,
        tck_ns=device.tck_ps / 1000,
    )
