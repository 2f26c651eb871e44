"""Pictures of results, drawn from numbers; every one is a `matplotlib.figure.Figure`, without pyplot."""

from hsi.figures.confusion import draw_confusion
from hsi.figures.curves import draw_curves
from hsi.figures.distance import draw_distance
from hsi.figures.false_color import draw_false_color
from hsi.figures.maps import draw_confidence, draw_errors, draw_labels, draw_prediction
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
    "draw_spectra",
]
