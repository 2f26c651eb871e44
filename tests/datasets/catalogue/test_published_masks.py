from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from hsi.datasets import make_split, scene_entry
from hsi.datasets.catalogue.published_masks import list_masks, load_masks
from hsi.errors import SceneNotFoundError, SplitError


def scene(labels: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(labels=labels, class_names=tuple(f"class {n}" for n in range(1, labels.max() + 1)))


@pytest.fixture
def indian(real_data: Path) -> dict[str, np.ndarray]:
    with np.load(real_data / "masks" / "IN_disjoint_masks.npz") as file:
        return dict(file)


def test_every_mask_is_described_whole() -> None:
    masks = list_masks()
    assert {(mask.scene, mask.name) for mask in masks} == {("IN", "dase"), ("IN", "sf"), ("UP", "dase")}
    for mask in masks:
        assert scene_entry(mask.scene).name == mask.scene
        assert mask.title
        assert mask.sources
        assert mask.terms
        assert all(len(known.train_sha256) == 64 for known in mask.label_maps)


def test_masks_that_share_a_name_share_no_label_map() -> None:
    pairs = [(mask.name, known.labels_sha256) for mask in list_masks() for known in mask.label_maps]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(
    ("name", "labels", "train", "test"),
    [("dase", "gr_tif", "dase_train", "dase_test"), ("DASE", "ehu_gt", "dase_train_ehu", "dase_test_ehu"),
     ("sf", "gr_tif", "sf_train", "sf_test"), ("SpectralFormer", "gr_tif", "sf_train", "sf_test")],
)  # fmt: skip
def test_indian_pines(
    real_data: Path, indian: dict[str, np.ndarray], name: str, labels: str, train: str, test: str
) -> None:
    made = scene(indian[labels].astype(np.int64))
    split = make_split(made, scheme="mask", masks=load_masks(name, made, data_root=real_data))
    assert np.array_equal(np.union1d(split.train, split.val), np.flatnonzero(indian[train]))
    assert np.array_equal(split.test, np.flatnonzero(indian[test]))
    known = {"dase_train": (5679, 4687), "dase_train_ehu": (5528, 4721), "sf_train": (695, 9671)}[train]
    assert (len(split.train) + len(split.val), len(split.test)) == known
    assert np.array_equal(np.unique(made.labels.ravel()[split.test]), np.arange(1, 17))


def test_pavia_university_without_its_background_pixels(real_data: Path) -> None:
    made = scene(loadmat(real_data / "labels" / "PaviaU_gt.mat")["paviaU_gt"].astype(np.int64))
    split = make_split(made, scheme="mask", masks=load_masks("dase", made, data_root=real_data))
    assert (len(split.train) + len(split.val), len(split.test)) == (3921 - 1147, 40002)
    assert split.notes == (
        "1147 of the 3921 pixels of the train mask are unlabelled in the scene and are dropped.",
    )
    with np.load(real_data / "masks" / "UP_disjoint_masks.npz") as file:
        assert np.array_equal(split.test, np.flatnonzero(file["test"]))


def test_the_counts_that_are_written_down_are_those_of_the_files(
    real_data: Path, indian: dict[str, np.ndarray]
) -> None:
    with np.load(real_data / "masks" / "UP_disjoint_masks.npz") as file:
        maps = [indian["gr_tif"], indian["ehu_gt"], file["gt"]]
    checked = 0
    for labels in maps:
        for name in ("dase", "sf"):
            try:
                masks = load_masks(name, scene(labels.astype(np.int64)), data_root=real_data)
            except SplitError:
                continue
            train = int((masks["train"] & (labels > 0)).sum())
            known = {(m.train, m.test) for mask in list_masks() if mask.name == name for m in mask.label_maps}
            assert (train, int(masks["test"].sum())) in known
            checked += 1
    assert checked == sum(len(mask.label_maps) for mask in list_masks())


def test_a_file_of_another_kind_case_and_numbering_serves_as_well(
    tmp_path: Path, indian: dict[str, np.ndarray]
) -> None:
    made = scene(indian["gr_tif"].astype(np.int64))
    savemat(tmp_path / "INDIANPINE.MAT", {"TR": indian["sf_train"] * 3, "TE": indian["sf_test"]})
    masks = load_masks("sf", made, data_root=tmp_path)
    assert np.array_equal(masks["train"], indian["sf_train"] > 0)


def test_says_which_file_to_put_where(tmp_path: Path, indian: dict[str, np.ndarray]) -> None:
    made = scene(indian["ehu_gt"].astype(np.int64))
    with pytest.raises(SceneNotFoundError) as raised:
        load_masks("dase", made, data_root=tmp_path)
    for word in ("IndianPines.h5", "trMask", str(tmp_path), "--data-root", "SpatiallyDisjointHSI"):
        assert word in str(raised.value)


def test_refuses_a_file_that_is_not_the_published_one(tmp_path: Path, indian: dict[str, np.ndarray]) -> None:
    moved = np.roll(indian["dase_train"], 1, axis=0)
    np.savez(tmp_path / "in_disjoint_masks.npz", dase_train=moved)
    with pytest.raises(SplitError, match="is not the published mask 'dase' of IN, which has 5528 training"):
        load_masks("dase", scene(indian["ehu_gt"].astype(np.int64)), data_root=tmp_path)


def test_refuses_unknown_names_and_other_label_maps(real_data: Path, indian: dict[str, np.ndarray]) -> None:
    made = scene(indian["ehu_gt"].astype(np.int64))
    with pytest.raises(SplitError, match=r"Unknown published mask 'daze'\. Did you mean 'dase'"):
        load_masks("daze", made, data_root=real_data)
    with pytest.raises(SplitError, match="only with the Purdue label map of 10,366 pixels of IN"):
        load_masks("sf", made, data_root=real_data)
    changed = made.labels.copy()
    changed.ravel()[np.flatnonzero(changed)[0]] = 0
    with pytest.raises(SplitError, match="145x145 pixels, 10248 labelled"):
        load_masks("dase", scene(changed), data_root=real_data)
