from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree

from hsi.datasets.splits.disjoint import split_disjoint
from hsi.datasets.splits.indices import SplitIndices
from hsi.datasets.splits.leakage import measure_leakage
from hsi.errors import SplitError

NAMES = tuple("abcdefghijklmnop")
OPTIONS: dict[str, Any] = {"train": 0.1, "val": 0.1, "patch": 11, "guard": "mask", "seed": 0}


def split(labels: np.ndarray, **options: Any) -> SplitIndices:
    return split_disjoint(labels, NAMES, **{**OPTIONS, **options})


def counts_of(labels: np.ndarray, indices: SplitIndices) -> np.ndarray:
    """``(3, classes)`` pixels of each class in train, val and test."""
    classes = int(labels.max()) + 1
    return np.stack([np.bincount(labels.ravel()[subset], minlength=classes)[1:] for subset in indices[:3]])


def check(labels: np.ndarray, indices: SplitIndices, patch: int, guard: str) -> None:
    """What holds for every disjoint split."""
    assigned = np.zeros(labels.size, int)
    for number, pixels in enumerate(indices[:3], start=1):
        assert len(pixels)
        assert not assigned[pixels].any()
        assigned[pixels] = number
    assert (labels.ravel()[assigned > 0] > 0).all()
    regions = indices.regions
    assert regions is not None
    assert regions.shape == labels.shape
    assert (regions.ravel()[assigned > 0] == assigned[assigned > 0]).all()
    if guard == "mask":
        assert np.isin(regions, (1, 2, 3)).all()
        assert (assigned > 0).sum() == (labels > 0).sum()
        leakage = measure_leakage(indices.train, indices.test, labels.shape, patch, regions=regions)
    else:
        points = [np.argwhere(assigned.reshape(labels.shape) == number) for number in (1, 2, 3)]
        for one, two in ((0, 1), (0, 2), (1, 2)):
            nearest = cKDTree(points[one]).query(points[two], p=np.inf)[0].min()
            assert nearest >= patch
        leakage = measure_leakage(indices.train, indices.test, labels.shape, patch)
    assert (leakage.centre, leakage.overlap) == (0, 0)


def blobs(seed: int, rows: int, cols: int, classes: int, lone: bool) -> np.ndarray:
    """Fields of a few classes, and maybe a class of a single pixel."""
    noise = ndimage.uniform_filter(np.random.default_rng(seed).random((classes + 1, rows, cols)), (0, 5, 5))
    labels: np.ndarray = noise.argmax(axis=0).astype(np.int64)
    if lone:
        labels[rows // 2, cols // 2] = classes + 1
    return labels


@settings(max_examples=30, deadline=None)
@given(
    labels=st.builds(
        blobs, st.integers(0, 999), st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.booleans()
    ),
    patch=st.sampled_from([1, 3, 7]),
    guard=st.sampled_from(["mask", "drop"]),
    train=st.sampled_from([0.1, 0.3, 0.6]),
)
def test_any_map_is_split_or_refused(labels: np.ndarray, patch: int, guard: str, train: float) -> None:
    if not labels.any():
        return
    try:
        indices = split(labels, patch=patch, guard=guard, train=train)
    except SplitError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert "no room for separate train, val and test regions" in refused
        assert guard == "drop" or np.bincount(labels.ravel())[1:].max() < 3
        return
    check(labels, indices, patch, guard)
    if guard == "mask":
        total = np.bincount(labels.ravel())[1:]
        assert (counts_of(labels, indices)[:, total >= 3] > 0).all()


def test_whole_fields_are_assigned_where_that_fits() -> None:
    labels = np.zeros((60, 60), np.int64)
    for number in range(10):  # ten equal fields far from each other: one for train, one for val
        row, col = divmod(number, 4)
        labels[row * 18 : row * 18 + 8, col * 15 : col * 15 + 8] = 1
    indices = split(labels)
    assert [len(subset) for subset in indices[:3]] == [64, 64, 512]
    assert indices.notes == ()
    fields, _ = ndimage.label(labels)
    assert all(
        len(np.unique(fields.ravel()[subset])) == number
        for subset, number in zip(indices[:3], (1, 1, 8), strict=True)
    )


def test_a_single_field_is_cut_in_three_by_straight_cuts() -> None:
    labels = np.zeros((30, 50), np.int64)
    labels[5:25, 5:45] = 1
    for seed in range(3):
        indices = split(labels, train=0.3, seed=seed)
        assert indices.regions is not None
        regions = indices.regions[5:25, 5:45]
        assert (regions == regions[0]).all()
        assert (np.diff(regions[0].astype(int)) != 0).sum() == 2
        assert counts_of(labels, indices)[:, 0] == pytest.approx([240, 80, 480], abs=20)
        assert indices.notes == ("Regions touch inside fields, connected pieces of one class, of: a.",)


def test_drop_loses_no_more_than_the_gaps() -> None:
    labels = np.zeros((20, 100), np.int64)
    labels[5:15] = 1
    indices = split(labels, guard="drop", patch=5, train=0.2, val=0.2)
    assert sum(len(subset) for subset in indices[:3]) == 1000 - 2 * 4 * 10
    assert indices.notes[0] == "80 of 1000 labelled pixels lie between the regions and are left out."
    assert indices.regions is not None
    assert (indices.regions == 0).sum() == 2 * 4 * 18  # rows without a labelled pixel near are not in the gap


def test_seeds_give_other_regions_and_the_same_seed_the_same() -> None:
    labels = np.zeros((80, 80), np.int64)
    for label in range(1, 5):
        labels[2:78, label * 18 - 14 : label * 18] = label
    first, again, other = (split(labels, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.train, again.train)
    shared = len(np.intersect1d(first.train, other.train)) / len(first.train)
    assert shared < 0.9


def test_too_small_classes_are_kept_and_named() -> None:
    labels = np.zeros((40, 40), np.int64)
    labels[2:20, 2:38] = 1
    labels[30, 5] = 2
    labels[30, 20:22] = 3
    labels[35:37, 30:40] = 4
    indices = split(labels)
    assert counts_of(labels, indices)[:, 1].tolist() == [1, 0, 0]
    assert counts_of(labels, indices)[:, 2].tolist() == [1, 0, 1]
    assert counts_of(labels, indices)[:, 3].tolist() == [2, 2, 16]
    assert indices.notes[0].startswith("b has 1 pixel:")
    assert indices.notes[1].startswith("c has 2 pixels:")
    few = "Classes with fewer than 5 pixels in a subset (their train, val and test pixels): d (2, 2, 16)."
    assert few in indices.notes


def test_drop_says_which_classes_have_no_room() -> None:
    labels = np.zeros((30, 90), np.int64)
    labels[2:28, 2:60] = 1
    labels[10:14, 75:80] = 2
    indices = split(labels, guard="drop")
    assert counts_of(labels, indices)[0, 1] > 0
    assert "No validation pixel of: b; their fields are too small or too close." in indices.notes
    assert "No test pixel of: b; their fields are too small or too close." in indices.notes


@pytest.mark.parametrize("guard", ["mask", "drop"])
def test_refuses_a_scene_without_room(guard: str) -> None:
    labels = np.zeros((12, 12), np.int64)
    labels[5, 5:7] = 1
    with pytest.raises(SplitError, match="no room for separate train, val and test regions"):
        split(labels, guard=guard)


# Scene, guard, train share; fewest classes in all three subsets; most labelled pixels left out, as a share.
REAL = [
    ("Indian_pines", "mask", 0.1, 16, 0.0),
    ("Indian_pines", "drop", 0.1, 10, 0.65),
    ("PaviaU", "mask", 0.3, 9, 0.0),
    ("PaviaU", "drop", 0.1, 9, 0.2),
    ("KSC", "mask", 0.1, 13, 0.0),
]


@pytest.mark.parametrize(("name", "guard", "train", "classes", "lost"), REAL)
def test_real_scenes(real_labels, name: str, guard: str, train: float, classes: int, lost: float) -> None:
    labels = real_labels(name)
    indices = split(labels, guard=guard, train=train)
    check(labels, indices, 11, guard)
    counts = counts_of(labels, indices)
    total = np.bincount(labels.ravel())[1:]
    assert (counts > 0).all(axis=0).sum() >= classes
    assert total.sum() - counts.sum() <= lost * total.sum()
    assert counts[0].sum() / total.sum() == pytest.approx(train, abs=0.02)
    assert counts[1].sum() / total.sum() == pytest.approx(0.1, abs=0.02)
    if guard == "mask":
        assert abs(counts[0] / total - train).mean() < 0.03
        assert abs(counts[1] / total - 0.1).mean() < 0.03
        # Regions are compact: few labelled pixels have a neighbour of their own class in another region.
        regions, cuts, pairs = indices.regions, 0, 0
        assert regions is not None
        for label_map, region_map in ((labels, regions), (labels.T, regions.T)):
            same = (label_map[:-1] == label_map[1:]) & (label_map[1:] > 0)
            cuts += int((same & (region_map[:-1] != region_map[1:])).sum())
            pairs += int(same.sum())
        assert cuts < 0.04 * pairs
