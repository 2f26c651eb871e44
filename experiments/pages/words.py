"""Scores and p values as the pages write them."""

from __future__ import annotations

from experiments.pages.table import Cell


def spread(cell: Cell, column: str) -> str:
    """Return mean and sample standard deviation of a score over the runs, x100."""
    mean, std = cell.mean_and_std(column)
    if mean != mean:  # kappa, where the test pixels of a run are of one class
        return ""
    return f"{100 * mean:.2f}" if std is None else f"{100 * mean:.2f} ± {100 * std:.2f}"


def p_words(p: float) -> str:
    """Return a p value to three digits, nothing where there is none."""
    if p != p:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
