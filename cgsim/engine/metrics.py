"""What a run of the pipeline counts, int64 [METRICS]."""

from __future__ import annotations

CYCLES = 0
"""End to end: the sum of the phases and stalls that follow."""
LOAD_WEIGHTS, BASE, DECISION, CONDITIONAL_PHASE, DRAIN, VECTOR = range(1, 7)
ACTIVATION_LOAD, WEIGHT_LOAD, STORE, GATE_UNIT, BANK_CONFLICT, GROUP_IMBALANCE = range(7, 13)
BASE_WEIGHTS_READ, CONDITIONAL_WEIGHTS_READ, ACTIVATIONS_READ, RESIDUAL_READ, ACTIVATIONS_WRITE = range(
    13, 18
)
"""Bytes; the bursts of a tensor are TENSOR_COUNT further."""
TENSOR_COUNT = 5
METRICS = 18 + TENSOR_COUNT
PARTS, BYTES, BURSTS = slice(1, 13), slice(13, 18), slice(18, 23)
