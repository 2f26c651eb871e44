"""AVIRIS flight lines as ENVI images, written here as the distribution documents describe them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hsi.datasets.products.aviris import find_aviris, open_aviris
from hsi.datasets.products.known_products import find_product
from hsi.errors import FileFormatError

ROWS, COLS = 14, 9
CENTRES = np.array([377.0, 552.5, 703.0, 864.0, 1352.0, 1505.0, 1812.0, 2205.0])
BANDS = len(CENTRES)
NG = "ang20190624t230039"
GRID = ["UTM", 1, 1, 421000.0, 3810000.0, 4.0, 4.0, 13, "South", "WGS-84", "units=Meters"]
TYPES = {"f4": 4, "i2": 2, "i4": 3}


def write_envi(
    path: Path, data: np.ndarray, header_name: str | None = None, order: str = "<", **header
) -> Path:
    """Write an image, band-interleaved by line."""
    code = data.dtype.str[1:]
    np.ascontiguousarray(data.transpose(0, 2, 1)).astype(order + code).tofile(path)
    fields = {
        "samples": data.shape[1], "lines": data.shape[0], "bands": data.shape[2], "interleave": "bil",
        "data type": TYPES[code], "byte order": int(order == ">"), "header offset": 0,
    } | {key.replace("_", " "): value for key, value in header.items()}  # fmt: skip
    lines = ["ENVI"]
    for key, value in fields.items():
        text = f"{{ {' , '.join(map(str, value))} }}" if isinstance(value, list | tuple) else str(value)
        lines.append(f"{key} = {text}")
    path.with_name(f"{path.name}.hdr").write_text("\n".join(lines) + "\n")
    return path


def counts(dtype: str = "f4", fill: float = -9999, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.uniform(0.01, 0.9, (ROWS, COLS, BANDS)) * (1 if dtype == "f4" else 9000)
    data = data.astype(dtype)
    data[3, 5] = fill
    return data


def spectral(**more):
    return {
        "wavelength": CENTRES.tolist(), "fwhm": [5.5] * BANDS, "wavelength units": "Nanometers",
        "data ignore value": -9999,
    } | more  # fmt: skip


def expected(data: np.ndarray) -> np.ndarray:
    return np.where(data == -9999, np.nan, data.astype(np.float64))


def lookup(seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return tables of 20 x 16 cells: mirrored, sheared, with empty and filled cells."""
    rows, cols = np.mgrid[:20, :16]
    x, y = COLS + 3 - cols, rows - cols // 5
    outside = (x < 1) | (x > COLS) | (y < 1) | (y > ROWS)
    x, y = np.where(outside, 0, x).astype("i4"), np.where(outside, 0, y).astype("i4")
    filled = np.random.default_rng(seed).random(x.shape) < 0.2
    x[filled] *= -1
    y[filled] *= -1
    return x, y


def put_on_map(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    out = np.full((*x.shape, values.shape[2]), np.nan)
    for i, j in np.argwhere(x != 0):
        out[i, j] = values[abs(y[i, j]) - 1, abs(x[i, j]) - 1]
    return out


def test_a_turned_map_grid(tmp_path):
    data = counts()
    data[:, :, 2] = -9999
    path = write_envi(tmp_path / f"{NG}_rfl_v2v2_img", data, map_info=[*GRID, "rotation=27.0"], **spectral())
    product = open_aviris(path, raw=False)
    facts = product.facts
    np.testing.assert_allclose(np.asarray(product.cube), expected(data), rtol=1e-6)
    assert product.cube.dtype == np.float32
    assert facts.wavelengths_nm == tuple(CENTRES)
    assert facts.bad_bands == (2, 4, 6)  # the dead one, and those of water vapour
    assert any("1340 to 1440 and 1800 to 1975 nm" in note and "(2 of 8)" in note for note in facts.notes)
    cos, sin = (4 * f(math.radians(27)) for f in (math.cos, math.sin))
    assert facts.georeference["crs"] == "EPSG:32713"
    np.testing.assert_allclose(facts.georeference["transform"], [cos, sin, 421000, sin, -cos, 3810000])
    assert (facts.sensor, facts.acquired) == ("AVIRIS-NG", "2019-06-24T23:00:39Z")
    assert facts.product == path.name
    with pytest.raises(FileFormatError, match="on a map grid, and has no sensor geometry; leave out --raw"):
        open_aviris(path, raw=True)


@pytest.mark.parametrize(
    ("name", "sensor", "acquired"),
    [
        ("AV320231005t181518_003_L2A_OE_main_27577724_RFL_ORT", "AVIRIS-3", "2023-10-05T18:15:18Z"),
        ("AV520250607t090807_000_L2A_OE_RFL_ORT", "AVIRIS-5", "2025-06-07T09:08:07Z"),
        ("f130411t01p00r11_rfl_v1a_img", "AVIRIS", "2013-04-11"),
        ("f970619t01p02r02_rfl_img", "AVIRIS", "1997-06-19"),
    ],
)
def test_names_and_flags_of_the_header(tmp_path, name, sensor, acquired):
    flags = [1, 0, 1, 1, 1, 1, 1, 0]
    path = write_envi(tmp_path / name, counts(), map_info=GRID, bbl=flags, **spectral())
    assert find_product(path) == find_product(tmp_path) == ("aviris", path)
    facts = open_aviris(path, False).facts
    assert (facts.sensor, facts.acquired, facts.bad_bands) == (sensor, acquired, (1, 7))


def test_bands_that_step_back_are_sorted(tmp_path):
    swapped = [0, 1, 3, 2, 4, 5, 7, 6]
    header = spectral(wavelength=CENTRES[swapped].tolist(), fwhm=(5.0 + np.array(swapped)).tolist())
    flags = [int(band != 3) for band in swapped]
    data = counts()
    path = write_envi(tmp_path / "f080611t01p00r06_refl_img", data, map_info=GRID, bbl=flags, **header)
    product = open_aviris(path, False)
    assert product.facts.wavelengths_nm == tuple(CENTRES)
    assert product.facts.fwhm_nm == tuple(5.0 + np.arange(BANDS))
    assert product.facts.bad_bands == (3,)
    np.testing.assert_allclose(np.asarray(product.cube), expected(data)[:, :, swapped], rtol=1e-6)


def test_the_lookup_table_beside_puts_it_on_the_map(tmp_path):
    data, (x, y) = counts(), lookup()
    path = write_envi(tmp_path / f"{NG}_rfl_v2", data, **spectral())
    glt = write_envi(tmp_path / f"{NG}_rdn_glt", np.dstack([x, y]), map_info=GRID)
    write_envi(tmp_path / "ang20190624t231500_rdn_glt", np.ones((3, 3, 2), "i4"), map_info=GRID)
    write_envi(tmp_path / f"{NG}_rdn_igm", np.zeros((ROWS, COLS, 3), "f4"))
    for named in (path, glt, tmp_path / f"{NG}_rdn_igm", tmp_path / f"{NG}_rfl_v2.hdr"):
        assert find_aviris(named) == path
    product = open_aviris(path, raw=False)
    np.testing.assert_allclose(np.asarray(product.cube), put_on_map(expected(data), x, y), rtol=1e-6)
    np.testing.assert_allclose(
        product.cube[5:9, 3:12, [6, 0]], put_on_map(expected(data), x, y)[5:9, 3:12][:, :, [6, 0]], rtol=1e-6
    )
    assert product.facts.georeference == {
        "crs": "EPSG:32713",
        "transform": [4.0, 0.0, 421000.0, 0.0, -4.0, 3810000.0],
    }
    assert product.files[:3] == (path, path.with_name(path.name + ".hdr"), glt)
    raw = open_aviris(path, raw=True)
    np.testing.assert_allclose(np.asarray(raw.cube), expected(data), rtol=1e-6)
    assert raw.facts.georeference is None


def test_a_table_of_another_cube_is_refused(tmp_path):
    x, y = lookup()
    path = write_envi(tmp_path / f"{NG}_rfl_v2", counts()[:-4], **spectral())
    write_envi(tmp_path / f"{NG}_rdn_glt", np.dstack([x, y]), map_info=GRID)
    with pytest.raises(FileFormatError, match=r"_rdn_glt does not fit: .* has 10 lines of 9 samples"):
        open_aviris(path, False)


def test_without_a_table_the_geometry_of_the_sensor_is_kept(tmp_path):
    path = write_envi(tmp_path / f"{NG}_rdn_v2", counts(), **spectral())
    write_envi(tmp_path / f"{NG}_rdn_loc", np.zeros((ROWS, COLS, 3), "f4"))
    product = open_aviris(path, False)
    assert product.facts.georeference is None
    assert product.cube.shape == (ROWS, COLS, BANDS)
    assert any("no lookup table (*_glt)" in note and f"{NG}_rdn_loc" in note for note in product.facts.notes)
    assert any("radiance" in note for note in product.facts.notes)


def test_classic_radiance_is_divided_by_its_gains(tmp_path):
    data = counts("i2", -50)
    gains = np.array([300.0, 300, 300, 600, 600, 600, 1200, 1200])
    name = "f130411t01p00r11rdn_e_sc02_ort_img"
    path = write_envi(tmp_path / name, data, order=">", map_info=GRID, **spectral())
    before = open_aviris(path, False)
    np.testing.assert_array_equal(np.asarray(before.cube), data)
    assert any("no file of gains (*.gain)" in note for note in before.facts.notes)
    lines = [f"{gain:.1f}   {band + 1}" for band, gain in enumerate(gains)]
    (tmp_path / "f130411t01p00r11rdn_e.gain").write_text("\n".join(lines) + "\n")
    product = open_aviris(path, False)
    np.testing.assert_allclose(
        np.asarray(product.cube), np.where(data == -50, np.nan, data / gains), rtol=1e-6
    )


def test_reflectance_as_integers_is_scaled_by_the_header(tmp_path):
    data = counts("i2")
    path = write_envi(
        tmp_path / "f130411t01p00r11_refl_img",
        data,
        map_info=GRID,
        reflectance_scale_factor=10000,
        **spectral(),
    )
    np.testing.assert_allclose(np.asarray(open_aviris(path, False).cube), expected(data) / 10000, rtol=1e-6)


def test_reflectance_is_preferred_to_radiance_in_a_folder(tmp_path):
    radiance = write_envi(tmp_path / f"{NG}_rdn_v2_img", counts(), map_info=GRID, **spectral())
    assert find_aviris(tmp_path) == radiance
    reflectance = write_envi(tmp_path / f"{NG}_rfl_v2_img", counts(), map_info=GRID, **spectral())
    write_envi(tmp_path / f"{NG}_h2o_v2_img", counts()[:, :, :1], map_info=GRID)
    (tmp_path / f"{NG}_rfl_v2_img.kml").write_text("<kml/>")
    assert find_aviris(tmp_path) == reflectance
    assert find_aviris(radiance) == radiance
    assert find_aviris(tmp_path / f"{NG}_h2o_v2_img") is None  # an image like any other
    assert find_aviris(tmp_path / f"{NG}_rfl_v2_img.kml") is None
    write_envi(tmp_path / "ang20190624t231500_rfl_v2_img", counts(), map_info=GRID, **spectral())
    with pytest.raises(FileFormatError, match="holds 2 AVIRIS products; name a file of one"):
        find_aviris(tmp_path)


def test_other_paths_are_no_product(tmp_path):
    write_envi(tmp_path / "angle_rfl", counts(), **spectral())
    (tmp_path / f"{NG}_rfl_v2_img.hdr").write_text("ENVI\nsamples = 3\n")  # without its data
    (tmp_path / f"{NG}_rfl.txt").write_text("notes")
    for path in (tmp_path, *tmp_path.iterdir(), tmp_path / f"{NG}_rfl_missing"):
        assert find_aviris(path) is None, path


def test_only_images_of_spectra_are_cubes(tmp_path):
    x, y = lookup()
    plain = write_envi(tmp_path / f"{NG}_cube", counts(), **spectral())
    write_envi(tmp_path / f"{NG}_glt", np.dstack([x, y]), map_info=GRID)
    classes = write_envi(tmp_path / f"{NG}_rfl_classes", np.ones((ROWS, COLS, 1), "i2"), map_info=GRID)
    angles = write_envi(tmp_path / f"{NG}_angles", counts()[:, :, :3], map_info=GRID)
    assert find_aviris(tmp_path) == find_aviris(plain) == plain
    assert find_aviris(classes) is None
    assert find_aviris(angles) is None
    assert open_aviris(plain, False).cube.shape == (20, 16, BANDS)


def test_scenes_of_a_line_have_tables_of_their_own(tmp_path):
    data, (x, y) = counts(), lookup()
    line = "f130411t01p00r11rdn_e"
    path = write_envi(tmp_path / f"{line}_sc02", data, map_info=["Arbitrary", 1, 1, 0, 0, 1, 1], **spectral())
    write_envi(tmp_path / f"{line}_sc01_glt", np.full((4, 4, 2), 99, "i4"), map_info=GRID)
    write_envi(tmp_path / f"{line}_sc02_glt", np.dstack([x, y]), map_info=GRID)
    product = open_aviris(path, False)
    np.testing.assert_allclose(np.asarray(product.cube), put_on_map(expected(data), x, y), rtol=1e-6)
    assert product.facts.georeference["crs"] == "EPSG:32713"
