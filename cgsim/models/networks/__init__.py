"""The networks, one family per file; `build_network` makes one by its name."""
