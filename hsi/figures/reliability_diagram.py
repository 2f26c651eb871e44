"""Reliability diagrams: accuracy against confidence, and how many pixels have which confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from hsi.confidence.reliability import ReliabilityBin
from hsi.errors import InputError
from hsi.figures.style import COLORS, COLUMN_MM, MARKERS, MM_PER_INCH, STYLE, Picture, draw_grid

_HEIGHT_INCHES = 3.4
_BARS_WIDTH = 0.8  # of all curves together, in bins


def draw_reliability(
    curves: Mapping[str, Sequence[ReliabilityBin]], *, width_mm: float = COLUMN_MM
) -> Figure:
    """Draw accuracy against mean confidence, bin by bin, above the share of pixels in each bin, in percent.

    On the diagonal confidence is right; below it the map is too sure. The expected calibration error stands
    behind each name. (Murphy and Winkler, Reliability of subjective probability forecasts, 1977; DeGroot and
    Fienberg, 1983.)

    Parameters
    ----------
    curves
        Bins as of `hsi.confidence.reliability.reliability_bins`, by name, such as "Before" and "After".

    Raises
    ------
    InputError
        When there are no pixels.
    """
    totals = {name: sum(one.pixels for one in bins) for name, bins in curves.items()}
    if not any(totals.values()):
        raise InputError("There is no reliability to draw: give pixels whose true classes are known.")
    with rc_context(STYLE):
        figure = Picture(figsize=(width_mm / MM_PER_INCH, _HEIGHT_INCHES), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot((0, 100), (0, 100), color="0.6", linestyle=":", zorder=0)
        for number, (name, bins) in enumerate(curves.items()):
            total = totals[name]
            if not total:
                continue
            known = [
                (100 * one.confidence, 100 * one.accuracy)
                for one in bins
                if one.confidence is not None and one.accuracy is not None
            ]
            error = sum(one.pixels * abs(one.gap) for one in bins) / total
            color = COLORS[number % len(COLORS)]
            above.plot(
                *zip(*known, strict=True),
                color=color,
                marker=MARKERS[number % len(MARKERS)],
                label=f"{name}: calibration error {100 * error:.1f} points",
            )
            shift = ((number + 0.5) / len(curves) - 0.5) * _BARS_WIDTH
            below.bar(
                [50 * (one.low + one.high) + 100 * shift * (one.high - one.low) for one in bins],
                [100 * one.pixels / total for one in bins],
                width=[100 * (one.high - one.low) * _BARS_WIDTH / len(curves) for one in bins],
                color=color,
            )
        start = min(_first_edge(bins) for bins in curves.values() if bins)
        below.set_xlim(start, 100)
        lowest = min(float(line.get_ydata().min()) for line in above.lines[1:])  # not of the diagonal
        above.set_ylim(min(start, lowest - 3), 103)
        above.set_ylabel("Pixels that are right (%)")
        below.set_ylabel("Pixels (%)")
        below.set_xlabel("Confidence (%)")
        draw_grid(above)
        figure.legend(*above.get_legend_handles_labels(), loc="outside upper left", frameon=False)
    return figure


def _first_edge(bins: Sequence[ReliabilityBin]) -> float:
    """Return the lower edge of the first bin with pixels, in percent, a multiple of ten."""
    return 10.0 * math.floor(10 * min((one.low for one in bins if one.pixels), default=0.0) + 1e-9)
