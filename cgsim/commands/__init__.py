"""The commands of the command line, one file for each group. Thin: they parse, call and print."""
