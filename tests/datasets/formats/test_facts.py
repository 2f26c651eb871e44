from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.datasets.formats.facts import to_nanometres


@pytest.mark.parametrize(
    ("value", "unit"),
    [(850.0, "nm"), (850.0, "Nanometers"), (0.85, "Micrometers"), (0.85, "um"), (0.85, "µm"),
     (8500, "Angstroms"), (0.00085, "Millimeters"), (8.5e-7, "Meters"), (850.0, ""), (0.85, "Unknown")],
)  # fmt: skip
def test_units(value: float, unit: str) -> None:
    (got,), note = to_nanometres([value], unit)
    assert got == pytest.approx(850)
    assert bool(note) == (unit in ("", "Unknown"))


@pytest.mark.parametrize(
    ("values", "unit", "words"),
    [
        ([1, 2, 3], "Index", "no wavelength"),
        ([4000.0], "Wavenumber", "no wavelength"),
        ([0.5, 900.0], "", "none can be told"),
        ([400.0, float("nan")], "nm", "not all positive"),
        ([0.0, 400.0], "nm", "not all positive"),
    ],
)
def test_what_is_no_wavelength_gives_none_and_says_so(values: list[float], unit: str, words: str) -> None:
    got, note = to_nanometres(values, unit)
    assert got == ()
    assert words in note


def test_nothing_gives_nothing() -> None:
    assert to_nanometres([], "nm") == ((), "")


@given(st.lists(st.floats(200, 20_000), min_size=1, max_size=5))
def test_nanometres_and_micrometres_agree(values: list[float]) -> None:
    fine, _ = to_nanometres(values, "nm")
    coarse, _ = to_nanometres([value / 1e3 for value in values], "um")
    assert fine == pytest.approx(coarse)
    assert to_nanometres(values, "")[0] == tuple(values)
