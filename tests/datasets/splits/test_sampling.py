from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hsi.datasets.splits.indices import SplitIndices, class_pixels, subset_counts
from hsi.datasets.splits.sampling import split_paper, split_per_class, split_random
from hsi.errors import SplitError

NAMES = tuple("abcdefghijklmnopqrst")


def labels_of(*counts: int) -> NDArray[np.int64]:
    """A label map with so many pixels of each class, shuffled, and some unlabelled ones."""
    flat = np.repeat(np.arange(len(counts) + 1), [7, *counts])
    flat = np.append(flat, np.zeros(-len(flat) % 10, int))
    return np.random.default_rng(0).permutation(flat).reshape(-1, 10).astype(np.int64)


def counts_of(labels: NDArray[np.int64], indices: SplitIndices) -> list[list[int]]:
    """Pixels of each class in train, val and test, classes first."""
    classes = int(labels.max()) + 1
    table = [np.bincount(labels.ravel()[subset], minlength=classes)[1:] for subset in indices[:3]]
    return [[int(n) for n in row] for row in zip(*table, strict=True)]


def check_whole(labels: NDArray[np.int64], indices: SplitIndices) -> None:
    """Every labelled pixel is in exactly one subset."""
    together = np.concatenate(indices[:3])
    assert np.array_equal(np.sort(together), np.flatnonzero(labels))


def test_class_pixels_are_those_of_flatnonzero() -> None:
    labels = labels_of(5, 0, 3)
    found = dict(class_pixels(labels))
    assert list(found) == [1, 3]
    for label, pixels in found.items():
        assert np.array_equal(pixels, np.flatnonzero(labels == label))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 90), min_size=1, max_size=8),
    train=st.floats(0.01, 0.9),
    rest=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**31),
)
def test_random_is_stratified_to_the_pixel(counts: list[int], train: float, rest: float, seed: int) -> None:
    labels, val = labels_of(*counts), (1 - train) * rest
    indices = split_random(labels, NAMES, train=train, val=val, seed=seed)
    check_whole(labels, indices)
    for total, (first, second, third) in zip(counts, counts_of(labels, indices), strict=True):
        if total >= 3:
            assert min(first, second, third) >= 1
            # As near as a pixel for each of the other subsets allows.
            assert abs(first - min(train * total, total - 2)) <= 1
            assert abs(second - min(val * total, total - first - 1)) <= 1
            assert first + second + third == total
        else:
            assert (first, second, third) == ((1, 0, 0), (1, 0, 1))[total - 1]
    assert len(indices.notes) == sum(total < 3 for total in counts)


def test_small_classes_are_named() -> None:
    indices = split_random(labels_of(9, 1, 2), ("Wheat", "Oats", "Hay"), train=0.5, val=0.2, seed=0)
    assert indices.notes[0].startswith("Oats has 1 pixel:")
    assert indices.notes[1].startswith("Hay has 2 pixels:")


def test_subset_counts_by_hand() -> None:
    assert subset_counts(0, 0.1, 0.1) == (0, 0, 0)
    assert subset_counts(3, 0.9, 0.05) == (1, 1, 1)
    assert subset_counts(20, 0.1, 0.1) == (2, 2, 16)
    assert subset_counts(100, 0.305, 0.1) == (31, 10, 59)


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), per_class=st.integers(1, 40))
def test_per_class_takes_the_same_number_where_it_can(counts: list[int], per_class: int) -> None:
    labels = labels_of(*counts)
    if per_class >= max(counts):
        with pytest.raises(SplitError, match="leaves nothing to test on"):
            split_per_class(labels, NAMES, per_class=per_class, val=0.1, seed=1)
        return
    indices = split_per_class(labels, NAMES, per_class=per_class, val=0.1, seed=1)
    check_whole(labels, indices)
    for total, (first, second, third) in zip(counts, counts_of(labels, indices), strict=True):
        assert first == (per_class if total >= 2 * per_class else max(1, total // 2))
        if total >= 3:
            assert second >= 1
            assert third >= 1
    assert len(indices.notes) == sum(total < 3 or total // 2 < per_class for total in counts)


# Train / val / test of the released code, by share of training pixels.
PAPER_SIZES = {
    "Indian_pines": {
        0.2: (2055, 1024, 7170),
        0.3: (3081, 1024, 6144),
        0.4: (4106, 1024, 5119),
        0.5: (5128, 1024, 4097),
        0.6: (6153, 1024, 3072),
    },
    "PaviaU": {
        0.2: (8558, 4277, 29941),
        0.3: (12838, 4277, 25661),
        0.4: (17113, 4277, 21386),
        0.5: (21391, 4277, 17108),
        0.6: (25670, 4277, 12829),
    },
    "KSC": {
        0.2: (1048, 521, 3642),
        0.3: (1569, 521, 3121),
        0.4: (2090, 521, 2600),
        0.5: (2610, 521, 2080),
        0.6: (3132, 521, 1558),
    },
}
PAPER_TRAIN = {
    "Indian_pines": [28, 857, 498, 143, 290, 438, 17, 287, 12, 584, 1473, 356, 123, 759, 232, 56],
    "PaviaU": [3979, 11190, 1260, 1839, 807, 3018, 798, 2210, 569],
    "KSC": [457, 146, 154, 152, 97, 138, 63, 259, 312, 243, 252, 302, 557],
}


@pytest.mark.parametrize("name", PAPER_SIZES)
def test_paper_rule_gives_the_released_sizes(real_labels, name: str) -> None:
    labels = real_labels(name)
    for share, sizes in PAPER_SIZES[name].items():
        indices = split_paper(labels, NAMES, train=share, val=0.1, seed=1331)
        check_whole(labels, indices)
        assert tuple(len(subset) for subset in indices[:3]) == sizes
    assert [row[0] for row in counts_of(labels, indices)] == PAPER_TRAIN[name]


def test_paper_rule_draws_from_one_legacy_generator() -> None:
    labels = labels_of(11, 4, 25)
    indices = split_paper(labels, NAMES, train=0.6, val=0.1, seed=1333)
    legacy = np.random.RandomState(1333)
    train: list[int] = []
    pool: list[int] = []
    for label in (1, 2, 3):
        pixels = np.flatnonzero(labels == label).tolist()
        legacy.shuffle(pixels)
        held = max(int((1 - 0.6) * len(pixels)), 3)
        train, pool = train + pixels[:-held], pool + pixels[-held:]
    legacy.shuffle(train)
    legacy.shuffle(pool)
    assert sorted(train) == indices.train.tolist()
    assert sorted(pool[-4:]) == indices.val.tolist()
    assert sorted(pool[:-4]) == indices.test.tolist()


def test_paper_rule_notes_classes_that_a_part_lacks() -> None:
    indices = split_paper(labels_of(3, 40), ("Oats", "Hay"), train=0.6, val=0.1, seed=1331)
    assert any(note.startswith("No training pixel of: Oats") for note in indices.notes)


def test_paper_rule_refuses_a_validation_share_beyond_the_pool() -> None:
    with pytest.raises(SplitError, match="lower one of the two"):
        split_paper(labels_of(40, 40), NAMES, train=0.7, val=0.3, seed=0)
