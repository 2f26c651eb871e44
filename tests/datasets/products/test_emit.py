"""EMIT products, written here as the project's own writer does: netCDF-4 with a lookup table."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

from hsi.datasets.products.emit import find_emit, open_emit
from hsi.datasets.products.known_products import find_product
from hsi.errors import FileFormatError

LINES, SAMPLES = 11, 8
MAP = (15, 12)
WAVELENGTHS = np.array([385.5, 489.25, 602.0, 871.5, 1342.0, 1601.75, 2303.5])
GEOTRANSFORM = (-118.5, 0.0006, 0.0, 34.25, 0.0, -0.0005)
WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)
FLAGS = ["Cloud flag", "Cirrus flag", "Water flag", "Spacecraft Flag", "Dilated Cloud Flag", "AOD550",
         "H2O (g cm-2)", "Aggregate Flag"]  # fmt: skip


@dataclass
class Fake:
    """A product on disk, and what was written."""

    folder: Path
    name: str = "reflectance"
    version: str = "001"
    mask_version: str = "002"
    attributes: dict[str, object] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rng = np.random.default_rng(5)
        kind = "L2A_RFL" if self.name == "reflectance" else "L1B_RAD"
        rest = "20240229T115959_2406007_012.nc"
        self.path = self.folder / f"EMIT_{kind}_{self.version}_{rest}"
        self.mask_path = self.folder / f"EMIT_L2A_MASK_{self.mask_version}_{rest}"
        bands = len(WAVELENGTHS)
        self.cube = rng.random((LINES, SAMPLES, bands)).astype(np.float32)
        self.cube[3, 4] = -9999
        self.wavelengths, self.fwhm = WAVELENGTHS.copy(), 8 + np.arange(bands) / 8
        self.good: np.ndarray = np.ones(bands, np.uint8)
        self.good[4] = 0
        if self.name == "reflectance":
            self.cube[:, :, 4] = -0.01
        else:
            self.without = (*self.without, "good_wavelengths")
        # Any pixel anywhere, some cells empty, some filled from a neighbour.
        self.glt_x = rng.integers(1, SAMPLES + 1, MAP).astype(np.int32)
        self.glt_y = rng.integers(1, LINES + 1, MAP).astype(np.int32)
        empty, neighbour = rng.random(MAP) < 0.3, rng.random(MAP) < 0.2
        for table in (self.glt_x, self.glt_y):
            table[empty] = 0
            table[neighbour] *= -1
        self.glt_fill = 0
        self.mask = rng.integers(0, 2, (LINES, SAMPLES, len(FLAGS))).astype(np.float32)
        self.mask[:, :, 5:7] = rng.random((LINES, SAMPLES, 2))
        self.flags = list(FLAGS)

    def write(self) -> Path:
        bands = {"wavelengths": self.wavelengths.astype("f4"), "fwhm": self.fwhm.astype("f4")}
        self._write(self.path, self.name, self.cube, {**bands, "good_wavelengths": self.good})
        return self.path

    def write_mask(self) -> Path:
        names = np.array(self.flags, h5py.string_dtype())
        self._write(self.mask_path, "mask", self.mask, {"mask_bands": names})
        return self.mask_path

    def _write(self, path: Path, name: str, cube: np.ndarray, of_bands: dict[str, np.ndarray]) -> None:
        attributes = {"spatial_ref": WGS84, "geotransform": np.array(GEOTRANSFORM), **self.attributes}
        layers = {f"sensor_band_parameters/{key}": value for key, value in of_bands.items()}
        layers.update({"location/glt_x": self.glt_x, "location/glt_y": self.glt_y})
        with h5py.File(path, "w") as file:
            for key, value in attributes.items():
                if key not in self.without:
                    file.attrs[key] = value
            if name not in self.without:
                file.create_dataset(name, data=cube, chunks=(4, 3, cube.shape[2]), compression="gzip")
                file[name].attrs["_FillValue"] = np.array([-9999], "f4")
            for key, value in layers.items():
                if key.split("/")[1] not in self.without:
                    file[key] = value
                    if "glt" in key:
                        file[key].attrs["_FillValue"] = np.array([self.glt_fill], "i4")

    def on_map(self, values: np.ndarray, empty: object = np.nan) -> np.ndarray:
        """Return values of the sensor grid on the map, one cell after another."""
        shown = np.full((*MAP, *values.shape[2:]), empty, values.dtype)
        for cell in np.ndindex(MAP):
            x, y = abs(int(self.glt_x[cell])), abs(int(self.glt_y[cell]))
            if x and y and x != 9999:
                shown[cell] = values[y - 1, x - 1]
        return shown


def test_the_cube_lies_on_the_map(tmp_path):
    fake = Fake(tmp_path)
    product = open_emit(fake.write(), raw=False)
    cube = np.where(fake.cube == -9999, np.nan, fake.cube)
    assert (product.cube.shape, product.cube.dtype) == ((*MAP, 7), np.float32)
    np.testing.assert_array_equal(np.asarray(product.cube), fake.on_map(cube))
    facts = product.facts
    np.testing.assert_allclose(facts.wavelengths_nm, WAVELENGTHS)
    np.testing.assert_allclose(facts.fwhm_nm, fake.fwhm)
    assert facts.bad_bands == (4,)
    assert facts.georeference == {
        "crs": "EPSG:4326",
        "transform": [0.0006, 0.0, -118.5, 0.0, -0.0005, 34.25],
    }
    assert (facts.sensor, facts.acquired) == ("EMIT", "2024-02-29T11:59:59Z")
    assert facts.product == fake.path.stem
    assert (facts.masks, facts.notes, product.files) == ({}, (), (fake.path,))


def test_raw_keeps_the_geometry_of_the_sensor(tmp_path):
    fake = Fake(tmp_path)
    fake.write_mask()
    product = open_emit(fake.write(), raw=True)
    cube = np.where(fake.cube == -9999, np.nan, fake.cube)
    np.testing.assert_array_equal(np.asarray(product.cube), cube)
    assert product.facts.georeference is None
    np.testing.assert_array_equal(product.facts.masks["water"], fake.mask[:, :, 2] == 1)


@pytest.mark.parametrize("fill", [-9999, 0])
@pytest.mark.parametrize("kind", ["i4", "i8", "f8"])
def test_tables_of_every_fill_and_type(tmp_path, fill, kind):
    fake = Fake(tmp_path)
    fake.glt_fill = fill
    empty = fake.glt_x == 0
    expected = fake.on_map(np.where(fake.cube == -9999, np.nan, fake.cube))
    fake.glt_x, fake.glt_y = fake.glt_x.astype(kind), fake.glt_y.astype(kind)
    for table in (fake.glt_x, fake.glt_y):
        table[empty] = np.nan if kind == "f8" else fill
    np.testing.assert_array_equal(np.asarray(open_emit(fake.write(), raw=False).cube), expected)


def test_radiance_has_the_same_layout(tmp_path):
    fake = Fake(tmp_path, "radiance")
    fake.write_mask()
    product = open_emit(fake.write(), raw=False)
    cube = np.where(fake.cube == -9999, np.nan, fake.cube)
    np.testing.assert_array_equal(np.asarray(product.cube), fake.on_map(cube))
    assert product.facts.bad_bands == ()
    assert set(product.facts.masks) >= {"cloud", "water"}


def test_flags_of_the_mask_file_lie_on_the_map(tmp_path):
    fake = Fake(tmp_path)
    mask_path = fake.write_mask()
    product = open_emit(fake.write(), raw=False)
    assert product.files == (fake.path, mask_path)
    names = ["cloud", "cirrus", "water", "spacecraft", "dilated cloud", None, None, "aggregate"]
    assert set(product.facts.masks) == set(filter(None, names))
    for band, name in enumerate(names):
        if name:
            expected = fake.on_map(fake.mask[:, :, band] == 1, empty=False)
            assert product.facts.masks[name].dtype == bool
            np.testing.assert_array_equal(product.facts.masks[name], expected)


def test_the_newest_mask_of_the_same_scene_is_taken(tmp_path):
    for version in ("001", "003", "002"):
        fake = Fake(tmp_path, mask_version=version)
        fake.mask[:, :, 0] = version == "003"
        fake.write_mask()
    fake.mask[:, :, 0] = 1
    fake.mask_path = tmp_path / fake.mask_path.name.replace("_012", "_013")
    fake.write_mask()
    product = open_emit(fake.write(), raw=True)
    assert product.files[1].name == "EMIT_L2A_MASK_003_20240229T115959_2406007_012.nc"
    assert product.facts.masks["cloud"].all()


@pytest.mark.parametrize("trouble", ["shape", "flags", "names", "text"])
def test_a_mask_that_does_not_fit_is_left_out_with_a_note(tmp_path, trouble):
    fake = Fake(tmp_path)
    if trouble == "shape":
        fake.mask = fake.mask[1:]
    if trouble == "flags":
        fake.flags.pop()
    if trouble == "names":
        fake.without = ("mask_bands",)
    mask_path = fake.write_mask()
    if trouble == "text":
        mask_path.write_text("text")
    product = open_emit(fake.write(), raw=False)
    assert product.facts.masks == {}
    assert product.files == (fake.path,)
    assert any(mask_path.name in note for note in product.facts.notes)


def test_bands_are_sorted_and_micrometres_are_told_by_size(tmp_path):
    fake = Fake(tmp_path)
    shuffled = np.array([3, 0, 6, 1, 5, 2, 4])
    fake.wavelengths, fake.fwhm = WAVELENGTHS[shuffled] / 1000, fake.fwhm[shuffled] / 1000
    fake.good, cube = fake.good[shuffled], fake.cube
    fake.cube = cube[:, :, shuffled]
    product = open_emit(fake.write(), raw=True)
    np.testing.assert_array_equal(np.asarray(product.cube), np.where(cube == -9999, np.nan, cube))
    np.testing.assert_allclose(product.facts.wavelengths_nm, WAVELENGTHS, rtol=1e-6)
    np.testing.assert_allclose(product.facts.fwhm_nm, 8 + np.arange(7) / 8, rtol=1e-6)
    assert product.facts.bad_bands == (4,)


@pytest.mark.parametrize("kind", ["u1", "f4", "?", "i8"])
def test_band_flags_of_every_type_and_dead_bands(tmp_path, kind):
    fake = Fake(tmp_path)
    fake.good = fake.good.astype(kind)
    fake.cube[:, :, 1] = -9999
    assert open_emit(fake.write(), raw=False).facts.bad_bands == (1, 4)


def test_what_is_not_said_is_noted(tmp_path):
    product = open_emit(Fake(tmp_path, without=("spatial_ref", "fwhm")).write(), raw=False)
    assert product.facts.georeference is not None
    assert product.facts.georeference["crs"] == "EPSG:4326"
    assert product.facts.fwhm_nm == ()
    assert len(product.facts.notes) == 1
    (tmp_path / "two").mkdir()
    product = open_emit(Fake(tmp_path / "two", without=("geotransform",)).write(), raw=False)
    assert product.facts.georeference is None
    assert any("geotransform" in note for note in product.facts.notes)


@pytest.mark.parametrize("name", ["wavelengths", "glt_x", "glt_y"])
def test_what_is_missing_is_named(tmp_path, name):
    path = Fake(tmp_path, without=(name,)).write()
    assert find_emit(path) == path
    with pytest.raises(FileFormatError, match=name):
        open_emit(path, raw=False)


def test_parts_that_do_not_fit_are_refused(tmp_path):
    fake = Fake(tmp_path)
    fake.wavelengths = WAVELENGTHS[1:]
    with pytest.raises(FileFormatError, match="6 wavelengths"):
        open_emit(fake.write(), raw=False)
    fake.wavelengths = np.where(WAVELENGTHS < 400, np.nan, WAVELENGTHS)
    with pytest.raises(FileFormatError, match="wavelengths"):
        open_emit(fake.write(), raw=False)
    fake = Fake(tmp_path)
    fake.glt_x[0, 0], fake.glt_y[0, 0] = SAMPLES + 1, 1
    with pytest.raises(FileFormatError, match="lookup table"):
        open_emit(fake.write(), raw=False)
    fake = Fake(tmp_path)
    fake.glt_y = fake.glt_y[1:]
    with pytest.raises(FileFormatError, match="lookup table"):
        open_emit(fake.write(), raw=False)


def test_windows_equal_the_whole_also_in_another_process(tmp_path):
    cube = pickle.loads(pickle.dumps(open_emit(Fake(tmp_path).write(), raw=False).cube))
    whole = np.asarray(cube)
    for index in (
        (slice(2, 9), slice(3, 4), [5, 0]),
        (7, 7, slice(None)),
        (slice(None, None, -1), 2, [1, 1]),
    ):
        np.testing.assert_array_equal(cube[index], whole[index])


def test_it_is_found_by_its_content(tmp_path):
    fake = Fake(tmp_path)
    path, mask_path = fake.write(), fake.write_mask()
    uncertainty = Fake(tmp_path)
    uncertainty.path = tmp_path / path.name.replace("RFL", "RFLUNCERT")
    uncertainty.name = "reflectance_uncertainty"
    uncertainty.write()
    assert find_emit(path) == find_emit(tmp_path) == path
    assert find_emit(mask_path) is None
    assert find_emit(uncertainty.path) is None
    assert find_product(tmp_path) == ("emit", path)
    renamed = path.rename(tmp_path / "scene.nc")
    assert find_product(renamed) == ("emit", renamed)
    assert open_emit(renamed, raw=False).facts.masks == {}
