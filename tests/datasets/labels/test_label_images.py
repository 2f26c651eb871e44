from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from hsi.datasets.formats.readers import files_of, list_arrays, read_array, read_facts
from hsi.datasets.labels.label_images import as_label_map, colors_to_labels, read_label_image
from hsi.errors import FileFormatError, SceneError

MAP = np.array([[0, 1, 2, 3, 3], [0, 0, 3, 3, 1], [1, 2, 2, 1, 1]], np.uint8)
COLORS = np.array([[0, 0, 0], [230, 25, 75], [60, 180, 75], [0, 130, 200]], np.uint8)


def test_grey_levels_are_codes(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(MAP).save(path)
    np.testing.assert_array_equal(read_array(path, ndim=2), MAP)
    assert list_arrays(path)[0].shape == MAP.shape
    assert read_facts(path).class_names == {}
    wide = tmp_path / "wide.png"
    Image.fromarray(MAP.astype(np.uint16) * 5000).save(wide)
    np.testing.assert_array_equal(read_array(wide, ndim=2), MAP * np.int64(5000))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_levels_of_few_bits_are_not_spread(tmp_path: Path, bits: int) -> None:
    import struct
    import zlib

    values = MAP % 2**bits
    packed = b""
    for row in values:
        digits = "".join(format(one, f"0{bits}b") for one in row)
        padded = digits.ljust(-(-len(digits) // 8) * 8, "0")
        packed += b"\0" + bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 5, 3, bits, 0, 0, 0, 0)
    path = tmp_path / "few.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(packed))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(read_label_image(path).labels, values)


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp"])
def test_palette_indices_are_codes_and_colours(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(MAP).convert("P")
    image.putpalette(COLORS.ravel().tolist())
    path = tmp_path / f"indexed{suffix}"
    image.save(path)
    np.testing.assert_array_equal(read_array(path, ndim=2), MAP)
    facts = read_facts(path)
    assert facts.colors == {1: "#e6194b", 2: "#3cb44b", 3: "#0082c8"}
    assert facts.notes == ()


def test_category_names_beside_an_image(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(MAP).save(path)
    names = "".join(f"<Category>{name}</Category>" for name in ("none", "corn", "soy", "wood"))
    path.with_name("grey.png.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand>'
        "</PAMDataset>"
    )
    assert read_facts(path).class_names == {1: "corn", 2: "soy", 3: "wood"}


def test_index_0_in_another_colour_is_told(tmp_path: Path) -> None:
    image = Image.fromarray(MAP).convert("P")
    image.putpalette([255, 0, 0, *COLORS.ravel().tolist()[3:]])
    path = tmp_path / "indexed.png"
    image.save(path)
    found = read_label_image(path)
    assert "#ff0000" in found.notes[0]
    assert "--class-zero" in found.notes[0]
    assert found.colors[0] == "#ff0000"


def test_a_transparent_index_has_no_label(tmp_path: Path) -> None:
    image = Image.fromarray(MAP).convert("P")
    image.putpalette(COLORS[::-1].ravel().tolist())
    path = tmp_path / "indexed.png"
    image.save(path, transparency=3)
    assert read_facts(path).no_data == 3
    assert 3 not in read_facts(path).colors


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, (4, 5), elements=st.integers(0, 3)), st.booleans())
def test_each_colour_is_a_class(labels: np.ndarray, opacity: bool) -> None:
    rgb = COLORS[labels]
    if opacity:
        rgb = np.dstack([np.where(labels[..., None] == 0, 77, rgb), np.where(labels == 0, 0, 255)])
    found = colors_to_labels(rgb, "The image")
    drawn = np.array(["black", *found.class_names.values()])[found.labels]
    names = np.array(["black", "#e6194b", "#3cb44b", "#0082c8"])
    np.testing.assert_array_equal(drawn, names[labels])
    assert [*found.class_names.values()] == sorted(found.class_names.values())
    assert found.colors == found.class_names


def test_a_colour_image_file(tmp_path: Path) -> None:
    path = tmp_path / "rgb.png"
    Image.fromarray(COLORS[MAP]).save(path)
    labels, facts = read_array(path, ndim=2), read_facts(path)
    drawn = np.array(["", *facts.class_names.values()])[labels]
    np.testing.assert_array_equal(drawn, np.array(["", "#e6194b", "#3cb44b", "#0082c8"])[MAP])
    assert "each of its 3 colours is a class" in facts.notes[0]


def test_white_paper_is_told() -> None:
    found = colors_to_labels(np.where(MAP[..., None] == 0, 255, COLORS[MAP]).astype(np.uint8), "The image")
    assert any("--unlabelled 4" in note for note in found.notes)


def test_what_is_no_label_image(tmp_path: Path) -> None:
    smooth = tmp_path / "smooth.png"
    Image.fromarray(COLORS[MAP]).resize((50, 30), Image.Resampling.BICUBIC).save(smooth)
    with pytest.raises(SceneError, match=r"has \d+ colours, too many.*anti-aliasing"):
        read_label_image(smooth)
    lossy = tmp_path / "lossy.jpg"
    Image.fromarray(MAP).save(lossy)
    with pytest.raises(FileFormatError, match="is a JPEG"):
        read_array(lossy, ndim=2)
    cut = tmp_path / "cut.png"
    cut.write_bytes(smooth.read_bytes()[:-300])
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        read_array(cut, ndim=2)


def test_an_image_that_claims_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    Image.fromarray(MAP).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(FileFormatError, match="more than 10 pixels"):
        read_label_image(path)


def test_a_world_file_places_an_image(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    Image.fromarray(MAP).save(path)
    assert read_facts(path).georeference is None
    path.with_suffix(".pgw").write_text("30\n0\n0\n-30\n500015\n4099985\n")
    assert read_facts(path).georeference == {"crs": "", "transform": [30, 0, 500000, 0, -30, 4100000]}
    assert files_of(path) == (path, path.with_suffix(".pgw"))
    path.with_suffix(".pgw").write_text("30\n0\n0\nnorth\n500015\n4099985\n")
    assert read_facts(path).georeference is None
    assert "not six numbers" in read_facts(path).notes[0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_axis_too_many(axis: int) -> None:
    found = as_label_map(np.expand_dims(MAP, axis), (3, 5), "The map")
    np.testing.assert_array_equal(found.labels, MAP)
    assert found.notes == ()


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32])
@pytest.mark.parametrize("first", [False, True])
def test_one_layer_a_class(dtype: type, first: bool) -> None:
    layers = np.stack([number == MAP for number in (1, 2, 3)], 0 if first else 2).astype(dtype)
    found = as_label_map(layers, (3, 5), "The map")
    np.testing.assert_array_equal(found.labels, MAP)
    assert "3 layers" in found.notes[0]
    assert "3 pixels that are in none" in found.notes[0]


def test_what_is_no_layer_a_class() -> None:
    layers = np.stack([number == MAP for number in (1, 2, 3)], 2).astype(float)
    with pytest.raises(SceneError, match="scores or probabilities"):
        as_label_map(layers * 0.9, (3, 5), "The map")
    with pytest.raises(SceneError, match="a cube or several maps"):
        as_label_map(layers * 900, (3, 5), "The map")
    layers[0, 0] = 1
    with pytest.raises(SceneError, match="1 pixels belong to more than one"):
        as_label_map(layers, (3, 5), "The map")
    with pytest.raises(SceneError, match="2 x 3 x 5 x 4"):
        as_label_map(np.zeros((2, 3, 5, 4)), (3, 5), "The map")


def test_colours_as_an_array() -> None:
    for array in (COLORS[MAP], np.moveaxis(COLORS[MAP], 2, 0)):
        found = as_label_map(array, (3, 5), "The map")
        drawn = np.array(["", *found.class_names.values()])[found.labels]
        np.testing.assert_array_equal(drawn, np.array(["", "#e6194b", "#3cb44b", "#0082c8"])[MAP])


def test_the_no_data_value_of_colours_is_that_of_a_channel() -> None:
    rgb = np.where(MAP[..., None] == 0, 254, COLORS[MAP]).astype(np.uint8)
    found = as_label_map(rgb, (3, 5), "The map", no_data=254)
    np.testing.assert_array_equal(found.labels == 0, MAP == 0)
    assert found.no_data is None
    assert as_label_map(MAP[None], (3, 5), "The map", no_data=254).no_data == 254


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1)])
def test_labels_in_a_row(order: str, shape: tuple[int, ...]) -> None:
    blocks = np.kron([[1, 0, 2], [3, 3, 1]], np.ones((5, 4), np.int16))
    found = as_label_map(blocks.ravel(order=order).reshape(shape), blocks.shape, "The map")
    np.testing.assert_array_equal(found.labels, blocks)
    assert ("row by row" if order == "C" else "column by column") + " (neighbours" in found.notes[0]


def test_labels_of_another_size_are_left_to_the_check() -> None:
    assert as_label_map(np.zeros((6, 10)), (3, 5), "The map").labels.shape == (6, 10)
    assert as_label_map(np.zeros((6, 10, 1)), (3, 5), "The map").labels.shape == (6, 10)


def test_files_with_labels_in_another_layout(tmp_path: Path) -> None:
    path = tmp_path / "labels.npy"
    for array in (MAP[:, :, None], np.eye(4, dtype=bool)[MAP], np.array(["soy", "corn"])[MAP % 2]):
        np.save(path, array)
        np.testing.assert_array_equal(read_array(path, ndim=2, any_layout=True), array)
        if array.ndim == 3:
            with pytest.raises(FileFormatError, match="no array that is 2-D"):
                read_array(path, ndim=2)
    np.savez(tmp_path / "both.npz", gt=MAP, layers=np.eye(4)[MAP])
    np.testing.assert_array_equal(read_array(tmp_path / "both.npz", ndim=2, any_layout=True), MAP)
    np.savez(tmp_path / "row.npz", cube=np.zeros((12, 11, 99)), y=np.ones(132), centres=np.ones(99))
    assert read_array(tmp_path / "row.npz", ndim=2, any_layout=True).shape == (132,)
