from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from hsi.datasets.splits.indices import SplitIndices
from hsi.datasets.splits.masks import mask_parts
from hsi.errors import FileFormatError, SceneNotFoundError, SplitError

NAMES = ("Corn", "Oats", "Hay")
LABELS = np.kron(np.array([[1, 2], [3, 0]]), np.ones((4, 5), int)).astype(np.int64)
TRAIN = np.where(np.arange(10) % 5 < 2, LABELS, 0)
TEST = LABELS - TRAIN


def parts_of(masks: Any, **options: Any) -> SplitIndices:
    return mask_parts(LABELS, NAMES, masks, **{"val": 0.25, "seed": 0, **options})


def test_takes_the_pixels_of_the_masks() -> None:
    parts = parts_of({"train": TRAIN, "test": TEST})
    assert np.array_equal(np.union1d(parts.train, parts.val), np.flatnonzero(TRAIN))
    assert np.array_equal(parts.test, np.flatnonzero(TEST))
    assert np.bincount(LABELS.ravel()[parts.val]).tolist() == [0, 2, 2, 2]  # a quarter of 8 in each class
    assert parts.notes == ()


def test_a_val_mask_is_taken_as_it_is() -> None:
    val = np.where(np.arange(8)[:, None] % 4 == 0, TRAIN, 0)
    parts = parts_of({"train": TRAIN - val, "val": val, "test": TEST})
    assert np.array_equal(parts.val, np.flatnonzero(val))
    assert np.array_equal(parts.train, np.flatnonzero(TRAIN - val))


def test_without_a_test_mask_the_rest_is_test() -> None:
    parts = parts_of({"train": TRAIN})
    assert np.array_equal(parts.test, np.flatnonzero(TEST))
    assert parts.notes == ("No test mask was given: test is every labelled pixel that is in no other mask.",)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float64])
def test_marks_and_labels_mean_the_same(kind: type) -> None:
    wanted = parts_of({"train": TRAIN, "test": TEST})
    marked = parts_of({"train": (TRAIN > 0).astype(kind), "test": (TEST > 0).astype(kind)})
    assert all(np.array_equal(one, two) for one, two in zip(wanted[:3], marked[:3], strict=True))


def test_codes_of_the_label_file_are_understood() -> None:
    codes = np.array([0, 10, 12, 14])
    parts = parts_of({"train": codes[TRAIN], "test": codes[TEST]}, label_codes=(10, 12, 14))
    assert np.array_equal(parts.test, np.flatnonzero(TEST))


@pytest.mark.parametrize("ending", ["mat", "npz", "npy"])
def test_reads_files(tmp_path: Path, ending: str) -> None:
    wanted = parts_of({"train": TRAIN, "test": TEST})
    both = tmp_path / f"both.{ending}"
    if ending == "npy":
        np.save(tmp_path / "a.npy", TRAIN)
        np.save(tmp_path / "b.npy", TEST)
        ways: list[Any] = [{"train": tmp_path / "a.npy", "test": str(tmp_path / "b.npy")}]
    else:
        (savemat if ending == "mat" else lambda file, arrays: np.savez(file, **arrays))(
            both, {"train": TRAIN.astype(np.uint8), "TE": TEST.astype(np.uint8), "other": LABELS}
        )
        ways = [str(both), {"train": both, "test": both}, {"train": f"{both}:train", "test": f"{both}:TE"}]
    for masks in ways:
        parts = parts_of(masks)
        assert all(np.array_equal(one, two) for one, two in zip(wanted[:3], parts[:3], strict=True))


def test_drops_and_counts_pixels_that_the_scene_does_not_confirm() -> None:
    train, test = TRAIN.copy(), TEST.copy()
    train[6, 6] = 3  # unlabelled in the scene
    train[0, 0] = 2  # Corn in the scene
    parts = parts_of({"train": train, "test": test})
    assert np.array_equal(np.union1d(parts.train, parts.val), np.flatnonzero(TRAIN)[1:])
    assert parts.notes == (
        "1 of the 25 pixels of the train mask are unlabelled in the scene and are dropped.",
        "1 of the 25 pixels of the train mask have another label in the scene and are dropped.",
        "1 labelled pixels are in no mask and stay unused.",
    )


def test_says_which_classes_the_masks_leave_out() -> None:
    parts = parts_of({"train": np.where(TRAIN == 2, 0, TRAIN), "test": TEST})
    assert "No training pixel of: Oats (the masks leave them out)." in parts.notes


@pytest.mark.parametrize(
    ("masks", "words"),
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
def test_refuses_masks_that_cannot_be_used(masks: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(SplitError, match=words):
        parts_of(masks)


def test_refuses_files_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "masks.npz"
    np.savez(file, one=TRAIN, two=TEST)
    with pytest.raises(SplitError, match=r"holds no array called train .it holds: one, two"):
        parts_of(file)
    with pytest.raises(FileFormatError, match="two"):
        parts_of({"train": f"{file}:three"})
    with pytest.raises(SceneNotFoundError, match="absent"):
        parts_of({"train": tmp_path / "absent.mat"})
    file.write_bytes(b"no archive")
    with pytest.raises(FileFormatError):
        parts_of(file)


def real_labels(folder: Path, file: str, key: str) -> np.ndarray:
    labels: np.ndarray = loadmat(folder / "labels" / file)[key].astype(np.int64)
    return labels


def test_published_mask_of_pavia_university(real_data: Path) -> None:
    labels = real_labels(real_data, "PaviaU_gt.mat", "paviaU_gt")
    parts = mask_parts(labels, (), real_data / "masks" / "UP_disjoint_masks.npz", val=0.1, seed=0)
    assert len(parts.train) + len(parts.val) == 2774
    assert len(parts.test) == 40002
    assert parts.notes == (
        "1147 of the 3921 pixels of the train mask are unlabelled in the scene and are dropped.",
    )


def test_published_masks_of_indian_pines(real_data: Path) -> None:
    labels = real_labels(real_data, "Indian_pines_gt.mat", "indian_pines_gt")
    file = real_data / "masks" / "IN_disjoint_masks.npz"
    good = mask_parts(
        labels, (), {"train": f"{file}:dase_train_ehu", "test": f"{file}:dase_test_ehu"}, val=0.1, seed=0
    )
    assert len(np.unique(labels.ravel()[good.train])) == 16
    with pytest.raises(SplitError, match=r"train mask disagrees .* numbered in another order"):
        mask_parts(labels, (), {"train": f"{file}:sf_train"}, val=0.1, seed=0)
    order = np.array([0, 2, 3, 5, 6, 8, 10, 11, 12, 14, 1, 4, 7, 9, 13, 15, 16])
    turned = np.argsort(order)[np.load(file)["dase_train_ehu"]]
    with pytest.raises(SplitError, match="numbered in another order"):
        mask_parts(labels, (), {"train": turned}, val=0.1, seed=0)
