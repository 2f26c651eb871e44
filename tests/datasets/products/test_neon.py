"""NEON AOP reflectance, written here with the layout of its tutorials."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

from hsi.datasets.products.known_products import find_product
from hsi.datasets.products.neon import find_neon, open_neon
from hsi.errors import FileFormatError

ROWS, COLS = 7, 10
WAVELENGTHS = np.array([383.5, 552.0, 861.25, 1340.0, 1400.5, 1445.5, 1650.0, 1850.0, 2300.0])
LEFT, TOP, SPACING = 368_000.0, 4_307_000.0, 2.0


@dataclass
class Fake:
    """A product on disk, and what was written."""

    folder: Path
    site: str = "NOGP"
    style: str = "scalar"
    map_info: str = f"UTM, 1, 1, {LEFT}, {TOP}, {SPACING}, {SPACING}, 18, North, WGS-84, units=Meters, 0"
    epsg: object = b"32618"
    attributes: dict[str, object] = field(default_factory=dict)
    windows: dict[str, object] = field(
        default_factory=lambda: {
            "Band_Window_1_Nanometers": np.array([1340, 1445]),
            "Band_Window_2_Nanometers": np.array([1955, 1790]),
        }
    )
    without: tuple[str, ...] = ()
    name: str = "NEON_D09_WOOD_DP1_20230704_153012_reflectance.h5"

    def __post_init__(self) -> None:
        self.path = self.folder / self.name
        self.counts = np.random.default_rng(23).integers(-50, 12_000, (ROWS, COLS, 9)).astype(np.int16)
        self.counts[5, 1] = -9999
        self.unit: object = b"Nanometers"
        self.wavelengths = WAVELENGTHS

    def write(self) -> Path:
        one = (lambda value: value) if self.style == "scalar" else (lambda value: np.array([value]))
        attributes = {
            "Scale_Factor": one(10_000.0),
            "Data_Ignore_Value": one(-9999.0),
            "Interleave": "BSQ",
            "Spatial_Extent_meters": np.array(
                [LEFT, LEFT + SPACING * COLS, TOP - SPACING * ROWS, TOP], dtype="f8"
            ),
            **self.attributes,
        }
        with h5py.File(self.path, "w") as file:
            root = file.create_group(f"{self.site}/Reflectance")
            cube = root.create_dataset("Reflectance_Data", data=self.counts, chunks=(3, 4, 9))
            for target, values in ((cube, attributes), (root, self.windows)):
                for key, value in values.items():
                    if key not in self.without:
                        target.attrs[key] = value
            place = "Metadata/Coordinate_System"
            layers = {
                "Metadata/Spectral_Data/Wavelength": self.wavelengths.astype("f4"),
                "Metadata/Spectral_Data/FWHM": np.full(len(self.wavelengths), 5.75, "f4"),
                f"{place}/Map_Info": one(self.map_info.encode()),
                f"{place}/EPSG Code": self.epsg,
            }
            for key, value in layers.items():
                if key.rsplit("/", 1)[1] not in self.without:
                    root[key] = value
        return self.path

    def expected(self) -> np.ndarray:
        return np.where(self.counts == -9999, np.nan, self.counts / 1e4)


@pytest.mark.parametrize("style", ["scalar", "array"])
def test_values_bands_and_place(tmp_path, style):
    fake = Fake(tmp_path, style=style)
    product = open_neon(fake.write(), raw=False)
    assert (product.cube.shape, product.cube.dtype) == ((ROWS, COLS, 9), np.float32)
    np.testing.assert_allclose(np.asarray(product.cube), fake.expected(), rtol=1e-6)
    facts = product.facts
    np.testing.assert_allclose(facts.wavelengths_nm, WAVELENGTHS)
    assert facts.fwhm_nm == (5.75,) * 9
    assert facts.bad_bands == (3, 4, 7)  # the ends of a window belong to it
    assert facts.georeference == {"crs": "EPSG:32618", "transform": [2, 0, LEFT, 0, -2, TOP]}
    assert (facts.sensor, facts.acquired) == ("NEON AOP", "2023-07-04T15:30:12Z")
    assert (facts.product, facts.notes, product.files) == (fake.path.stem, (), (fake.path,))


@pytest.mark.parametrize("epsg", [b"32618", "32618", 32618, np.array([b"32618"])])
def test_codes_of_every_type(tmp_path, epsg):
    place = open_neon(Fake(tmp_path, epsg=epsg).write(), raw=False).facts.georeference
    assert place is not None
    assert place["crs"] == "EPSG:32618"


def test_the_zone_gives_the_code_where_it_is_missing(tmp_path):
    fake = Fake(tmp_path, without=("EPSG Code",))
    place = open_neon(fake.write(), raw=False).facts.georeference
    assert place is not None
    assert place["crs"] == "EPSG:32618"
    fake.map_info = fake.map_info.replace("North", "South")
    place = open_neon(fake.write(), raw=False).facts.georeference
    assert place is not None
    assert place["crs"] == "EPSG:32718"


def test_the_reference_pixel_may_be_another(tmp_path):
    fake = Fake(tmp_path, map_info="UTM, 3.000, 5.500, 1000, 2000, 0.5, 0.25, 18, North, WGS-84")
    place = open_neon(fake.write(), raw=False).facts.georeference
    assert place is not None
    np.testing.assert_allclose(place["transform"], [0.5, 0, 1000 - 2 * 0.5, 0, -0.25, 2000 + 4.5 * 0.25])


def test_the_extent_gives_the_grid_where_map_info_is_missing(tmp_path):
    fake = Fake(tmp_path, without=("Map_Info",))
    place = open_neon(fake.write(), raw=False).facts.georeference
    assert place == {"crs": "EPSG:32618", "transform": [2, 0, LEFT, 0, -2, TOP]}
    fake.without = ("Map_Info", "Spatial_Extent_meters")
    facts = open_neon(fake.write(), raw=False).facts
    assert facts.georeference is None
    assert any("grid" in note for note in facts.notes)


def test_bands_without_data_are_bad_and_windows_may_be_missing(tmp_path):
    fake = Fake(tmp_path, windows={})
    fake.counts[:, :, 0] = -9999
    assert open_neon(fake.write(), raw=False).facts.bad_bands == (0,)


def test_micrometres(tmp_path):
    fake = Fake(tmp_path)
    fake.wavelengths = WAVELENGTHS / 1000
    facts = open_neon(fake.write(), raw=False).facts
    np.testing.assert_allclose(facts.wavelengths_nm, WAVELENGTHS, rtol=1e-6)
    assert set(facts.bad_bands) >= {4, 7}


def test_scale_and_fill_are_those_of_the_product(tmp_path):
    fake = Fake(tmp_path, attributes={"Scale_Factor": np.float32(1e-4), "Data_Ignore_Value": b"-7"})
    fake.counts[0, 0] = -7
    fake.counts[5, 1] = 5
    expected = np.where(fake.counts == -7, np.nan, fake.counts / 1e4)
    np.testing.assert_allclose(np.asarray(open_neon(fake.write(), raw=False).cube), expected, rtol=1e-6)
    fake = Fake(tmp_path, without=("Scale_Factor", "Data_Ignore_Value"))
    product = open_neon(fake.write(), raw=False)
    np.testing.assert_allclose(np.asarray(product.cube), fake.expected(), rtol=1e-6)
    assert any("scale" in note for note in product.facts.notes)


def test_windows_equal_the_whole_also_in_another_process(tmp_path):
    fake = Fake(tmp_path)
    cube = pickle.loads(pickle.dumps(open_neon(fake.write(), raw=False).cube))
    np.testing.assert_allclose(cube[1:6, 7:9, [8, 0]], fake.expected()[1:6, 7:9, [8, 0]], rtol=1e-6)


def test_what_is_missing_or_does_not_fit_is_named(tmp_path):
    path = Fake(tmp_path, without=("Wavelength",)).write()
    assert find_neon(path) == path
    with pytest.raises(FileFormatError, match="Wavelength"):
        open_neon(path, raw=False)
    fake = Fake(tmp_path)
    fake.wavelengths = WAVELENGTHS[:4]
    with pytest.raises(FileFormatError, match="4 wavelengths"):
        open_neon(fake.write(), raw=False)
    with pytest.raises(FileFormatError, match="--raw"):
        open_neon(fake.write(), raw=True)


def test_it_is_found_by_its_content(tmp_path):
    path = Fake(tmp_path).write()
    assert find_product(path) == find_product(tmp_path) == ("neon", path)
    renamed = path.rename(tmp_path / "tile")
    assert find_product(renamed) == ("neon", renamed)
    with h5py.File(path, "w") as file:
        file["SITE/Reflectance/Reflectance_Data"] = h5py.ExternalLink(str(renamed), "NOGP")
    assert find_neon(path) is None
    path.write_bytes(renamed.read_bytes()[:3000])
    assert find_neon(path) is None
