"""The gated layers of the four methods, one file each."""
