"""How a layer becomes operations, column slots, tiles and DRAM traffic. Counts no cycles."""
