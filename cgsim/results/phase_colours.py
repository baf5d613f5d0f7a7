"""Colours of phases, stall causes (hatched besides) and parts of the energy, the same in every plot."""

from __future__ import annotations

from cgsim.results import style

PHASE_COLOURS = {
    "load_weights": style.GREY,
    "base": style.BLUE,
    "decision": style.BLACK,
    "conditional": style.SKY,
    "drain": style.PURPLE,
    "vector": style.GREEN,
    "host": style.VERMILLION,
}
STALL_COLOURS = {
    "activation_load": style.ORANGE,
    "weight_load": style.VERMILLION,
    "store": style.YELLOW,
    "gate_unit": style.PURPLE,
    "bank_conflict": style.GREEN,
    "group_imbalance": style.SKY,
}
STALL_HATCH = "/////"

ENERGY_COLOURS = {
    "array: MACs": style.BLUE,
    "array: idle and gated PEs": style.GREY,
    "array: registers": style.SKY,
    "buffers": style.ORANGE,
    "gate unit": style.BLACK,
    "vector unit": style.GREEN,
    "leakage": style.YELLOW,
    "DRAM": style.VERMILLION,
}
