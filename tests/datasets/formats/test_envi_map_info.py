"""The place of ENVI images against GDAL's reading of the same header."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from hsi.datasets.formats.envi import envi_facts
from hsi.datasets.formats.facts import is_crs

Write = Callable[..., Path]
CUBE = np.ones((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    "info",
    [
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North, WGS-84, units=Meters}",
        "{UTM, 2.5, 3, 612345.5, 7000000, 3, 4, 33, South, WGS-84, units=Meters}",
        "{UTM, 1.5, 1.5, 500000, 5000000, 3, 3, 11, North, WGS-84, units=Meters, rotation=30}",
        "{Geographic Lat/Lon, 1, 1, 10.5, 47.25, 0.001, 0.002, WGS-84, units=Degrees}",
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 11, North, North America 1983, units=Meters}",
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 15, North, North America 1927, units=Meters}",
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North, European 1950, units=Meters}",
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 55, South, Geocentric Datum of Australia 1994, units=Meters}",
        "{Geographic Lat/Lon, 1, 1, 10.5, 47.25, 0.001, 0.002, European 1950, units=Degrees}",
        "{Geographic Lat/Lon, 1, 1, -90.5, 47.25, 0.001, 0.002, North America 1983, units=Degrees}",
        "{State Plane (NAD 83), 1, 1, 300000, 60000, 2, 2, 3104, North America 1983, units=Meters}",
    ],
)
def test_the_georeference_equals_gdals(tmp_path: Path, write_envi: Write, info: str) -> None:
    header = write_envi(tmp_path / "a.x", np.ones((4, 5, 3), np.uint8), map_info=info)
    place = envi_facts(header).georeference
    assert place is not None
    with rasterio.open(header.with_suffix(".img")) as oracle:
        np.testing.assert_allclose(place["transform"], list(oracle.transform)[:6], rtol=1e-9, atol=1e-9)
        assert rasterio.crs.CRS.from_user_input(place["crs"]) == oracle.crs


def test_a_coordinate_system_as_text(tmp_path: Path, write_envi: Write) -> None:
    wkt = rasterio.crs.CRS.from_epsg(25832).to_wkt()
    info = "{ETRS, 1, 1, 500000, 5000000, 2, 2}"
    cube = np.ones((2, 2, 2), np.uint8)
    header = write_envi(tmp_path / "a.x", cube, map_info=info, coordinate_system_string="{" + wkt + "}")
    place = envi_facts(header).georeference
    assert place is not None
    assert rasterio.crs.CRS.from_user_input(place["crs"]) == rasterio.crs.CRS.from_epsg(25832)
    unknown = envi_facts(write_envi(tmp_path / "b.x", cube, map_info=info))
    assert unknown.georeference is not None
    assert unknown.georeference["crs"] == ""
    assert "'ETRS'" in unknown.notes[0]


def test_singular_georeferences_and_crs_that_are_addresses(tmp_path: Path, write_envi: Write) -> None:
    cube = np.arange(60, dtype=np.uint16).reshape(5, 4, 3)
    flat = "{UTM, 1, 1, 500000, 4480000, 0, 0, 16, North, WGS-84}"
    assert envi_facts(write_envi(tmp_path / "a", cube, map_info=flat)).georeference is None
    info = flat.replace(" 0, 0,", " 20, 20,")
    system = "{http://127.0.0.1/x}"
    facts = envi_facts(write_envi(tmp_path / "b", cube, map_info=info, coordinate_system_string=system))
    assert facts.georeference is not None
    assert facts.georeference["crs"] == "EPSG:32616"


def test_a_projection_by_its_parameters(tmp_path: Path, write_envi: Write) -> None:
    info = "{Albers, 1, 1, 300000, 1900000, 30, 30, North America 1983, units=Meters}"
    albers = "{9, 6378137.0, 6356752.3, 23, -96, 0, 0, 29.5, 45.5, North America 1983, Albers}"
    facts = envi_facts(write_envi(tmp_path / "a.x", CUBE, map_info=info, projection_info=albers))
    assert facts.georeference is not None
    assert facts.georeference["crs"] == "EPSG:5070"  # NAD83 / Conus Albers
    assert facts.notes == ()


@pytest.mark.parametrize(
    ("datum", "zone", "code"),
    [
        ("WGS84", "33, North", 32633), ("WGS 84", "33, South", 32733), ("D_WGS_1984", "33, North", 32633),
        ("NAD83", "11, North", 26911), ("ED50", "32, North", 23032), ("GDA94", "55, South", 28355),
        ("ETRS89", "32, North", 25832), ("ETRS_1989", "33, North", 25833),
    ],
)  # fmt: skip
def test_other_names_of_datums(tmp_path: Path, write_envi: Write, datum: str, zone: str, code: int) -> None:
    info = f"{{UTM, 1, 1, 500000, 5000000, 2, 2, {zone}, {datum}, units=Meters}}"
    facts = envi_facts(write_envi(tmp_path / "a.x", CUBE, map_info=info))
    assert facts.georeference is not None
    assert facts.georeference["crs"] == f"EPSG:{code}"
    assert facts.notes == ()


@pytest.mark.parametrize(
    "info",
    [
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 54, North, Tokyo, units=Meters}",
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North, Nowhere, units=Meters}",
        "{UTM, 1, 1, 500000, 5000000, 2, 2, 99, North, WGS-84, units=Meters}",
        "{Gauss-Krueger, 1, 1, 4500000, 5000000, 2, 2, Potsdam, units=Meters}",
        "{State Plane (NAD 83), 1, 1, 300000, 60000, 2, 2, 99999, North America 1983, units=Meters}",
    ],
)
def test_what_gdal_does_not_know_is_left_open_and_said(
    tmp_path: Path, write_envi: Write, capfd: pytest.CaptureFixture[str], info: str
) -> None:
    facts = envi_facts(write_envi(tmp_path / "a.x", CUBE, map_info=info))
    assert facts.georeference is not None
    assert facts.georeference["crs"] == ""
    assert "is not known" in facts.notes[0]
    assert capfd.readouterr() == ("", "")


def test_a_missing_datum_is_taken_for_wgs84(tmp_path: Path, write_envi: Write) -> None:
    info = "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North}"
    facts = envi_facts(write_envi(tmp_path / "a.x", CUBE, map_info=info))
    assert facts.georeference is not None
    assert facts.georeference["crs"] == "EPSG:32632"
    assert "no datum" in facts.notes[0]


def test_a_text_that_is_no_coordinate_system_gives_way_to_map_info(tmp_path: Path, write_envi: Write) -> None:
    info = "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North, WGS-84}"
    fields = {"map_info": info, "coordinate_system_string": '{PROJCS["broken"}'}
    facts = envi_facts(write_envi(tmp_path / "a.x", CUBE, **fields))
    assert facts.georeference is not None
    assert facts.georeference["crs"] == "EPSG:32632"
    assert "cannot be read" in facts.notes[0]


def test_without_rasterio_wgs84_and_wkt_are_read(
    tmp_path: Path, write_envi: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    wkt = rasterio.crs.CRS.from_epsg(3035).to_wkt()
    utm = "{UTM, 1, 1, 500000, 5000000, 2, 2, 32, North, DATUM}"
    paths = [
        write_envi(tmp_path / "a.x", CUBE, map_info=utm.replace("DATUM", "WGS-84")),
        write_envi(tmp_path / "b.x", CUBE, map_info=utm.replace("DATUM", "European 1950")),
        write_envi(tmp_path / "c.x", CUBE, map_info=utm, coordinate_system_string="{" + wkt + "}"),
    ]
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("rasterio"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    found = [envi_facts(path) for path in paths]
    places = [facts.georeference["crs"] for facts in found if facts.georeference]
    assert places == ["EPSG:32632", "", wkt]
    assert "European 1950" in found[1].notes[0]
    assert is_crs(wkt)
