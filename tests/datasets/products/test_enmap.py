"""EnMAP products, written here with the layout of the product specification."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hsi.datasets.products.enmap import find_enmap, open_enmap
from hsi.datasets.products.known_products import find_product
from hsi.errors import FileFormatError

rasterio = pytest.importorskip("rasterio")

ROWS, COLS = 21, 17
WAVELENGTHS = np.array(
    [430.0, 520.5, 640.1, 780.0, 903.5, 897.2, 940.4, 934.0, 985.5, 991.9, 1380.0, 1610.0, 2290.0]
)
VNIR = [1, 2, 3, 4, 6, 8, 10]
SWIR = [5, 7, 9, 11, 12, 13]


@dataclass
class Fake:
    """A product on disk, and what was written."""

    folder: Path
    level: str = "L2A"
    suffix: str = ".TIF"
    metadata: str = "-METADATA.XML"
    dead: tuple[int, ...] = (10,)
    dtype: str = "int16"
    nodata: float | None = -32768
    crs: str | None = "EPSG:32733"
    layers: dict[str, np.ndarray] = field(default_factory=dict)
    driver: str = "GTiff"

    def __post_init__(self) -> None:
        self.name = f"ENMAP01-____{self.level}-DT0000004321_20220912T094501Z_007_V010111_20220920T010203Z"
        rng = np.random.default_rng(7)
        bands = len(WAVELENGTHS)
        self.fill = -32768 if self.level == "L2A" else 0
        self.counts = rng.integers(1, 9000, (ROWS, COLS, bands)).astype(self.dtype)
        self.counts[2, 3] = self.fill
        self.counts[:, :, list(self.dead)] = self.fill
        self.gain = np.full(bands, 1e-4) if self.level == "L2A" else 1e-6 * (3 + np.arange(bands))
        self.offset = np.zeros(bands) if self.level == "L2A" else -1e-5 * np.arange(bands)
        self.fwhm = 6.0 + np.arange(bands) / 4
        self.transform = rasterio.Affine(30, 0, 499980, 0, -30, 6100020)

    @property
    def xml(self) -> Path:
        return self.folder / (self.name + self.metadata)

    @property
    def image(self) -> Path:
        return self.folder / f"{self.name}-SPECTRAL_IMAGE{self.suffix}"

    def raster(self, kind: str, data: np.ndarray, nodata: float | None = None) -> Path:
        path = self.folder / f"{self.name}-{kind}{self.suffix}"
        data = np.atleast_3d(data).transpose(2, 0, 1)
        options = {"crs": self.crs, "transform": self.transform, "nodata": nodata, "dtype": data.dtype}
        if self.driver != "GTiff":
            options |= {"QUALITY": "100", "REVERSIBLE": "YES"}
        count, height, width = data.shape
        with rasterio.open(
            path, "w", driver=self.driver, count=count, height=height, width=width, **options
        ) as file:
            file.write(data)
        return path

    def tree(self) -> ElementTree.Element:
        root = ElementTree.Element("level_X")
        specific, product = ElementTree.SubElement(root, "specific"), ElementTree.SubElement(root, "product")
        for arm, numbers in (("vnir", VNIR), ("swir", SWIR)):
            quality = ElementTree.SubElement(specific, f"{arm}ProductQuality")
            ElementTree.SubElement(quality, "expectedChannelsList").text = ", ".join(map(str, numbers))
            smile = ElementTree.SubElement(quality, "smileCorrection")  # has bands of its own
            ElementTree.SubElement(smile, "bandID", number="1").text = "0.0"
        table = ElementTree.SubElement(specific, "bandCharacterisation")
        for at in reversed(range(len(WAVELENGTHS))):  # the number tells the place
            band = ElementTree.SubElement(table, "bandID", number=str(at + 1))
            for tag, values in (
                ("wavelengthCenterOfBand", WAVELENGTHS),
                ("FWHMOfBand", self.fwhm),
                ("GainOfBand", self.gain),
                ("OffsetOfBand", self.offset),
            ):
                ElementTree.SubElement(band, tag).text = repr(float(values[at]))
        statistics = ElementTree.SubElement(product, "bandStatistics")
        for at in range(len(WAVELENGTHS)):
            band = ElementTree.SubElement(statistics, "bandID", number=str(at + 1))
            ElementTree.SubElement(band, "mean").text = "-1000000" if at in self.dead else "1234.5"
            ElementTree.SubElement(band, "stdDeviation").text = "0" if at in self.dead else "99.5"
        ortho = ElementTree.SubElement(product, "ortho")
        ElementTree.SubElement(ortho, "projection").text = "UTM_Zone33_South"
        return root

    def write(self, root: ElementTree.Element | None = None) -> Fake:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.raster("SPECTRAL_IMAGE", self.counts, self.nodata)
        for kind, layer in self.layers.items():
            self.raster(f"QL_QUALITY_{kind}", layer)
        ElementTree.ElementTree(self.tree() if root is None else root).write(self.xml, "UTF-8", True)
        return self

    @property
    def order(self) -> np.ndarray:
        return np.argsort(WAVELENGTHS, kind="stable")

    def values(self) -> np.ndarray:
        """The physical values in ascending order of wavelength, by the formula of the specification."""
        values = np.where(self.counts == self.fill, np.nan, self.counts * self.gain + self.offset)
        return values[:, :, self.order]


def bad_of(fake: Fake) -> tuple[int, ...]:
    return tuple(int(np.flatnonzero(fake.order == band)[0]) for band in sorted(fake.dead))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"suffix": "_COG.tiff", "nodata": None},
        {"suffix": ".GEOTIFF", "metadata": "-METADATA.xml"},
        {"level": "L1C", "dtype": "uint16", "nodata": 0},
        {"level": "L1C", "dtype": "uint16", "nodata": None, "suffix": "_COG.TIF"},
        {"dead": (0, 3, 12)},
    ],
)
def test_values_and_facts(tmp_path, options):
    fake = Fake(tmp_path / "product", **options).write()
    product = open_enmap(fake.xml, raw=False)
    facts = product.facts
    assert product.cube.shape == (ROWS, COLS, len(WAVELENGTHS))
    assert product.cube.dtype == np.float32
    np.testing.assert_allclose(np.asarray(product.cube), fake.values(), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        product.cube[3:9, 2:11, [12, 0, 5]], fake.values()[3:9, 2:11][:, :, [12, 0, 5]], rtol=1e-6
    )
    assert facts.wavelengths_nm == tuple(WAVELENGTHS[fake.order])
    assert facts.fwhm_nm == tuple(fake.fwhm[fake.order])
    assert facts.bad_bands == bad_of(fake)
    assert facts.georeference == {"crs": "EPSG:32733", "transform": [30, 0, 499980, 0, -30, 6100020]}
    assert (facts.sensor, facts.acquired, facts.product) == ("EnMAP HSI", "2022-09-12T09:45:01Z", fake.name)
    assert facts.no_data is None
    assert product.files[:2] == (fake.image, fake.xml)
    assert any("5 bands of VNIR and SWIR overlap (904 to 992 nm)" in note for note in facts.notes)
    assert any("radiance" in note for note in facts.notes) == (fake.level == "L1C")


def test_jpeg_2000_and_envi_images(tmp_path):
    fake = Fake(tmp_path / "jp2", suffix=".JP2", driver="JP2OpenJPEG").write()
    np.testing.assert_allclose(np.asarray(open_enmap(fake.xml, False).cube), fake.values(), rtol=1e-6)
    fake = Fake(tmp_path / "bsq").write()
    fake.image.unlink()
    fake.suffix = ".BSQ"
    fake.counts.transpose(2, 0, 1).astype("<i2").tofile(fake.image)
    fake.image.with_suffix(".HDR").write_text(
        f"ENVI\nsamples = {COLS}\nlines = {ROWS}\nbands = {len(WAVELENGTHS)}\nheader offset = 0\n"
        "data type = 2\ninterleave = bsq\nbyte order = 0\n"
        "map info = {UTM, 1, 1, 499980, 6100020, 30, 30, 33, South, WGS-84, units=Meters}\n"
    )
    product = open_enmap(fake.xml, False)
    np.testing.assert_allclose(np.asarray(product.cube), fake.values(), rtol=1e-6)
    assert product.facts.georeference == {
        "crs": "EPSG:32733",
        "transform": [30, 0, 499980, 0, -30, 6100020],
    }


def test_quality_layers(tmp_path):
    rng = np.random.default_rng(3)
    layers = {
        kind: rng.integers(0, 2, (ROWS, COLS)).astype(np.uint8)
        for kind in ("CLOUD", "CLOUDSHADOW", "HAZE", "SNOW")
    }
    layers["CIRRUS"] = rng.integers(0, 4, (ROWS, COLS)).astype(np.uint8)
    layers["CLASSES"] = rng.integers(1, 4, (ROWS, COLS)).astype(np.uint8)
    fake = Fake(tmp_path, layers=layers).write()
    product = open_enmap(fake.xml, False)
    masks = product.facts.masks
    assert set(masks) == {"cloud", "cloud shadow", "haze", "snow", "cirrus", "water"}
    np.testing.assert_array_equal(masks["cloud shadow"], layers["CLOUDSHADOW"] == 1)
    np.testing.assert_array_equal(masks["cirrus"], layers["CIRRUS"] > 0)
    np.testing.assert_array_equal(masks["water"], layers["CLASSES"] == 2)
    expected = np.where((layers["CLASSES"] == 3)[:, :, None], np.nan, fake.values())
    np.testing.assert_allclose(np.asarray(product.cube), expected, rtol=1e-6)
    assert len(product.files) == 2 + len(layers)


def test_a_quality_layer_that_cannot_be_used_is_noted(tmp_path):
    layers = {"CLOUD": np.zeros((ROWS + 1, COLS), np.uint8), "SNOW": np.ones((ROWS, COLS), np.uint8)}
    fake = Fake(tmp_path, layers=layers).write()
    (tmp_path / f"{fake.name}-QL_QUALITY_HAZE.TIF").write_bytes(b"II*\x00 and nothing else")
    facts = open_enmap(fake.xml, False).facts
    assert set(facts.masks) == {"snow"}
    assert any("QL_QUALITY_CLOUD.TIF has another size" in note for note in facts.notes)
    assert any("QL_QUALITY_HAZE.TIF cannot be read" in note for note in facts.notes)


def test_dead_bands_without_statistics_are_seen_in_the_image(tmp_path):
    fake = Fake(tmp_path, dead=(3, 4, 11), nodata=None)
    root = fake.tree()
    product = root.find("product")
    product.remove(product.find("bandStatistics"))
    assert open_enmap(fake.write(root).xml, False).facts.bad_bands == bad_of(fake)


def test_missing_tags_are_noted(tmp_path):
    fake = Fake(tmp_path)
    root = fake.tree()
    for band in root.iter("bandID"):
        for tag in ("GainOfBand", "FWHMOfBand"):
            if band.find(tag) is not None:
                band.remove(band.find(tag))
    specific = root.find("specific")
    specific.remove(specific.find("swirProductQuality"))
    product = open_enmap(fake.write(root).xml, False)
    np.testing.assert_allclose(np.asarray(product.cube), fake.values(), rtol=1e-6)
    assert product.facts.fwhm_nm == ()
    assert len(product.facts.notes) == 2
    assert any("reflectance is taken as count / 10000" in note for note in product.facts.notes)


def test_without_wavelengths_the_order_of_the_file_is_kept(tmp_path):
    fake = Fake(tmp_path)
    root = fake.tree()
    for band in root.iter("bandID"):
        if band.find("wavelengthCenterOfBand") is not None:
            band.find("wavelengthCenterOfBand").text = "nan"
    product = open_enmap(fake.write(root).xml, False)
    assert product.facts.wavelengths_nm == ()
    assert product.facts.bad_bands == fake.dead
    np.testing.assert_allclose(
        np.asarray(product.cube)[0, 0],
        np.delete(fake.counts[0, 0] * 1e-4, []) * np.where(np.arange(len(WAVELENGTHS)) == 10, np.nan, 1),
        rtol=1e-6,
    )


def test_the_coordinate_system_of_the_metadata_helps_out(tmp_path):
    fake = Fake(tmp_path, crs=None).write()
    facts = open_enmap(fake.xml, False).facts
    assert facts.georeference["crs"] == "EPSG:32733"
    assert any("EPSG:32733 is taken from the metadata" in note for note in facts.notes)


def test_every_file_of_a_product_leads_to_it(tmp_path):
    fake = Fake(tmp_path / "download" / "inner", layers={"CLOUD": np.zeros((ROWS, COLS), np.uint8)})
    fake.folder = fake.folder.with_name(fake.name)
    fake.write()
    (fake.folder / f"{fake.name}-SPECTRAL_IMAGE.TIF.aux.xml").write_text("<PAMDataset/>")
    for path in (fake.folder, fake.folder.parent, *fake.folder.iterdir()):
        assert find_enmap(path) == fake.xml, path
        assert find_product(path) == ("enmap", fake.xml)


def test_other_paths_are_no_product(tmp_path):
    fake = Fake(tmp_path / "product").write()
    for part in ("labels.tif", "SPECTRAL_IMAGE_classes.TIF", "SPECTRAL_IMAGE-map.tif"):
        own = fake.folder / f"{fake.name}-{part}"
        own.write_bytes(b"II*\x00")
        assert find_enmap(own) is None
    for name in ("ENMAP.tif", "ENMAP01-____L2A-DT1_20220912T094501Z-SPECTRAL_IMAGE.TIF", "METADATA.XML"):
        (tmp_path / name).write_bytes(b"II*\x00")
        assert find_enmap(tmp_path / name) is None
    assert find_enmap(tmp_path) is None
    assert find_enmap(tmp_path / "missing") is None
    assert find_enmap(Path("a\0b")) is None


def test_two_products_in_a_folder_are_refused(tmp_path):
    for level in ("L1C", "L2A"):
        Fake(tmp_path, level, dtype="int32", nodata=None).write()
    with pytest.raises(
        FileFormatError, match="2 EnMAP products; name a file of one, such as ENMAP01-____L1C"
    ):
        find_enmap(tmp_path)


def test_a_folder_around_the_product_stands_for_it(tmp_path):
    inner = tmp_path / "unpacked" / "inner"
    inner.mkdir(parents=True)
    fake = Fake(inner)
    fake.write()
    assert find_product(tmp_path / "unpacked") == ("enmap", fake.xml)
    assert find_product(tmp_path) is None  # two levels up
    (tmp_path / "unpacked" / "other").mkdir()
    assert find_product(tmp_path / "unpacked") is None


def test_products_of_two_kinds_in_a_folder_are_refused(tmp_path):
    fake = Fake(tmp_path)
    fake.write()
    other = "DESIS-HSI-L2A-DT0000000001_001-20230601T103000-V0220"
    for end in ("METADATA.xml", "SPECTRAL_IMAGE.tif"):
        (tmp_path / f"{other}-{end}").write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"several kinds .*EnMAP.* and DESIS.*name a file of one"):
        find_product(tmp_path)
    assert find_product(fake.xml) == ("enmap", fake.xml)


def test_l1b_is_refused_but_its_images_can_be_read_alone(tmp_path):
    fake = Fake(tmp_path, "L1B", dtype="uint16", nodata=None).write()
    arm = fake.raster("SPECTRAL_IMAGE_VNIR", fake.counts)
    with pytest.raises(FileFormatError, match="order it as L1C or L2A, or name one of its images"):
        open_enmap(find_enmap(tmp_path), False)
    assert find_enmap(arm) is None


def test_raw_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="no sensor geometry; leave out --raw"):
        open_enmap(Fake(tmp_path).write().xml, True)


def test_an_image_with_other_bands_is_refused(tmp_path):
    fake = Fake(tmp_path).write()
    fake.raster("SPECTRAL_IMAGE", fake.counts[:, :, :5])
    with pytest.raises(FileFormatError, match="describes 13 bands, but the image beside it has 5"):
        open_enmap(fake.xml, False)


def test_a_missing_image_is_named(tmp_path):
    fake = Fake(tmp_path).write()
    fake.image.unlink()
    with pytest.raises(FileFormatError, match=f"put {fake.name}-SPECTRAL_IMAGE.TIF beside it"):
        open_enmap(fake.xml, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><level_X>&b;</level_X>',
            "declares a document type",
        ),
        ("<level_X><specific>", "is damaged"),
        ("", "is damaged"),
        ("<level_X/>", "describes 0 bands, but the image beside it has 13"),
        (
            "<level_X><specific><bandCharacterisation>"
            + '<bandID number="1"/>' * 13
            + "</bandCharacterisation></specific></level_X>",
            "counts its bands wrongly",
        ),
    ],
)
def test_damaged_metadata_is_one_sentence(tmp_path, text, message):
    fake = Fake(tmp_path).write()
    fake.xml.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        open_enmap(fake.xml, False)


def test_numbers_that_are_none_do_no_harm(tmp_path):
    fake = Fake(tmp_path)
    root = fake.tree()
    for element in root.iter():
        if element.text and element.tag not in ("bandID", "projection"):
            element.text = "1e999" if element.tag == "mean" else "9" * 5000
    product = open_enmap(fake.write(root).xml, False)
    assert product.facts.wavelengths_nm == ()
    assert product.facts.bad_bands == fake.dead


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_worker_processes_read_the_same(tmp_path):
    fake = Fake(tmp_path, layers={"CLASSES": np.ones((ROWS, COLS), np.uint8)}).write()
    cube = open_enmap(fake.xml, False).cube
    expected = np.asarray(cube)
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(cube))), expected)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(np.asarray(cube), expected, equal_nan=True) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
