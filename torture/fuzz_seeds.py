"""Valid files to damage: a crop of a real scene (or of the demo scene) in every format."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torture.fuzz_mutate import Packed

ROWS, COLS, BANDS = 12, 10, 9
GEOREFERENCE: dict[str, Any] = {
    "crs": "EPSG:32616",
    "transform": [20.0, 0.0, 500_000.0, 0.0, -20.0, 4_480_000.0],
}

Array = NDArray[Any]
Files = dict[str, "bytes | Packed"]
_ENVI_TYPES = {"int16": 2, "uint16": 12, "uint8": 1, "float64": 5}


def crop() -> tuple[Array, Array, str]:
    """Return a cube (12, 10, 9), its labels of two or more classes, and their source."""
    from hsi.datasets import load_scene

    folder = os.environ.get("HSI_TEST_DATA")
    real = Path(folder) / "scenes" / "PaviaU_crop.mat" if folder else None
    if real is not None and real.is_file():
        scene, source = load_scene(real, labels=real), real.name
    else:
        scene, source = load_scene("demo"), "demo"
    for row in range(0, scene.rows - ROWS, 4):
        for col in range(0, scene.cols - COLS, 4):
            labels = scene.labels[row : row + ROWS, col : col + COLS]
            if np.sort(np.bincount(labels.ravel(), minlength=3)[1:])[-2] >= 15:
                bands = np.linspace(0, scene.bands - 1, BANDS).astype(int)
                cube = scene.cube[row : row + ROWS, col : col + COLS][:, :, bands]
                return np.ascontiguousarray(cube), labels.astype(np.uint8), source
    raise AssertionError("no window of the scene has two classes")


def mat5_files(cube: Array, labels: Array) -> list[Files]:
    """MATLAB v5: compressed, not compressed, and compressed after the damage."""
    from scipy.io import savemat

    made: list[Files] = []
    for packed in (True, False):
        file = io.BytesIO()
        savemat(file, {"cube": cube, "gt": labels, "text": "a"}, do_compression=packed)
        made.append({"a.mat": file.getvalue()})
    whole = made[1]["a.mat"]
    assert isinstance(whole, bytes)
    made.append({"a.mat": Packed(mat5_parts(whole), pack_mat5)})
    return made


def mat5_parts(whole: bytes) -> dict[str, bytes]:
    """Return the header of a .mat file, and its variables."""
    parts, at = {"0": whole[:128]}, 128
    while at < len(whole):
        length = 8 + struct.unpack_from("<I", whole, at + 4)[0]
        parts[str(len(parts))] = whole[at : at + length]
        at += length
    return parts


def pack_mat5(parts: Mapping[str, bytes]) -> bytes:
    """Return the .mat file of such parts, compressed."""
    packed = [zlib.compress(part) for name, part in sorted(parts.items()) if name != "0"]
    return parts["0"] + b"".join(struct.pack("<II", 15, len(one)) + one for one in packed)


def hdf5_files(cube: Array, labels: Array, *, matlab: bool) -> list[Files]:
    """HDF5, as MATLAB v7.3 writes it or plain: contiguous, in deflated chunks, with an external link."""
    import h5py

    name = "a.mat" if matlab else "a.h5"
    made: list[Files] = []
    for options in ({}, {"compression": "gzip", "chunks": True, "shuffle": True, "fletcher32": True}):
        file = io.BytesIO()
        with h5py.File(file, "w", userblock_size=512 if matlab else 0) as out:
            for key, array in (("cube", cube), ("gt", labels)):
                data = out.create_dataset(key, data=array.T if matlab else array, **options)
                if matlab:
                    data.attrs["MATLAB_class"] = np.bytes_(array.dtype.name)
            out["away"] = h5py.ExternalLink("other.h5", "gt")
            out["soft"] = h5py.SoftLink("/cube")
        head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(116) + bytes(8)
        content = file.getvalue()
        made.append({name: (head + b"\x00\x02IM" + content[128:]) if matlab else content})
    return made


def npy_files(cube: Array, labels: Array) -> list[Files]:
    """NumPy's format, versions 1 and 2, row by row and column by column."""
    made: list[Files] = []
    for version, array in (((1, 0), cube), ((2, 0), np.asfortranarray(cube)), ((1, 0), labels)):
        made.append({"a.npy": npy_bytes(array, version)})
    return made


def npy_bytes(array: Array, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return an array in NumPy's format."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=False)
    return file.getvalue()


def npz_files(name: str, arrays: Mapping[str, Array]) -> list[Files]:
    """An archive of arrays: as it is, and packed after the damage, stored or deflated."""
    parts = {f"{key}.npy": npy_bytes(array) for key, array in arrays.items()}
    return [
        {name: pack_zip(parts, zipfile.ZIP_STORED)},
        {name: Packed(parts, lambda some: pack_zip(some, zipfile.ZIP_STORED))},
        {name: Packed(parts, lambda some: pack_zip(some, zipfile.ZIP_DEFLATED))},
    ]


def pack_zip(parts: Mapping[str, bytes], method: int) -> bytes:
    """Return a ZIP archive of the parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), part, method)
    return file.getvalue()


def envi_files(cube: Array, labels: Array) -> list[Files]:
    """ENVI images in all three orders, and a classification."""
    orders = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}
    made: list[Files] = []
    for interleave, order in orders.items():
        centres = ", ".join(f"{430 + 40 * band}.5" for band in range(cube.shape[2]))
        more = (
            f"wavelength units = Nanometers\nwavelength = {{{centres}}}\nfwhm = {{{centres}}}\n"
            f"bbl = {{{', '.join(['1'] * (cube.shape[2] - 1))}, 0}}\ndata ignore value = -9999\n"
            "map info = {UTM, 1, 1, 500000, 4480000, 20, 20, 16, North, WGS-84, rotation=3}\n"
            "sensor type = ROSIS\n"
        )
        made.append({"a.hdr": _envi_header(cube, interleave, more), "a.img": cube.transpose(order).tobytes()})
    more = (
        "file type = ENVI Classification\nclasses = 3\nclass names = {Unclassified, Grass, Soil}\n"
        'class lookup = {0, 0, 0, 255, 0, 0, 0, 255, 10}\ncoordinate system string = {GEOGCS["x"]}\n'
    )
    made.append({"a.hdr": _envi_header(labels[:, :, None], "bsq", more), "a.img": labels.tobytes()})
    return made


def _envi_header(cube: Array, interleave: str, more: str) -> bytes:
    rows, cols, bands = cube.shape
    return (
        f"ENVI\ndescription = {{a crop,\n of a scene}}\nsamples = {cols}\nlines = {rows}\nbands = {bands}\n"
        f"header offset = 0\nfile type = ENVI Standard\ndata type = {_ENVI_TYPES[cube.dtype.name]}\n"
        f"interleave = {interleave}\nbyte order = 0\n{more}"
    ).encode()


def geotiff_files(cube: Array, labels: Array) -> list[Files]:
    """GeoTIFF: plain, deflated in tiles, a label map with a colour table and names beside it."""
    import rasterio

    made: list[Files] = []
    options: list[dict[str, Any]] = [
        {}, {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16, "predictor": 2},
        {"compress": "lzw", "interleave": "pixel", "BIGTIFF": "YES"},
    ]  # fmt: skip
    for array, more in ((cube, options[0]), (cube, options[1]), (cube, options[2]), (labels, {})):
        bands = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        with warnings.catch_warnings(), rasterio.MemoryFile() as memory:
            warnings.simplefilter("ignore")
            with memory.open(
                driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
                dtype=array.dtype.name, crs=GEOREFERENCE["crs"], nodata=0,
                transform=rasterio.Affine(*GEOREFERENCE["transform"]), **more,
            ) as out:  # fmt: skip
                out.write(bands)
                for band in range(1, len(bands) + 1):
                    out.update_tags(band, wavelength=str(400 + 10 * band), wavelength_units="nm")
                if array.ndim == 2:
                    out.write_colormap(1, {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 255, 9)})
            made.append({"a.tif": bytes(memory.read())})
    made[-1]["a.tif.aux.xml"] = (
        b'<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>none</Category>'
        b"<Category>Grass</Category></CategoryNames></PAMRasterBand></PAMDataset>"
    )
    return made
