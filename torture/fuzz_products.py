"""Products to damage: EnMAP, DESIS, AVIRIS, PRISMA, EMIT, Tanager and NEON, a few KB each.

An HDF5 file is damaged as bytes, and as a text of its layers and attributes, from which it is made after the
damage: most flipped bits of HDF5 only break its own structure, and never get to the reader of the product.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torture.fuzz_mutate import Packed
from torture.fuzz_seeds import COLS, GEOREFERENCE, ROWS, Files

BANDS = 6
CENTRES = (443.5, 560.25, 665.0, 865.5, 1385.0, 1610.0)
WIDTHS = (6.5,) * BANDS
_MOST_STORED = 50_000  # values of a layer; one of more is only announced

Array = NDArray[Any]


def pattern(*shape: int, dtype: str = "i2") -> Array:
    """Return values that differ from pixel to pixel, fractions for floating point."""
    values = np.arange(math.prod(shape)).reshape(shape) * 37 % 7919 + 1
    return (values / 8000 if np.dtype(dtype).kind == "f" else values % 250).astype(dtype)


def tiff(values: Array, no_data: float | None = None) -> bytes:
    """Return a GeoTIFF of values ``(rows, cols, bands)`` on the grid of the crop."""
    import rasterio

    rows, cols, bands = values.shape
    with warnings.catch_warnings(), rasterio.MemoryFile() as memory:
        warnings.simplefilter("ignore")
        with memory.open(
            driver="GTiff", count=bands, height=rows, width=cols, dtype=values.dtype.name, nodata=no_data,
            crs=GEOREFERENCE["crs"], transform=rasterio.Affine(*GEOREFERENCE["transform"]),
            compress="deflate", interleave="pixel",
        ) as out:  # fmt: skip
            out.write(values.transpose(2, 0, 1))
        return bytes(memory.read())


def _element(tag: str, *inside: str, **attributes: object) -> str:
    opened = " ".join([tag, *(f'{key}="{value}"' for key, value in attributes.items())])
    return f"<{opened}>{''.join(inside)}</{tag}>\n"


def enmap_files() -> list[Files]:
    """L2A with quality layers, and L1C."""
    made: list[Files] = []
    for level in ("L2A", "L1C"):
        name = f"ENMAP01-____{level}-DT0000000777_20230304T050607Z_001_V010400_20230305T060708Z"
        bands = "".join(
            _element(
                "bandID",
                _element("wavelengthCenterOfBand", str(centre)), _element("FWHMOfBand", "7.5"),
                _element("GainOfBand", "0.0001"), _element("OffsetOfBand", "0"), number=at,
            )
            for at, centre in enumerate(CENTRES, start=1)
        )  # fmt: skip
        listed = [
            _element(f"{arm}ProductQuality", _element("expectedChannelsList", numbers))
            for arm, numbers in (("vnir", "1,2,3,4"), ("swir", "5, 6"))
        ]
        statistics = _element("bandID", _element("mean", "-1000000"), number=5)
        text = _element(
            "level_X",
            _element("base", _element("level", level)),
            _element("specific", *listed, _element("bandCharacterisation", bands)),
            _element("product", _element("bandStatistics", statistics)),
        )
        files: Files = {
            f"{name}-METADATA.XML": f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode(),
            f"{name}-SPECTRAL_IMAGE.TIF": tiff(pattern(ROWS, COLS, BANDS), -32768),
        }
        if level == "L2A":
            for kind in ("CLASSES", "CLOUD", "CIRRUS"):
                layer = pattern(ROWS, COLS, 1, dtype="u1") % 4
                files[f"{name}-QL_QUALITY_{kind}.TIF"] = tiff(layer)
        made.append(files)
    return made


def desis_files() -> list[Files]:
    """L2A with its header and quality layers."""
    name = "DESIS-HSI-L2A-DT0000000777_003-20230304T050607-V0220"
    bands = "".join(
        _element(
            "band",
            _element("bandNumber", str(at)), _element("wavelengthCenterOfBand", str(400 + 90.5 * at)),
            _element("wavelengthWidthOfBand", "3.5"), _element("gainOfBand", "1e-4"),
            _element("offsetOfBand", "0"),
        )
        for at in range(1, BANDS + 1)
    )  # fmt: skip
    text = _element(
        "hsi_doc",
        _element("metadata"),
        _element("specific", _element("bandCharacterisation", bands)),
    )
    centres = ",\n".join(str(400 + 90.5 * at) for at in range(1, BANDS + 1))
    header = (
        f"ENVI\nwavelength = {{\n{centres}}}\ndata gain values = {{\n{', '.join(['1e-4'] * BANDS)}}}\n"
        f"data offset values = {{{', '.join('0' * BANDS)}}}\n"
    )
    whole: Files = {
        f"{name}-METADATA.xml": text.encode(),
        f"{name}-SPECTRAL_IMAGE.tif": tiff(pattern(ROWS, COLS, BANDS), -32768),
        f"{name}-QL_QUALITY-2.tif": tiff(pattern(ROWS, COLS, 10, dtype="u1") % 2),
        f"{name}-SPECTRAL_IMAGE.hdr": header.encode(),
    }
    return [whole, {key: value for key, value in whole.items() if not key.endswith(".hdr")}]


def _envi(values: Array, **fields: object) -> tuple[bytes, bytes]:
    """Return header and data of an image, band-interleaved by line."""
    rows, cols, bands = values.shape
    code = {"f4": 4, "i2": 2, "i4": 3}[values.dtype.str[1:]]
    lines = [
        "ENVI", f"samples = {cols}", f"lines = {rows}", f"bands = {bands}", "interleave = bil",
        f"data type = {code}", "byte order = 0", "header offset = 0",
    ]  # fmt: skip
    for key, value in fields.items():
        text = f"{{ {', '.join(map(str, value))} }}" if isinstance(value, tuple) else str(value)
        lines.append(f"{key.replace('_', ' ')} = {text}")
    data = np.ascontiguousarray(values.transpose(0, 2, 1)).tobytes()
    return "\n".join([*lines, ""]).encode(), data


def _lookup(rows: int = ROWS + 3, cols: int = COLS + 2) -> tuple[Array, Array]:
    """Return the tables of columns and rows, counted from 1, 0 for cells without a pixel."""
    y, x = np.mgrid[:rows, :cols]
    x, y = x - 1 - y // 6, y - 1
    outside = (x < 1) | (x > COLS) | (y < 1) | (y > ROWS)
    return np.where(outside, 0, x).astype("i4"), np.where(outside, 0, y).astype("i4")


def aviris_files() -> list[Files]:
    """A flight line on a turned map grid, one with a lookup table beside it, and one in micrometres."""
    place = ("UTM", 1, 1, 500000.0, 4480000.0, 4.0, 4.0, 16, "North", "WGS-84", "units=Meters")
    shared: dict[str, Any] = {"wavelength": CENTRES, "fwhm": WIDTHS, "data_ignore_value": -9999}
    made: list[Files] = []
    for name, more in (
        ("ang20230304t050607_rfl_v2aa1_img", {"map_info": (*place, "rotation=-21.5")}),
        ("ang20230304t050607_rfl_v2aa1", {}),
        ("f230304t01p00r08_rfl_v1_img", {"map_info": place, "bbl": (1,) * (BANDS - 1) + (0,)}),
    ):
        header, data = _envi(pattern(ROWS, COLS, BANDS, dtype="f4"), **shared, **more)
        files: Files = {f"{name}.hdr": header, name: data}
        if not more:
            names = ("GLT Sample Lookup", "GLT Line Lookup")
            header, data = _envi(np.dstack(_lookup()), map_info=place, band_names=names)
            files |= {"ang20230304t050607_rdn_glt.hdr": header, "ang20230304t050607_rdn_glt": data}
        made.append(files)
    return made


def make_hdf5(parts: Mapping[str, bytes]) -> bytes:
    """Return the HDF5 file that a text describes.

    A line ``path : type shape`` is a layer with the values of `pattern`, ``path = value`` one with values as
    JSON, and ``path@name = value`` an attribute. Lines that mean nothing are left out.
    """
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as out:
        for line in parts["layout"].decode("utf-8", errors="replace").splitlines()[:400]:
            with contextlib.suppress(Exception):  # NumPy and h5py raise almost any type for a damaged text
                _make(out, line)
    return file.getvalue()


def _make(out: Any, line: str) -> None:
    path, mark, text = line.partition(" = ")
    if not mark:
        path, _, text = line.partition(" : ")
        dtype, *sizes = text.split()
        shape = tuple(map(int, sizes))
        if math.prod(shape) <= _MOST_STORED:
            out.create_dataset(path, data=pattern(*shape, dtype=dtype))
        else:
            out.create_dataset(path, shape, dtype, chunks=tuple(min(size, 64) for size in shape))
        return
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, str):
        value = np.bytes_(value.encode("utf-8", errors="replace"))
    owner, _, attribute = path.partition("@")
    if attribute:
        (out[owner] if owner in out else out.require_group(owner)).attrs[attribute] = value
    else:
        out[path] = np.asarray(value)


def _hdf5(name: str, *lines: str) -> list[Files]:
    parts = {"layout": "\n".join(lines).encode()}
    return [{name: Packed(parts, make_hdf5)}, {name: make_hdf5(parts)}]


def _lines(owner: str, **attributes: object) -> Iterator[str]:
    yield from (f"{owner}@{key} = {json.dumps(value)}" for key, value in attributes.items())


def prisma_files() -> list[Files]:
    """L2D on its grid, L2C and L1 in the geometry of the sensor."""
    made: list[Files] = []
    vnir, swir = [0.0, 965.5, 865.5, 665.0, 443.5], [2200.5, 1610.0, 972.0, 950.5, 0.0]
    for level in ("L2D", "L2C", "L1"):
        fields = f"HDFEOS/SWATHS/PRS_{level}_HCO/Data Fields"
        positions = f"HDFEOS/SWATHS/PRS_{level}_HCO/Geolocation Fields"
        lines = [*_lines("/", Processing_Level=level[1:], Product_StartTime="2023-03-04T05:06:07.8")]
        for arm, centres in (("Vnir", vnir), ("Swir", swir)):
            widths = [10.5 if one else 0.0 for one in centres]
            flags = [int(one > 0) for one in centres]
            matrix = "SAT" if level == "L1" else "L2"
            lines += [
                f"{fields}/{arm.upper()}_Cube : u2 {ROWS} {len(centres)} {COLS}",
                f"{fields}/{arm.upper()}_PIXEL_{matrix}_ERR_MATRIX : u1 {ROWS} {len(centres)} {COLS}",
                *_lines("/", **{f"List_Cw_{arm}": centres, f"List_Fwhm_{arm}": widths}),
                *_lines("/", **{f"List_Cw_{arm}_Flags": flags}),
            ]
            ends = ("ScaleFactor_{}", "Offset_{}") if level == "L1" else ("L2Scale{}Max", "L2Scale{}Min")
            lines += _lines("/", **{ends[0].format(arm): 0.9, ends[1].format(arm): 0.0})
        if level == "L2D":
            lines += _lines("/", Epsg_Code=32616, Projection_Id="16", Projection_Name="UTM")
            for corner, x, y in (("UL", 0, 0), ("UR", 1, 0), ("LL", 0, 1), ("LR", 1, 1)):
                east = 500_015.0 + 30 * (COLS - 1) * x
                north = 4_479_985.0 - 30 * (ROWS - 1) * y
                name = f"Product_{corner}corner"
                lines += _lines("/", **{f"{name}_easting": east, f"{name}_northing": north})
        for end in ("_VNIR", "_SWIR") if level == "L1" else ("",):
            lines += [f"{positions}/{axis}{end} : f4 {ROWS} {COLS}" for axis in ("Latitude", "Longitude")]
        if level == "L1":
            lines.append(f"{fields}/Cloud_Mask : u1 {ROWS} {COLS}")
        made += _hdf5(f"PRS_{level}_STD_20230304050607_20230304050611_0001.he5", *lines)
    return made


def emit_files() -> list[Files]:
    """L2A with its lookup table, and the masks beside it."""
    glt = [
        f"location/{name} = {one.tolist()}" for name, one in zip(("glt_x", "glt_y"), _lookup(), strict=True)
    ]
    geotransform = [-87.0, 0.0005, 0.0, 40.5, 0.0, -0.0005]
    root = [*_lines("/", geotransform=geotransform, spatial_ref="EPSG:4326", instrument="EMIT")]
    flags = ["Cloud flag", "Cirrus flag", "Water flag", "Spacecraft Flag", "Dilated Cloud Flag"]
    cube = [
        f"reflectance : f4 {ROWS} {COLS} {BANDS}",
        *_lines("reflectance", _FillValue=[-9999.0]),
        f"sensor_band_parameters/wavelengths = {json.dumps(CENTRES)}",
        f"sensor_band_parameters/fwhm = {json.dumps(WIDTHS)}",
        "sensor_band_parameters/good_wavelengths = [1, 1, 1, 1, 0, 1]",
    ]
    mask = [f"mask : f4 {ROWS} {COLS} {len(flags)}"]
    names = "EMIT_L2A_{}_001_20230304T050607_2306304_012.nc"
    made: list[Files] = []
    described = make_hdf5({"layout": "\n".join([*root, *glt, *mask]).encode()})
    described = _with_texts(described, "sensor_band_parameters/mask_bands", flags)
    for one in _hdf5(names.format("RFL"), *root, *glt, *cube):
        made += [one, {**one, names.format("MASK"): described}]
    return made


def _with_texts(content: bytes, path: str, texts: list[str]) -> bytes:
    import h5py

    file = io.BytesIO(content)
    with h5py.File(file, "r+") as out:
        out[path] = np.array(texts, h5py.string_dtype())
    return file.getvalue()


def tanager_files() -> list[Files]:
    """Reflectance on a grid and in the geometry of the sensor."""
    made: list[Files] = []
    for kind, root in (("ortho", "HDFEOS/GRIDS/HYP"), ("basic", "HDFEOS/SWATHS/HYP")):
        cube = f"{root}/Data Fields/surface_reflectance"
        lines = [
            f"{cube} : f4 {BANDS} {ROWS} {COLS}",
            *_lines(cube, wavelengths=CENTRES, fwhm=WIDTHS, good_wavelengths=[1, 1, 1, 1, 0, 1]),
            *_lines(cube, _FillValue=-9999.0),
            f"{root}/Data Fields/nodata_pixels : u1 {ROWS} {COLS}",
            f"{root}/Data Fields/beta_cloud_mask : u1 {ROWS} {COLS}",
        ]
        if kind == "ortho":
            right, bottom = 500_000 + 30 * COLS, 4_480_000 - 30 * ROWS
            struct = "\\n".join(
                [
                    "GROUP=GRID_1", f"XDim={COLS}", f"YDim={ROWS}",
                    "UpperLeftPointMtrs=(500000.0,4480000.0)", f"LowerRightMtrs=({right}.0,{bottom}.0)",
                    "Projection=HE5_GCTP_UTM", "ZoneCode=16", "PixelRegistration=HE5_HDFE_CORNER",
                    "GridOrigin=HE5_HDFE_GD_UL", "END_GROUP=GRID_1",
                ]
            )  # fmt: skip
            lines += [*_lines(root, epsg_code=32616), f'HDFEOS INFORMATION/StructMetadata.0 = "{struct}"']
        else:
            framing = {"epsg_code": 32616, "rows": ROWS, "cols": COLS,
                       "geotransform": [500000.0, 30.0, 0.0, 4480000.0, 0.0, -30.0]}  # fmt: skip
            fields = f"{root}/Geolocation Fields"
            lines += [f"{fields}/{axis} : f4 {ROWS} {COLS}" for axis in ("Latitude", "Longitude")]
            lines += _lines(fields, Planet_Ortho_Framing=json.dumps(framing))
        made += _hdf5(f"20230304_050607_12_4001_{kind}_sr.h5", *lines)
    return made


def neon_files() -> list[Files]:
    """Reflectance of a site."""
    root = "SITE/Reflectance"
    cube = f"{root}/Reflectance_Data"
    info = "UTM, 1, 1, 500000.0, 4480000.0, 1.0, 1.0, 16, North, WGS-84, units=Meters, 0"
    extent = [500_000.0, 500_000.0 + COLS, 4_480_000.0 - ROWS, 4_480_000.0]
    return _hdf5(
        "NEON_D09_SITE_DP3_500000_4479000_reflectance.h5",
        f"{cube} : i2 {ROWS} {COLS} {BANDS}",
        *_lines(cube, Scale_Factor=10000.0, Data_Ignore_Value=-9999.0, Spatial_Extent_meters=extent),
        *_lines(root, Band_Window_1_Nanometers=[1340, 1445], Band_Window_2_Nanometers=[1790, 1955]),
        f"{root}/Metadata/Spectral_Data/Wavelength = {json.dumps(CENTRES)}",
        f"{root}/Metadata/Spectral_Data/FWHM = {json.dumps(WIDTHS)}",
        f'{root}/Metadata/Coordinate_System/Map_Info = "{info}"',
        f'{root}/Metadata/Coordinate_System/EPSG Code = "32616"',
    )


def aviris_netcdf_files() -> list[Files]:
    """Reflectance on a map grid, and with a lookup table."""
    made: list[Files] = []
    place = [
        'transverse_mercator = ""',
        *_lines("transverse_mercator", spatial_ref="EPSG:32616", GeoTransform="500000 4 0 4480000 0 -4"),
    ]
    cube = "reflectance/reflectance"
    shared = [
        f"{cube} : f4 {BANDS} {ROWS} {COLS}",
        *_lines(cube, _FillValue=[-9999.0], grid_mapping="transverse_mercator"),
        f"reflectance/wavelength = {json.dumps(CENTRES)}",
        f"reflectance/fwhm = {json.dumps(WIDTHS)}",
    ]
    axes = [
        f"easting = {json.dumps([500_002.0 + 4 * at for at in range(COLS)])}",
        f"northing = {json.dumps([4_479_998.0 - 4 * at for at in range(ROWS)])}",
    ]
    columns, rows = _lookup()
    table = [
        f"geolocation_lookup_table/sample = {columns.tolist()}",
        f"geolocation_lookup_table/line = {rows.tolist()}",
    ]
    made += _hdf5("AV320230304t050607_000_L2A_OE_RFL_ORT.nc", *shared, *place, *axes)
    made += _hdf5("AV320230304t050607_000_L2A_OE_RFL.nc", *shared, *place, *table)
    return made


def wavelengths_in_hdf5() -> list[Files]:
    """A cube that is no product, with its wavelengths and its place beside it."""
    return _hdf5(
        "a.h5",
        f"cube : f4 {ROWS} {COLS} {BANDS}",
        *_lines("cube", DIMENSION_LABELS=["y", "x", "wavelength"], crs="EPSG:32616"),
        f"wavelength = {json.dumps(CENTRES)}",
        *_lines("wavelength", units="nm"),
        f"fwhm = {json.dumps(WIDTHS)}",
        "bbl = [1, 1, 1, 1, 0, 1]",
        f"gt = {(pattern(ROWS, COLS, dtype='u1') % 3).tolist()}",
    )


PRODUCTS = {
    "enmap": enmap_files, "desis": desis_files, "aviris": aviris_files, "prisma": prisma_files,
    "emit": emit_files, "tanager": tanager_files, "neon": neon_files, "aviris_netcdf": aviris_netcdf_files,
}  # fmt: skip
"""Name of a product, as `hsi.datasets.products.known_products` has it, -> its files."""
