"""The stepped reference: plain Python, one loop turn = one cycle, written to be obvious and slow.

Tests hold every kernel against it. It shares no code with the kernels.
"""
