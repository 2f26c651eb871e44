"""Scenes as they are published: files of the real names, keys, shapes and types, and real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from hsi.datasets.catalogue.downloader import file_sha256
from hsi.datasets.catalogue.entries import SceneEntry, scene_entry
from hsi.datasets.load import load_scene
from hsi.errors import SceneNotFoundError


def _labels(entry: SceneEntry) -> NDArray[np.uint8]:
    """Return a label map of the scene's size with the scene's number of pixels of each class."""
    assert entry.shape is not None
    flat = np.zeros(entry.shape[0] * entry.shape[1], np.uint8)
    flat[: sum(entry.class_counts)] = np.repeat(np.arange(1, len(entry.class_counts) + 1), entry.class_counts)
    return flat.reshape(entry.shape[:2])


def _cube(entry: SceneEntry) -> NDArray[np.uint16]:
    """Return a cube of the scene's size whose values tell rows, columns and bands apart."""
    assert entry.shape is not None
    rows, cols, bands = (np.arange(size, dtype=np.uint16) for size in entry.shape)
    return (rows + 2 * cols[:, None] + 3 * bands[:, None, None]).T  # column by column, as MATLAB stores it


@pytest.mark.parametrize(
    ("name", "cube_path", "labels_path"),
    [
        ("IN", "Indian_pines_corrected.mat", "Indian_pines_gt.mat"),
        ("ip", "sets/IP/INDIAN_PINES_corrected.MAT", "sets/IP/indian_pines_GT.mat"),
        ("UP", "PaviaU.mat", "PaviaU_gt.mat"),
        ("KSC", "datasets/KSC/KSC.mat", "datasets/KSC/KSC_gt.mat"),
    ],
)
def test_files_of_the_real_names_keys_shapes_and_types(
    tmp_path: Path, name: str, cube_path: str, labels_path: str
) -> None:
    entry = scene_entry(name)
    assert entry.cube is not None
    assert entry.labels is not None
    cube, labels = _cube(entry), _labels(entry)
    large = cube.nbytes > 20_000_000
    if large:
        cube[20:] = 7  # packs quickly and small
    if name == "KSC":
        cube[10, 20, 5], cube[500, 600, 170] = 65525, 65535
    (tmp_path / cube_path).parent.mkdir(parents=True, exist_ok=True)
    savemat(tmp_path / cube_path, {entry.cube.keys[0]: cube}, do_compression=large, appendmat=False)
    savemat(tmp_path / labels_path, {entry.labels.keys[0]: labels}, appendmat=False)
    scene = load_scene(name, data_root=tmp_path)
    assert scene.cube.shape == entry.shape
    assert scene.name == entry.name
    assert scene.title == entry.title
    assert scene.counts == entry.class_counts
    assert scene.class_names == entry.class_names
    assert scene.colors == entry.colors
    assert scene.label_codes == tuple(range(1, len(entry.class_counts) + 1))
    np.testing.assert_array_equal(scene.labels, labels)
    assert scene.sources[Path(cube_path).name] == file_sha256(tmp_path / cube_path)
    assert not any("labelled pixels" in note for note in scene.notes)
    assert sum("SHA-256 differs" in note for note in scene.notes) == 2
    if name == "KSC":
        assert scene.cube.dtype == np.int16
        assert (scene.cube[10, 20, 5], scene.cube[500, 600, 170]) == (-11, -1)
        assert any(note.startswith("2 values") for note in scene.notes)
    else:
        assert scene.cube.dtype == np.uint16
        np.testing.assert_array_equal(scene.cube, cube)


def test_mat_v73_files(tmp_path: Path, write_mat73: Any) -> None:
    entry = scene_entry("IN")
    cube, labels = _cube(entry), _labels(entry)
    write_mat73(tmp_path / "Indian_pines_corrected.mat", indian_pines_corrected=cube)
    write_mat73(tmp_path / "Indian_pines_gt.mat", other_name=labels.astype(float))
    scene = load_scene("IN", data_root=tmp_path)
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, labels)


def test_files_are_found_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = scene_entry("IN")
    np.save(tmp_path / "indian_pines_corrected.npy", _cube(entry))
    np.save(tmp_path / "indian_pines_gt.npy", _labels(entry))
    monkeypatch.setenv("HSI_DATA", str(tmp_path))
    assert load_scene("in").counts == entry.class_counts


def test_the_other_ground_truth_of_indian_pines_is_pointed_out(tmp_path: Path) -> None:
    entry = scene_entry("IN")
    labels = _labels(entry)
    labels[np.unravel_index(np.flatnonzero(labels == 0)[:117], labels.shape)] = 11
    np.save(tmp_path / "Indian_pines_corrected.npy", _cube(entry))
    np.save(tmp_path / "Indian_pines_gt.npy", labels)
    notes = load_scene("IN", data_root=tmp_path).notes
    assert any("10,366 labelled pixels" in note and "classes 11 differ" in note for note in notes)
    assert any("two ground truths" in note and "never mix" in note for note in notes)


def test_the_real_label_maps_pass_every_check(tmp_path: Path, real_data: Path) -> None:
    entry = scene_entry("IN")
    np.save(tmp_path / "Indian_pines_corrected.npy", _cube(entry))
    (tmp_path / "Indian_pines_gt.mat").write_bytes(
        (real_data / "labels" / "Indian_pines_gt.mat").read_bytes()
    )
    scene = load_scene("IN", data_root=tmp_path)
    assert scene.counts == entry.class_counts
    assert len(scene.notes) == 1
    assert "Indian_pines_corrected.npy is not the published file" in scene.notes[0]


@pytest.mark.parametrize("name", ["IN", "UP", "KSC"])
def test_missing_files_say_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(SceneNotFoundError, match=f"hsi download {name}") as caught:
        load_scene(name.lower(), data_root=tmp_path)
    for part in (*(file.file for file in scene_entry(name).files), str(tmp_path / name), "--data-root"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cube", "labels", "shape", "codes"),
    [
        ("SalinasA_corrected.mat", "SalinasA_gt.mat", (83, 86, 204), (1, 10, 11, 12, 13, 14)),
        ("Indian_pines_crop.mat", None, (70, 70, 200), (2, 6, 10, 11)),
        ("PaviaU_crop.mat", None, (140, 80, 103), (1, 2, 4, 5, 6, 7, 8, 9)),
        ("Indian_pines_mnf20.npz", None, (145, 145, 20), tuple(range(1, 17))),
    ],
)
def test_real_scenes(
    real_data: Path, cube: str, labels: str | None, shape: tuple[int, int, int], codes: tuple[int, ...]
) -> None:
    folder = real_data / "scenes"
    scene = load_scene(folder / cube, labels=folder / labels if labels else None)
    assert scene.cube.shape == shape
    assert scene.label_codes == codes
    assert sum(scene.counts) == len(scene.labelled)
    assert len(set(scene.colors)) == len(codes)
