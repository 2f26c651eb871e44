"""Figures of results as `matplotlib.figure.Figure`, without pyplot."""

from hsi.figures.curves import draw_confusion, draw_curves, draw_distance
from hsi.figures.maps import draw_confidence, draw_errors, draw_false_color, draw_labels, draw_prediction
from hsi.figures.reliability_diagram import draw_reliability
from hsi.figures.spectra import draw_spectra

__all__ = [
    "draw_confidence",
    "draw_confusion",
    "draw_curves",
    "draw_distance",
    "draw_errors",
    "draw_false_color",
    "draw_labels",
    "draw_prediction",
    "draw_reliability",
    "draw_spectra",
]
