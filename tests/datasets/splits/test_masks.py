from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from hsi.datasets.splits.indices import SplitIndices
from hsi.datasets.splits.masks import split_by_masks
from hsi.errors import FileFormatError, SceneNotFoundError, SplitError

NAMES = ("Corn", "Oats", "Hay")
LABELS = np.kron(np.array([[1, 2], [3, 0]]), np.ones((4, 5), int)).astype(np.int64)
TRAIN = np.where(np.arange(10) % 5 < 2, LABELS, 0)
TEST = LABELS - TRAIN


def split_of(masks: Any, **options: Any) -> SplitIndices:
    return split_by_masks(LABELS, NAMES, masks, **{"val": 0.25, "seed": 0, **options})


def test_takes_the_pixels_of_the_masks() -> None:
    indices = split_of({"train": TRAIN, "test": TEST})
    assert np.array_equal(np.union1d(indices.train, indices.val), np.flatnonzero(TRAIN))
    assert np.array_equal(indices.test, np.flatnonzero(TEST))
    assert np.bincount(LABELS.ravel()[indices.val]).tolist() == [0, 2, 2, 2]  # a quarter of 8 in each class
    assert indices.notes == ()


def test_a_val_mask_is_taken_as_it_is() -> None:
    val = np.where(np.arange(8)[:, None] % 4 == 0, TRAIN, 0)
    indices = split_of({"train": TRAIN - val, "val": val, "test": TEST})
    assert np.array_equal(indices.val, np.flatnonzero(val))
    assert np.array_equal(indices.train, np.flatnonzero(TRAIN - val))


def test_without_a_test_mask_the_rest_is_test() -> None:
    indices = split_of({"train": TRAIN})
    assert np.array_equal(indices.test, np.flatnonzero(TEST))
    assert indices.notes == (
        "No test mask was given: test is every labelled pixel that is in no other mask.",
    )


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float64])
def test_marks_and_labels_mean_the_same(kind: type) -> None:
    expected = split_of({"train": TRAIN, "test": TEST})
    marked = split_of({"train": (TRAIN > 0).astype(kind), "test": (TEST > 0).astype(kind)})
    assert all(np.array_equal(one, two) for one, two in zip(expected[:3], marked[:3], strict=True))


def test_codes_of_the_label_file_are_understood() -> None:
    codes = np.array([0, 10, 12, 14])
    indices = split_of({"train": codes[TRAIN], "test": codes[TEST]}, label_codes=(10, 12, 14))
    assert np.array_equal(indices.test, np.flatnonzero(TEST))


@pytest.mark.parametrize("ending", ["mat", "npz", "npy"])
def test_reads_files(tmp_path: Path, ending: str) -> None:
    expected = split_of({"train": TRAIN, "test": TEST})
    both = tmp_path / f"both.{ending}"
    if ending == "npy":
        np.save(tmp_path / "a.npy", TRAIN)
        np.save(tmp_path / "b.npy", TEST)
        sources: list[Any] = [{"train": tmp_path / "a.npy", "test": str(tmp_path / "b.npy")}]
    else:
        (savemat if ending == "mat" else lambda file, arrays: np.savez(file, **arrays))(
            both, {"train": TRAIN.astype(np.uint8), "TE": TEST.astype(np.uint8), "other": LABELS}
        )
        sources = [str(both), {"train": both, "test": both}, {"train": f"{both}:train", "test": f"{both}:TE"}]
    for masks in sources:
        indices = split_of(masks)
        assert all(np.array_equal(one, two) for one, two in zip(expected[:3], indices[:3], strict=True))


def test_drops_and_counts_pixels_that_the_scene_does_not_confirm() -> None:
    train, test = TRAIN.copy(), TEST.copy()
    train[6, 6] = 3  # unlabelled in the scene
    train[0, 0] = 2  # Corn in the scene
    indices = split_of({"train": train, "test": test})
    assert np.array_equal(np.union1d(indices.train, indices.val), np.flatnonzero(TRAIN)[1:])
    assert indices.notes == (
        "1 of the 25 pixels of the train mask are unlabelled in the scene and are dropped.",
        "1 of the 25 pixels of the train mask have another label in the scene and are dropped.",
        "1 labelled pixels are in no mask and stay unused.",
    )


def test_says_which_classes_the_masks_leave_out() -> None:
    indices = split_of({"train": np.where(TRAIN == 2, 0, TRAIN), "test": TEST})
    assert "No training pixel of: Oats (the masks leave them out)." in indices.notes


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"test": TEST}, "train mask is missing"),
        ({"train": TRAIN, "tset": TEST}, "Did you mean 'test'"),
        ({"train": TRAIN.T}, "10x8, but the scene is 8x10"),
        ({"train": TRAIN[None]}, "1x8x10"),
        ({"train": TRAIN * 0}, "all zero"),
        ({"train": TRAIN + 0.5}, "whole numbers"),
        ({"train": -TRAIN}, "whole numbers"),
        ({"train": np.full(LABELS.shape, np.nan)}, "whole numbers"),
        ({"train": TRAIN, "test": LABELS}, "share 24 pixels"),
        (
            {"train": np.array([0, 3, 1, 2])[TRAIN]},
            "24 of 24 pixels: its classes are numbered in another order",
        ),
        ({"train": np.where(TRAIN > 0, np.arange(10) % 3 + 1, 0)}, "it belongs to another label map"),
        ({"train": np.where(LABELS == 0, 2, 0)}, "20 of the 20 pixels of the train mask are unlabelled"),
    ],
)
def test_refuses_masks_that_cannot_be_used(masks: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(SplitError, match=message):
        split_of(masks)


def test_refuses_files_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "masks.npz"
    np.savez(file, one=TRAIN, two=TEST)
    with pytest.raises(SplitError, match=r"holds no array called train .it holds: one, two"):
        split_of(file)
    with pytest.raises(FileFormatError, match="two"):
        split_of({"train": f"{file}:three"})
    with pytest.raises(SceneNotFoundError, match="absent"):
        split_of({"train": tmp_path / "absent.mat"})
    file.write_bytes(b"no archive")
    with pytest.raises(FileFormatError):
        split_of(file)


def test_published_mask_of_pavia_university(real_data: Path, real_labels) -> None:
    labels = real_labels("PaviaU")
    indices = split_by_masks(labels, (), real_data / "masks" / "UP_disjoint_masks.npz", val=0.1, seed=0)
    assert len(indices.train) + len(indices.val) == 2774
    assert len(indices.test) == 40002
    assert indices.notes == (
        "1147 of the 3921 pixels of the train mask are unlabelled in the scene and are dropped.",
    )


def test_published_masks_of_indian_pines(real_data: Path, real_labels) -> None:
    labels = real_labels("Indian_pines")
    file = real_data / "masks" / "IN_disjoint_masks.npz"
    good = split_by_masks(
        labels, (), {"train": f"{file}:dase_train_ehu", "test": f"{file}:dase_test_ehu"}, val=0.1, seed=0
    )
    assert len(np.unique(labels.ravel()[good.train])) == 16
    with pytest.raises(SplitError, match=r"train mask disagrees .* numbered in another order"):
        split_by_masks(labels, (), {"train": f"{file}:sf_train"}, val=0.1, seed=0)
    order = np.array([0, 2, 3, 5, 6, 8, 10, 11, 12, 14, 1, 4, 7, 9, 13, 15, 16])
    renumbered = np.argsort(order)[np.load(file)["dase_train_ehu"]]
    with pytest.raises(SplitError, match="numbered in another order"):
        split_by_masks(labels, (), {"train": renumbered}, val=0.1, seed=0)
