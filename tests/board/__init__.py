"""The board that DPACS was measured on, against its model (docs/board.md)."""
