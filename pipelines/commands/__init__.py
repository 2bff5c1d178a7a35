"""The commands of `drgq` by subject: they read arguments, call the functions that do the work, and print."""
