"""Accelerators of several engines, pipelined over the convolutions of a block (section `engines`).

Not the systolic array: each engine multiplies some input by some output channels at once, pixel by pixel. The
model, and the board that it was held against: docs/board.md.
"""

from cgsim.engine.blocks.run import run_blocks

__all__ = ["run_blocks"]
