"""AVIRIS products in netCDF-4, written here with the layout that its readers expect."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

from hsi.datasets.products.aviris_netcdf import find_aviris_netcdf, open_aviris_netcdf
from hsi.datasets.products.known_products import find_product
from hsi.errors import FileFormatError

CRS = pytest.importorskip("rasterio.crs").CRS

ROWS, COLS = 12, 9
WAVELENGTHS = np.array([390.5, 467.25, 720.0, 1210.5, 2100.0])
GRID = (412_000.0, 4.5, 0.0, 3_801_000.0, 0.0, -4.0)


@dataclass
class Fake:
    """A product on disk, and what was written."""

    folder: Path
    group: str = "reflectance"
    name: str = "AV520250301t201510_001_L2A_OE_0001_RFL_ORT.nc"
    grid: tuple[float, ...] = GRID
    mapping: str = "transverse_mercator"
    bands_last: bool = False
    north_down: bool = False
    without: tuple[str, ...] = ()
    table: tuple[np.ndarray, np.ndarray] | None = None
    layers: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path = self.folder / self.name
        self.cube = np.random.default_rng(29).random((ROWS, COLS, 5)).astype(np.float32)
        self.cube[:, :, 3] = -9999
        self.cube[7, 2] = -9999
        self.wavelengths = WAVELENGTHS

    def write(self) -> Path:
        left, width, _, top, _, height = self.grid
        easting, northing = left + width * (np.arange(COLS) + 0.5), top + height * (np.arange(ROWS) + 0.5)
        layers = {
            f"{self.group}/wavelength": self.wavelengths.astype("f4"),
            f"{self.group}/fwhm": np.full(len(self.wavelengths), 7.5, "f4"),
            **self.layers,
        }
        if self.table is None:
            layers.update(easting=easting, northing=northing[::-1] if self.north_down else northing)
        else:
            layers["geolocation_lookup_table/sample"], layers["geolocation_lookup_table/line"] = self.table
        with h5py.File(self.path, "w") as file:
            stored = self.cube if self.bands_last else np.moveaxis(self.cube, 2, 0)
            cube = file.create_dataset(f"{self.group}/{self.group}", data=stored)
            cube.attrs["_FillValue"] = np.array([-9999], "f4")
            cube.attrs["grid_mapping"] = self.mapping
            for key, values in layers.items():
                if key.rsplit("/", 1)[-1] not in self.without:
                    file[key] = values
            mapping = file.create_dataset(self.mapping, data=b"")
            if "spatial_ref" not in self.without:
                mapping.attrs["spatial_ref"] = CRS.from_epsg(32611).to_wkt()
            if "GeoTransform" not in self.without:
                mapping.attrs["GeoTransform"] = " ".join(map(str, self.grid))
        return self.path

    def expected(self) -> np.ndarray:
        return np.where(self.cube == -9999, np.nan, self.cube)


@pytest.mark.parametrize("bands_last", [False, True])
@pytest.mark.parametrize("mapping", ["transverse_mercator", "projection", "my_grid"])
def test_values_bands_and_place(tmp_path, bands_last, mapping):
    fake = Fake(tmp_path, bands_last=bands_last, mapping=mapping)
    product = open_aviris_netcdf(fake.write(), raw=False)
    assert (product.cube.shape, product.cube.dtype) == ((ROWS, COLS, 5), np.float32)
    np.testing.assert_array_equal(np.asarray(product.cube), fake.expected())
    facts = product.facts
    np.testing.assert_allclose(facts.wavelengths_nm, WAVELENGTHS)
    assert facts.fwhm_nm == (7.5,) * 5
    assert facts.bad_bands == (3,)
    place = {"crs": "EPSG:32611", "transform": [4.5, 0, 412_000, 0, -4, 3_801_000]}
    assert facts.georeference == place
    assert (facts.sensor, facts.acquired) == ("AVIRIS-5", "2025-03-01T20:15:10Z")
    assert (facts.product, facts.notes, product.files) == (fake.path.stem, (), (fake.path,))


@pytest.mark.parametrize(
    ("start", "sensor"), [("AV3", "AVIRIS-3"), ("AV5", "AVIRIS-5"), ("ang", "AVIRIS-NG"), ("x", "AVIRIS")]
)
def test_the_name_tells_the_sensor(tmp_path, start, sensor):
    path = Fake(tmp_path, name=f"{start}20250301t201510_RFL_ORT.nc").write()
    assert open_aviris_netcdf(path, raw=False).facts.sensor == sensor


def test_water_vapour_is_bad_unless_the_product_flags_bands(tmp_path):
    fake = Fake(tmp_path)
    fake.wavelengths = WAVELENGTHS + np.array([0, 0, 0, 0, -200])
    product = open_aviris_netcdf(fake.write(), raw=False)
    assert product.facts.bad_bands == (3, 4)
    assert any("water vapour" in note for note in product.facts.notes)
    fake.layers = {"reflectance/good_wavelengths": np.array([1, 0, 1, 1, 1], np.uint8)}
    del product
    product = open_aviris_netcdf(fake.write(), raw=False)
    assert product.facts.bad_bands == (1, 3)
    assert product.facts.notes == ()


def test_centres_give_the_grid_where_there_is_no_geotransform(tmp_path):
    place = open_aviris_netcdf(
        Fake(tmp_path, without=("GeoTransform",)).write(), raw=False
    ).facts.georeference
    assert place is not None
    np.testing.assert_allclose(place["transform"], [4.5, 0, 412_000, 0, -4, 3_801_000])
    facts = open_aviris_netcdf(
        Fake(tmp_path, without=("GeoTransform", "easting"), name="AV3_b.nc").write(), raw=False
    ).facts
    assert facts.georeference is None
    assert any("grid" in note for note in facts.notes)


def test_coordinates_are_believed_where_rows_run_the_other_way(tmp_path):
    facts = open_aviris_netcdf(Fake(tmp_path, north_down=True).write(), raw=False).facts
    assert facts.georeference is not None
    bottom = GRID[3] + GRID[5] * ROWS
    np.testing.assert_allclose(facts.georeference["transform"], [4.5, 0, 412_000, 0, 4, bottom])
    assert any("coordinates" in note for note in facts.notes)


def test_a_turned_grid(tmp_path):
    cos, sin = 5 * math.cos(0.3), 5 * math.sin(0.3)
    fake = Fake(tmp_path, grid=(1e5, cos, sin, 2e6, sin, -cos), without=("easting", "northing"))
    place = open_aviris_netcdf(fake.write(), raw=False).facts.georeference
    assert place is not None
    np.testing.assert_allclose(place["transform"], [cos, sin, 1e5, sin, -cos, 2e6])


def test_radiance_is_placed_by_its_table(tmp_path):
    rng = np.random.default_rng(31)
    line = rng.integers(-ROWS, ROWS + 1, (17, 14)).astype(np.int32)
    sample = np.where(line == 0, 0, np.sign(line) * rng.integers(1, COLS + 1, line.shape)).astype(np.int32)
    fake = Fake(tmp_path, "radiance", "AV320250301t201510_L1B_RDN.nc", table=(sample, line))
    product = open_aviris_netcdf(fake.write(), raw=False)
    values = fake.expected()
    expected = np.full((17, 14, 5), np.nan, np.float32)
    for cell in np.ndindex(line.shape):
        if line[cell]:
            expected[cell] = values[abs(line[cell]) - 1, abs(sample[cell]) - 1]
    np.testing.assert_array_equal(np.asarray(product.cube), expected)
    assert product.facts.georeference is not None
    assert product.facts.georeference["transform"] == [4.5, 0, 412_000, 0, -4, 3_801_000]
    raw = open_aviris_netcdf(fake.path, raw=True)
    np.testing.assert_array_equal(np.asarray(raw.cube), values)
    assert raw.facts.georeference is None


def test_reflectance_has_no_other_geometry(tmp_path):
    with pytest.raises(FileFormatError, match="--raw"):
        open_aviris_netcdf(Fake(tmp_path).write(), raw=True)


def test_windows_equal_the_whole_also_in_another_process(tmp_path):
    fake = Fake(tmp_path)
    cube = pickle.loads(pickle.dumps(open_aviris_netcdf(fake.write(), raw=False).cube))
    np.testing.assert_array_equal(cube[3:9, 1:4, [4, 2]], fake.expected()[3:9, 1:4, [4, 2]])


def test_what_is_missing_or_does_not_fit_is_named(tmp_path):
    path = Fake(tmp_path, without=("wavelength",)).write()
    assert find_aviris_netcdf(path) == path
    with pytest.raises(FileFormatError, match="wavelength"):
        open_aviris_netcdf(path, raw=False)
    fake = Fake(tmp_path)
    fake.wavelengths = WAVELENGTHS[:3]
    with pytest.raises(FileFormatError, match="3 wavelengths"):
        open_aviris_netcdf(fake.write(), raw=False)
    fake = Fake(tmp_path, without=("spatial_ref",))
    facts = open_aviris_netcdf(fake.write(), raw=False).facts
    assert facts.georeference is not None
    assert facts.georeference["crs"] == ""
    assert any("coordinate system" in note for note in facts.notes)


def test_it_is_found_by_its_content(tmp_path):
    path = Fake(tmp_path).write()
    assert find_product(path) == find_product(tmp_path) == ("aviris_netcdf", path)
    renamed = path.rename(tmp_path / "line")
    assert find_product(renamed) == ("aviris_netcdf", renamed)
    with h5py.File(path, "w") as file:
        file["reflectance/reflectance"] = np.zeros((3, 3, 3))
    assert find_aviris_netcdf(path) is None
