"""Bands chosen by text: numbers, ranges of wavelengths, all but the water windows.

.. code-block:: text

    0-99,120                    bands by number, counted from 0 as in arrays, both ends included
    400-1300nm,1.5-1.75um       bands whose centre lies in a range of wavelengths
    no-water                    all bands but those where water vapour leaves no light
    400-2400nm,no-water         the same, within a range
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.toml_files import read_toml
from hsi.errors import ConfigError

NO_WATER = "no-water"

_NUMBERS = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")
_RANGE = re.compile(
    r"(\d{1,18}(?:\.\d{1,18})?)(nm|um|µm)?-(\d{1,18}(?:\.\d{1,18})?)(nm|um|µm)", re.IGNORECASE
)


def parse_bands(
    text: str, count: int, wavelengths_nm: NDArray[np.float64] | None, sensor: str = ""
) -> NDArray[np.int64]:
    """Return the numbers of the chosen bands, rising, without repeats.

    Parameters
    ----------
    text
        Items set apart by commas (the forms stand at the top of this module); what they choose is put
        together, and ``no-water`` then leaves out the water windows.
    count
        Number of bands there are.
    wavelengths_nm
        Their centres, or None where not known.
    sensor
        The sensor's name: some end below the water windows.

    Raises
    ------
    ConfigError
        For text that cannot be read, a band that is not there, a range without bands, wavelengths where none
        are known, or when nothing is left.
    """
    items = [item.strip() for item in text.split(",")]
    chosen = np.zeros(count, bool)
    named = [item for item in items if item.casefold() != NO_WATER]
    for item in named:
        chosen[_one(item, text, count, wavelengths_nm)] = True
    if not named:
        chosen[:] = True
    if len(named) < len(items):
        chosen &= ~_in_water(count, wavelengths_nm, sensor)
    if not chosen.any():
        raise ConfigError(f"The bands '{text}' leave none of the {count} bands; choose more.")
    return np.flatnonzero(chosen).astype(np.int64)


def name_bands(numbers: NDArray[np.int64] | tuple[int, ...]) -> str:
    """Return band numbers as short text: ``0-9, 12, 20-30``."""
    array = np.asarray(numbers, np.int64)
    runs = np.split(array, np.flatnonzero(np.diff(array) != 1) + 1) if len(array) else []
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _one(item: str, text: str, count: int, wavelengths_nm: NDArray[np.float64] | None) -> Any:
    """Return the bands of one item, as a slice or a mask."""
    compact = item.replace(" ", "")
    if match := _NUMBERS.fullmatch(compact):
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ConfigError(f"Bands '{item}' run backwards; write {last}-{first}.")
        if last >= count:
            raise ConfigError(
                f"There is no band {last}: the scene has {count} bands, 0 to {count - 1} ('{text}')."
            )
        return slice(first, last + 1)
    if match := _RANGE.fullmatch(compact):
        end_unit = match[4].casefold()
        low = float(match[1]) * _factor(match[2] or end_unit)
        high = float(match[3]) * _factor(end_unit)
        if high < low:
            raise ConfigError(f"The range '{item}' runs backwards; write the shorter wavelength first.")
        inside = (_known(wavelengths_nm, item) >= low) & (_known(wavelengths_nm, item) <= high)
        if not inside.any():
            centres = _known(wavelengths_nm, item)
            raise ConfigError(
                f"No band lies in '{item}': the scene's bands run from {centres.min():g} to "
                f"{centres.max():g} nm."
            )
        return inside
    raise ConfigError(
        f"'{item[:100]}' in the bands '{text[:100]}' cannot be read; write 0-99,120 or 400-1300nm or "
        f"{NO_WATER}."
    )


def _factor(unit: str) -> float:
    return 1.0 if unit.casefold() == "nm" else 1e3


def _known(wavelengths_nm: NDArray[np.float64] | None, item: str) -> NDArray[np.float64]:
    if wavelengths_nm is None:
        raise ConfigError(
            f"The bands '{item}' need wavelengths, and this scene has none; choose by number (0-99), or "
            "list wavelengths_nm in a scene.toml."
        )
    return wavelengths_nm


def _in_water(count: int, wavelengths_nm: NDArray[np.float64] | None, sensor: str) -> NDArray[np.bool_]:
    windows, without = _water()
    if any(name in sensor.casefold() for name in without):
        return np.zeros(count, bool)
    centres = _known(wavelengths_nm, NO_WATER)
    inside = np.zeros(count, bool)
    for low, high in windows:
        inside |= (centres >= low) & (centres <= high)
    return inside


@lru_cache(maxsize=1)
def _water() -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    """Return the water windows in nm, and the names of sensors that end below them."""
    table = read_toml(Path(__file__).with_name("water_windows.toml"))
    windows = tuple((float(low), float(high)) for low, high in table["windows_nm"])
    return windows, tuple(name.casefold() for name in table["sensors_without"])
