"""Bands by text against sets made by hand, and the water windows against the band list of Indian Pines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spectral
from hypothesis import given
from hypothesis import strategies as st

from hsi.datasets.bands import name_bands, parse_bands
from hsi.errors import ConfigError

CENTRES = np.arange(400.0, 2500.0, 10.0)  # 210 bands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-3,7", [0, 1, 2, 3, 7]),
        ("7, 2-3 ,3", [2, 3, 7]),
        ("209", [209]),
        ("400-420nm", [0, 1, 2]),
        ("401-419nm,0.43-0.44um,5", [1, 3, 4, 5]),
        ("0.4um-420nm", [0, 1, 2]),
        ("400-410 NM", [0, 1]),
    ],
)
def test_the_named_bands(text: str, expected: list[int]) -> None:
    assert parse_bands(text, 210, CENTRES).tolist() == expected


def test_no_water_leaves_out_what_indian_pines_leaves_out() -> None:
    table = Path(spectral.__file__).parent / "tests" / "data" / "92AV3C.spc"
    rows = [line.split() for line in table.read_text().splitlines()]
    centres = np.array([float(row[0]) for row in rows if row and row[0][0].isdigit()])
    assert len(centres) == 220
    gone = {*range(104, 109), *range(150, 164), 220}  # counted from 1, as the literature does
    kept = [band for band in range(220) if band + 1 not in gone]
    assert parse_bands("no-water", 220, centres, "AVIRIS").tolist() == kept
    assert parse_bands("0-110,no-water", 220, centres).tolist() == [band for band in kept if band <= 110]


@pytest.mark.parametrize("sensor", ["ROSIS-03", "ITRES CASI-1500"])
def test_sensors_that_end_below_the_windows_lose_nothing(sensor: str) -> None:
    assert len(parse_bands("no-water", 103, None, sensor)) == 103


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("210", "no band 210: the scene has 210 bands, 0 to 209"),
        ("9-3", "run backwards; write 3-9"),
        ("900-800nm", "runs backwards"),
        ("100-200nm", "No band lies in '100-200nm'.*400 to 2490 nm"),
        ("1360-1400nm,no-water", "leave none of the 210 bands"),
        ("", "cannot be read"),
        ("1,,2", "cannot be read"),
        ("no_water", "cannot be read; write 0-99,120 or 400-1300nm or no-water"),
        ("400nm", "cannot be read"),
    ],
)
def test_what_cannot_be_is_named(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_bands(text, 210, CENTRES)


@pytest.mark.parametrize("text", ["400-500nm", "no-water"])
def test_ranges_need_wavelengths(text: str) -> None:
    with pytest.raises(ConfigError, match="this scene has none; choose by number"):
        parse_bands(text, 210, None, "AVIRIS")


@given(st.sets(st.integers(0, 60), min_size=1))
def test_names_are_read_back(numbers: set[int]) -> None:
    text = name_bands(np.array(sorted(numbers)))
    assert parse_bands(text, 61, None).tolist() == sorted(numbers)


@given(st.text(alphabet="0123456789-,num. owater", max_size=12))
def test_any_text_gives_bands_or_a_typed_error(text: str) -> None:
    try:
        chosen = parse_bands(text, 210, CENTRES)
    except ConfigError:
        return
    assert len(chosen)
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] <= chosen[-1] < 210
