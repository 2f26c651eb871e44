"""Label images, rasters that GDAL reads, netCDF classic, Zarr stores and unusual .mat files to damage."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from torture.fuzz_mutate import Packed
from torture.fuzz_seeds import COLS, GEOREFERENCE, ROWS, Array, Files, mat5_parts, pack_mat5

_AUX = (
    "<PAMDataset><SRS>EPSG:32616</SRS><GeoTransform>500000, 20, 0, 4480000, 0, -20</GeoTransform>"
    '<PAMRasterBand band="1"><CategoryNames><Category>none</Category><Category>Grass</Category>'
    "</CategoryNames></PAMRasterBand></PAMDataset>"
)


def label_image_files(labels: Array) -> dict[str, list[Files]]:
    """Grey, with a palette and in colours, as PNG, BMP and GIF; with a world file and names."""
    from PIL import Image

    grey = Image.fromarray(labels)
    palette = grey.copy()
    palette.putpalette([0, 0, 0, *(number * 37 % 256 for number in range(765))])
    made: dict[str, list[Files]] = {}
    for end, options in (
        ("png", ((grey, {}), (palette, {"transparency": 0}), (palette.convert("RGB"), {}))),
        ("bmp", ((grey, {}), (palette, {}), (palette.convert("RGB"), {}))),
        ("gif", ((palette, {}),)),
    ):
        made[end] = []
        for image, more in options:
            file = io.BytesIO()
            image.save(file, end.upper(), **more)
            made[end].append({f"a.{end}": file.getvalue()})
    world = b"20\n0\n0\n-20\n500010\n4479990\n"
    made["png"].append({**made["png"][1], "a.pgw": world, "a.png.aux.xml": _AUX.encode()})
    return made


def _written(driver: str, name: str, array: Array, **options: Any) -> Files:
    """Return the files that GDAL writes for an array ``(bands, rows, cols)``."""
    import rasterio

    with tempfile.TemporaryDirectory() as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(made)
        profile = {
            "count": len(array), "height": array.shape[1], "width": array.shape[2],
            "dtype": array.dtype.name, "crs": GEOREFERENCE["crs"],
            "transform": rasterio.Affine(*GEOREFERENCE["transform"]),
        }  # fmt: skip
        if driver in ("LAN", "AAIGrid", "PCRaster"):  # GDAL writes them as copies only, or in few types
            import rasterio.shutil

            with rasterio.open(folder / "copied.tif", "w", driver="GTiff", **profile) as out:
                out.write(array)
            rasterio.shutil.copy(folder / "copied.tif", folder / name, driver=driver, **options)
            (folder / "copied.tif").unlink()
        else:
            with rasterio.open(folder / name, "w", driver=driver, **profile, **options) as out:
                out.write(array)
        return {one.name: one.read_bytes() for one in folder.iterdir()}


def raster_files(cube: Array, labels: Array) -> dict[str, list[Files]]:
    """JPEG 2000, ERDAS, ESRI, a text grid, NITF, and a VRT on a GeoTIFF."""
    bands = np.ascontiguousarray(cube[:, :, :4].transpose(2, 0, 1))
    grid = labels[None].astype("int32")
    source = _written("GTiff", "source.tif", bands)
    pieces = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><Description>{400 + 50 * band} nm</Description>'
        '<ComplexSource><SourceFilename relativeToVRT="1">source.tif</SourceFilename>'
        f"<SourceBand>{band}</SourceBand><ScaleRatio>2</ScaleRatio>"
        f'<SrcRect xOff="0" yOff="0" xSize="{COLS}" ySize="{ROWS}"/>'
        f'<DstRect xOff="0" yOff="0" xSize="{COLS}" ySize="{ROWS}"/></ComplexSource></VRTRasterBand>'
        for band in range(1, 5)
    )
    vrt = (
        f'<VRTDataset rasterXSize="{COLS}" rasterYSize="{ROWS}"><SRS>EPSG:32616</SRS>'
        f"<GeoTransform>500000, 20, 0, 4480000, 0, -20</GeoTransform>{pieces}</VRTDataset>"
    )
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"}
    return {
        "vrt": [{"a.vrt": vrt.encode(), **source}],
        "jp2": [_written("JP2OpenJPEG", "a.jp2", bands, **lossless)],
        "img": [
            _written("HFA", "a.img", bands),
            _written("HFA", "a.img", bands, COMPRESSED="YES"),
            _written("HFA", "a.img", labels[None]),
        ],
        "lan": [{"a.lan": _lan(labels)}],
        "bil": [_written("EHdr", "a.bil", bands.astype("int16"))],
        "asc": [_written("AAIGrid", "a.asc", grid)],
        "ntf": [_written("NITF", "a.ntf", bands, ICORDS="N")],
        "map": [_written("PCRaster", "a.map", grid, PCRASTER_VALUESCALE="VS_NOMINAL")],
    }


def _lan(labels: Array) -> bytes:
    head = bytearray(128)
    head[:6] = b"HEAD74"
    head[6:8] = (0).to_bytes(2, "little")  # 8 bits
    head[8:10] = (1).to_bytes(2, "little")
    head[16:20], head[20:24] = COLS.to_bytes(4, "little"), ROWS.to_bytes(4, "little")
    head[112:128] = np.array([500_010, 4_479_990, 20, 20], "<f4").tobytes()
    return bytes(head) + labels.tobytes()


def netcdf3_files(cube: Array, labels: Array) -> list[Files]:
    """Version 1 and with 64-bit offsets: a cube with its wavelengths, and a label map."""
    from scipy.io import netcdf_file

    made: list[Files] = []
    for version in (1, 2):
        file = io.BytesIO()
        out = netcdf_file(file, "w", version=version)
        for name, size in (("y", ROWS), ("x", COLS), ("wavelength", cube.shape[2])):
            out.createDimension(name, size)
        layers: tuple[Any, ...] = (
            ("cube", "i2", ("y", "x", "wavelength"), cube.astype("i2")),
            ("gt", "i2", ("y", "x"), labels.astype("i2")),
            ("wavelength", "f4", ("wavelength",), 430.5 + 40 * np.arange(cube.shape[2])),
            ("x", "f8", ("x",), 500_010.0 + 20 * np.arange(COLS)),
            ("y", "f8", ("y",), 4_479_990.0 - 20 * np.arange(ROWS)),
        )
        for name, dtype, axes, values in layers:
            out.createVariable(name, dtype, axes)[:] = values
        out.variables["wavelength"].units = "nm"
        out.variables["cube"]._FillValue = np.int16(-999)
        out.flush()
        made.append({"a.nc": file.getvalue()})
    return made


def zarr_files(cube: Array) -> list[Files]:
    """Stores of version 2, compressed and not, and of version 3, each with its wavelengths."""
    chunks = [[6, 10, cube.shape[2]], [12, 5, 3], [12, 5, 3]]
    names = ["y", "x", "wavelength"]
    centres = 430.5 + 40 * np.arange(cube.shape[2])
    made: list[Files] = []
    for version, packed, chunk in zip((2, 2, 3), (True, False, False), chunks, strict=True):
        files: dict[str, bytes] = {}
        for name, values, size, axes in (
            ("cube", cube.astype("<u2"), chunk, names),
            ("wavelength", centres, [cube.shape[2]], names[2:]),
        ):
            head: dict[str, Any] = {"shape": list(values.shape), "fill_value": 0}
            if version == 2:
                head |= {
                    "zarr_format": 2, "chunks": size, "dtype": values.dtype.str, "order": "C",
                    "filters": None, "compressor": {"id": "zlib", "level": 1} if packed else None,
                }  # fmt: skip
                files[f"a.zarr/{name}/.zarray"] = json.dumps(head, indent=1).encode()
                files[f"a.zarr/{name}/.zattrs"] = json.dumps({"_ARRAY_DIMENSIONS": axes}).encode()
            else:
                head |= {
                    "zarr_format": 3, "node_type": "array", "data_type": values.dtype.name,
                    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": size}},
                    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
                    "attributes": {"units": "nm"}, "dimension_names": axes,
                }  # fmt: skip
                files[f"a.zarr/{name}/zarr.json"] = json.dumps(head, indent=1).encode()
            counts = [-(-whole // part) for whole, part in zip(values.shape, size, strict=True)]
            for at in np.ndindex(*counts):
                place = tuple(slice(i * part, (i + 1) * part) for i, part in zip(at, size, strict=True))
                data = np.ascontiguousarray(values[place]).tobytes()
                key = ".".join(map(str, at)) if version == 2 else "c/" + "/".join(map(str, at))
                files[f"a.zarr/{name}/{key}"] = zlib.compress(data) if packed else data
        group = {"zarr_format": 2} if version == 2 else {"zarr_format": 3, "node_type": "group"}
        files["a.zarr/.zgroup" if version == 2 else "a.zarr/zarr.json"] = json.dumps(group).encode()
        made.append(dict(files))
    return made


def odd_mat_files(cube: Array, labels: Array) -> list[Files]:
    """A cube in a struct, sparse labels, a table of pixels with its size, one layer a class."""
    from scipy import sparse
    from scipy.io import savemat

    flat = cube.reshape(-1, cube.shape[2], order="F")
    layers = np.stack([labels == code for code in range(1, 4)], axis=2)
    variables: tuple[dict[str, Any], ...] = (
        {"hsi": {"Data": cube, "Wavelength": 430.5 + 40 * np.arange(cube.shape[2]), "Name": "crop"}},
        {"cube": cube, "gt": sparse.csc_matrix(labels.astype(float))},
        {"Y": flat.T.astype(float), "nRow": ROWS, "nCol": COLS, "GT": labels.astype(float).ravel("F")},
        {"cube": cube, "gt": layers.astype("u1"), "names": np.array(["a", "b", "c"], dtype=object)},
    )
    made: list[Files] = []
    for one in variables:
        file = io.BytesIO()
        savemat(file, one)
        whole = file.getvalue()
        made += [{"a.mat": whole}, {"a.mat": Packed(mat5_parts(whole), pack_mat5)}]
    return made
