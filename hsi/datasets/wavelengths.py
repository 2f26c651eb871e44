"""Band positions in nanometres, from the units that files give them in."""

from __future__ import annotations

import math
from collections.abc import Sequence

_UNITS = {
    "nm": 1.0, "nanometer": 1.0, "nanometers": 1.0, "nanometre": 1.0, "nanometres": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "microns": 1e3, "micrometer": 1e3, "micrometers": 1e3,
    "micrometre": 1e3, "micrometres": 1e3,
    "mm": 1e6, "millimeters": 1e6, "cm": 1e7, "centimeters": 1e7, "m": 1e9, "meters": 1e9,
    "angstrom": 0.1, "angstroms": 0.1,
}  # fmt: skip
_NO_UNIT = {"", "unknown", "none"}
# Where no unit is given: optical sensors, visible to thermal infrared.
_LIKE_MICROMETRES = (0.2, 20.0)
_LIKE_NANOMETRES = (200.0, 20_000.0)


def to_nanometres(values: Sequence[float], unit: str) -> tuple[tuple[float, ...], str]:
    """Return band positions (or widths) in nanometres, and a note for people ("" where all is plain).

    Parameters
    ----------
    values
        One a band, in `unit`.
    unit
        As ENVI headers and raster tags write it, any letter case. Where it is missing, values from 0.2 to 20
        are taken for micrometres and from 200 to 20,000 for nanometres (our decision). What is no wavelength
        (a band's number, a frequency, a wave number) or cannot be told gives none.
    """
    word = unit.strip().casefold()
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        return (), "The file's wavelengths are not all positive numbers; they are left out." if values else ""
    if word in _UNITS:
        return tuple(value * _UNITS[word] for value in values), ""
    if word not in _NO_UNIT:
        return (), f"The file gives its bands in '{unit}', which is no wavelength; it is left out."
    for (low, high), name in ((_LIKE_MICROMETRES, "micrometres"), (_LIKE_NANOMETRES, "nanometres")):
        if low <= min(values) and max(values) <= high:
            factor = 1e3 if name == "micrometres" else 1.0
            note = f"The file gives no unit of its wavelengths; by their size they are taken for {name}."
            return tuple(value * factor for value in values), note
    return (), "The file gives no unit of its wavelengths, and none can be told; they are left out."
