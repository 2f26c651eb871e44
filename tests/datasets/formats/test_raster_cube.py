"""Rasters that stay in their files, against what rasterio reads of them as a whole."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.formats import raster_cube, rasters
from hsi.datasets.formats.raster_cube import RasterCube
from hsi.datasets.formats.readers import open_cube
from hsi.datasets.load import load_unlabelled
from hsi.errors import FileFormatError
from hsi.inference.tiles import SceneBlocks

Write = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RANDOM = np.random.default_rng(0)
SHAPE = (70, 53, 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, write_geotiff: Write) -> Callable[..., Path]:
    """A function that writes a file of a layout once, and returns its path."""
    folder = tmp_path_factory.mktemp("layouts")

    def of(dtype: str, interleave: str, compress: str | None, block: int | None) -> Path:
        path = folder / f"{dtype}-{interleave}-{compress}-{block}.tif"
        if not path.exists():
            place = (
                {"blockysize": 9}
                if block is None
                else {"tiled": True, "blockxsize": block, "blockysize": block}
            )
            packed = {} if compress is None else {"compress": compress}
            cube = (RANDOM.random(SHAPE) * 250).astype(dtype)
            write_geotiff(path, cube, interleave=interleave, **place, **packed)
        return path

    return of


windows = st.lists(
    st.tuples(st.slices(SHAPE[0]), st.slices(SHAPE[1]), st.slices(SHAPE[2])), min_size=1, max_size=5
)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["int16", "uint16", "float32"]), st.sampled_from(["pixel", "band"]),
    st.sampled_from([None, "deflate", "lzw"]), st.sampled_from([None, 16, 32]), windows,
)  # fmt: skip
def test_every_window_of_every_layout(files, dtype, interleave, compress, block, keys) -> None:
    path = files(dtype, interleave, compress, block)
    with rasterio.open(path) as source:
        whole = source.read().transpose(1, 2, 0)
    cube = open_cube(path)
    assert isinstance(cube, RasterCube)
    assert (cube.shape, cube.dtype, cube.block_rows) == (SHAPE, np.dtype(dtype), block or 9)
    for key in keys:
        np.testing.assert_array_equal(cube[key], whole[key])
    np.testing.assert_array_equal(cube, whole)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that are asked of rasterio."""
    shapes: list[tuple[int, ...]] = []
    read = RasterCube._values

    def values(self, rows, cols, bands):
        found = read(self, rows, cols, bands)
        shapes.append(found.shape)
        return found

    monkeypatch.setattr(RasterCube, "_values", values)
    return shapes


@pytest.mark.parametrize("patch", [1, 7])
@pytest.mark.parametrize("block", [None, 16, 64])
@pytest.mark.parametrize("ahead", [1, 40_000, 10**9])
def test_a_map_reads_each_window_about_once_within_its_bound(
    tmp_path: Path, write_geotiff: Write, spy, monkeypatch, patch: int, block: int | None, ahead: int
) -> None:
    monkeypatch.setattr(raster_cube, "READ_AHEAD", ahead)
    values = RANDOM.integers(0, 1000, (150, 190, 3)).astype(np.uint16)
    layout = {"blockysize": 5} if block is None else {"tiled": True, "blockxsize": block, "blockysize": block}
    path = write_geotiff(tmp_path / "a.tif", values, compress="deflate", **layout)
    blocks, plain = (
        SceneBlocks(cube, lambda cube: cube.astype(np.float32), 3, patch)
        for cube in (open_cube(path), values)
    )
    tiles = blocks.tiles(1, 38 * 2500)  # 2,500 pixels each
    assert sum(np.prod(tile.shape) for tile in tiles) == 150 * 190
    assert len(tiles) > 8
    for tile in tiles:
        np.testing.assert_array_equal(blocks.read(tile).values, plain.read(tile).values)
    largest = max((tile.shape[0] + patch - 1) * (tile.shape[1] + patch - 1) * 6 for tile in tiles)
    assert max(np.prod(shape) * 2 for shape in spy) <= max(largest, ahead)
    read = sum(np.prod(shape) * 2 for shape in spy)
    assert read <= sum((tile.shape[0] + patch) * (tile.shape[1] + patch) * 6 for tile in tiles)
    rows_of_tiles = len({tile.top for tile in tiles})
    if ahead == 1:
        assert len(spy) == len(tiles)
    elif ahead == 10**9:  # the very first, then the others of a row together
        assert len(spy) == 1 + rows_of_tiles


opened: list[RasterCube] = []


def lines_of_open(line: int) -> int:
    return int(opened[0][line].sum())


def read_corner(cube: RasterCube) -> int:
    return int(cube[0, 0].sum())


def test_other_processes_open_the_file_themselves(files) -> None:
    cube = RasterCube(files("uint16", "band", "deflate", 16))
    corner = read_corner(cube)  # the file is open here
    opened[:] = [cube]
    again = pickle.loads(pickle.dumps(cube))
    assert (again.shape, again.dtype, read_corner(again)) == (cube.shape, cube.dtype, corner)
    if "fork" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("fork")  # whose processes inherit the open file
        ours, theirs = context.Pipe()
        child = context.Process(target=lambda: theirs.send([lines_of_open(line) for line in range(4)]))
        child.start()
        here = lines_of_open(4)
        assert ours.poll(60)
        assert [*ours.recv(), here] == [int(cube[line].sum()) for line in range(5)]
        child.kill()
        child.join()


def test_damage_is_reported_when_it_is_read(tmp_path: Path, write_geotiff: Write) -> None:
    values = RANDOM.integers(0, 9999, (200, 100, 3)).astype(np.uint16)
    path = write_geotiff(tmp_path / "a.tif", values, compress="deflate", blockysize=10, interleave="pixel")
    packed = path.read_bytes()
    path.write_bytes(packed[: len(packed) - 20_000] + bytes(20_000))
    cube = open_cube(path)
    np.testing.assert_array_equal(cube[:20, :5], values[:20, :5])
    with pytest.raises(FileFormatError, match="truncated or damaged") as caught:
        np.asarray(cube)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(cube[:20, :5], values[:20, :5])


def test_a_small_file_that_claims_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=60_000,
        height=60_000,
        count=2,
        dtype="uint8",
        sparse_ok=True,
        tiled=True,
    ):
        pass
    with pytest.raises(FileFormatError, match="far more than a file of its size"):
        load_unlabelled(path)


def test_files_compressed_in_large_blocks_get_a_note(
    tmp_path: Path, write_geotiff: Write, monkeypatch
) -> None:
    values = RANDOM.integers(0, 999, (40, 30, 5)).astype(np.uint16)
    packed = write_geotiff(tmp_path / "packed.tif", values, compress="deflate", blockysize=40)
    plain = write_geotiff(tmp_path / "plain.tif", values, blockysize=40)
    assert not load_unlabelled(packed).notes
    monkeypatch.setattr(raster_cube, "_LARGE_BLOCK", 40 * 30 * 5 * 2 - 1)
    assert "TILED=YES" in load_unlabelled(packed).notes[0]
    assert not load_unlabelled(plain).notes


def test_a_tile_of_jpeg_2000_fits_into_the_cache(
    tmp_path: Path, write_geotiff: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GDAL unpacks a tile for all bands, and once more for each band that its cache has no room for.
    monkeypatch.setattr(rasters, "GDAL_CACHE", 1 << 16)
    values = RANDOM.integers(0, 9999, (90, 80, 12)).astype(np.int16)
    path = tmp_path / "a.jp2"
    source = write_geotiff(tmp_path / "a.tif", values)
    rasterio.shutil.copy(source, path, driver="JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100")
    cube = RasterCube(path)
    assert cube.memory_bytes >= raster_cube.READ_AHEAD + values.nbytes
    np.testing.assert_array_equal(cube[20:40, 10:30], values[20:40, 10:30])
    assert RasterCube(source).memory_bytes == raster_cube.READ_AHEAD + (1 << 16)


def test_a_box_of_jpeg_2000_that_ends_nowhere(tmp_path: Path, write_geotiff: Write) -> None:
    # GDAL never ends where it is asked for the compression of this file.
    values = RANDOM.integers(0, 9999, (12, 10, 6)).astype(np.uint16)
    path = tmp_path / "a.jp2"
    source = write_geotiff(tmp_path / "a.tif", values)
    rasterio.shutil.copy(source, path, driver="JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100")
    content = bytearray(path.read_bytes())
    content[content.index(b"colr") - 1] = 0  # the length of the box
    path.write_bytes(content)
    assert RasterCube(path).shape == values.shape
