from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from hsi.datasets.formats.recognise import envi_header, identify, recognise
from hsi.errors import FileFormatError, SceneNotFoundError


def test_formats_are_recognised_by_content_not_by_name(tmp_path: Path) -> None:
    array = np.arange(12).reshape(3, 4)
    savemat(tmp_path / "a.bin", {"x": array}, appendmat=False)
    np.save(tmp_path / "b.mat.npy", array)
    np.savez(tmp_path / "c.npz", x=array)
    with h5py.File(tmp_path / "d.mat", "w") as file:
        file["x"] = array
    (tmp_path / "b.mat").write_bytes((tmp_path / "b.mat.npy").read_bytes())
    assert recognise(tmp_path / "a.bin") == "mat5"
    assert recognise(tmp_path / "b.mat") == "npy"
    assert recognise(tmp_path / "c.npz") == "npz"
    assert recognise(tmp_path / "d.mat") == "hdf5"


def _zip_of(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "hello")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"\n <!DOCTYPE html><html><body>403 Forbidden", "an HTML page"),
        (b"<html>moved", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><html>", "an HTML page"),
        (
            b"<?xml version='1.0'?>\n<!-- x --><hsi_doc>",
            r"XML file \(<hsi_doc>\), no image; name the image that",
        ),
        (b"<?xml", "an XML file, no image"),
        (b"<!-->" * 800, "an XML file"),
        (b"<!---->" * 580, "an XML file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "Git LFS pointer"),
        (pickle.dumps({"a": 1}), "could run code"),
        (b"\x1f\x8b\x08\x00", "unpack it"),
        (b"Rar!\x1a\x07\x00", "unpack it"),
        (_zip_of("IN.mat"), r"a ZIP archive \(IN\.mat\); unpack it"),
        (_zip_of("[Content_Types].xml"), "an office document"),
        (b"\x0e\x03\x13\x01" + bytes(9), "HDF4.*gdal_translate Indian_pines.mat Indian_pines.tif"),
        (b"PCIDSK  0", "a PCIDSK file"),
        (b"PDS_VERSION_ID = PDS3\r\n", "a PDS image"),
        (b"Object = IsisCube\n  Object = Core\n", "a label of a planetary image"),
        (b"ASD" + bytes(20), "an ASD spectrum"),
        (b"Name: Olivine\nType: Mineral\nX Units: Wavelength (micrometers)\n", "a spectral library as text"),
        (b"band1,band2,band3\n0.1,0.2,0.3\n", r"a table of text \(CSV\), no image"),
        (b'{"a": [1, 2]}', "a JSON file"),
        (b"PK\x03\x04 broken", "truncated or damaged"),
        (b"environment = 3\n", "a text file"),
        (b"1,2,3\n4,5,6\n", "a table of text"),
        (bytes(range(1, 200)), "no known format"),
    ],
)
def test_anything_else_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "Indian_pines.mat"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=words) as caught:
        recognise(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"II*\x00\x08\x00\x00\x00", "tiff"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(9), "jpeg2000"),
        (b"\xff\x4f\xff\x51\x00\x2f", "jpeg2000"),
        (b"EHFA_HEADER_TAG\x00", "imagine"),
        (b"HEAD74\x00\x00", "lan"),
        (b"HEADER\x00\x00", "lan"),
        (b"NITF02.10", "nitf"),
        (b"CDF\x01\x00", "netcdf3"),
        (b'<?xml version="1.0"?>\n<VRTDataset rasterXSize="1">', "vrt"),
        (b"ncols 3\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2 3\n", "asciigrid"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"GIF89a", "image"),
        (b"\xff\xd8\xff\xe0", "image"),
        (b"BM" + bytes(12) + b"\x28" + bytes(20), "image"),
        (b"MM\x00+\x08\x00\x00\x00", "tiff"),
        (b"ENVI\r\nsamples = 3\n", "envi"),
        (b"ENVI", "envi"),
        (b'\n{ "name": "x", "type" : "FeatureCollection"', "geojson"),
        (b"\x00\x00\x27\x0a" + bytes(96), "shapefile"),
    ],
)
def test_image_and_vector_files(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "x.dat"
    path.write_bytes(content)
    assert recognise(path) == kind


def test_envi_data_is_known_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "scene.bsq"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(FileFormatError, match=r"ENVI.*scene\.hdr"):
        recognise(path)
    for header in (tmp_path / "scene.hdr", tmp_path / "scene.bsq.hdr"):
        header.write_text("ENVI\n")
        assert recognise(path) == "envi"
        assert envi_header(path) == header
        header.unlink()
    (tmp_path / "scene.hdr").write_text("not one")
    assert envi_header(path) is None
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "a.hdr").write_text("ENVI\n")
    assert recognise(tmp_path / "a.npy") == "npy"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(SceneNotFoundError, match="no file"):
        recognise(tmp_path / "no.mat")
    with pytest.raises(FileFormatError, match="is a folder"):
        recognise(tmp_path)


def test_beginning_of_a_mat_file_is_a_mat_file(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"x": np.arange(9)})
    assert identify((tmp_path / "a.mat").read_bytes()[:40]) == "mat5"


def test_raw_values_may_begin_like_an_image(tmp_path: Path) -> None:
    path = tmp_path / "scene.img"
    (tmp_path / "scene.hdr").write_text("ENVI\nsamples = 3\n")
    for start in (b"\xff\xd8\xff", b"BM" + bytes(12) + b"\x28"):
        path.write_bytes(start + bytes(99))
        assert recognise(path) == "envi"


def test_version_4_of_matlab_is_named(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"cube": np.arange(6.0).reshape(2, 3)}, format="4")
    with pytest.raises(FileFormatError, match=r"a MATLAB v4 file; save it again.*-v7"):
        recognise(tmp_path / "a.mat")


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "scene.hdr")
    with pytest.raises(FileFormatError, match="a device or a pipe"):
        recognise(tmp_path / "pipe")
    (tmp_path / "scene.img").write_bytes(bytes(range(1, 99)))
    with pytest.raises(FileFormatError, match="has no header"):  # beside it, but a pipe
        recognise(tmp_path / "scene.img")
