"""Tanager products, written here with the layout of the product specification."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

from hsi.datasets.products.known_products import find_product
from hsi.datasets.products.tanager import find_tanager, open_tanager
from hsi.errors import FileFormatError

ROWS, COLS = 8, 13
WAVELENGTHS = np.array([376.5, 480.25, 701.0, 1003.75, 1392.5, 2404.0])
LEFT, TOP, SPACING = 570_300.0, 3_765_420.0, 30.0
STRUCTURE = """GROUP=GridStructure
\tGROUP=GRID_1
\t\tGridName="HYP"
\t\tXDim={cols}
\t\tYDim={rows}
\t\tUpperLeftPointMtrs=({left:.6f},{top:.6f})
\t\tLowerRightMtrs=({right:.6f},{bottom:.6f})
\t\tProjection=HE5_GCTP_UTM
\t\tZoneCode={zone}
\t\tPixelRegistration=HE5_HDFE_CORNER
\t\tGridOrigin={origin}
\tEND_GROUP=GRID_1
END_GROUP=GridStructure
END
"""


@dataclass
class Fake:
    """A product on disk, and what was written."""

    folder: Path
    ortho: bool = True
    name: str = "surface_reflectance"
    fields: str = "Data Fields"
    epsg: int | None = 32611
    zone: int = 11
    origin: str = "HE5_HDFE_GD_UL"
    structure: bool = True
    framing: dict[str, object] | None = None
    attributes: dict[str, object] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rng = np.random.default_rng(17)
        kind = "sr" if self.name == "surface_reflectance" else "radiance"
        self.path = self.folder / f"20250112_184559_03_4001_{'ortho' if self.ortho else 'basic'}_{kind}.h5"
        self.cube = rng.random((len(WAVELENGTHS), ROWS, COLS)).astype(np.float32)
        self.cube[:, 2, 5] = -9999
        self.codes = {
            name: rng.choice([0, 1, 255], (ROWS, COLS)).astype(np.uint8)
            for name in ("beta_cloud_mask", "beta_cirrus_mask")
        }
        self.codes["nodata_pixels"] = np.zeros((ROWS, COLS), np.uint8)
        self.codes["nodata_pixels"][6, :4] = 1  # these hold values in the cube
        self.good: np.ndarray = np.array([1, 1, 1, 1, 0, 1], np.uint8)

    def write(self) -> Path:
        root = f"HDFEOS/{'GRIDS' if self.ortho else 'SWATHS'}/HYP"
        attributes: dict[str, object] = {
            "wavelengths": WAVELENGTHS.astype("f4"),
            "fwhm": (5 + np.arange(len(WAVELENGTHS)) / 4).astype("f4"),
            "_FillValue": np.float32(-9999),
        }
        if self.name == "surface_reflectance":
            attributes["good_wavelengths"] = self.good
        with h5py.File(self.path, "w") as file:
            cube = file.create_dataset(f"{root}/{self.fields}/{self.name}", data=self.cube, chunks=(2, 8, 5))
            for key, value in {**attributes, **self.attributes}.items():
                if key not in self.without:
                    cube.attrs[key] = value
            for key, codes in self.codes.items():
                file[f"{root}/{self.fields}/{key}"] = codes
            if self.framing is not None:
                framed = file[root] if self.ortho else file.require_group(f"{root}/Geolocation Fields")
                framed.attrs["Planet_Ortho_Framing"] = json.dumps(self.framing)
            if self.ortho and self.epsg:
                file[root].attrs["epsg_code"] = np.array([self.epsg])
            if self.ortho and self.structure:
                file["HDFEOS INFORMATION/StructMetadata.0"] = STRUCTURE.format(
                    cols=COLS, rows=ROWS, left=LEFT, top=TOP, right=LEFT + SPACING * COLS,
                    bottom=TOP - SPACING * ROWS, zone=self.zone, origin=self.origin,
                )  # fmt: skip
        return self.path

    def expected(self) -> np.ndarray:
        values = np.moveaxis(np.where(self.cube == -9999, np.nan, self.cube), 0, 2)
        values[self.codes["nodata_pixels"] == 1] = np.nan
        return values


@pytest.mark.parametrize("ortho", [True, False])
@pytest.mark.parametrize("name", ["surface_reflectance", "toa_radiance"])
@pytest.mark.parametrize("fields", ["Data Fields", "Data_Fields"])
def test_values_and_bands(tmp_path, ortho, name, fields):
    fake = Fake(tmp_path, ortho, name, fields)
    product = open_tanager(fake.write(), raw=False)
    assert (product.cube.shape, product.cube.dtype) == ((ROWS, COLS, 6), np.float32)
    np.testing.assert_array_equal(np.asarray(product.cube), fake.expected())
    np.testing.assert_allclose(product.facts.wavelengths_nm, WAVELENGTHS)
    np.testing.assert_allclose(product.facts.fwhm_nm, 5 + np.arange(6) / 4)
    assert product.facts.bad_bands == ((4,) if name == "surface_reflectance" else ())
    assert (product.facts.sensor, product.facts.acquired) == ("Tanager", "2025-01-12T18:45:59Z")
    assert product.facts.product == fake.path.stem
    assert product.files == (fake.path,)
    assert (product.facts.georeference is None) == (not ortho)
    assert len(product.facts.notes) == (not ortho)


def test_masks(tmp_path):
    fake = Fake(tmp_path)
    masks = open_tanager(fake.write(), raw=False).facts.masks
    assert set(masks) == {"cloud", "cirrus"}
    np.testing.assert_array_equal(masks["cloud"], fake.codes["beta_cloud_mask"] == 1)
    np.testing.assert_array_equal(masks["cirrus"], fake.codes["beta_cirrus_mask"] == 1)


def test_layers_that_are_missing_or_do_not_fit(tmp_path):
    fake = Fake(tmp_path)
    fake.codes = {"nodata_pixels": fake.codes["nodata_pixels"], "beta_cloud_mask": np.zeros((ROWS, 2), "u1")}
    product = open_tanager(fake.write(), raw=False)
    assert product.facts.masks == {}
    assert any("beta_cloud_mask" in note for note in product.facts.notes)
    fake.codes = {}
    del product
    assert np.isfinite(np.asarray(open_tanager(fake.write(), raw=False).cube)[6, :4]).all()


@pytest.mark.parametrize(
    ("epsg", "zone", "crs"), [(32611, 12, "EPSG:32611"), (None, 11, "EPSG:32611"), (None, -36, "EPSG:32736")]
)
def test_the_grid_is_that_of_the_outer_corners(tmp_path, epsg, zone, crs):
    facts = open_tanager(Fake(tmp_path, epsg=epsg, zone=zone).write(), raw=False).facts
    assert facts.georeference == {"crs": crs, "transform": [30, 0, LEFT, 0, -30, TOP]}


@pytest.mark.parametrize(
    ("origin", "transform"),
    [
        ("HE5_HDFE_GD_LL", [30, 0, LEFT, 0, 30, TOP - 30 * ROWS]),
        ("HE5_HDFE_GD_UR", [-30, 0, LEFT + 30 * COLS, 0, -30, TOP]),
        ("HE5_HDFE_GD_LR", [-30, 0, LEFT + 30 * COLS, 0, 30, TOP - 30 * ROWS]),
    ],
)
def test_the_first_pixel_may_be_another_corner(tmp_path, origin, transform):
    place = open_tanager(Fake(tmp_path, origin=origin).write(), raw=False).facts.georeference
    assert place is not None
    assert place["transform"] == transform


def test_the_framing_gives_the_grid_where_the_structure_does_not(tmp_path):
    framing = {"epsg_code": 32735, "rows": ROWS, "cols": COLS, "geotransform": [1e5, 20, 0, 2e6, 0, -25]}
    facts = open_tanager(Fake(tmp_path, epsg=None, structure=False, framing=framing).write(), raw=False).facts
    assert facts.georeference == {"crs": "EPSG:32735", "transform": [20, 0, 1e5, 0, -25, 2e6]}
    framing["rows"] = ROWS + 1
    facts = open_tanager(Fake(tmp_path, structure=False, framing=framing).write(), raw=False).facts
    assert facts.georeference is None
    assert any("grid" in note for note in facts.notes)


def test_the_framing_of_a_basic_product_is_that_of_its_twin(tmp_path):
    framing = {"epsg_code": 32735, "rows": ROWS, "cols": COLS, "geotransform": [1e5, 20, 0, 2e6, 0, -25]}
    facts = open_tanager(Fake(tmp_path, False, framing=framing).write(), raw=False).facts
    assert facts.georeference is None
    assert any("EPSG:32735" in note for note in facts.notes)


def test_integers_are_scaled(tmp_path):
    fake = Fake(tmp_path, attributes={"scale_factor": 1e-4, "_FillValue": np.int16(-1)})
    fake.cube = np.random.default_rng(2).integers(0, 9000, fake.cube.shape).astype(np.int16)
    fake.cube[:, 3, 3] = -1
    expected = np.moveaxis(np.where(fake.cube == -1, np.nan, fake.cube * 1e-4), 0, 2)
    expected[fake.codes["nodata_pixels"] == 1] = np.nan
    cube = open_tanager(fake.write(), raw=False).cube
    np.testing.assert_allclose(np.asarray(cube), expected, rtol=1e-6)


def test_a_band_without_data_is_bad_whatever_its_flag(tmp_path):
    fake = Fake(tmp_path)
    fake.cube[1] = -9999
    assert open_tanager(fake.write(), raw=False).facts.bad_bands == (1, 4)
    fake.good = fake.good[1:]
    product = open_tanager(fake.write(), raw=False)
    assert product.facts.bad_bands == (1,)
    assert any("flags" in note for note in product.facts.notes)


def test_windows_equal_the_whole_also_in_another_process(tmp_path):
    fake = Fake(tmp_path)
    cube = pickle.loads(pickle.dumps(open_tanager(fake.write(), raw=False).cube))
    np.testing.assert_array_equal(cube[2:7, 1:6, [5, 0, 2]], fake.expected()[2:7, 1:6, [5, 0, 2]])


def test_what_is_missing_or_does_not_fit_is_named(tmp_path):
    path = Fake(tmp_path, without=("wavelengths",)).write()
    with pytest.raises(FileFormatError, match="wavelengths"):
        open_tanager(path, raw=False)
    path = Fake(tmp_path, attributes={"wavelengths": WAVELENGTHS[:-1]}).write()
    with pytest.raises(FileFormatError, match="5 wavelengths"):
        open_tanager(path, raw=False)
    with pytest.raises(FileFormatError, match="--raw"):
        open_tanager(path, raw=True)
    fake = Fake(tmp_path)
    fake.cube = fake.cube[0]
    fake.path = tmp_path / "flat.h5"
    with h5py.File(fake.path, "w") as file:
        file["HDFEOS/GRIDS/HYP/Data Fields/surface_reflectance"] = fake.cube
    with pytest.raises(FileFormatError, match="surface_reflectance"):
        open_tanager(fake.path, raw=False)


def test_it_is_found_by_its_content(tmp_path):
    path = Fake(tmp_path).write()
    assert find_product(path) == find_product(tmp_path) == ("tanager", path)
    renamed = path.rename(tmp_path / "scene")
    assert find_product(renamed) == ("tanager", renamed)
    with h5py.File(path, "w") as file:
        file["HDFEOS/GRIDS/OTHER/Data Fields/surface_reflectance"] = np.zeros((2, 2, 2))
    assert find_tanager(path) is None
