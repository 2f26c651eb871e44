from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hsi.datasets.labels.label_map import check_labels, merge_maps
from hsi.errors import SceneError


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.int64, np.float32]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.sampled_from([0, 1, 2, 10, 11, 14]),
    )
)
def test_gaps_are_closed_and_codes_kept(labels: np.ndarray) -> None:
    codes = sorted({int(value) for value in labels.ravel()} - {0})
    if len(codes) < 2:
        with pytest.raises(SceneError, match=r"no labelled pixel|single class"):
            check_labels(labels, labels.shape, "x")
        return
    checked = check_labels(labels, labels.shape, "x")
    assert checked.codes == tuple(codes)
    assert checked.labels.dtype == np.int64
    back = np.array([0, *codes])[checked.labels]
    np.testing.assert_array_equal(back, labels)


def test_unlabelled_codes() -> None:
    labels = np.array([[-1, 255, 0], [1, 2, 255]])
    checked = check_labels(labels, (2, 3), "x", unlabelled=(-1, 255))
    np.testing.assert_array_equal(checked.labels, [[0, 0, 0], [1, 2, 0]])
    assert checked.codes == (1, 2)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((3, 4)), "no labelled pixel"),
        (np.full((3, 4), 7), r"single class \(7\)"),
        (np.arange(12).reshape(3, 4) - 3, r"negative values \(-3"),
        (np.arange(12).reshape(3, 4) / 2, "holds 0.5 at row 0, column 1"),
        (np.where(np.arange(12).reshape(3, 4) == 5, np.nan, 1.0), "holds nan at row 1, column 1"),
        (np.ones((4, 3)), "looks transposed"),
        (np.ones((5, 5)), "5 x 5, but the cube is 3 x 4"),
        (np.ones((3, 4, 2)), "3 x 4 x 2"),
        (np.ones((3, 4), complex), "complex128"),
        (np.full((3, 4), "a"), "whole numbers"),
    ],
)
def test_what_is_no_label_map(labels: np.ndarray, words: str) -> None:
    with pytest.raises(SceneError, match=words):
        check_labels(labels, (3, 4), "The label map")


def test_an_image_is_no_label_map() -> None:
    with pytest.raises(SceneError, match="looks like an image"):
        check_labels(np.arange(2500).reshape(50, 50), (50, 50), "x")


def test_merging_training_and_test_maps() -> None:
    train, test = np.array([[1, 0], [0, 2]]), np.array([[0, 3], [0, 2]])
    np.testing.assert_array_equal(merge_maps([train, test], "x"), [[1, 3], [0, 2]])
    with pytest.raises(SceneError, match="1 pixels two classes"):
        merge_maps([train, np.array([[2, 0], [0, 0]])], "x")
    with pytest.raises(SceneError, match="differ in size"):
        merge_maps([train, np.zeros((3, 3))], "x")
