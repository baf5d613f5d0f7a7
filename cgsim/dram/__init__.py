"""Off-chip memory, command by command: controllers, their settings, energy, and the checker of legality.

Policies: `default` (ours), `ramulator2` and `dramsim3` (the rules of those tools). A stream of requests is
offered as runs, strictly in order; docs/dram.md tells the rules.
"""
