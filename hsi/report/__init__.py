"""Finished runs as one self-contained HTML page: scores with leakage, curves, tables, a map."""
