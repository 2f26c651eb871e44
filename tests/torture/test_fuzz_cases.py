"""Inputs that once broke a reader: each raises a typed error, without harm."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from hsi.datasets import load_scene
from hsi.datasets.formats.facts import is_crs
from hsi.datasets.formats.readers import list_arrays, read_array
from hsi.datasets.labels.rasterize import draw_labels
from hsi.datasets.load import load_unlabelled
from hsi.datasets.preprocess import Preprocess
from hsi.datasets.splits.indices import Split
from hsi.errors import FileFormatError, InputError, RunError
from hsi.runs.run_files import load_predictions

GEOREFERENCE = {"crs": "EPSG:32616", "transform": [20.0, 0.0, 500_000.0, 0.0, -20.0, 4_480_000.0]}
CUBE = np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.uint16)
LABELS = (np.arange(30).reshape(6, 5) % 3).astype(np.uint8)


def npy(header: str, body: bytes = b"") -> bytes:
    padded = header.encode("latin-1").ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + body


UNCLOSED = npy("{'descr': '<u2', 'fortran_order': False, 'shape': (3,")
HUGE = npy("{'descr': '<u2', 'fortran_order': False, 'shape': (60000, 60000, 90), }")
VALID = npy("{'descr': '<u2', 'fortran_order': False, 'shape': (6, 5, 4), }", bytes(240))
TEXT = npy("{'descr': '|S4', 'fortran_order': False, 'shape': (6, 5, 4), }", bytes(480))


def npz(member: bytes = UNCLOSED, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("cube", "train", "val", "test", "about", "format"):
            archive.writestr(f"{name}.npy", member)
    return file.getvalue()


def with_bad_stream(data: bytes) -> bytes:
    at = data.index(b"cube.npy") + 12
    return data[:at] + b"\xff" * 8 + data[at + 8 :]


def with_method(data: bytes, method: int, flags: int = 0) -> bytes:
    """Set compression method and flags of every member, in both of its headers."""
    changed = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            struct.pack_into("<HH", changed, start + at, flags, method)
            start = data.find(mark, start + 1)
    return bytes(changed)


ARCHIVES = {
    "unclosed header": npz(),
    "huge shape": npz(HUGE),
    "texts": npz(TEXT),
    "bad stream": with_bad_stream(npz(VALID)),
    "unknown method": with_method(npz(), 99),
    "encrypted": with_method(npz(), 8, 1),
    "no npy": npz(b"just text"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives(tmp_path: Path, kind: str) -> None:
    for name in ("a.npz", "predictions.npz"):
        (tmp_path / name).write_bytes(ARCHIVES[kind])
    with pytest.raises(FileFormatError):
        read_array(tmp_path / "a.npz", ndim=3)
    with pytest.raises(InputError):
        Split.load(tmp_path / "a.npz")
    with pytest.raises(InputError):
        Preprocess.load(tmp_path / "a.npz")
    with pytest.raises(RunError):
        load_predictions(tmp_path, {"train": 3, "val": 3, "test": 3})


@pytest.mark.parametrize(
    "content", [UNCLOSED, HUGE, TEXT, npy("(" * 110), npy("[1]"), npy("{'descr': '<u2'}")]
)
def test_arrays_of_numpy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    for read in (lambda path: read_array(path, ndim=3), load_unlabelled):
        with pytest.raises(InputError):
            read(tmp_path / "a.npy")


def geojson(**more: Any) -> dict[str, Any]:
    ring = [[500_000, 4_480_000], [500_080, 4_480_000], [500_080, 4_479_900], [500_000, 4_479_900]]
    feature = {"type": "Feature", "properties": {"class": 1}, "geometry": {"type": "Polygon"}}
    feature["geometry"]["coordinates"] = [[*ring, ring[0]]]  # type: ignore[index]
    crs = {"type": "name", "properties": {"name": "EPSG:32616"}}
    return {"type": "FeatureCollection", "crs": crs, "features": [feature], **more}


def named(name: str) -> dict[str, Any]:
    return {"type": "name", "properties": {"name": name}}


def draw(folder: Path, table: Any) -> Any:
    path = folder / "a.geojson"
    path.write_text(table if isinstance(table, str) else json.dumps(table), encoding="utf-8")
    return draw_labels(path, (6, 5), GEOREFERENCE, "class")


def test_a_coordinate_system_is_never_fetched_nor_read_from_a_file(tmp_path: Path) -> None:
    assert draw(tmp_path, geojson()).labels.any()
    (tmp_path / "crs.wkt").write_text('LOCAL_CS["x"]')
    with socket.create_server(("127.0.0.1", 0)) as server:
        called: list[Any] = []
        server.settimeout(1.0)

        def listen() -> None:
            try:
                called.append(server.accept()[1])
            except OSError:
                return

        thread = threading.Thread(target=listen)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        for name in (url, str(tmp_path / "crs.wkt"), "/vsicurl/http://x"):
            with pytest.raises(FileFormatError, match="no coordinate system"):
                draw(tmp_path, geojson(crs=named(name)))
            assert not is_crs(name)
        thread.join()
    assert called == []
    for name in (
        "EPSG:32616",
        "urn:ogc:def:crs:EPSG::32616",
        "+proj=utm +zone=16 +datum=WGS84",
        'PROJCS["x"]',
    ):
        assert is_crs(name)
    for name in (
        "+init=epsg:4326",
        "+proj=utm +nadgrids=/etc/passwd",
        "file:x",
        "",
        "x" * 60_000,
        "EPSG:1\n/etc",
    ):
        assert not is_crs(name)


@pytest.mark.parametrize(
    "table",
    [
        '{"type": "FeatureCollection", "features": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"type": "FeatureCollection", "features": ' + "[" * 200 + "]" * 200 + "}",
        json.dumps(geojson()).replace('"class": 1', '"class": ' + "9" * 5000),
        json.dumps(geojson()).replace('"class": 1', '"class": ' + "9" * 30),
        json.dumps(geojson()).replace("4480000", "1e999"),
        json.dumps(geojson()).replace("4480000", "NaN"),
        geojson(crs=named("EPSG:4326")),
        geojson(features=[{**geojson()["features"][0], "properties": [1]}]),
        geojson(features=[{**geojson()["features"][0], "geometry": [1]}]),
        geojson(features=[{**geojson()["features"][0], "geometry": {"type": "Polygon", "coordinates": []}}]),
        geojson(features=5),
    ],
)  # fmt: skip
def test_shapes_in_json(tmp_path: Path, table: Any) -> None:
    with pytest.raises(InputError):
        draw(tmp_path, table)


@pytest.mark.parametrize(
    ("part", "at", "value"),
    [
        (".shp", 148, 2**31 - 1),
        (".shp", 144, -1),
        (".shp", 104, 2**30),
        (".dbf", 4, 2**31),
        (".shp", 24, 2**30),
    ],
)
def test_shapefiles_that_say_they_hold_more(tmp_path: Path, part: str, at: int, value: int) -> None:
    import pyogrio.raw
    import shapely

    shapes = [shapely.box(500_000 + 40 * n, 4_479_900, 500_040 + 40 * n, 4_480_000) for n in (0, 1)]
    pyogrio.raw.write(
        str(tmp_path / "a.shp"),
        geometry=shapely.to_wkb(np.array(shapes, dtype=object)),
        field_data=[np.array([1, 2], np.int32)],
        fields=["class"],
        geometry_type="Polygon",
        crs="EPSG:32616",
    )
    whole = draw_labels(tmp_path / "a.shp", (6, 5), GEOREFERENCE, "class")
    assert (whole.labels > 0).sum() == 20
    path = tmp_path / f"a{part}"
    content = bytearray(path.read_bytes())
    struct.pack_into(">i" if at in (24, 104) else "<I" if part == ".dbf" else "<i", content, at, value)
    path.write_bytes(content)
    try:
        drawn = draw_labels(tmp_path / "a.shp", (6, 5), GEOREFERENCE, "class")
    except FileFormatError:
        return
    assert set(np.unique(drawn.labels)) <= {0, 1, 2}  # what is whole may be read


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    for path in (tmp_path / "a.npy", Path("/dev/zero")):
        with pytest.raises(FileFormatError, match="device or a pipe"):
            read_array(path, ndim=3)


def test_hdf5_never_opens_another_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = LABELS
    (tmp_path / "raw.bin").write_bytes(LABELS.tobytes())
    layout = h5py.VirtualLayout((6, 5), np.uint8)
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (6, 5))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = CUBE
        file.create_virtual_dataset("mapped", layout)
        file.create_dataset("outside", (6, 5), np.uint8, external=[(str(tmp_path / "raw.bin"), 0, 30)])
        file["away"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
    assert {info.name: info.numeric for info in list_arrays(tmp_path / "a.h5")} == {
        "cube": True, "mapped": False, "outside": False,
    }  # fmt: skip
    for key in (None, "mapped", "outside", "away"):
        with pytest.raises(FileFormatError):
            read_array(tmp_path / "a.h5", ndim=2, key=key)


def test_hdf5_that_claims_more_than_it_stores(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", (50_000, 50_000, 200), np.uint16, chunks=(64, 64, 64), compression="gzip")
        file.create_dataset(
            "gt", (6, 5), np.uint8, maxshape=(None, None), chunks=(1 << 15, 1 << 15), compression="gzip"
        )
    for ndim in (3, 2):
        with pytest.raises(FileFormatError, match="far more than a file of its size"):
            read_array(tmp_path / "a.h5", ndim=ndim)


def test_a_matlab_variable_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"cube": CUBE})
    whole = (tmp_path / "a.mat").read_bytes()
    packed = zlib.compress(whole[128:] + bytes(20 << 20), 9)
    (tmp_path / "a.mat").write_bytes(whole[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(FileFormatError, match="longer than it says"):
        read_array(tmp_path / "a.mat", ndim=3)


@pytest.mark.parametrize("name", ["DIMENSION_LABELS", "DIMENSION_LIST"])
@pytest.mark.parametrize(
    "value", [7.5, 2**62, [1, 2, 3], "y", ["y"], b"y", np.zeros((3, 2)), h5py.Empty("f4")]
)
def test_names_of_axes_that_are_no_names(tmp_path: Path, name: str, value: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = CUBE
        file["cube"].attrs[name] = value
    assert [info.shape for info in list_arrays(tmp_path / "a.h5")] == [CUBE.shape]
    np.testing.assert_array_equal(load_unlabelled(tmp_path / "a.h5").cube, CUBE)


@pytest.mark.parametrize("far", [-8.8e62, 1e300, 5e9])
def test_a_polygon_that_reaches_far_beyond_the_cube(tmp_path: Path, far: float) -> None:
    table = geojson()
    ring = table["features"][0]["geometry"]["coordinates"][0]
    ring[2][1] = ring[3][1] = far
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(table), encoding="utf-8")
    for all_touched in (False, True):
        try:
            drawn = draw_labels(path, (6, 5), GEOREFERENCE, "class", all_touched=all_touched)
        except InputError:
            continue
        assert set(np.unique(drawn.labels)) <= {0, 1}


def test_a_raw_image_that_is_cut_off(tmp_path: Path) -> None:
    head = bytearray(128)
    head[:6] = b"HEAD74"
    head[8:10] = (1).to_bytes(2, "little")
    head[16:24] = struct.pack("<II", 10, 4_000_000)
    (tmp_path / "a.lan").write_bytes(bytes(head) + bytes(120))
    with pytest.raises(FileFormatError, match="truncated"):
        read_array(tmp_path / "a.lan", ndim=2)
    head[16:24] = struct.pack("<II", 10, 12)
    (tmp_path / "a.lan").write_bytes(bytes(head) + LABELS.tobytes() * 4)
    assert read_array(tmp_path / "a.lan", ndim=2).shape == (12, 10)
    (tmp_path / "b.hdr").write_text("NROWS 6\nNCOLS 5\nNBANDS 4\nNBITS 16\nBYTEORDER I\nLAYOUT BIL\n")
    (tmp_path / "b.bil").write_bytes(CUBE.transpose(0, 2, 1).tobytes())
    np.testing.assert_array_equal(read_array(tmp_path / "b.bil", ndim=3), CUBE)
    (tmp_path / "b.bil").write_bytes(CUBE.transpose(0, 2, 1).tobytes()[:-100])
    with pytest.raises(FileFormatError, match="truncated"):
        read_array(tmp_path / "b.bil", ndim=3)


@pytest.mark.parametrize("shape", [(6, 5, 0), (0, 5, 4), (6, 0), (0,)])
def test_labels_without_a_pixel(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "cube.npy", CUBE)
    np.save(tmp_path / "labels.npy", np.zeros(shape, np.uint8))
    with pytest.raises(InputError):
        load_scene(tmp_path / "cube.npy", labels=tmp_path / "labels.npy")
