"""What an accelerator is: validated configuration, shipped accelerators."""

from cgsim.hardware.fpga import Resources, resources
from cgsim.hardware.loader import available_hardware, find_hardware, load_hardware, parse_setting
from cgsim.hardware.model import Array, Buffers, Dma, Dram, Fpga, GateUnit, Hardware, VectorUnit

__all__ = [
    "Array",
    "Buffers",
    "Dma",
    "Dram",
    "Fpga",
    "GateUnit",
    "Hardware",
    "Resources",
    "VectorUnit",
    "available_hardware",
    "find_hardware",
    "load_hardware",
    "parse_setting",
    "resources",
]
