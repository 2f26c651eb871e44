from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from hsi.datasets.formats.readers import list_arrays, read_array
from hsi.errors import FileFormatError, SceneError

CUBE = np.random.default_rng(0).integers(0, 9000, (5, 7, 4)).astype(np.uint16)
LABELS = np.random.default_rng(1).integers(0, 4, (5, 7)).astype(np.uint8)


def _write(path: Path, write_mat73: Callable[..., Path]) -> Path:
    """Write CUBE and LABELS in the format that the suffix names."""
    if path.name.endswith(".v73.mat"):
        return write_mat73(path, cube=CUBE, gt=LABELS)
    if path.suffix == ".mat":
        savemat(path, {"cube": CUBE, "gt": LABELS}, do_compression=True)
    elif path.suffix == ".npz":
        np.savez_compressed(path, cube=CUBE, gt=LABELS)
    else:
        with h5py.File(path, "w") as file:
            file["data/cube"], file["data/gt"] = CUBE, LABELS
    return path


@pytest.mark.parametrize("name", ["a.mat", "a.v73.mat", "a.npz", "a.h5"])
def test_every_format_gives_the_same_arrays(tmp_path: Path, write_mat73: Any, name: str) -> None:
    path = _write(tmp_path / name, write_mat73)
    cube, labels = read_array(path, ndim=3), read_array(path, ndim=2)
    np.testing.assert_array_equal(cube, CUBE)
    np.testing.assert_array_equal(labels, LABELS)
    assert cube.dtype == np.uint16
    assert labels.dtype == np.uint8
    key = "data/cube" if name == "a.h5" else "cube"
    np.testing.assert_array_equal(read_array(path, ndim=3, key=key.upper()), CUBE)
    assert {(info.shape, info.numeric) for info in list_arrays(path)} == {((5, 7, 4), True), ((5, 7), True)}


def test_mat73_axes_are_reversed_without_a_copy_and_plain_hdf5_is_not(
    tmp_path: Path, write_mat73: Any
) -> None:
    path = write_mat73(tmp_path / "a.mat", cube=CUBE)
    with h5py.File(path) as file:
        assert file["cube"].shape == (4, 7, 5)
    assert read_array(path, ndim=3).flags.f_contiguous
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file["cube"] = CUBE
    np.testing.assert_array_equal(read_array(tmp_path / "b.mat", ndim=3), CUBE)


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", CUBE.astype(">u2"))
    cube = read_array(tmp_path / "cube.npy", ndim=3)
    np.testing.assert_array_equal(cube, CUBE)
    assert cube.dtype.isnative
    with pytest.raises(
        FileFormatError, match=r"no array that is 2-D.*5 x 7 x 4 >u2|no array that is 2-D.*5 x 7 x 4"
    ):
        read_array(tmp_path / "cube.npy", ndim=2)


@pytest.mark.parametrize("kind", ["mat", "v73", "npz", "h5"])
def test_ambiguous_and_wrong_keys_list_what_is_inside(tmp_path: Path, write_mat73: Any, kind: str) -> None:
    arrays: dict[str, NDArray[Any]] = {"TR": LABELS, "TE": LABELS, "input": CUBE, "count": np.array([[3]])}
    path = tmp_path / f"a.{'mat' if kind == 'v73' else kind}"
    if kind == "v73":
        write_mat73(path, **arrays)
    elif kind == "mat":
        savemat(path, arrays)
    elif kind == "npz":
        np.savez(path, allow_pickle=False, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    with pytest.raises(FileFormatError, match="several arrays that are 2-D") as caught:
        read_array(path, ndim=2, option="labels_key")
    for part in ("TR (5 x 7 uint8)", "TE (5 x 7 uint8)", "input (5 x 7 x 4 uint16)", "--labels-key"):
        assert part in str(caught.value)
    with pytest.raises(FileFormatError, match="Did you mean 'input'"):
        read_array(path, ndim=3, key="imput")
    with pytest.raises(FileFormatError, match="not a 3-D"):
        read_array(path, ndim=3, key="TR")
    np.testing.assert_array_equal(read_array(path, ndim=2, known_keys=["gt", "te"]), LABELS)


def test_what_is_not_numbers_is_never_chosen(tmp_path: Path, write_mat73: Any) -> None:
    savemat(
        tmp_path / "a.mat",
        {
            "cell": np.array([[1, "a"]], dtype=object),
            "struct": {"field": "text"},
            "text": "hello",
            "complex": CUBE * 1j,
        },
    )
    with pytest.raises(
        FileFormatError, match=r"no array that is 2-D.*cell \(1 x 2 cell\).*struct \(1 x 1 struct\)"
    ):
        read_array(tmp_path / "a.mat", ndim=2)
    with pytest.raises(FileFormatError, match="complex"):
        read_array(tmp_path / "a.mat", ndim=3)
    path = write_mat73(tmp_path / "b.mat", text=LABELS.astype(np.uint16))
    with h5py.File(path, "r+") as file:
        file["text"].attrs["MATLAB_class"] = np.bytes_("char")
        file["refs"] = np.array([file["text"].ref], dtype=h5py.ref_dtype)
    with pytest.raises(FileFormatError, match=r"no array that is 2-D.*text \(5 x 7 char\)"):
        read_array(path, ndim=2)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code from a file was run')",))


def test_pickles_are_never_run(tmp_path: Path) -> None:
    bombs = np.empty((2, 2), dtype=object)
    bombs[:] = _Bomb()
    np.save(tmp_path / "a.npy", bombs, allow_pickle=True)
    np.savez(tmp_path / "b.npz", gt=bombs)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(_Bomb()))
    for name, key in (("a.npy", None), ("b.npz", "gt"), ("b.npz", None)):
        with pytest.raises(FileFormatError, match="never unpickled"):
            read_array(tmp_path / name, ndim=2, key=key)
    with pytest.raises(FileFormatError, match="could run code"):
        read_array(tmp_path / "c.npy", ndim=2)


def test_hdf5_links_into_other_files_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = LABELS
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = CUBE
        file["gt"] = h5py.ExternalLink("other.h5", "secret")
    with pytest.raises(FileFormatError, match="no array 'gt'"):
        read_array(tmp_path / "a.h5", ndim=2, key="gt")


def test_a_file_that_claims_far_more_than_it_can_hold_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", shape=(100_000, 100_000, 100), dtype="f4", chunks=(100, 100, 1))
    with pytest.raises(FileFormatError, match="claims to hold"):
        read_array(tmp_path / "a.h5", ndim=3)


def _read_both(path: Path) -> None:
    """A cut in the last array leaves the first one whole, so both are read."""
    read_array(path, ndim=3)
    read_array(path, ndim=2)


@pytest.mark.parametrize("name", ["a.mat", "a.v73.mat", "a.npz", "a.h5", "a.npy"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_truncated_files_are_named(tmp_path: Path, write_mat73: Any, name: str, share: float) -> None:
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, CUBE)
    else:
        _write(path, write_mat73)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(
        FileFormatError, match=r"truncated|damaged|holds no array|a text file|no known format"
    ):
        _read_both(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["a.mat", "a.v73.mat", "a.npz", "a.h5"]))
def test_damaged_bytes_give_an_array_or_one_clear_sentence(
    tmp_path: Path, write_mat73: Any, data: st.DataObject, name: str
) -> None:
    path = _write(tmp_path / name, write_mat73)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.unlink()
    path.write_bytes(bytes(content))
    with contextlib.suppress(SceneError):  # any other error fails the test
        array = read_array(path, ndim=3)
        assert array.ndim == 3
        assert array.dtype.kind in "iuf"


def test_real_files(real_data: Path) -> None:
    for path in sorted(real_data.glob("labels/*.mat")):
        labels = read_array(path, ndim=2)
        reference = [value for key, value in loadmat(path).items() if not key.startswith("__")]
        np.testing.assert_array_equal(labels, reference[0])
    crop = read_array(real_data / "scenes" / "Indian_pines_crop.mat", ndim=3)
    assert crop.shape == (70, 70, 200)
    assert crop.dtype == np.uint16
    assert int(crop.max()) == 8494


def test_an_array_without_a_name_is_never_asked_for_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "band.npy", LABELS)
    with pytest.raises(FileFormatError, match="name another file") as caught:
        read_array(tmp_path / "band.npy", ndim=3)
    assert "key" not in str(caught.value)
