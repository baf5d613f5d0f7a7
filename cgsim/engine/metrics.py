"""What a run of the pipeline counts, int64 [METRICS]."""

from __future__ import annotations

CYCLES = 0
"""End to end: the sum of the phases and stalls that follow."""
LOAD_WEIGHTS, BASE, DECISION, CONDITIONAL_PHASE, DRAIN, VECTOR, HOST = range(1, 8)
ACTIVATION_LOAD, WEIGHT_LOAD, STORE, GATE_UNIT, BANK_CONFLICT, GROUP_IMBALANCE = range(8, 14)
BASE_WEIGHTS_READ, CONDITIONAL_WEIGHTS_READ, ACTIVATIONS_READ, RESIDUAL_READ, ACTIVATIONS_WRITE = range(
    14, 19
)
"""Bytes; the bursts of a tensor are TENSOR_COUNT further."""
TENSOR_COUNT = 5
METRICS = 19 + TENSOR_COUNT
PARTS, BYTES, BURSTS = slice(1, 14), slice(14, 19), slice(19, 24)
