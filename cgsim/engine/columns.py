"""The columns that the engine fills, one row per sample x layer: the names used everywhere in cgsim."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One result column: its name, its unit ("1" where it is a ratio) and what it means."""

    name: str
    unit: str
    description: str


MODES = ("dense", "gated")

PHASES = {
    "load_weights": "the array waits for stationary operands to be shifted in (`ws` weights, `is` "
    "activations, `os` row addresses): first fold, and folds of fewer vectors than rows",
    "base": "vectors of the base path enter the array (dense: of the whole reduction)",
    "decision": "the last base sums leave the array and are compared with the thresholds; or a gate "
    "network runs",
    "conditional": "needed vectors of the conditional path enter the array, averaged over column groups",
    "drain": "the last results leave the array; `os`: the drain chain is not free",
    "vector": "the vector unit works and nothing else does",
}
STALLS = {
    "activation_load": "the array waits for activations from DRAM",
    "weight_load": "the array waits for weights from DRAM",
    "store": "the array waits for an accumulator whose tile is still being stored, or the layer for its "
    "last store",
    "gate_unit": "needed vectors are found more slowly by the index scanner than the array takes them",
    "bank_conflict": "feeds of several column groups want one bank of the activation buffer",
    "group_imbalance": "column groups wait for the group that needs the most vectors",
}
TENSORS = {
    "base_weights_read": "weights of the base path (dense: all weights)",
    "conditional_weights_read": "weights of the conditional path",
    "activations_read": "input activations, halos of tiles read again",
    "residual_read": "the other operand of a residual addition fused into the layer",
    "activations_write": "output activations",
}


def _columns() -> list[Column]:
    columns = [
        Column("sample", "index", "position of the sample in the trace"),
        Column("layer", "name", "layer of the network"),
        Column("operator", "name", "operator of the layer"),
    ]
    columns += [Column(f"{mode}_cycles", "cycles", f"{mode} execution, end to end") for mode in MODES]
    for mode in MODES:
        text = f"{mode} execution on the array alone: unlimited buffers, memory that never stalls it"
        columns.append(Column(f"{mode}_array_cycles", "cycles", text))
    for mode in MODES:
        columns += [Column(f"{mode}_{k}_cycles", "cycles", f"{mode}: {v}") for k, v in PHASES.items()]
    for mode in MODES:
        columns += [Column(f"{mode}_{k}_stall_cycles", "cycles", f"{mode}: {v}") for k, v in STALLS.items()]
    columns.append(Column("dense_macs", "MACs", "multiply-accumulates of the ungated layer"))
    columns.append(Column("gated_macs", "MACs", "multiply-accumulates executed, gate networks included"))
    for mode in MODES:
        columns += [
            Column(f"{mode}_{k}_bytes", "bytes", f"{mode}, off-chip: {v}") for k, v in TENSORS.items()
        ]
    for mode in MODES:
        columns.append(
            Column(f"{mode}_offchip_bytes", "bytes", f"{mode}: off-chip reads and writes, all tensors")
        )
    columns.append(Column("density", "1", "share of the layer's gates that are 1 (1 where it has none)"))
    return columns


COLUMNS: tuple[Column, ...] = tuple(_columns())
