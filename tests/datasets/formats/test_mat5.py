from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from hsi.datasets.formats.mat5 import list_mat5, read_mat5

_TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=hnp.arrays(
        st.sampled_from(_TYPES), hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=5)
    ),
    name=st.from_regex(r"[a-z][a-zA-Z0-9_]{0,30}", fullmatch=True),
    compress=st.booleans(),
)
def test_what_scipy_writes_is_read_as_scipy_reads_it(
    tmp_path: Path, array: Any, name: str, compress: bool
) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {name: array, "other": np.eye(3)}, do_compression=compress)
    variables = {variable.name: variable for variable in list_mat5(path)}
    assert set(variables) == {name, "other"}
    read = read_mat5(path, variables[name])
    expected = loadmat(path)[name]
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == expected.dtype == array.dtype
    assert read.shape == array.shape
    assert read.flags.writeable


def test_real_files_of_matlab(real_data: Path) -> None:
    compared = 0
    for path in sorted(real_data.rglob("*.mat")):
        expected = {name: array for name, array in loadmat(path).items() if not name.startswith("__")}
        variables = list_mat5(path)
        assert [variable.name for variable in variables] == list(expected)
        for variable in variables:
            np.testing.assert_array_equal(read_mat5(path, variable), expected[variable.name])
            compared += 1
    assert compared >= 10


def test_other_kinds_are_listed_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    cell = np.array([[1, "a"]], dtype=object)
    savemat(path, {"c": cell, "s": {"x": 1.0}, "t": "text", "z": np.ones((2, 3)) * 1j, "n": np.ones((2, 2))})
    kinds = {variable.name: variable.dtype for variable in list_mat5(path)}
    assert kinds == {"c": "cell", "s": "struct", "t": "char", "z": "complex", "n": "float64"}
    for variable in list_mat5(path):
        if variable.name != "n":
            with pytest.raises(ValueError, match=variable.dtype):
                read_mat5(path, variable)


def test_the_other_byte_order(tmp_path: Path) -> None:
    # MATLAB on a big-endian machine; written by hand, since SciPy writes the machine's own order only.
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    array = np.arange(6, dtype=">i2").reshape(2, 3)
    parts = (
        element(6, struct.pack(">II", 10, 0)) + element(5, struct.pack(">ii", 2, 3)) + element(1, b"array")
    )
    body = parts + element(3, array.tobytes(order="F"))
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    path = tmp_path / "big.mat"
    path.write_bytes(header + struct.pack(">II", 14, len(body)) + body)
    np.testing.assert_array_equal(loadmat(path)["array"], array)
    (variable,) = list_mat5(path)
    np.testing.assert_array_equal(read_mat5(path, variable), array)


def test_a_wrong_element_type_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    buffer = io.BytesIO()
    savemat(buffer, {"x": np.arange(12.0).reshape(3, 4)})
    whole = bytearray(buffer.getvalue())
    at = whole.index(np.array([0.0, 4.0]).tobytes()) - 8  # the tag of the numbers: type 9, 96 bytes
    assert struct.unpack_from("<II", whole, at) == (9, 96)
    for kind in (0, 8, 10, 11, 14, 99, 60_000):
        whole[at : at + 4] = struct.pack("<I", kind)
        path.write_bytes(bytes(whole))
        with pytest.raises(ValueError, match="no element type"):
            list_mat5(path)
