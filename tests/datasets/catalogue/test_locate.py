from __future__ import annotations

from pathlib import Path

import pytest

from hsi.datasets.catalogue.entries import SceneEntry, scene_entry
from hsi.datasets.catalogue.locate import SceneFiles, data_roots, find_scene_files, is_on_disk
from hsi.io.files import cache_folder


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.mark.parametrize(
    ("scene", "cube", "labels"),
    [
        ("IN", "Indian_pines_corrected.mat", "Indian_pines_gt.mat"),
        ("IN", "IN/Indian_pines_corrected.mat", "IN/Indian_pines_gt.mat"),
        ("IN", "a/b/c/d/INDIAN_PINES_CORRECTED.MAT", "a/b/c/d/indian_pines_GT.mat"),
        ("IN", "IndianPines/IndianPines_corrected.mat", "IndianPines/IndianPines_gt.mat"),
        ("IN", "images/indian_pines_corrected.npy", "labels/Indian_pines_gt.npz"),
        ("UP", "datasets/UP/PaviaU.mat", "datasets/UP/PaviaU_gt.mat"),
        ("UP", "Pavia/paviaU.mat", "Pavia/paviau_gt.mat"),
        ("KSC", "KSC/KSC_data.mat", "KSC/KSC_gt.mat"),
        ("PC", "paviaC.mat", "paviaC_gt.mat"),
        ("HU", "Houston/Houston.mat", "Houston/Houston.mat"),
        ("HU", "Houston/Houston.mat", "Houston/Houston_gt.mat"),
    ],
)
def test_layouts_of_other_projects(tmp_path: Path, scene: str, cube: str, labels: str) -> None:
    entry = scene_entry(scene)
    assert not is_on_disk(entry, tmp_path)
    _touch(tmp_path, cube, labels, "other/PaviaX.mat", ".hidden/KSC.mat")
    assert find_scene_files(entry, tmp_path) == SceneFiles(tmp_path / cube, tmp_path / labels)
    assert is_on_disk(entry, str(tmp_path))


def test_the_two_pavias_are_not_mixed_up(tmp_path: Path) -> None:
    _touch(tmp_path, "PaviaU.mat", "PaviaU_gt.mat")
    assert find_scene_files(scene_entry("PC"), tmp_path) is None
    _touch(tmp_path, "Pavia.mat", "Pavia_gt.mat")
    found = find_scene_files(scene_entry("PC"), tmp_path)
    assert found == SceneFiles(tmp_path / "Pavia.mat", tmp_path / "Pavia_gt.mat")


def test_one_missing_file_is_not_enough(tmp_path: Path) -> None:
    _touch(tmp_path, "KSC.mat", "KSC_gt.txt", "a/b/c/d/e/KSC_gt.mat")
    assert find_scene_files(scene_entry("KSC"), tmp_path) is None
    assert find_scene_files(scene_entry("KSC"), tmp_path / "nowhere") is None


def test_of_several_copies_the_pair_in_one_folder_wins(tmp_path: Path) -> None:
    _touch(tmp_path, "KSC.mat", "deep/down/KSC.mat", "deep/down/KSC_gt.mat", "elsewhere/KSC_gt.mat")
    found = find_scene_files(scene_entry("KSC"), tmp_path)
    assert found == SceneFiles(tmp_path / "deep/down/KSC.mat", tmp_path / "deep/down/KSC_gt.mat")


def test_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HSI_DATA", raising=False)
    assert data_roots() == [cache_folder()]
    monkeypatch.setenv("HSI_DATA", str(tmp_path))
    assert data_roots() == [tmp_path, cache_folder()]
    assert data_roots("/elsewhere") == [Path("/elsewhere")]
    _touch(tmp_path, "x/KSC.mat", "x/KSC_gt.mat")
    assert is_on_disk(scene_entry("KSC"))


def test_scenes_without_files(tmp_path: Path) -> None:
    assert is_on_disk(scene_entry("demo"), tmp_path)
    assert find_scene_files(scene_entry("demo"), tmp_path) is None
    described = SceneEntry("x", description=tmp_path / "scene.toml")
    assert not is_on_disk(described)
    _touch(tmp_path, "scene.toml")
    assert is_on_disk(described)
