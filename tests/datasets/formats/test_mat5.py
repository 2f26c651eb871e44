from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

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
    assert kinds == {
        "c": "cell", "s": "struct", "s.x": "float64", "t": "char", "z": "complex", "n": "float64",
    }  # fmt: skip
    for variable in list_mat5(path):
        if variable.name not in ("n", "s.x"):
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


def _leaves(prefix: str, value: Any) -> dict[str, Any]:
    """Return what SciPy reads of a struct, with names as ours."""
    if not value.dtype.names:
        return {prefix: value} if value.dtype.kind in "iuf" else {}
    if value.size != 1:
        return {}
    fields = (_leaves(f"{prefix}.{name}", value[name][0, 0]) for name in value.dtype.names)
    return {name: array for some in fields for name, array in some.items()}


_ARRAYS = hnp.arrays(
    st.sampled_from(_TYPES),
    hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4),
    elements=st.integers(0, 99),
)
_NAME = st.from_regex(r"[a-z][a-zA-Z0-9_]{0,8}", fullmatch=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.recursive(
        _ARRAYS | st.text("abc", min_size=1, max_size=5),
        lambda inner: st.dictionaries(_NAME, inner, min_size=1, max_size=3),
        max_leaves=6,
    ),
    compress=st.booleans(),
)
def test_structs_are_read_as_scipy_reads_them(tmp_path: Path, content: Any, compress: bool) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"s": {"first": content}, "after": np.eye(2)}, do_compression=compress)
    expected = {**_leaves("s", loadmat(path)["s"]), "after": np.eye(2)}
    found = {one.name: one for one in list_mat5(path) if one.numeric}
    assert set(found) == set(expected)
    for name, variable in found.items():
        np.testing.assert_array_equal(read_mat5(path, variable), expected[name])


def test_a_struct_nested_too_deep_is_listed_up_to_there(tmp_path: Path) -> None:
    content: Any = np.eye(2)
    for _ in range(20):
        content = {"a": content}
    savemat(tmp_path / "a.mat", {"s": content})
    assert max(one.name.count(".") for one in list_mat5(tmp_path / "a.mat")) == 8


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dense=hnp.arrays("f8", hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 2)),
    compress=st.booleans(),
)
def test_sparse_matrices_are_read_as_dense(tmp_path: Path, dense: Any, compress: bool) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"gt": csc_matrix(dense), "in": {"a": csc_matrix(dense)}}, do_compression=compress)
    variables = {one.name: one for one in list_mat5(path)}
    for name in ("gt", "in.a"):
        np.testing.assert_array_equal(read_mat5(path, variables[name]), dense)


def test_complex_and_empty_sparse_matrices(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"z": csc_matrix(np.eye(3) * 1j), "none": csc_matrix((3, 2))})
    found = {one.name: one for one in list_mat5(tmp_path / "a.mat")}
    assert found["z"].dtype == "complex"
    assert not read_mat5(tmp_path / "a.mat", found["none"]).any()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), compress=st.booleans())
def test_damaged_bytes_give_arrays_or_one_of_three_errors(
    tmp_path: Path, data: st.DataObject, compress: bool
) -> None:
    path = tmp_path / "a.mat"
    content = {"s": {"a": np.arange(12).reshape(3, 4), "b": {"c": np.eye(2)}}, "gt": csc_matrix(np.eye(4))}
    savemat(path, content, do_compression=compress)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(128, len(whole) - 1))
        whole[at] = data.draw(st.sampled_from([0, 1, 2, 5, 14, 15, 127, 128, 255]) | st.integers(0, 255))
    path.unlink()
    path.write_bytes(whole[: data.draw(st.integers(128, len(whole)))] if data.draw(st.booleans()) else whole)
    with contextlib.suppress(ValueError, struct.error, zlib.error):  # any other error fails the test
        for variable in list_mat5(path):
            if variable.numeric and np.prod(variable.shape, dtype=object) < 1e6:
                assert read_mat5(path, variable).shape == variable.shape


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300))
def test_garbage_is_an_error_and_no_crash(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "a.mat"
    path.unlink(missing_ok=True)
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + body)
    with contextlib.suppress(ValueError, struct.error, zlib.error):
        list_mat5(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"x": np.eye(3)})
    whole = (tmp_path / "a.mat").read_bytes()
    packed = zlib.compress(whole[128:] + bytes(50_000_000))
    (tmp_path / "a.mat").write_bytes(whole[:128] + struct.pack("<II", 15, len(packed)) + packed)
    (variable,) = list_mat5(tmp_path / "a.mat")
    with pytest.raises(ValueError, match="longer than it says"):
        read_mat5(tmp_path / "a.mat", variable)
