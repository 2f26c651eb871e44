from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hsi.datasets.splits.annealing import Problem
from hsi.datasets.splits.cross_validation import FoldSearch, split_fold
from hsi.datasets.splits.indices import SplitIndices
from hsi.errors import SplitError


def chain(sizes: list[int], targets: tuple[int, ...], cut: float) -> Problem:
    """One class in one field whose cells form a row; each cut costs `cut`."""
    count = len(sizes)
    return Problem(
        label=[0] * count,
        size=sizes,
        first=[0] * count,
        last=[count] * count,
        neighbours=[[(o, cut) for o in (cell - 1, cell + 1) if 0 <= o < count] for cell in range(count)],
        seed_bias=[(0.0,) * (len(targets) + 1)] * count,
        targets=[(0, *targets)],
    )


def expected_cost(problem: Problem, regions: tuple[int, ...], cut: float) -> float:
    """The documented cost of `FoldSearch`, for a problem of one class."""
    targets = problem.targets[0][1:]
    held = [
        sum(size for size, region in zip(problem.size, regions, strict=True) if region == number)
        for number in range(1, len(targets) + 1)
    ]
    errors = [abs(h - t) / max(1, t) for h, t in zip(held, targets, strict=True)]
    missing = sum(not h and t > 0 for h, t in zip(held, targets, strict=True))
    cuts = sum(one != two for one, two in pairwise(regions))
    # Classes and all together weigh 2 each; with one class they are the same error.
    return 2.0 * missing + (2.0 + 2.0) * sum(errors) / len(targets) + cut * cuts


@pytest.mark.parametrize("sizes", [[4, 3, 5, 2, 6, 3, 4], [1, 1, 1, 9, 1, 1, 1], [2, 8, 3, 3, 7, 1, 4]])
def test_finds_the_lowest_cost_of_all_regions(sizes: list[int]) -> None:
    share = sum(sizes) // 4
    problem = chain(sizes, (share, share, share, sum(sizes) - 3 * share), cut=0.1)
    costs = []
    for seed in range(4):
        search = FoldSearch(problem, seed)
        search.run(20_000)
        assert search.cost == pytest.approx(expected_cost(problem, tuple(search.region), 0.1))
        costs.append(search.cost)
    best = min(expected_cost(problem, regions, 0.1) for regions in product(range(1, 5), repeat=7))
    assert min(costs) == pytest.approx(best)


def test_many_regions_are_searched_in_time() -> None:
    problem = chain(np.random.default_rng(0).integers(1, 5, 60).tolist(), (7,) * 20, cut=0.01)
    search = FoldSearch(problem, 0)  # the orders of 21 regions could never all be tried
    search.run(1000)
    assert set(search.region) == set(range(1, 21))


NAMES = tuple("abcdefghijklmnop")


def all_folds(
    labels: np.ndarray, folds: int, guard: str = "mask", patch: int = 5, seed: int = 0
) -> list[SplitIndices]:
    return [
        split_fold(labels, NAMES, folds=folds, fold=fold, patch=patch, guard=guard, seed=seed)
        for fold in range(folds)
    ]


def seen(centre: int, labels: np.ndarray, indices: SplitIndices, patch: int, guard: str) -> set[int]:
    """Pixels that the patch round a pixel sees, one by one."""
    rows, cols = labels.shape
    row, col = divmod(int(centre), cols)
    half = patch // 2
    region = indices.regions.ravel()
    return {
        r * cols + c
        for r in range(max(0, row - half), min(rows, row + half + 1))
        for c in range(max(0, col - half), min(cols, col + half + 1))
        if guard == "drop" or region[r * cols + c] == region[centre]
    }


def blobs(seed: int, rows: int, cols: int, classes: int) -> np.ndarray:
    noise = ndimage.uniform_filter(np.random.default_rng(seed).random((classes + 1, rows, cols)), (0, 5, 5))
    return noise.argmax(axis=0).astype(np.int64)


@settings(max_examples=15, deadline=None)
@given(
    labels=st.builds(blobs, st.integers(0, 999), st.integers(6, 24), st.integers(6, 24), st.integers(1, 4)),
    folds=st.sampled_from([2, 3, 5]),
    guard=st.sampled_from(["mask", "drop"]),
    patch=st.sampled_from([1, 3, 5]),
)
def test_folds_share_no_pixel_of_any_patch(labels: np.ndarray, folds: int, guard: str, patch: int) -> None:
    if not labels.any():
        return
    try:
        made, refused = all_folds(labels, folds, guard, patch), ""
    except SplitError as error:
        made, refused = [], str(error)
    if refused:
        assert "no room for" in refused
        assert guard == "drop" or np.bincount(labels.ravel())[1:].max() < max(folds, 4)
        return
    tested = np.concatenate([indices.test for indices in made])
    assert np.array_equal(np.sort(tested), np.flatnonzero(labels))
    for indices in made:
        used = np.concatenate(indices[:3])
        assert len(np.unique(used)) == len(used)
        assert (labels.ravel()[used] > 0).all()
        if guard == "mask":
            assert len(used) == (labels > 0).sum()
        for subset, number in zip(indices[:3], (1, 2, 3), strict=True):
            assert len(subset)
            assert (indices.regions.ravel()[subset] == number).all()
        shown = [
            set().union(*(seen(pixel, labels, indices, patch, guard) for pixel in subset))
            for subset in indices[:3]
        ]
        assert not shown[0] & shown[2]
        assert not shown[0] & shown[1]
        assert not shown[1] & shown[2]


def test_val_is_the_fold_that_is_tested_next() -> None:
    made = all_folds(blobs(1, 40, 40, 3), 4)
    for fold, indices in enumerate(made):
        assert np.array_equal(indices.val, made[(fold + 1) % 4].test)


def test_two_folds_halve_the_scene_and_still_have_val() -> None:
    labels = np.zeros((24, 100), np.int64)
    labels[2:12], labels[14:22] = 1, 2
    first, second = all_folds(labels, 2)
    assert len(first.test) + len(second.test) == 1800
    for indices in (first, second):
        assert len(indices.test) == pytest.approx(900, abs=60)
        assert len(indices.val) == pytest.approx(450, abs=60)
        assert len(indices.train) == pytest.approx(450, abs=60)


def test_a_single_field_becomes_k_straight_slices() -> None:
    labels = np.zeros((30, 60), np.int64)
    labels[5:25, 5:55] = 1
    made = all_folds(labels, 5)
    for indices in made:
        cols = indices.test % 60
        assert len(indices.test) == 200
        assert np.ptp(cols) == 9  # 10 whole columns of 20 pixels


def test_whole_fields_are_assigned_where_that_fits() -> None:
    labels = np.zeros((60, 60), np.int64)
    for number in range(10):
        row, col = divmod(number, 4)
        labels[row * 18 : row * 18 + 8, col * 15 : col * 15 + 8] = 1
    fields, _ = ndimage.label(labels)
    for indices in all_folds(labels, 5):
        assert len(np.unique(fields.ravel()[indices.test])) == 2
        assert len(indices.test) == 128
        assert indices.notes == ()


def test_a_class_of_fewer_pixels_than_folds_is_tested_in_as_many_folds() -> None:
    labels = np.zeros((40, 40), np.int64)
    labels[2:20, 2:38] = 1
    labels[30, [4, 14, 24]] = 2
    made = all_folds(labels, 5)
    held = [int((labels.ravel()[indices.test] == 2).sum()) for indices in made]
    assert sorted(held) == [0, 0, 1, 1, 1]
    for indices, number in zip(made, held, strict=True):
        named = any(note.startswith("No test pixel of: b") for note in indices.notes)
        assert named == (number == 0)


def test_seeds_differ_and_the_same_seed_gives_the_same() -> None:
    labels = np.zeros((80, 80), np.int64)
    for label in range(1, 5):
        labels[2:78, label * 18 - 14 : label * 18] = label
    first, again, other = (
        split_fold(labels, NAMES, folds=5, fold=0, patch=5, guard="mask", seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.regions, again.regions)
    assert len(np.intersect1d(first.test, other.test)) < 0.9 * len(first.test)


def test_drop_leaves_out_train_and_val_and_never_test() -> None:
    labels = np.zeros((20, 100), np.int64)
    labels[5:15] = 1
    mask, drop = all_folds(labels, 5), all_folds(labels, 5, "drop")
    for whole, kept in zip(mask, drop, strict=True):
        assert len(kept.test) == len(whole.test) == 200
        assert len(kept.train) < len(whole.train)
        lost = 1000 - sum(len(subset) for subset in kept[:3])
        assert f"{lost} of 1000 labelled pixels lie between the regions and are left out." in kept.notes
        assert lost % 40 == 0  # gaps of 4 columns of 10 pixels
        assert 80 <= lost <= 160


@pytest.mark.parametrize("guard", ["mask", "drop"])
def test_refuses_a_scene_without_room(guard: str) -> None:
    labels = np.zeros((12, 12), np.int64)
    labels[5, 5:7] = 1
    with pytest.raises(SplitError, match="no room for 5 separate regions"):
        all_folds(labels, 5, guard)


@pytest.mark.parametrize(("name", "folds"), [("Indian_pines", 5), ("PaviaU", 3)])
def test_real_scenes(real_labels, name: str, folds: int) -> None:
    labels = real_labels(name)
    made = all_folds(labels, folds, patch=11)
    total = np.bincount(labels.ravel())[1:]
    tested = np.sort(np.concatenate([indices.test for indices in made]))
    assert np.array_equal(tested, np.flatnonzero(labels))
    for indices in made:
        counts = np.stack(
            [np.bincount(labels.ravel()[subset], minlength=len(total) + 1)[1:] for subset in indices[:3]]
        )
        assert (counts > 0).all()  # every class in train, val and test of every fold
        assert len(indices.test) / total.sum() == pytest.approx(1 / folds, abs=0.03)
        assert abs(counts[2] / total - 1 / folds).mean() < 0.05
