"""Writing files so that nothing is ever half there: whole files, locks, signals that wait."""
