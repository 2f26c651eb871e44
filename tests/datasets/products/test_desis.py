"""DESIS products, written here with the layout of the products guide."""

from __future__ import annotations

import pickle
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hsi.datasets.products.desis import find_desis, open_desis
from hsi.datasets.products.known_products import find_product
from hsi.errors import FileFormatError

rasterio = pytest.importorskip("rasterio")

ROWS, COLS, BANDS = 19, 23, 9
WAVELENGTHS = np.linspace(402.25, 998.5, BANDS)
FWHM = 3.3 + np.arange(BANDS) / 50
TRANSFORM = rasterio.Affine(30, 0, 612345, 0, -30, 3900015)


class Fake:
    """A product on disk, and what was written."""

    def __init__(
        self, folder: Path, level: str = "L2A", suffix: str = ".tif", dead: tuple[int, ...] = (0, 4)
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.level, self.suffix, self.dead = folder, level, suffix, dead
        self.name = f"DESIS-HSI-{level}-DT0884321234_012-20210708T162534-V0215"
        rng = np.random.default_rng(11)
        self.counts = rng.integers(-5, 7000, (ROWS, COLS, BANDS)).astype(np.int16)
        self.counts[4:6, 2] = -32768
        self.counts[:, :, list(dead)] = -32768
        self.gain = np.full(BANDS, 1e-4) if level == "L2A" else 0.0005 * (1 + np.arange(BANDS))
        self.offset = np.zeros(BANDS) if level == "L2A" else 0.25 * np.arange(BANDS)
        self.raster("SPECTRAL_IMAGE", self.counts)
        ElementTree.ElementTree(self.tree()).write(self.xml)

    @property
    def xml(self) -> Path:
        return self.folder / f"{self.name}-METADATA.xml"

    @property
    def header(self) -> Path:
        return self.folder / f"{self.name}-SPECTRAL_IMAGE.hdr"

    @property
    def image(self) -> Path:
        return self.folder / f"{self.name}-SPECTRAL_IMAGE{self.suffix}"

    def raster(self, kind: str, data: np.ndarray) -> None:
        path = self.folder / f"{self.name}-{kind}{self.suffix}"
        height, width, count = data.shape
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=data.dtype,
            crs="EPSG:32614", transform=TRANSFORM, interleave="pixel", compress="lzw",
        ) as file:  # fmt: skip
            file.write(data.transpose(2, 0, 1))

    def tree(self) -> ElementTree.Element:
        root = ElementTree.Element("hsi_doc")
        specific = ElementTree.SubElement(root, "specific")
        for parent in ("interiorOrientation", "bandCharacterisation"):
            table = ElementTree.SubElement(specific, parent)
            for at in np.random.default_rng(5).permutation(BANDS):
                band = ElementTree.SubElement(table, "band")
                ElementTree.SubElement(band, "bandNumber").text = f" {at + 1} "
                if parent == "bandCharacterisation":
                    for tag, values in (
                        ("wavelengthCenterOfBand", WAVELENGTHS),
                        ("wavelengthWidthOfBand", FWHM),
                        ("gainOfBand", self.gain),
                        ("offsetOfBand", self.offset),
                    ):
                        ElementTree.SubElement(band, tag).text = repr(float(values[at]))
        return root

    def write_header(self) -> None:
        lists = {
            "wavelength": WAVELENGTHS,
            "fwhm": FWHM,
            "data gain values": self.gain,
            "data offset values": self.offset,
        }
        body = "".join(
            f"{key} = {{\n" + ",\n".join(str(float(one)) for one in values) + "\n}\n"
            for key, values in lists.items()
        )
        self.header.write_text(f"ENVI\ndescription = {{DESIS}}\n{body}")

    def values(self) -> np.ndarray:
        return np.where(self.counts == -32768, np.nan, self.counts * self.gain + self.offset)


@pytest.mark.parametrize(("level", "suffix"), [("L2A", ".tif"), ("L2A", ".TIF"), ("L1C", ".tif")])
def test_values_and_facts(tmp_path, level, suffix):
    fake = Fake(tmp_path, level, suffix)
    product = open_desis(fake.xml, raw=False)
    facts = product.facts
    assert product.cube.dtype == np.float32
    np.testing.assert_allclose(np.asarray(product.cube), fake.values(), rtol=1e-6)
    np.testing.assert_allclose(product.cube[3:7, 1:9, 2:5], fake.values()[3:7, 1:9, 2:5], rtol=1e-6)
    np.testing.assert_allclose(facts.wavelengths_nm, WAVELENGTHS)
    np.testing.assert_allclose(facts.fwhm_nm, FWHM)
    assert facts.bad_bands == fake.dead
    assert facts.georeference == {"crs": "EPSG:32614", "transform": [30, 0, 612345, 0, -30, 3900015]}
    assert (facts.sensor, facts.acquired, facts.product) == ("DESIS", "2021-07-08T16:25:34Z", fake.name)
    assert product.files == (fake.image, fake.xml)
    assert [("radiance" in note) for note in facts.notes] == [True] * (level == "L1C")


def test_masks(tmp_path):
    fake = Fake(tmp_path)
    layers = np.random.default_rng(2).integers(0, 2, (ROWS, COLS, 10)).astype(np.uint8)
    layers[:, :, 8:] *= 120  # aerosol and water vapour
    fake.raster("QL_QUALITY-2", layers)
    masks = open_desis(fake.xml, False).facts.masks
    assert set(masks) == {"shadow", "snow", "haze", "cloud", "water"}
    np.testing.assert_array_equal(masks["cloud"], (layers[:, :, 5] | layers[:, :, 6]) == 1)
    np.testing.assert_array_equal(masks["haze"], (layers[:, :, 3] | layers[:, :, 4]) == 1)
    np.testing.assert_array_equal(masks["water"], layers[:, :, 7] == 1)
    fake.raster("QL_QUALITY-2", layers[:-1])
    facts = open_desis(fake.xml, False).facts
    assert not facts.masks
    assert any("QL_QUALITY-2.tif has another size" in note for note in facts.notes)


def test_the_header_stands_in_for_the_metadata(tmp_path):
    fake = Fake(tmp_path, "L1C")
    fake.write_header()
    without_table = ElementTree.Element("hsi_doc")
    ElementTree.ElementTree(without_table).write(fake.xml)
    product = open_desis(fake.xml, False)
    np.testing.assert_allclose(np.asarray(product.cube), fake.values(), rtol=1e-6)
    assert product.facts.notes[0].endswith("describes no bands; " + fake.header.name + " does.")
    fake.xml.unlink()
    assert find_desis(fake.image) == find_desis(tmp_path) == fake.header
    product = open_desis(fake.header, False)
    np.testing.assert_allclose(np.asarray(product.cube), fake.values(), rtol=1e-6)
    np.testing.assert_allclose(product.facts.wavelengths_nm, WAVELENGTHS)


def test_without_gain_l2a_is_a_count_of_ten_thousandths(tmp_path):
    fake = Fake(tmp_path)
    root = fake.tree()
    for band in root.iter("band"):
        if band.find("gainOfBand") is not None:
            band.remove(band.find("gainOfBand"))
    ElementTree.ElementTree(root).write(fake.xml)
    product = open_desis(fake.xml, False)
    np.testing.assert_allclose(np.asarray(product.cube), fake.values(), rtol=1e-6)
    assert any("reflectance is taken as count / 10000" in note for note in product.facts.notes)


def test_l1b_has_the_geometry_of_the_sensor(tmp_path):
    product = open_desis(Fake(tmp_path, "L1B").xml, raw=True)
    assert product.facts.georeference is None
    with pytest.raises(FileFormatError, match="no sensor geometry; leave out --raw"):
        open_desis(Fake(tmp_path, "L2A").xml, raw=True)


def test_every_file_of_a_product_leads_to_it(tmp_path):
    fake = Fake(tmp_path / "a" / "b")
    fake.write_header()
    fake.raster("QL_QUALITY-2", np.zeros((ROWS, COLS, 10), np.uint8))
    for path in (fake.folder, *fake.folder.iterdir()):
        assert find_product(path) == ("desis", fake.xml), path
    inner = fake.folder.with_name(fake.name)
    fake.folder.rename(inner)
    assert find_desis(inner.parent) == inner / fake.xml.name


def test_other_paths_are_no_product(tmp_path):
    (tmp_path / "DESIS-HSI-notes.txt").write_text("x")
    assert find_desis(tmp_path / "DESIS-HSI-notes.txt") is None
    assert find_desis(tmp_path) is None
    fake = Fake(tmp_path / "product")
    own = fake.folder / f"{fake.name}-SPECTRAL_IMAGE_map.tif"
    own.write_bytes(b"II*\x00")
    assert find_desis(own) is None
    assert find_desis(tmp_path / "DESIS-HSI-L2A-DT0884321234_012-20210708T162534-V0215-METADATA.xml") is None


def test_what_does_not_fit_is_refused(tmp_path):
    fake = Fake(tmp_path)
    fake.raster("SPECTRAL_IMAGE", fake.counts[:, :, :4])
    with pytest.raises(FileFormatError, match="describes 9 bands, but the image beside it has 4"):
        open_desis(fake.xml, False)
    fake.image.unlink()
    with pytest.raises(FileFormatError, match=f"put {fake.name}-SPECTRAL_IMAGE.tif beside it"):
        open_desis(fake.xml, False)
    fake.raster("SPECTRAL_IMAGE", fake.counts)
    ElementTree.ElementTree(ElementTree.Element("hsi_doc")).write(fake.xml)
    with pytest.raises(FileFormatError, match="describes no bands"):
        open_desis(fake.xml, False)


def test_workers_get_the_same_cube(tmp_path):
    cube = open_desis(Fake(tmp_path).xml, False).cube
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(cube))), np.asarray(cube))
