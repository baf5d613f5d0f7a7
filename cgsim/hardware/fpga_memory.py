"""How many block RAMs, UltraRAMs or LUTs a memory of an FPGA takes: from its ports, not from its bits.

A memory of `depth` words of `width` bits with one write and one read port is built of whole blocks, side by
side and one behind the other. A block RAM of 18 Kb can be 512 x 36, 1K x 18, 2K x 9, 4K x 4, 8K x 2 or
16K x 1 (AMD UG473 and UG573, simple dual-port; Lattice FPGA-TN-02204 for ECP5), one of 36 Kb is two of them;
an UltraRAM is 4K x 72 (UG573). Memories of up to 64 words become LUTs ("distributed RAM").
"""

from __future__ import annotations

SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""Words and bits of a block RAM of 18 Kb."""
URAM_WORDS, URAM_BITS = 4096, 72
LUTRAM_WORDS = 64
"""Deeper memories become block RAMs."""
LUTRAM = {"7-series": (6, 4), "ultrascale+": (14, 8), "ecp5": (4, 6)}
"""Bits of a word that a group of LUTs stores, and LUTs of the group: RAM32M, RAM32M16 (32 words), and a
16 x 4 RAM with the two LUTs that its write port takes."""
LUTRAM_DEPTH = {"7-series": 32, "ultrascale+": 32, "ecp5": 16}


def blocks18(words: int, bits: int) -> int:
    """Block RAMs of 18 Kb of a memory: the fewest of one shape."""
    if words <= 0 or bits <= 0:
        return 0
    return min(-(-words // depth) * -(-bits // width) for depth, width in SHAPES)


def ultrarams(words: int, bits: int) -> int:
    """UltraRAMs of a memory."""
    return -(-words // URAM_WORDS) * -(-bits // URAM_BITS) if words > 0 and bits > 0 else 0


def luts_of_memory(words: int, bits: int, family: str) -> int:
    """LUTs of a memory with one read port, without the multiplexers of one deeper than a LUT holds."""
    if words <= 0 or bits <= 0:
        return 0
    stored, luts = LUTRAM[family]
    return -(-words // LUTRAM_DEPTH[family]) * -(-bits // stored) * luts
