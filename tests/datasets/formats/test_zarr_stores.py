"""Zarr stores written by hand, as the specifications of versions 2 and 3 have them."""

from __future__ import annotations

import itertools
import json
import pickle
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from hsi.datasets.formats.raster_cube import RasterCube
from hsi.datasets.formats.readers import kind_of, list_arrays, open_cube, read_array, read_facts
from hsi.errors import FileFormatError, SceneError

CUBE = np.random.default_rng(0).integers(0, 4000, (12, 10, 6)).astype("<u2")
NM = np.linspace(400, 900, 6)
FIRST, LAST = (2, 0, 1), (0, 1, 2)  # where the bands are


def write_array(
    folder: Path,
    values: NDArray[Any],
    chunks: Sequence[int],
    version: int = 2,
    names: Sequence[str] = (),
    attributes: dict[str, Any] | None = None,
    packed: bool = True,
) -> None:
    folder.mkdir(parents=True)
    more = dict(attributes or {})
    if version == 2:
        if names:
            more["_ARRAY_DIMENSIONS"] = list(names)
        table: dict[str, Any] = {
            "zarr_format": 2, "shape": values.shape, "chunks": chunks, "dtype": values.dtype.str,
            "order": "C", "filters": None, "fill_value": 0,
            "compressor": {"id": "zlib", "level": 1} if packed else None,
        }  # fmt: skip
        (folder / ".zarray").write_text(json.dumps(table))
        (folder / ".zattrs").write_text(json.dumps(more))
    else:
        table = {
            "zarr_format": 3, "node_type": "array", "shape": values.shape, "data_type": values.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "fill_value": 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": more,
            **({"dimension_names": list(names)} if names else {}),
        }  # fmt: skip
        (folder / "zarr.json").write_text(json.dumps(table))
    counts = [-(-size // chunk) for size, chunk in zip(values.shape, chunks, strict=True)]
    for index in itertools.product(*map(range, counts)):
        block = np.zeros(chunks, values.dtype)
        part = values[tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, chunks, strict=True))]
        block[tuple(map(slice, part.shape))] = part
        file = folder / (
            ".".join(map(str, index)) or "0" if version == 2 else "c/" + "/".join(map(str, index))
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(zlib.compress(block.tobytes()) if packed and version == 2 else block.tobytes())


def group(folder: Path, version: int) -> Path:
    folder.mkdir()
    name, more = (".zgroup", {}) if version == 2 else ("zarr.json", {"node_type": "group", "attributes": {}})
    (folder / name).write_text(json.dumps({"zarr_format": version, **more}))
    return folder


@pytest.mark.parametrize(
    "names", [("y", "x", "band"), ("band", "y", "x"), ("line", "wavelength", "sample"), ()]
)
def test_a_store_of_a_cube_and_its_wavelengths(tmp_path: Path, names: tuple[str, ...]) -> None:
    store = group(tmp_path / "scene.zarr", 2)
    axes = {"band": FIRST, "line": (0, 2, 1)}.get(names[0] if names else "", LAST)
    stored = CUBE.transpose(axes)
    write_array(store / "reflectance", np.ascontiguousarray(stored), (5, 4, 4), 2, names)
    write_array(store / "wavelength", NM, (6,))
    assert kind_of(store) == "zarr"
    assert {str(one) for one in list_arrays(store)} == {
        "reflectance (12 x 10 x 6 uint16)", "wavelength (6 float64)",
    }  # fmt: skip
    cube = open_cube(store)
    assert isinstance(cube, RasterCube)
    for one in (cube, pickle.loads(pickle.dumps(cube))):
        np.testing.assert_array_equal(np.asarray(one), CUBE)
        np.testing.assert_array_equal(one[3:8, 1:7, 2:5], CUBE[3:8, 1:7, 2:5])
    np.testing.assert_array_equal(read_array(store, ndim=3, key="reflectance"), CUBE)
    facts = read_facts(store)
    np.testing.assert_allclose(facts.wavelengths_nm, NM)
    assert facts.no_data is None


def test_bands_come_first_only_where_the_wavelengths_fit_nothing_else(tmp_path: Path) -> None:
    store = group(tmp_path / "a.zarr", 2)
    write_array(store / "cube", np.ascontiguousarray(CUBE.transpose(FIRST)), (6, 5, 4))
    assert [one.shape for one in list_arrays(store)] == [(6, 12, 10)]
    write_array(store / "wavelength", NM, (6,))
    np.testing.assert_array_equal(np.asarray(open_cube(store)), CUBE)
    assert "taken for that of the bands" in " ".join(read_facts(store).notes)


def test_several_cubes_are_named_and_one_array_is_a_store(tmp_path: Path) -> None:
    store = group(tmp_path / "a.zarr", 2)
    group(store / "inner", 2)
    for name in ("first", "inner/second"):
        write_array(
            store / name, CUBE, (12, 10, 6), attributes={"_FillValue": -1, "wavelengths": NM.tolist()}
        )
    with pytest.raises(
        FileFormatError, match=r"several arrays.*first \(12 x 10 x 6.*inner/second.*--cube-key"
    ):
        open_cube(store)
    np.testing.assert_array_equal(np.asarray(open_cube(store, "inner/second")), CUBE)
    facts = read_facts(store, key="first")
    np.testing.assert_allclose(facts.wavelengths_nm, NM)
    assert facts.no_data == -1
    alone = tmp_path / "b.zarr"
    write_array(alone, CUBE, (4, 4, 6), packed=False)
    np.testing.assert_array_equal(np.asarray(open_cube(alone)), CUBE)
    with pytest.raises(FileFormatError, match=r"part of a Zarr store; name its folder"):
        kind_of(alone / ".zarray")


def test_labels_in_a_store(tmp_path: Path) -> None:
    store = group(tmp_path / "a.zarr", 2)
    labels = np.random.default_rng(1).integers(0, 4, (12, 10)).astype(np.uint8)
    write_array(store / "gt", labels, (5, 5))
    np.testing.assert_array_equal(read_array(store, ndim=2), labels)


def test_version_3_is_read_or_refused_by_its_packing(tmp_path: Path) -> None:
    # GDAL reads it from the release on that knows the codec "bytes".
    store = group(tmp_path / "a.zarr", 3)
    write_array(store / "cube", CUBE, (5, 4, 6), 3, ("y", "x", "band"))
    assert [str(one) for one in list_arrays(store)] == ["cube (12 x 10 x 6 uint16)"]
    try:
        read = read_array(store, ndim=3)
    except FileFormatError as error:
        assert "save it as version 2 (zarr_format=2)" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(read, CUBE)


def test_other_folders_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"is a folder \(empty\)"):
        kind_of(tmp_path)
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text("x")
    with pytest.raises(
        FileFormatError, match=r"with 0\.txt, 1\.txt, 2\.txt, 3\.txt, \.\.\..*name a file in it"
    ):
        kind_of(tmp_path)


def test_damaged_stores_give_an_array_or_one_sentence(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    write_array(store, CUBE, (5, 4, 6))
    random = np.random.default_rng(0)
    files = sorted(store.iterdir())
    for at in range(60):
        file = files[int(random.integers(len(files)))] if at % 2 else store / ".zarray"
        whole = file.read_bytes()
        content = bytearray(whole)
        content[int(random.integers(len(content)))] = int(random.integers(256))
        file.write_bytes(content if at % 7 else content[:5])
        try:
            read_facts(store)
            read_array(store, ndim=3)
        except SceneError as error:
            assert "\n" not in str(error)  # noqa: PT017
        file.write_bytes(whole)
    for key, value in (("shape", [10**9, 10**9, 9]), ("chunks", [10**8, 10**8, 9]), ("shape", [-1, 3, 3])):
        table = json.loads((store / ".zarray").read_text())
        (store / ".zarray").write_text(json.dumps({**table, key: value}))
        with pytest.raises(SceneError):
            read_array(store, ndim=3)
        (store / ".zarray").write_text(json.dumps(table))


@pytest.mark.parametrize("how", ["cf", "gdal"])
def test_the_place_of_a_store(tmp_path: Path, how: str) -> None:
    store = group(tmp_path / "a.zarr", 2)
    wkt = rasterio.crs.CRS.from_epsg(32633).to_wkt()
    attributes = {"grid_mapping": "spatial_ref"} if how == "cf" else {"_CRS": {"wkt": wkt}}
    write_array(store / "cube", CUBE, (12, 10, 6), 2, ("y", "x", "band"), attributes)
    write_array(store / "y", 4_100_000 - 15 - 30.0 * np.arange(12), (12,), 2, ("y",))
    write_array(store / "x", 500_000 + 15 + 30.0 * np.arange(10), (10,), 2, ("x",))
    write_array(
        store / "spatial_ref", np.array(0), (), 2, (), {"crs_wkt": wkt if how == "cf" else "/etc/hosts"}
    )
    place = read_facts(store, key="cube").georeference
    assert place is not None
    assert rasterio.crs.CRS.from_user_input(place["crs"]) == rasterio.crs.CRS.from_epsg(32633)
    assert place["transform"] == [30, 0, 500_000, 0, -30, 4_100_000]


def test_stores_that_gdal_wrote(tmp_path: Path, write_geotiff: Callable[..., Path]) -> None:
    source = write_geotiff(tmp_path / "a.tif", CUBE)
    for number, options in enumerate(
        ({}, {"FORMAT": "ZARR_V3"}, {"COMPRESS": "BLOSC"}, {"COMPRESS": "ZSTD", "SINGLE_ARRAY": "YES"})
    ):
        store = tmp_path / f"{number}.zarr"
        rasterio.shutil.copy(source, store, driver="Zarr", **options)
        np.testing.assert_array_equal(np.asarray(open_cube(store)), CUBE)
        np.testing.assert_array_equal(read_array(store, ndim=3), CUBE)


def test_the_coordinate_system_is_no_address(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    write_array(store, CUBE, (12, 10, 6), attributes={"_CRS": {"url": "http://127.0.0.1:9/crs"}})
    np.testing.assert_array_equal(np.asarray(open_cube(store)), CUBE)
