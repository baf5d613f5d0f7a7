"""Conservation: cycles, bytes and MACs must each add up. A violation is a bug, never the user's fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cgsim.engine.columns import MODES, PHASES, STALLS, TENSORS
from cgsim.mapping.operations import Operation

if TYPE_CHECKING:
    from cgsim.engine.replays import Replay


def check_conservation(
    columns: dict[str, np.ndarray],
    executed: np.ndarray,
    stored: np.ndarray,
    replays: Sequence[Replay],
    batch: int,
) -> None:
    """Raise AssertionError, with the layer's name, where a count of the run contradicts another.

    PE-cycles with a MAC, without one and without a vector sum to the PE-cycles of a batch, none negative.
    Phases and stalls sum to the cycles; tensors sum to the off-chip bytes; every output not kept on chip is
    stored (of gated execution `stored`, int64 [rows]) and every weight of a dense layer is read at least once
    per batch of at most `batch` samples; executed MACs equal `executed`, int64 [rows], counted from the gates
    without the engine.
    """
    samples = len(executed) // len(replays)
    _check_pe_cycles(columns, replays, batch)
    for mode in MODES:
        names = [f"{phase}_cycles" for phase in PHASES] + [f"{cause}_stall_cycles" for cause in STALLS]
        parts = np.sum([columns[f"{mode}_{name}"] for name in names], axis=0)
        _equal(columns, f"{mode} phases and stalls", parts, columns[f"{mode}_cycles"])
        total = np.sum([columns[f"{mode}_{tensor}_bytes"] for tensor in TENSORS], axis=0)
        _equal(columns, f"{mode} bytes of the tensors", total, columns[f"{mode}_offchip_bytes"])
        own = [
            (one.dense_operation, one.kept.dense) if mode == "dense" else (one.operation, one.kept.gated)
            for one in replays
        ]
        outputs = np.array([_outputs(operation) for operation, _ in own])
        bits = np.array([one.layer.activation_bits for one in replays])
        stores = np.array([not kept.output_kept for _, kept in own])
        expected = (stored if mode == "gated" else np.tile(outputs, samples)) * np.tile(stores, samples)
        written = columns[f"{mode}_activations_write_bytes"]
        _at_least(columns, f"{mode} bytes written", written, expected * np.tile(bits, samples) // 8)
        operands = [
            operation.residuals - kept.operands_kept if operation and operation.layer.on_array else 0
            for operation, kept in own
        ]
        residual = outputs * bits * np.array(operands) // 8
        read = columns[f"{mode}_residual_read_bytes"]
        _at_least(columns, f"{mode} residual bytes", read, np.tile(residual, samples))
    weights = [
        layer.out_channels * layer.reduction * layer.weight_bits // 8 // batch if layer.on_array else 0
        for layer in (one.layer for one in replays)
    ]
    _at_least(
        columns, "dense weight bytes", columns["dense_base_weights_read_bytes"], np.tile(weights, samples)
    )
    _equal(columns, "executed MACs", columns["gated_macs"], executed)


def _check_pe_cycles(columns: dict[str, np.ndarray], replays: Sequence[Replay], batch: int) -> None:
    pes = replays[0].hardware.array.pes
    for mode in MODES:
        unused = [columns[f"{mode}_{name}_pe_cycles"] for name in ("clock_gated", "idle")]
        for name, values in zip(("clock-gated", "idle"), unused, strict=True):
            _at_least(columns, f"{mode} {name} PE-cycles", values, np.zeros_like(values))
        used = columns[f"{mode}_base_macs"] + columns[f"{mode}_conditional_macs"]
        cycles = columns[f"{mode}_cycles"] * pes
        starts = np.arange(0, len(cycles) // len(replays), batch)
        found, expected = (
            np.add.reduceat(values.reshape(-1, len(replays)), starts)
            for values in (np.sum([used, *unused], axis=0), cycles)
        )
        for part, layer in np.argwhere(found != expected):
            row = int(part * batch * len(replays) + layer)
            text = _message(columns, f"{mode} PE-cycles", row, found[part, layer], f"{expected[part, layer]}")
            raise AssertionError(text)


def _outputs(operation: Operation | None) -> int:
    if operation is None or operation.layer.operator == "gate_network":
        return 0
    return operation.layer.out_channels * operation.layer.pixels


def _equal(columns: dict[str, np.ndarray], what: str, got: np.ndarray, expected: np.ndarray) -> None:
    for row in np.flatnonzero(got != expected).tolist():
        raise AssertionError(_message(columns, what, row, int(got[row]), f"{expected[row]}"))


def _at_least(columns: dict[str, np.ndarray], what: str, got: np.ndarray, least: np.ndarray) -> None:
    for row in np.flatnonzero(got < least).tolist():
        raise AssertionError(_message(columns, what, row, int(got[row]), f"at least {least[row]}"))


def _message(columns: dict[str, np.ndarray], what: str, row: int, got: int, expected: str) -> str:
    where = f"sample {columns['sample'][row]}, layer {columns['layer'][row]!r}"
    return f"{where}: {what}: {got}, expected {expected}"
