"""Growth with scene size, bands, patch width and processes: a laboratory, run from a checkout."""
