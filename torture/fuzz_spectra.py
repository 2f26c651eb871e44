"""Spectral libraries, lists of wavelengths and ENVI headers of other programs, to damage."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from torture.fuzz_seeds import COLS, ROWS, Array, Files, npy_bytes

_CENTRES = np.linspace(400.0, 2400.0, 24).round(1)
_NAMES = ("Grass, dry", "Soil", "Water")
_SPECTRA = np.stack([0.1 * number + np.linspace(0.05, 0.6, 24) ** number for number in (1, 2, 3)]).round(4)


def library_files() -> list[Files]:
    """Libraries of ENVI, tables with a spectrum a column or a row, ECOSTRESS, and USGS splib."""
    header = (
        f"ENVI\nsamples = {_SPECTRA.shape[1]}\nlines = {len(_SPECTRA)}\nbands = 1\nheader offset = 0\n"
        "file type = ENVI Spectral Library\ndata type = 4\ninterleave = bsq\nbyte order = 0\n"
        f"wavelength units = Nanometers\nspectra names = {{{', '.join(_NAMES).replace(', dry', '')}}}\n"
        f"reflectance scale factor = 1.0\nwavelength = {{{', '.join(map(str, _CENTRES))}}}\n"
        f"fwhm = {{{', '.join(['10'] * len(_CENTRES))}}}\nbbl = {{{', '.join(['1'] * len(_CENTRES))}}}\n"
    )
    columns = ['wavelength_nm,"Grass, dry",Soil,Water']
    columns += [f"{x},{','.join(map(str, y))}" for x, y in zip(_CENTRES, _SPECTRA.T, strict=True)]
    rows = ["name;" + ";".join(map(str, _CENTRES))]
    rows += [f"{name};{';'.join(map(str, y))}" for name, y in zip(_NAMES, _SPECTRA, strict=True)]
    ecostress = [
        "Name: Dry grass", "Type: vegetation", "Class: grass", "Number of X Values: 24",
        "X Units: Wavelength (micrometers)", "Y Units: Reflectance (percent)",
        "First X Value: 2.4", "Last X Value: 0.4", "",
    ]  # fmt: skip
    ecostress += [f"{x / 1000}\t{100 * y:.3f}" for x, y in zip(_CENTRES, _SPECTRA[0], strict=True)]
    splib = " splib07a Record=77: Grass dry ASDFRa AREF\n" + "\n".join(f" {y:.6E}" for y in _SPECTRA[0])
    channels = " splib07a Record=1: Wavelengths ASD 0.35-2.5 microns\n" + "\n".join(
        f" {x / 1000:.6E}" for x in _CENTRES
    )
    return [
        {"a.hdr": header.encode(), "a.sli": _SPECTRA.astype("f4").tobytes()},
        {"a.csv": "\n".join(columns).encode()},
        {"a.csv": "\n".join(rows).encode()},
        {"a.spectrum.txt": "\n".join(ecostress).encode()},
        {"a_grass_ASDFRa.txt": splib.encode(), "splib_Wavelengths_ASD.txt": channels.encode()},
    ]


def wavelength_files() -> list[Files]:
    """Tables of bands: one number a line, columns with names, decimal commas, an ENVI header, arrays."""
    from scipy.io import savemat

    mat = io.BytesIO()
    savemat(mat, {"wavelengths": _CENTRES, "fwhm": np.full(24, 9.5)})
    lines = [f"{at};{str(x).replace('.', ',')};9,5;1" for at, x in enumerate(_CENTRES)]
    table = [f"{at},{x},9.5,{int(at % 7 > 0)}" for at, x in enumerate(_CENTRES, start=1)]
    texts = (
        "\n".join(map(str, _CENTRES)),
        "# micrometres\n" + "\n".join(f"{at} {x / 1000:.4f} 0.0095" for at, x in enumerate(_CENTRES)),
        "band,wavelength_nm,fwhm,good\n" + "\n".join(table),
        "Kanal;Wellenlänge [nm];FWHM;ok\n" + "\n".join(lines),
        f"ENVI\nbands = 24\nwavelength units = nm\nwavelength = {{{', '.join(map(str, _CENTRES))}}}\n",
        "\n".join(f"Band {at} ({x} nm)" for at, x in enumerate(_CENTRES, start=1)),
    )
    made: list[Files] = [{"a.txt": text.encode()} for text in texts]
    return [*made, {"a.txt": npy_bytes(_CENTRES)}, {"a.txt": mat.getvalue()}]


def odd_header_files(cube: Array, labels: Array) -> list[Files]:
    """ENVI headers as other programs write them: other keys, brackets, units, letters, another place."""
    bands = cube.shape[2]
    centres = ", ".join(f"{430 + 40 * band}.5" for band in range(bands))
    names = ", ".join(f"band {band} ({430 + 40 * band}.5 nm)" for band in range(bands))
    size = f"columns = {COLS}\nrows = {ROWS}\nnumber of bands = {bands}\n"
    data = cube.transpose(2, 0, 1).tobytes()
    headers: tuple[Any, ...] = (
        f"ENVI\n{size}data type = 12\nlayout = bsq\nbyte order = 0\nwavelengths = [{centres}]\n"
        "wavelength unit = \u00b5m\nbad bands list = {" + ", ".join(["1"] * bands) + "}\n"
        "ignore value = -9999\n",
        f"ENVI\n{size}dtype = uint16\ninterleaving = band sequential\nendian = little\n"
        f"band names = {{{names}}}\ncrs = EPSG:32616\n",
        f"ENVI\r\n{size}data type = 12\r\ninterleave = bsq\r\nskip bytes = 0\r\nheader offset = 0\r\n"
        f"centre wavelengths = ({centres})\r\nbandwidths = ({centres})\r\nsensor = ROSIS\r\n"
        "projection info = {3, 6378137.0, 6356752.3, 0.0, -87.0, 500000.0, 0.0, 0.9996, WGS-84, UTM, "
        "units=Meters}\r\nmap info = {UTM, 1, 1, 500000, 4480000, 20, 20, 16, North, WGS-84}\r\n"
        "pixel size = {20, 20}\r\nx start = 3\r\ndefault bands = {3, 2, 1}\r\n"
        "data gain values = {" + ", ".join(["0.5"] * bands) + "}\r\n",
        f"ENVI\n{size}data type = 12\ninterleave = bsq\nbyte order = 0\nfile compression = 0\n"
        "geo points = {1, 1, 40.47, -87.0, 10, 1, 40.47, -86.9, 1, 12, 40.46, -87.0}\n"
        f"wavelength = {{\n {centres} }}\n; a comment\nkey without value\n",
    )
    made: list[Files] = []
    for number, text in enumerate(headers):
        made.append({"a.hdr": text.encode("cp1252"), ("a.dat", "a.pix", "a.bsq", "a")[number]: data})
    return made
