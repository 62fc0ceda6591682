"""What billing is, as values and pure functions: no I/O, no clock, no framework."""
