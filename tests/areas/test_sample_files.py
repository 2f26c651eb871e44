"""Files of a sample: written, filled in by a GIS, read again."""

import csv
import json
import sqlite3

import numpy as np
import pytest

from hsi.areas import (
    ReferenceSample,
    draw_sample,
    estimate_from_labels,
    estimate_from_sample,
    map_strata,
    read_sample,
    write_sample,
)
from hsi.errors import ConfigError, FileFormatError, InputError, SceneError

pytest.importorskip("pyogrio")
pytest.importorskip("rasterio")

NAMES = ("Grass", "Soil", "Open water")
UTM = {"crs": "EPSG:32632", "transform": [30.0, 0.0, 500_000.0, 0.0, -30.0, 5_300_000.0]}
TURNED = {"crs": "EPSG:32632", "transform": [20.0, 10.0, 500_000.0, 10.0, -20.0, 5_300_000.0]}
DEGREES = {"crs": "EPSG:4326", "transform": [0.01, 0.0, 10.0, 0.0, -0.01, 48.0]}


@pytest.fixture
def labels():
    """A map of three classes, 40 x 30, with a corner that has no data."""
    labels = np.repeat([[1] * 12 + [2] * 12 + [3] * 6], 40, axis=0)
    labels[:5, :5] = 0
    return labels


@pytest.fixture
def sample(labels):
    return draw_sample(map_strata(labels, 3), 60, seed=1)


def rewrite(path, change):
    """Change the rows of a CSV file, a dictionary each."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in rows if change(row) is not False]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def fill_geopackage(path, name_of):
    """Fill in the attribute as a GIS does, which has the functions that the layer's triggers call."""
    with sqlite3.connect(path) as database:
        for function in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(function, 1, lambda shape: 0)
        for number, row, col in database.execute("SELECT fid, row, col FROM sample").fetchall():
            database.execute("UPDATE sample SET reference = ? WHERE fid = ?", (name_of(row, col), number))


@pytest.mark.parametrize("georeference", [None, UTM, TURNED, DEGREES])
@pytest.mark.parametrize("suffix", [".gpkg", ".csv"])
def test_a_sample_comes_back(tmp_path, labels, sample, georeference, suffix):
    path, design = write_sample(tmp_path / f"points{suffix}", sample, NAMES, georeference)
    assert design == tmp_path / "points-design.csv"
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([path.name, design.name])
    with pytest.raises(InputError, match="fill it in"):
        read_sample(path, NAMES, labels.shape, georeference)

    def name_of(row, col):
        return NAMES[labels[row, col] - 1].upper() if row % 2 else str(labels[row, col])

    if suffix == ".gpkg":
        fill_geopackage(path, name_of)
    else:
        rewrite(path, lambda row: row.update(reference=name_of(int(row["row"]), int(row["col"]))))
    found = read_sample(path, NAMES, labels.shape, georeference)
    np.testing.assert_array_equal(found.rows, sample.rows)
    np.testing.assert_array_equal(found.cols, sample.cols)
    np.testing.assert_array_equal(found.strata, sample.strata)
    np.testing.assert_array_equal(found.reference, labels[sample.rows, sample.cols])
    assert found.stratum_pixels == sample.stratum_pixels
    assert found.stratum_names == dict(enumerate(NAMES, start=1))
    # Without the design the places come from the coordinates, and must be the same.
    design.unlink()
    alone = read_sample(path, NAMES, labels.shape, georeference)
    np.testing.assert_array_equal(alone.rows, sample.rows)
    np.testing.assert_array_equal(alone.cols, sample.cols)
    assert alone.strata is None


@pytest.mark.parametrize("suffix", [".gpkg", ".csv"])
def test_the_points_tell_nothing_of_the_map(tmp_path, sample, suffix):
    path, _ = write_sample(tmp_path / f"points{suffix}", sample, NAMES, UTM)
    content = path.read_bytes()
    assert not any(name.encode() in content for name in NAMES)
    assert b"stratum" not in content


def test_gdal_finds_points_at_pixel_centres(tmp_path, sample):
    import pyogrio.raw
    import shapely

    path, _ = write_sample(tmp_path / "points.gpkg", sample, NAMES, UTM)
    meta, _, geometry, values = pyogrio.raw.read(path)
    assert meta["crs"] == "EPSG:32632"
    assert [*meta["fields"]] == ["id", "row", "col", "reference"]
    xy = shapely.get_coordinates(shapely.from_wkb(geometry))
    np.testing.assert_allclose(xy[:, 0], 500_015 + 30 * sample.cols)
    np.testing.assert_allclose(xy[:, 1], 5_299_985 - 30 * sample.rows)
    assert set(values[3]) == {""}


@pytest.fixture
def filled(tmp_path, labels, sample):
    """A filled-in CSV file; what its map shows is true."""
    path, _ = write_sample(tmp_path / "points.csv", sample, NAMES, UTM)
    rewrite(path, lambda row: row.update(reference=NAMES[labels[int(row["row"]), int(row["col"])] - 1]))
    return path


def test_a_perfect_map_needs_no_correction(filled, labels):
    found = read_sample(filled, NAMES, labels.shape, UTM)
    made = estimate_from_sample(labels, found, NAMES, pixel_area=900.0)
    assert [round(one.proportion.value * made.pixels) for one in made.classes] == [455, 480, 240]
    assert made.pixels == 1_175
    assert made.overall_accuracy.value == 1
    assert made.notes == tuple(found.notes)
    assert made.area(3).value == pytest.approx(240 * 0.09)
    assert made.area(3).low < made.area(3).value < made.area(3).high


def test_gaps_strangers_and_moved_points_are_said(filled, labels, sample):
    def change(row):
        if row["id"] in ("1", "2"):
            row["reference"] = " "
        if row["id"] == "3":
            row["id"] = "1003"
        if row["id"] == "4":
            row["x"] = str(float(row["x"]) + 31)

    rewrite(filled, change)
    found = read_sample(filled, NAMES, labels.shape, UTM)
    assert len(found.rows) == 57
    said = " ".join(found.notes)
    assert "2 of 60 points have no 'reference'" in said
    assert "1 of 60 points are not in points-design.csv" in said
    assert "1 of 60 points do not lie in the pixel that was drawn" in said
    at = int(np.flatnonzero((found.rows == sample.rows[3]) & (found.cols == sample.cols[3]))[0])
    assert found.reference[at] == labels[sample.rows[3], sample.cols[3]]


def test_the_design_of_another_sample_is_not_taken(filled, labels, tmp_path):
    other = draw_sample(map_strata(labels, 3), 60, seed=2)
    _, design = write_sample(tmp_path / "other.csv", other, NAMES, UTM)
    with pytest.raises(InputError, match="--design"):
        read_sample(filled, NAMES, labels.shape, UTM, design=design)
    kept = (tmp_path / "points-design.csv").rename(tmp_path / "elsewhere.csv")
    assert read_sample(filled, NAMES, labels.shape, UTM, design=kept).strata is not None


def test_points_without_ids_are_matched_by_their_pixel(filled, labels, tmp_path):
    lines = [line.split(",", 1)[1] for line in filled.read_text().splitlines()]
    filled.write_text("\n".join(lines) + "\n500015,1,1,1,Grass\n")
    filled.write_text("\n".join(lines) + "\n0,0,500015.0,5299985.0,Grass\n")
    found = read_sample(filled, NAMES, labels.shape, UTM)
    assert len(found.rows) == 60
    assert any("1 of 61 points are not in points-design.csv" in note for note in found.notes)


def test_an_older_map_keeps_its_strata(filled, labels):
    found = read_sample(filled, NAMES, labels.shape, UTM)
    newer = labels.copy()
    newer[:, 20:24] = 3  # soil that is now taken for water
    made = estimate_from_sample(newer, found, NAMES)
    assert any("drawn from another map" in note for note in made.notes)
    assert [round(one.proportion.value * made.pixels) for one in made.classes] == [455, 480, 240]
    assert [one.mapped_pixels for one in made.classes] == [455, 320, 400]
    assert made.classes[1].producers_accuracy.value < 1
    assert made.classes[0].users_accuracy.value == 1
    gone = np.where(labels == 3, 0, labels)  # water is not recognised
    made = estimate_from_sample(gone, found, NAMES, not_recognised=labels == 3)
    assert made.not_recognised == 240
    assert round(made.classes[2].proportion.value * made.pixels) == 240
    assert made.classes[2].producers_accuracy.value == 0


def geojson(path, points, crs=None):
    """Write points as (x, y, attributes)."""
    table = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, y]}, "properties": row}
            for x, y, row in points
        ],
    }
    if crs is not None:
        table["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(table))
    return path


def centre(row, col):
    return 500_015 + 30 * col, 5_299_985 - 30 * row


def test_points_of_ones_own(tmp_path, labels):
    """A random sample without design: post-stratified by the map."""
    units = [(10, 3, "grass"), (10, 3, "Grass"), (11, 4, "Soil"), (11, 4, "Grass"), (0, 0, "Soil")]
    units += [(20, 20, 2), (21, 20, 2.0), (30, 28, "open  WATER"), (31, 28, "other"), (99, 99, "Soil")]
    path = geojson(
        tmp_path / "own.geojson",
        [(*centre(row, col), {"seen": seen}) for row, col, seen in units],
        "EPSG:32632",
    )
    found = read_sample(path, NAMES, labels.shape, UTM, class_field="Seen")
    assert found.strata is None
    assert sorted(zip(found.rows.tolist(), found.cols.tolist(), found.reference.tolist(), strict=True)) == [
        (0, 0, 2), (10, 3, 1), (20, 20, 2), (21, 20, 2), (30, 28, 3), (31, 28, 4),
    ]  # fmt: skip
    said = " ".join(found.notes)
    assert "1 of 10 points lie outside" in said
    assert "3 of 10 points are left out, since they share a pixel" in said
    assert "disagree (1 pixels)" in said
    made = estimate_from_sample(labels, found, NAMES)
    assert any("no design file" in note for note in made.notes)
    assert any("1 of 6 points lie where the map has no data" in note for note in made.notes)
    assert [one.name for one in made.classes] == [*NAMES, "other"]
    assert made.units == 5


def test_other_coordinates_are_brought_over(tmp_path, labels):
    from rasterio.warp import transform

    xs, ys = transform("EPSG:32632", "EPSG:4326", *zip(centre(10, 3), centre(30, 28), strict=True))
    points = [(x, y, {"reference": "Soil"}) for x, y in zip(xs, ys, strict=True)]
    found = read_sample(geojson(tmp_path / "p.geojson", points), NAMES, labels.shape, UTM)
    assert sorted(zip(found.rows.tolist(), found.cols.tolist(), strict=True)) == [(10, 3), (30, 28)]


def test_what_cannot_be_a_sample_is_refused(tmp_path, labels):
    here = [(*centre(10, 3), {"reference": "Gras", "other": "x"}), (*centre(9, 3), {"reference": "7"})]
    path = geojson(tmp_path / "p.geojson", here, "EPSG:32632")
    with pytest.raises(InputError, match=r"'Gras', '7'\. Did you mean 'Grass'") as refused:
        read_sample(path, NAMES, labels.shape, UTM)
    assert "Open water" in str(refused.value)
    with pytest.raises(InputError, match=r"no attribute 'refrence'\. Did you mean 'reference'"):
        read_sample(path, NAMES, labels.shape, UTM, class_field="refrence")
    with pytest.raises(SceneError, match="no coordinate system to place them"):
        read_sample(path, NAMES, labels.shape, None)
    far = geojson(tmp_path / "far.geojson", [(0, 0, {"reference": "Soil"})], "EPSG:32632")
    with pytest.raises(InputError, match="No point of"):
        read_sample(far, NAMES, labels.shape, UTM)
    table = json.loads(path.read_text())
    x, y = centre(10, 3)
    ring = [[x, y], [x + 90, y], [x, y + 90], [x, y]]
    table["features"][0]["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    path.write_text(json.dumps(table))
    with pytest.raises(InputError, match=r"1 of 2 shapes in .* no single points"):
        read_sample(path, NAMES, labels.shape, UTM)
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(InputError, match="no file of points"):
        read_sample(tmp_path / "labels.npy", NAMES, labels.shape, UTM)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("pixels", "9", "two sizes"), ("pixels", "x", "whole numbers"), ("pixels", "0", "two sizes")],
)
def test_a_damaged_design_is_refused(filled, labels, name, value, words):
    rewrite(
        filled.with_name("points-design.csv"),
        lambda row: row.update({name: value}) if row["id"] == "5" else None,
    )
    with pytest.raises(FileFormatError, match=words):
        read_sample(filled, NAMES, labels.shape, UTM)


def test_a_design_without_a_column_is_refused(filled, labels):
    design = filled.with_name("points-design.csv")
    rewrite(design, lambda row: row.pop("stratum") and None)
    with pytest.raises(FileFormatError, match="lacks the column 'stratum'"):
        read_sample(filled, NAMES, labels.shape, UTM)


def test_files_that_cannot_be_written_are_refused(tmp_path, sample):
    with pytest.raises(ConfigError, match=r"\.gpkg or \.csv"):
        write_sample(tmp_path / "points.shp", sample, NAMES, UTM)
    with pytest.raises(ConfigError, match="does not exist"):
        write_sample(tmp_path / "none" / "points.gpkg", sample, NAMES, UTM)


def test_labelled_fields_are_taken_with_a_warning(labels):
    truth = np.where(np.arange(30) % 2 == 0, labels, 0)
    truth[:, 22] = 1
    pixels = np.flatnonzero(truth)[::2]
    made = estimate_from_labels(labels, truth, pixels, NAMES)
    assert "no probability sample" in made.notes[0]
    assert made.units == (labels.ravel()[pixels] > 0).sum()
    assert made.classes[1].users_accuracy.value < 1
    with pytest.raises(InputError, match="no sample unit"):
        estimate_from_labels(labels, truth, [], NAMES)
    with pytest.raises(InputError, match="shape"):
        estimate_from_labels(labels, truth[:3], [0], NAMES)


def test_a_sample_of_arrays_needs_no_file(labels, sample):
    truth = labels[sample.rows, sample.cols]
    units = ReferenceSample(sample.rows, sample.cols, truth, sample.strata, sample.stratum_pixels)
    assert estimate_from_sample(labels, units, NAMES).overall_accuracy.value == 1
