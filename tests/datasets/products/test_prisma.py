"""PRISMA products, written here with the layout of the product specification."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

from hsi.datasets.products.known_products import find_product
from hsi.datasets.products.prisma import find_prisma, open_prisma
from hsi.errors import FileFormatError

ROWS, COLS = 9, 14
CENTRES = {
    "Vnir": [0.0, 975.0, 961.25, 870.5, 650.75, 410.5],
    "Swir": [2490.0, 1650.5, 1385.25, 965.5, 945.0, 0.0, 0.0],
}
LEFT, TOP, SPACING = 300_000.0, 4_200_000.0, 30.0  # outer corner of the image, EPSG:32633


@dataclass
class Fake:
    """A product on disk, and what was written."""

    folder: Path
    level: str = "L2D"
    corners: str = "centres"
    positions: bool = True
    epsg: int | None = 32633
    style: str = "scalar"
    words: type = bytes
    sizes: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, object] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rng = np.random.default_rng(11)
        self.path = self.folder / f"PRS_{self.level}_STD_20210705094512_20210705094516_0001.he5"
        self.fields = f"HDFEOS/SWATHS/PRS_{self.level}_HCO/Data Fields"
        self.counts = {
            name: rng.integers(1, 65536, (ROWS, COLS, len(centres))).astype(np.uint16)
            for name, centres in CENTRES.items()
        }
        for name, centres in CENTRES.items():
            self.counts[name][:, :, np.array(centres) == 0] = 0
            self.counts[name][0, :3] = 0  # beside the turned swath
        self.counts["Vnir"][4, 5, 3] = 0  # one value that could not be retrieved
        self.errors = {name: np.zeros(counts.shape, np.uint8) for name, counts in self.counts.items()}
        self.errors["Vnir"][1, 1] = 4
        self.fwhm = {name: 9 + np.arange(len(centres)) / 8 for name, centres in CENTRES.items()}
        self.flags = {name: (np.array(centres) > 0).astype(np.uint8) for name, centres in CENTRES.items()}
        self.scale = {"Vnir": (-0.02, 0.9), "Swir": (0.01, 0.55)}
        self.layers: dict[str, np.ndarray] = {}

    def write(self) -> Path:
        with h5py.File(self.path, "w") as file:
            for name, value in {**self._attributes(), **self.attributes}.items():
                if name not in self.without:
                    if isinstance(value, str):
                        value = value.encode() if self.words is bytes else value
                    if self.style == "array" and not np.ndim(value):
                        value = np.array([value], h5py.string_dtype() if isinstance(value, str) else None)
                    file.attrs[name] = value
            for name in CENTRES:
                self._put(file, f"{self.fields}/{name.upper()}_Cube", self.counts[name].transpose(0, 2, 1))
                matrix = "SAT" if self.level == "L1" else "L2"
                matrix = f"{self.fields}/{name.upper()}_PIXEL_{matrix}_ERR_MATRIX"
                self._put(file, matrix, self.errors[name].transpose(0, 2, 1))
            for name, layer in self.layers.items():
                self._put(file, f"{self.fields}/{name}", layer)
            if self.positions:
                for name, degrees in zip(("Latitude", "Longitude"), self.degrees(), strict=True):
                    self._put(file, self.fields.replace("Data", "Geolocation") + "/" + name, degrees)
        return self.path

    def _put(self, file: h5py.File, name: str, values: np.ndarray) -> None:
        if name.rsplit("/", 1)[1] not in self.without:
            file.create_dataset(name, data=values, chunks=True, compression="gzip")

    def _attributes(self) -> dict[str, object]:
        made: dict[str, object] = {"Processing_Level": self.level[1:], "Product_StartTime": ""}
        for name, centres in CENTRES.items():
            made[f"List_Cw_{name}"] = np.array(centres, np.float32)
            made[f"List_Fwhm_{name}"] = self.fwhm[name].astype(np.float32)
            made[f"List_Cw_{name}_Flags"] = self.flags[name]
            if self.level == "L1":
                made[f"ScaleFactor_{name}"], made[f"Offset_{name}"] = self.scale[name][1] * 100, 0.0
            else:
                for end, value in zip(("Min", "Max"), self.scale[name], strict=True):
                    made[f"L2Scale{name}{end}"] = np.float32(value)
        if self.level == "L2D":
            if self.epsg:
                made["Epsg_Code"] = np.uint32(self.epsg)
            width, height = SPACING * COLS, SPACING * ROWS
            half = SPACING / 2
            left, top, right, bottom = LEFT, TOP, LEFT + width, TOP - height
            if self.corners == "centres":
                left, top, right, bottom = left + half, top - half, right - half, bottom + half
            elif self.corners == "upper left":
                right, bottom = right - SPACING, bottom + SPACING
            for name, x, y in (
                ("UL", left, top),
                ("UR", right, top),
                ("LL", left, bottom),
                ("LR", right, bottom),
            ):
                made[f"Product_{name}corner_easting"] = np.float32(x)
                made[f"Product_{name}corner_northing"] = np.float32(y)
        return made

    def degrees(self) -> tuple[np.ndarray, np.ndarray]:
        warp = pytest.importorskip("rasterio.warp")
        x, y = np.meshgrid(LEFT + SPACING * (np.arange(COLS) + 0.5), TOP - SPACING * (np.arange(ROWS) + 0.5))
        lon, lat = warp.transform(f"EPSG:{self.epsg or 32633}", "EPSG:4326", x.ravel(), y.ravel())
        return np.float32(lat).reshape(ROWS, COLS), np.float32(lon).reshape(ROWS, COLS)

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """Return values and wavelengths, ascending, computed in float64."""
        parts, centres = [], []
        for name, listed in CENTRES.items():
            low, high = self.scale[name]
            counts = self.counts[name].astype(float)
            if self.level == "L1":
                values = counts / (high * 100)
                values[np.all([self.counts[one].sum(axis=2) == 0 for one in CENTRES], axis=0)] = np.nan
            else:
                values = low + counts * (high - low) / 65535
                values[counts == 0] = np.nan
            seen = np.array(listed) > 0
            parts.append(values[:, :, seen])
            centres.append(np.array(listed)[seen])
        order = np.argsort(np.concatenate(centres))
        return np.concatenate(parts, axis=2)[:, :, order], np.concatenate(centres)[order]


@pytest.mark.parametrize("level", ["L1", "L2B", "L2C", "L2D"])
@pytest.mark.parametrize("style", ["scalar", "array"])
@pytest.mark.parametrize("words", [bytes, str])
def test_values_and_wavelengths(tmp_path, level, style, words):
    fake = Fake(tmp_path, level, style=style, words=words)
    product = open_prisma(fake.write(), raw=False)
    values, centres = fake.expected()
    assert product.cube.shape == (ROWS, COLS, 10)
    assert product.cube.dtype == np.float32
    np.testing.assert_allclose(np.asarray(product.cube), values, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(product.facts.wavelengths_nm, centres, rtol=1e-7)
    order = np.argsort(np.concatenate([CENTRES["Vnir"], CENTRES["Swir"]]))[3:]
    fwhm = np.concatenate([fake.fwhm["Vnir"], fake.fwhm["Swir"]])[order]
    np.testing.assert_allclose(product.facts.fwhm_nm, fwhm, rtol=1e-6)
    assert product.facts.bad_bands == ()
    assert (product.facts.sensor, product.facts.acquired) == ("PRISMA", "2021-07-05T09:45:12Z")
    assert product.facts.product == fake.path.stem
    assert product.files == (fake.path,)
    assert product.facts.no_data is None
    assert (product.facts.georeference is None) == (level != "L2D")
    assert any("sensor" in note for note in product.facts.notes) == (level != "L2D")
    assert any("945 to 975 nm" in note for note in product.facts.notes)


@pytest.mark.parametrize("level", ["L1", "L2D"])
def test_windows_equal_the_whole_also_in_another_process(tmp_path, level):
    fake = Fake(tmp_path, level)
    fake.counts["Vnir"][4, 6] = 0  # no value of one detector: in L1 a dark pixel
    cube = pickle.loads(pickle.dumps(open_prisma(fake.write(), raw=False).cube))
    whole, expected = np.asarray(cube), fake.expected()[0]
    np.testing.assert_allclose(whole, expected, rtol=2e-6, atol=1e-7)
    for bands in ([0], [0, 1], [9, 2, 5], [4, 4], [], slice(None, None, -1)):
        np.testing.assert_array_equal(cube[0:5, 1:9, bands], whole[0:5, 1:9][:, :, bands])
    np.testing.assert_array_equal(cube[4, 6], whole[4, 6])


def test_the_offset_of_radiance_is_subtracted_and_noted(tmp_path):
    plain = open_prisma(Fake(tmp_path, "L1").write(), raw=False)
    before = np.asarray(plain.cube)
    (tmp_path / "shifted").mkdir()
    fake = Fake(tmp_path / "shifted", "L1", attributes={"Offset_Vnir": 2.5, "Offset_Swir": 0.5})
    product = open_prisma(fake.write(), raw=False)
    of_vnir = np.isin(product.facts.wavelengths_nm, CENTRES["Vnir"])
    shift = before - np.asarray(product.cube)
    assert np.allclose(shift[1:, :, of_vnir], 2.5, atol=1e-4)
    assert np.allclose(shift[1:, :, ~of_vnir], 0.5, atol=1e-4)
    assert any("offset" in note for note in product.facts.notes)
    assert not any("offset" in note for note in plain.facts.notes)


def _place(wavelength: float) -> int:
    return sorted(one for centres in CENTRES.values() for one in centres if one).index(wavelength)


@pytest.mark.parametrize("budget", [1, 2000, 1 << 28])  # one strip of rows, some, many
def test_bands_without_a_valid_value_are_bad_and_stay(tmp_path, monkeypatch, budget):
    monkeypatch.setattr("hsi.datasets.products.prisma._SAMPLED_BYTES", budget)
    fake = Fake(tmp_path)
    fake.errors["Swir"][:, :, 2] = 2  # 1385.25 nm has values, none of them valid
    fake.counts["Vnir"][:, :, 4] = 0  # 650.75 nm has none
    product = open_prisma(fake.write(), raw=False)
    assert product.facts.bad_bands == (_place(650.75), _place(1385.25))
    assert any("651, 1385 nm" in note for note in product.facts.notes)
    np.testing.assert_allclose(np.asarray(product.cube), fake.expected()[0], rtol=2e-6, atol=1e-7)


def test_error_matrices_that_reject_everything_or_are_missing_say_nothing(tmp_path):
    fake = Fake(tmp_path)
    fake.counts["Vnir"][:, :, 4] = 0
    for name in CENTRES:
        fake.errors[name][:] = 1
    assert open_prisma(fake.write(), raw=False).facts.bad_bands == (_place(650.75),)
    fake.without = ("VNIR_PIXEL_L2_ERR_MATRIX",)
    assert open_prisma(fake.write(), raw=False).facts.bad_bands == (_place(650.75),)


def test_a_band_flagged_as_not_acquired_is_bad(tmp_path):
    fake = Fake(tmp_path)
    fake.flags["Swir"][1] = 0
    assert open_prisma(fake.write(), raw=False).facts.bad_bands == (_place(1650.5),)


@pytest.mark.parametrize("corners", ["centres", "upper left", "outer"])
def test_the_positions_of_pixels_tell_what_the_corners_are(tmp_path, corners):
    product = open_prisma(Fake(tmp_path, corners=corners).write(), raw=False)
    place = product.facts.georeference
    assert place is not None
    assert place["crs"] == "EPSG:32633"
    np.testing.assert_allclose(place["transform"], [30, 0, LEFT, 0, -30, TOP], atol=0.3)
    assert any("agree" in note for note in product.facts.notes)


@pytest.mark.parametrize(
    ("corners", "wanted", "word"),
    [
        ("centres", [30, 0, LEFT, 0, -30, TOP], "not certain"),
        ("upper left", [30, 0, LEFT - 15, 0, -30, TOP + 15], "not certain"),
        ("outer", [30, 0, LEFT, 0, -30, TOP], "30 m"),
    ],
)
def test_without_positions_corners_are_centres_unless_that_makes_odd_pixels(tmp_path, corners, wanted, word):
    product = open_prisma(Fake(tmp_path, corners=corners, positions=False).write(), raw=False)
    assert product.facts.georeference is not None
    np.testing.assert_allclose(product.facts.georeference["transform"], wanted, atol=0.3)
    assert any(word in note for note in product.facts.notes)


def test_positions_beside_the_swath_are_not_looked_at(tmp_path):
    fake = Fake(tmp_path, corners="upper left")
    path = fake.write()
    with h5py.File(path, "r+") as file:
        group = file[fake.fields.replace("Data", "Geolocation")]
        for name in ("Latitude", "Longitude"):
            values = group[name][()]
            values[:2], values[:, -1] = 0, np.nan
            group[name][...] = values
    product = open_prisma(path, raw=False)
    assert product.facts.georeference is not None
    np.testing.assert_allclose(product.facts.georeference["transform"], [30, 0, LEFT, 0, -30, TOP], atol=0.3)


def test_positions_in_another_file_are_not_opened(tmp_path):
    fake = Fake(tmp_path, corners="upper left", positions=False)
    path = fake.write()
    with h5py.File(path, "r+") as file:
        for name, degrees in zip(("Latitude", "Longitude"), fake.degrees(), strict=True):
            other = tmp_path / f"{name}.bin"
            other.write_bytes(degrees.tobytes())
            layer = f"{fake.fields.replace('Data', 'Geolocation')}/{name}"
            file.create_dataset(layer, degrees.shape, "f4", external=[(str(other), 0, degrees.nbytes)])
    product = open_prisma(path, raw=False)
    assert any("not certain" in note for note in product.facts.notes)


def test_the_zone_is_taken_where_the_code_is_missing(tmp_path):
    fake = Fake(tmp_path, epsg=None)
    fake.attributes = {"Projection_Id": "33", "Projection_Name": "UTM"}
    place = open_prisma(fake.write(), raw=False).facts.georeference
    assert place is not None
    assert place["crs"] == "EPSG:32633"
    fake.attributes["Product_center_lat"] = -10.0
    place = open_prisma(fake.write(), raw=False).facts.georeference
    assert place is not None
    assert place["crs"] == "EPSG:32733"
    product = open_prisma(Fake(tmp_path, epsg=None).write(), raw=False)
    assert product.facts.georeference is not None
    assert product.facts.georeference["crs"] == ""
    assert any("coordinate system" in note for note in product.facts.notes)


def test_one_missing_corner_is_taken_from_the_others(tmp_path):
    fake = Fake(tmp_path, without=("Product_ULcorner_easting", "Product_LRcorner_northing"))
    place = open_prisma(fake.write(), raw=False).facts.georeference
    assert place is not None
    np.testing.assert_allclose(place["transform"], [30, 0, LEFT, 0, -30, TOP], atol=0.3)
    fake.without = ("Product_ULcorner_easting", "Product_LLcorner_easting")
    product = open_prisma(fake.write(), raw=False)
    assert product.facts.georeference is None
    assert any("corners" in note for note in product.facts.notes)


def test_clouds_of_l1(tmp_path):
    codes = np.random.default_rng(3).choice([0, 1, 10, 255], (ROWS, COLS)).astype(np.uint8)
    fake = Fake(tmp_path, "L1")
    fake.layers = {"Cloud_Mask": codes}
    masks = open_prisma(fake.write(), raw=False).facts.masks
    assert set(masks) == {"cloud"}
    np.testing.assert_array_equal(masks["cloud"], codes == 1)
    fake.layers = {"Cloud_Mask": codes[1:]}
    product = open_prisma(fake.write(), raw=False)
    assert product.facts.masks == {}
    assert any("clouds" in note for note in product.facts.notes)


def test_the_start_time_of_the_product_is_preferred(tmp_path):
    fake = Fake(tmp_path, attributes={"Product_StartTime": "2021-07-05T09:45:12.345678"})
    assert open_prisma(fake.write(), raw=False).facts.acquired == "2021-07-05T09:45:12Z"
    fake.attributes = {}
    renamed = fake.write().rename(tmp_path / "field.h5")
    facts = open_prisma(renamed, raw=False).facts
    assert (facts.acquired, facts.product) == ("", "field")


@pytest.mark.parametrize(
    "name",
    ["VNIR_Cube", "SWIR_Cube", "List_Cw_Vnir", "List_Cw_Swir", "L2ScaleVnirMin", "L2ScaleSwirMax"],
)
def test_what_is_missing_is_named(tmp_path, name):
    path = Fake(tmp_path, without=(name,)).write()
    assert find_prisma(path) == path
    with pytest.raises(FileFormatError, match=name) as caught:
        open_prisma(path, raw=False)
    assert str(caught.value).count(". ") == 0


def test_a_scale_of_zero_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="ScaleFactor_Vnir"):
        open_prisma(Fake(tmp_path, "L1", attributes={"ScaleFactor_Vnir": 0.0}).write(), raw=False)


def test_parts_that_do_not_fit_are_refused(tmp_path):
    fake = Fake(tmp_path)
    fake.attributes = {"List_Cw_Vnir": np.array([500.0, 600.0])}
    with pytest.raises(FileFormatError, match="2 wavelengths"):
        open_prisma(fake.write(), raw=False)
    fake.attributes = {}
    fake.counts["Swir"] = fake.counts["Swir"][:-1]
    with pytest.raises(FileFormatError, match=f"{ROWS} x {COLS} and {ROWS - 1} x {COLS}"):
        open_prisma(fake.write(), raw=False)
    fake = Fake(tmp_path)
    fake.attributes = {f"List_Cw_{name}": np.zeros(len(CENTRES[name])) for name in CENTRES}
    with pytest.raises(FileFormatError, match="no band"):
        open_prisma(fake.write(), raw=False)


def test_there_is_no_other_geometry(tmp_path):
    with pytest.raises(FileFormatError, match="--raw"):
        open_prisma(Fake(tmp_path).write(), raw=True)


def test_it_is_found_by_its_content(tmp_path):
    path = Fake(tmp_path).write()
    assert find_prisma(path) == find_prisma(tmp_path) == path
    assert find_product(path) == find_product(tmp_path) == ("prisma", path)
    renamed = path.rename(tmp_path / "field")
    assert find_prisma(renamed) == renamed
    assert find_prisma(tmp_path) is None  # without a suffix it is not looked into
    other = tmp_path / "PRS_L2D_STD_20210705094512_20210705094516_0001.he5"
    with h5py.File(other, "w") as file:
        file["HDFEOS/SWATHS/OTHER/Data Fields/VNIR_Cube"] = np.zeros((2, 2, 2))
    assert find_prisma(other) is None
    other.write_bytes(renamed.read_bytes()[:2000])
    assert find_prisma(other) is None
    other.write_text("text")
    assert find_prisma(other) is None
    assert find_prisma(tmp_path / "none.he5") is None


def test_a_folder_with_several_is_refused(tmp_path):
    Fake(tmp_path).write()
    Fake(tmp_path, "L2C").write()
    with pytest.raises(FileFormatError, match="2 PRISMA products"):
        find_prisma(tmp_path)
