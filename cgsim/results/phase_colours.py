"""Colours of phases and stall causes, the same in every plot; stalls are hatched besides."""

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
