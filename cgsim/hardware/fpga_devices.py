"""FPGAs that cgsim knows: what each of them has, from the vendors' data sheets."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from cgsim.yamlfile import read_yaml

RESOURCES = {
    "dsp": "DSP slices",
    "lut": "LUTs",
    "ff": "flip-flops",
    "bram36": "block RAMs of 36 Kb",
    "uram": "UltraRAMs",
}
"""The resources of an FPGA, and what messages call them."""

FAMILIES = ("7-series", "ultrascale+", "ecp5")


@dataclass(frozen=True)
class Device:
    """An FPGA: its family, how much it has of each resource, and the data sheet that says so."""

    name: str
    family: str
    lut: int
    ff: int
    dsp: int
    bram36: int
    uram: int
    source: str


@functools.cache
def devices() -> dict[str, Device]:
    """The devices of fpga_devices.yaml, by name."""
    table = read_yaml(Path(__file__).with_name("fpga_devices.yaml"))
    return {name: Device(name, **values) for name, values in table.items()}


def find_device(part: str | None) -> Device | None:
    """Return the device of a part name, which may be longer (`xczu9eg-ffvb1156-2-e`); None if unknown."""
    if part is None:
        return None
    fits = [name for name in devices() if part.upper().startswith(name)]
    return devices()[max(fits, key=len)] if fits else None
