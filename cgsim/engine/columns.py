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
    "host": "the host prepares and starts the layer (`host.call_us`)",
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

DRAM_COUNTS = {
    "read_commands": "column commands that read",
    "write_commands": "column commands that write",
    "row_hits": "accesses that found their row open",
    "row_misses": "accesses that found their bank closed",
    "row_conflicts": "accesses that found another row open",
    "activates": "rows opened",
    "precharges": "rows closed by command",
    "refreshes": "refreshes of all banks of a rank",
    "bank_refreshes": "refreshes of one bank",
    "clock": "DRAM clocks until the layer's end, x data buses if there are several channels",
    "data_cycles": "DRAM clocks in which a data bus carried data",
    "lost_no_request": "DRAM clocks of the data bus lost: nobody asked",
    "lost_refresh": "DRAM clocks of the data bus lost to refresh",
    "lost_activate": "DRAM clocks of the data bus lost to closing and opening rows",
    "lost_bank_group": "DRAM clocks of the data bus lost between accesses of a bank group",
    "lost_turnaround": "DRAM clocks of the data bus lost between reads and writes",
    "lost_rank": "DRAM clocks of the data bus lost between ranks",
    "lost_queue": "DRAM clocks of the data bus lost otherwise: command bus, order",
}
"""Those of `cgsim.dram.counters` that are columns; of `standard: ideal` all are 0."""

ACCESSES = {
    "base_macs": ("MACs", "on the array, of the base path (dense: all)"),
    "conditional_macs": ("MACs", "on the array, of the conditional path"),
    "deciding_macs": ("MACs", "of gate networks, on the vector unit"),
    "clock_gated_pe_cycles": ("PE-cycles", "a vector passes a PE that has no MAC to do"),
    "idle_pe_cycles": ("PE-cycles", "no vector is in the PE"),
    "register_bytes": ("bytes", "operands and sums passed from PE to PE"),
    "activation_buffer_read_bytes": ("bytes", "read from the activation buffer"),
    "activation_buffer_write_bytes": ("bytes", "written to the activation buffer"),
    "weight_buffer_read_bytes": ("bytes", "read from the weight buffer"),
    "weight_buffer_write_bytes": ("bytes", "written to the weight buffer"),
    "accumulator_read_bytes": ("bytes", "read from the accumulator buffer"),
    "accumulator_write_bytes": ("bytes", "written to the accumulator buffer"),
    "gate_buffer_read_bytes": ("bytes", "read from the gate buffer"),
    "gate_buffer_write_bytes": ("bytes", "written to the gate buffer"),
    "decisions": ("decisions", "sums compared with thresholds"),
    "scanned_bits": ("bits", "gate bits that index scanners examine"),
    "fifo_entries": ("entries", "indices through the queues of the column groups"),
    "vector_operations": ("operations", "element operations of the vector unit"),
}
"""Name, unit and meaning of what a run accesses and occupies (docs/energy.md)."""

ENERGIES = {
    "base_macs": "MACs of the base path (dense: all)",
    "conditional_macs": "MACs of the conditional path",
    "clock_gated_pes": "PEs that a vector passes without a MAC",
    "idle_pes": "PEs without a vector",
    "registers": "operands and sums passed from PE to PE",
    "activation_buffer": "accesses of the activation buffer",
    "weight_buffer": "accesses of the weight buffer",
    "accumulator": "accesses of the accumulator buffer",
    "gate_buffer": "accesses of the gate buffer",
    "gate_unit": "comparators, index scanners and queues",
    "vector_unit": "operations of the vector unit, gate networks among them",
    "leakage": "leakage of the whole chip until the layer's end",
    "dram": "DRAM devices until the layer's end",
}
"""Components of the energy. NaN where a cost is not known."""


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
    for mode in MODES:
        columns += [
            Column(f"{mode}_{k}_bursts", "bursts", f"{mode}, off-chip bursts: {v}")
            for k, v in TENSORS.items()
        ]
    for mode in MODES:
        columns.append(Column(f"{mode}_offchip_bursts", "bursts", f"{mode}: off-chip bursts, all tensors"))
    for mode in MODES:
        columns += [Column(f"{mode}_dram_{k}", "1", f"{mode}, DRAM: {v}") for k, v in DRAM_COUNTS.items()]
    for mode in MODES:
        columns += [Column(f"{mode}_{k}", unit, f"{mode}: {v}") for k, (unit, v) in ACCESSES.items()]
    for mode in MODES:
        columns += [
            Column(f"{mode}_{k}_energy_pj", "pJ", f"{mode}, energy: {v}") for k, v in ENERGIES.items()
        ]
        text = f"{mode}, energy: all components (NaN where one is not known)"
        columns.append(Column(f"{mode}_energy_pj", "pJ", text))
    columns.append(Column("density", "1", "share of the layer's gates that are 1 (1 where it has none)"))
    return columns


COLUMNS: tuple[Column, ...] = tuple(_columns())
