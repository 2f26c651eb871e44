"""Metadata of rasters that rasterio wrote, against what went in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from hsi.datasets.formats.raster_facts import raster_facts
from hsi.datasets.formats.readers import read_array, read_facts
from hsi.errors import FileFormatError

RANDOM = np.random.default_rng(0)
UTM = {"crs": "EPSG:32632", "transform": [2.0, 0.0, 500000.0, 0.0, -2.0, 5000000.0]}
Write = Callable[..., Path]


def test_one_band_is_a_label_map(tmp_path: Path, write_geotiff: Write) -> None:
    labels = RANDOM.integers(0, 5, (7, 9)).astype(np.uint8)
    path = write_geotiff(tmp_path / "gt.tif", labels)
    np.testing.assert_array_equal(read_array(path, ndim=2), labels)
    with pytest.raises(FileFormatError, match="no array that is 3-D"):
        read_array(path, ndim=3)


def test_place_no_data_and_what_is_not_there(tmp_path: Path, write_geotiff: Write) -> None:
    cube = np.ones((3, 4, 2), np.float32)
    facts = raster_facts(write_geotiff(tmp_path / "a.tif", cube, UTM, nodata=-9999))
    assert facts.georeference == UTM
    assert facts.no_data == -9999
    plain = raster_facts(write_geotiff(tmp_path / "b.tif", cube))
    assert (plain.georeference, plain.no_data, plain.wavelengths_nm, plain.class_names) == (
        None,
        None,
        (),
        {},
    )
    own = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=51.3 +lon_0=9.1 +datum=WGS84")
    place = {"crs": own, "transform": [3.0, 1.0, 100.0, 1.0, -3.0, 200.0]}
    georeference = raster_facts(write_geotiff(tmp_path / "c.tif", cube, place)).georeference
    assert georeference is not None
    assert rasterio.crs.CRS.from_user_input(georeference["crs"]) == own
    assert georeference["transform"] == place["transform"]


@pytest.mark.parametrize("where", ["bands", "imagery", "file", "words", "nowhere"])
def test_wavelengths(tmp_path: Path, write_geotiff: Write, where: str) -> None:
    centres = [450.5, 550.0, 2150.25]
    path = write_geotiff(tmp_path / "a.tif", np.ones((3, 4, 3), np.uint16))
    with rasterio.open(path, "r+") as file:
        if where == "file":
            file.update_tags(wavelength="{0.4505, 0.55, 2.15025}", wavelength_units="Micrometers")
        for band, centre in enumerate(centres, start=1):
            if where == "bands":
                file.update_tags(band, Wavelength=str(centre), wavelength_units="Nanometers")
            elif where == "imagery":
                file.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(centre / 1e3))
            elif where == "words":
                file.set_band_description(band, f"Band {band} ({centre} Nanometers)")
            elif where == "nowhere":
                file.set_band_description(band, f"B{band}")
    expected = [] if where == "nowhere" else centres
    np.testing.assert_allclose(raster_facts(path).wavelengths_nm, expected)


def test_classes_of_a_label_image(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(tmp_path / "gt.tif", np.array([[0, 1], [2, 3]], np.uint8))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 16, 255), 2: (0, 9, 0, 255)})
    (tmp_path / "gt.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>none</Category>'
        "<Category>Corn &amp; rye</Category><Category>Woods</Category><Category></Category>"
        "</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    facts = read_facts(path)
    assert facts.class_names == {1: "Corn & rye", 2: "Woods"}
    assert facts.colors == {1: "#ff0010", 2: "#000900"}
    (tmp_path / "gt.tif.aux.xml").write_text("<PAMDataset>")
    assert read_facts(path).class_names == {}


def test_names_beside_an_image_cannot_unpack(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.eye(4, dtype=np.uint8))
    start, end = '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/>', "</CategoryNames>"
    whole = f"{start}<Category>{{}}</Category>{end}</PAMRasterBand></PAMDataset>"
    beside = tmp_path / "a.tif.aux.xml"
    beside.write_text(whole.format("Grass"))
    assert raster_facts(path).class_names == {1: "Grass"}
    beside.write_text('<!DOCTYPE x [<!ENTITY a "Grass">]>' + whole.format("&a;"))
    assert raster_facts(path).class_names == {}


def test_widths_and_bad_bands_of_tags(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((3, 4, 4), np.uint16))
    with rasterio.open(path, "r+") as file:
        for band, (centre, good) in enumerate(zip((0.4, 0.5, 0.6, 0.7), "1011", strict=True), start=1):
            file.update_tags(band, wavelength=centre, fwhm=0.01 * band, bbl=good, wavelength_units="um")
        file.update_tags(4, bad_band="1")
    facts = raster_facts(path)
    np.testing.assert_allclose(facts.wavelengths_nm, [400, 500, 600, 700])
    np.testing.assert_allclose(facts.fwhm_nm, [10, 20, 30, 40])
    assert facts.bad_bands == (1, 3)
    assert facts.notes == ()
    path = write_geotiff(tmp_path / "b.tif", np.ones((3, 4, 2), np.uint16))
    with rasterio.open(path, "r+") as file:
        file.update_tags(bbl="{1, 0}", wavelength="{400, 500}", fwhm="{9, 8}", wavelength_units="nm")
    facts = raster_facts(path)
    assert (facts.bad_bands, facts.fwhm_nm, facts.wavelengths_nm) == ((1,), (9, 8), (400, 500))
    path = write_geotiff(tmp_path / "c.tif", np.ones((3, 4, 2), np.uint16))
    with rasterio.open(path, "r+") as file:
        for band in (1, 2):
            file.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=band / 2, FWHM_UM=0.02)
    np.testing.assert_allclose(raster_facts(path).fwhm_nm, [20, 20])


def test_an_erdas_image_without_a_map_has_no_place(tmp_path: Path, write_geotiff: Write) -> None:
    place = {"crs": "EPSG:4326", "transform": [0.25, 0, 10, 0, -0.25, 50]}
    for name, given, expected in (("a", None, None), ("b", place, place)):
        source = write_geotiff(tmp_path / f"{name}.tif", np.ones((3, 4, 2), np.uint8), given)
        rasterio.shutil.copy(source, tmp_path / f"{name}.lan", driver="LAN")
        assert raster_facts(tmp_path / f"{name}.lan").georeference == expected


def test_a_header_beside(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((3, 4, 3), np.uint16))
    header = tmp_path / "a.hdr"
    header.write_text("ENVI\nwavelength = {400, 500, 600}\nwavelength units = Nanometers\nbbl = {1, 0, 1}\n")
    facts = raster_facts(path)
    assert (facts.wavelengths_nm, facts.bad_bands) == ((400, 500, 600), (1,))
    with rasterio.open(path, "r+") as file:  # the file's own tags come first
        for band in (1, 2, 3):
            file.update_tags(band, wavelength=700 + band, wavelength_units="nm", bbl=band - 1)
    facts = raster_facts(path)
    assert (facts.wavelengths_nm, facts.bad_bands) == ((701, 702, 703), (0,))
    header.write_text("not a header")
    assert raster_facts(path).wavelengths_nm == (701, 702, 703)


def test_alpha_is_a_bad_band(tmp_path: Path, write_geotiff: Write) -> None:
    path = write_geotiff(
        tmp_path / "a.tif", np.ones((3, 4, 5), np.uint16), photometric="MINISBLACK", ALPHA="YES"
    )
    with rasterio.open(path) as oracle:
        assert oracle.colorinterp[-1].name != "gray"
        expected = tuple(at for at, one in enumerate(oracle.colorinterp) if one.name == "alpha")
    assert expected
    facts = raster_facts(path)
    assert facts.bad_bands == expected
    assert "alpha" in facts.notes[0]


def test_no_data_that_differs_by_band(tmp_path: Path, write_geotiff: Write) -> None:
    for name, values, expected, noted in (
        ("a", (-9999, -9999, 0), -9999, True),
        ("b", ("nan", "nan", 0), np.nan, True),
        ("c", (7, 7, 7), 7, False),
        ("d", (None, None, -1), -1, False),
    ):
        parts = "".join(
            f'<VRTRasterBand dataType="Float32" band="{at}">'
            + ("" if value is None else f"<NoDataValue>{value}</NoDataValue>")
            + '<SimpleSource><SourceFilename relativeToVRT="1">source.tif</SourceFilename>'
            f"<SourceBand>{at}</SourceBand></SimpleSource></VRTRasterBand>"
            for at, value in enumerate(values, start=1)
        )
        write_geotiff(tmp_path / "source.tif", np.ones((3, 4, 3), np.float32))
        path = tmp_path / f"{name}.vrt"
        path.write_text(f'<VRTDataset rasterXSize="4" rasterYSize="3">{parts}</VRTDataset>')
        facts = raster_facts(path)
        np.testing.assert_equal(facts.no_data, float(expected))
        assert any("different no-data values" in note for note in facts.notes) == noted


@pytest.mark.parametrize(
    ("tags", "domain", "expected"),
    [
        ({"ACQUISITIONDATETIME": "2017-06-26 10:20:20"}, "IMAGERY", "2017-06-26T10:20:20Z"),
        ({"TIFFTAG_DATETIME": "2019:12:03 02:11:28"}, None, "2019-12-03T02:11:28Z"),
        ({"acquisition_date": "2020-01-31"}, None, "2020-01-31"),
        ({"TIFFTAG_DATETIME": "yesterday"}, None, ""),
        ({"acquisition_date": "2020-13-31"}, None, ""),
    ],
)
def test_when_it_was_taken(
    tmp_path: Path, write_geotiff: Write, tags: dict[str, str], domain: str | None, expected: str
) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((3, 4, 2), np.uint8))
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns=domain, **tags)
    assert raster_facts(path).acquired == expected


def _table(fields: list[tuple[str, int, int]], rows: list[list[object]]) -> str:
    columns = "".join(
        f'<FieldDefn index="{at}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
        for at, (name, kind, usage) in enumerate(fields)
    )
    lines = "".join(
        f'<Row index="{at}">' + "".join(f"<F>{cell}</F>" for cell in row) + "</Row>"
        for at, row in enumerate(rows)
    )
    table = f'<GDALRasterAttributeTable tableType="thematic">{columns}{lines}</GDALRasterAttributeTable>'
    return f'<PAMDataset><PAMRasterBand band="1">{table}</PAMRasterBand></PAMDataset>'


@pytest.mark.parametrize(
    ("fields", "rows", "names", "colors"),
    [
        ([("V", 0, 5), ("C", 2, 2)], [[0, "none"], [3, "corn"], [7, "soy"]], {3: "corn", 7: "soy"}, {}),
        ([("Class_Name", 2, 0), ("Value", 0, 0)], [["corn", 1], ["soy", 2]], {1: "corn", 2: "soy"}, {}),
        ([("Class", 2, 0)], [["none"], ["corn"], ["soy"]], {1: "corn", 2: "soy"}, {}),
        (
            [("Value", 0, 5), ("Count", 0, 1), ("Label", 2, 0), ("R", 0, 6), ("G", 0, 7), ("B", 0, 8)],
            [[1, 99, "corn", 255, 0, 16], [2, 8, "soy", 0, 0, 0]],
            {1: "corn", 2: "soy"},
            {1: "#ff0010"},
        ),
        (
            [
                ("OID", 0, 0),
                ("Value", 0, 0),
                ("CLASSNAME", 2, 0),
                ("Red", 1, 0),
                ("Green", 1, 0),
                ("Blue", 1, 0),
            ],
            [[0, 5, "corn", 1.0, 0.5, 0.0]],
            {5: "corn"},
            {5: "#ff8000"},
        ),
        ([("Value", 0, 5), ("Count", 0, 1)], [[1, 9]], {}, {}),
        ([], [[]], {}, {}),
    ],
)
def test_attribute_tables(
    tmp_path: Path,
    write_geotiff: Write,
    fields: list[tuple[str, int, int]],
    rows: list[list[object]],
    names: dict[int, str],
    colors: dict[int, str],
) -> None:
    path = write_geotiff(tmp_path / "gt.tif", np.array([[0, 1], [2, 3]], np.uint8))
    (tmp_path / "gt.tif.aux.xml").write_text(_table(fields, rows))
    facts = raster_facts(path)
    assert facts.class_names == names
    assert facts.colors == colors


def test_names_in_an_erdas_image(tmp_path: Path, write_geotiff: Write) -> None:
    source = write_geotiff(tmp_path / "gt.tif", np.array([[0, 1], [2, 3]], np.uint8))
    with rasterio.open(source, "r+") as file:
        file.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 16, 255), 2: (0, 9, 0, 255)})
    (tmp_path / "gt.tif.aux.xml").write_text(
        _table([("Value", 0, 5), ("Class", 2, 2)], [[0, "none"], [1, "Corn"], [2, "Woods"]])
    )
    path = tmp_path / "gt.img"
    rasterio.shutil.copy(source, path, driver="HFA")
    assert b"Class_Names" in path.read_bytes()
    assert not Path(f"{path}.aux.xml").exists()
    facts = read_facts(path)
    assert facts.class_names == {1: "Corn", 2: "Woods"}
    assert facts.colors[1] == "#ff0010"
    whole = bytearray(path.read_bytes())
    at = whole.index(b"Class_Names\x00")
    for offset in range(-8, 0):  # the place and the length of the column
        for value in (0, 127, 255):
            damaged = whole.copy()
            damaged[at + offset] = value
            path.write_bytes(damaged)
            with contextlib.suppress(FileFormatError):
                read_facts(path)


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_masked_pixels_have_no_data(tmp_path, kind):
    from hsi.datasets import load_scene
    from hsi.datasets.load import load_unlabelled

    random = np.random.default_rng(3)
    cube = random.integers(1, 900, (4, 7, 6)).astype(np.uint16)
    valid = np.ones((7, 6), bool)
    valid[2, 1:4] = False
    extra = kind == "alpha"
    options = {"height": 7, "width": 6, "count": 4 + extra, "dtype": "uint16", "photometric": "minisblack"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", **options, **({"alpha": "unspecified"} if extra else {})
        ) as file,
    ):
        file.write(cube, list(range(1, 5)))
        if extra:
            file.write(valid.astype(np.uint16) * 65535, 5)
            file.colorinterp = [*file.colorinterp[:4], rasterio.enums.ColorInterp.alpha]
        else:
            file.write_mask(valid)
    facts = raster_facts(tmp_path / "a.tif")
    np.testing.assert_array_equal(facts.masks["no data"], ~valid)
    labels = np.where(np.arange(6) % 2, 1, 2) * np.ones((7, 1), int)
    np.save(tmp_path / "gt.npy", labels)
    for scene in (
        load_scene(tmp_path / "a.tif", labels=tmp_path / "gt.npy"),
        load_unlabelled(tmp_path / "a.tif"),
    ):
        np.testing.assert_array_equal(scene.missing, ~valid)
        assert scene.bands == 4
