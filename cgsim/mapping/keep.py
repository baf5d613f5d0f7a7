"""Which results stay in the activation buffer for the layers that read them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Residency:
    """What of an operation's data is in the activation buffer all the time that it runs.

    reserved_bytes
        taken from the activation buffer by every tensor that is kept while the operation runs, for the whole
        batch: its own output and operands where they are kept, and what later operations will read.
    input_kept
        the input is not loaded.
    operands_kept
        so many operands are not loaded: residual operands of an operation on the array, operands of an
        addition on the vector unit.
    output_kept
        the output is not stored.
    """

    reserved_bytes: int = 0
    input_kept: bool = False
    operands_kept: int = 0
    output_kept: bool = False


NOTHING_KEPT = Residency()
