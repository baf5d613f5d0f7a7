"""What an accelerator is: validated configuration, shipped accelerators."""

from cgsim.hardware.area import Area, area
from cgsim.hardware.chip import Array, Buffers, GateUnit, VectorUnit
from cgsim.hardware.energy import EnergyCosts, energy_costs
from cgsim.hardware.engines import Engine, Engines, Host
from cgsim.hardware.fpga import Resources, resources
from cgsim.hardware.given import Costs, Fpga
from cgsim.hardware.loader import available_hardware, find_hardware, load_hardware, parse_setting
from cgsim.hardware.model import Hardware
from cgsim.hardware.offchip import Dma, Dram

__all__ = [
    "Area",
    "Array",
    "Buffers",
    "Costs",
    "Dma",
    "Dram",
    "EnergyCosts",
    "Engine",
    "Engines",
    "Fpga",
    "GateUnit",
    "Hardware",
    "Host",
    "Resources",
    "VectorUnit",
    "area",
    "available_hardware",
    "energy_costs",
    "find_hardware",
    "load_hardware",
    "parse_setting",
    "resources",
]
