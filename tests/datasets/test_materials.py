"""The parametric spectra have the features that they are named for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets import materials

NM = np.arange(400.0, 2501.0, 10.0)


def at(spectrum: np.ndarray, nm: float) -> float:
    return float(np.interp(nm, NM, spectrum))


def ndvi(spectrum: np.ndarray) -> float:
    red, infrared = at(spectrum, 660), at(spectrum, 860)
    return (infrared - red) / (infrared + red)


def test_vegetation_index_orders_the_materials() -> None:
    leaf, straw, ground = materials.green_leaf(NM), materials.dry_plant(NM), materials.soil(NM)
    assert ndvi(leaf) > 0.75 > 0.35 > ndvi(straw) > 0.1
    assert 0.35 > ndvi(ground) > 0
    assert ndvi(materials.open_water(NM)) < 0


def test_absorption_features_stand_where_they_should() -> None:
    leaf = materials.green_leaf(NM)
    assert at(leaf, 552) > 1.4 * max(at(leaf, 470), at(leaf, 660))  # green peak
    assert at(leaf, 1450) < 0.7 * at(leaf, 1650)  # liquid water
    assert at(leaf, 1940) < 0.5 * at(leaf, 1650)
    slope = np.diff(materials.green_leaf(NM, edge=712.0))
    assert abs(NM[slope.argmax()] + 5 - 712) <= 10
    for spectrum, dip, sides in (
        (materials.dry_plant(NM), 2100, (2030, 2200)),
        (materials.soil(NM, clay=1.0, moisture=0.0), 2205, (2130, 2270)),
        (materials.asphalt(NM, age=0.0), 1720, (1650, 1800)),
        (materials.roof_tile(NM), 870, (760, 1020)),
    ):
        assert at(spectrum, dip) < 0.97 * np.mean([at(spectrum, side) for side in sides])


def test_moisture_and_age_darken_or_brighten() -> None:
    assert (materials.soil(NM, moisture=0.5) < materials.soil(NM, moisture=0.1)).all()
    assert (materials.asphalt(NM, age=0.9) > materials.asphalt(NM, age=0.1)).all()
    turbid, clear = materials.open_water(NM, turbidity=0.8), materials.open_water(NM, turbidity=0.1)
    assert at(turbid, 585) > 1.5 * at(clear, 585)


def test_water_vapour_is_strongest_at_1380_and_1880_nm() -> None:
    vapour = materials.water_vapour(NM)
    assert set(NM[vapour > 0.9]) <= set(
        np.concatenate([NM[(NM > 1350) & (NM < 1410)], NM[(NM > 1840) & (NM < 1920)]])
    )
    assert at(vapour, 1380) > 0.95
    assert at(vapour, 1880) > 0.95
    assert at(vapour, 1650) < 0.01


@settings(max_examples=25, deadline=None)
@given(a=st.floats(0, 1), b=st.floats(0, 1), c=st.floats(0, 1))
def test_every_spectrum_is_a_share_of_light_in_steps_of_2_to_the_minus_16(
    a: float, b: float, c: float
) -> None:
    for spectrum in (
        materials.green_leaf(NM, chlorophyll=2 * a, water=1.2 * b, structure=0.3 + 0.3 * c),
        materials.dry_plant(NM, brightness=0.2 + 0.3 * a, age=b),
        materials.soil(NM, brightness=0.1 + 0.3 * a, moisture=b, iron=c, clay=a),
        materials.open_water(NM, turbidity=a),
        materials.asphalt(NM, age=a),
        materials.roof_tile(NM, redness=a),
        materials.water_vapour(NM),
    ):
        assert spectrum.min() >= 0
        assert spectrum.max() <= 1
        np.testing.assert_array_equal(spectrum * 65536, np.round(spectrum * 65536))
