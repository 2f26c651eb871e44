"""What image files say of themselves beside their values: wavelengths, bad bands, classes, place on earth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FileFacts:
    """What a file says of itself; everything is empty where it says nothing.

    Attributes
    ----------
    wavelengths_nm, fwhm_nm
        Band centres, and full widths at half maximum, in nanometres, one a band of the file.
    bad_bands
        Bands that the file itself marks as bad, counted from 0.
    no_data
        Value that marks pixels without data, or None.
    class_names, colors
        Code -> name, "#rrggbb", for a file of labels.
    sensor
        The sensor's name.
    georeference
        ``{"crs": text, "transform": [a, b, c, d, e, f]}``, or None. The text is ``EPSG:n`` or WKT, "" where
        not known; x = a col + b row + c and y = d col + e row + f, where (0, 0) is the outer corner of the
        first pixel.
    notes
        One sentence each for what could not be taken over, or was guessed.
    """

    wavelengths_nm: tuple[float, ...] = ()
    fwhm_nm: tuple[float, ...] = ()
    bad_bands: tuple[int, ...] = ()
    no_data: float | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, str] = field(default_factory=dict)
    sensor: str = ""
    georeference: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def georeference_of(crs: str, transform: Sequence[float]) -> dict[str, Any] | None:
    """Return a georeference as `FileFacts` has it, or None where its numbers put no pixel anywhere.

    That is so where one is not finite or beyond any coordinate on earth, or where pixels have no area.
    """
    a, b, _, d, e, _ = transform
    sizes = (abs(value) for value in transform)
    if not all(math.isfinite(value) and value < _FARTHEST for value in sizes) or a * e - b * d == 0:
        return None
    return {"crs": crs, "transform": [float(value) for value in transform]}


_FARTHEST = 1e12  # in metres or degrees, whichever the system has
