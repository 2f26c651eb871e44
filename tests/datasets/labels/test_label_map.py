from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hsi.datasets.labels.label_map import check_labels, drop_absent, merge_maps
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
        (np.where(np.arange(12).reshape(3, 4) == 5, np.inf, 1.0), "holds inf at row 1, column 1"),
        (np.where(np.arange(12).reshape(3, 4) == 5, np.nan, 1.0), r"single class \(1\)"),
        (np.ones((4, 3)), "looks transposed"),
        (np.ones((5, 5)), "5 x 5, but the cube is 3 x 4"),
        (np.ones((3, 4, 2)), "3 x 4 x 2"),
        (np.ones((3, 4), complex), "complex128"),
        (np.full((3, 4), "a"), r"single class \('a'\)"),
        (np.full((3, 4), None), "no labelled pixel"),
        (np.array([["a", 1, "b", None]] * 3, object), "mixes texts"),
        (np.arange(12).reshape(3, 4) % 2, r"single class \(1\).*--class-zero"),
        (np.arange(12).reshape(3, 4) * 1e30, "too large for a code"),
    ],
)
def test_what_is_no_label_map(labels: np.ndarray, words: str) -> None:
    with pytest.raises(SceneError, match=words):
        check_labels(labels, (3, 4), "The label map")


_MAP = np.array([[0, 1, 2, 3], [0, 0, 3, 3], [1, 2, 2, 1]])


@pytest.mark.parametrize("odd", [255, 254, 200, 99, 65535, 2**31 - 1, 2**32 - 1, -1, -3, -9999, -3.4e38])
def test_a_code_far_from_the_others_means_no_label(odd: float) -> None:
    labels = np.where(_MAP == 0, odd, _MAP)
    checked = check_labels(labels, labels.shape, "The map")
    np.testing.assert_array_equal(checked.labels, _MAP)
    assert checked.codes == (1, 2, 3)
    (note,) = checked.notes
    assert f"{int(odd)} in 3 pixels" in note
    # Who names such codes has named all of them.
    explicit = check_labels(labels, labels.shape, "The map", unlabelled=(int(odd),))
    np.testing.assert_array_equal(explicit.labels, _MAP)
    assert explicit.notes == ()
    by_file = check_labels(labels, labels.shape, "The map", no_data=odd)
    np.testing.assert_array_equal(by_file.labels, _MAP)
    assert by_file.notes == ()


@pytest.mark.parametrize(
    "codes",
    [
        (0, 1, 2, 4),  # a gap, but no code that means nothing
        (0, 1, 2, 17),
        (0, 1, 5, 255),  # the others have gaps
        (0, *range(1, 99), 99),
        (0, 101, 102, 103),
        (1, 255),
    ],
)
def test_a_plausible_class_is_never_hidden(codes: tuple[int, ...]) -> None:
    labels = np.array([codes, codes])
    checked = check_labels(labels, labels.shape, "The map")
    assert checked.codes == tuple(code for code in codes if code)
    assert checked.notes == ()


def test_naming_codes_switches_the_guess_off() -> None:
    labels = np.where(_MAP == 0, 255, _MAP)
    assert check_labels(labels, labels.shape, "The map", unlabelled=(3,)).codes == (1, 2, 255)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_codes_from_0_beside_another_code_for_nothing(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 12))
    odd = data.draw(st.sampled_from([-1, 255, -9999, 65535]))
    labels = data.draw(
        hnp.arrays(np.int32, (5, 6), elements=st.sampled_from([odd, *range(classes)])).filter(
            lambda one: {*np.unique(one)} == {odd, *range(classes)}
        )
        if classes < 5
        else st.permutations([odd, *range(classes)] * 2).map(lambda one: np.array(one, np.int32)[None])
    )
    zeros = int((labels == 0).sum())
    if classes > 2:
        plain = check_labels(labels, labels.shape, "The map")
        assert plain.codes == tuple(range(1, classes))
        assert any(f"code 0 covers {zeros} pixels" in note and "--class-zero" in note for note in plain.notes)
        assert not plain.labels[labels == 0].any()
    kept = check_labels(labels, labels.shape, "The map", class_zero=True)
    assert kept.codes == tuple(range(classes))
    np.testing.assert_array_equal(kept.labels, np.where(labels == odd, 0, labels + 1))
    assert not any("code 0" in note for note in kept.notes)


def test_code_0_beside_what_the_file_or_the_user_calls_nothing() -> None:
    labels = np.array([[0, 1, 2, 7], [7, 1, 2, 0]])
    for options in ({"no_data": 7.0}, {"unlabelled": (7,)}):
        (note,) = check_labels(labels, (2, 4), "The map", **options).notes
        assert "code 0 covers 2 pixels" in note
        assert check_labels(labels, (2, 4), "The map", class_zero=True, **options).codes == (0, 1, 2)
    zero_is_nothing = check_labels(labels, (2, 4), "The map", no_data=0.0, unlabelled=(7,))
    assert zero_is_nothing.notes == ()
    with pytest.raises(SceneError, match="Code 0 is to be a class and to be unlabelled"):
        check_labels(labels, (2, 4), "The map", class_zero=True, unlabelled=(0,))
    binary = np.array([[0, 1, 255]])
    with pytest.raises(SceneError, match=r"single class \(1\).*code 255 is taken.*--class-zero"):
        check_labels(binary, (1, 3), "The map")
    assert check_labels(binary, (1, 3), "The map", class_zero=True).codes == (0, 1)
    assert check_labels(binary, (1, 3), "The map", unlabelled=(0,)).codes == (1, 255)


def test_class_zero_of_a_map_where_every_pixel_has_a_class() -> None:
    labels = np.array([[0, 1], [2, 0]])
    checked = check_labels(labels, (2, 2), "The map", class_zero=True)
    assert checked.codes == (0, 1, 2)
    np.testing.assert_array_equal(checked.labels, labels + 1)
    assert check_labels(labels, (2, 2), "The map").notes == ()  # 0 is what it mostly is
    (note,) = check_labels(labels + 1, (2, 2), "The map", class_zero=True).notes
    assert "no pixel with code 0" in note


def test_nan_is_unlabelled() -> None:
    labels = np.where(_MAP == 0, np.nan, _MAP).astype(np.float32)
    checked = check_labels(labels, labels.shape, "The map")
    np.testing.assert_array_equal(checked.labels, _MAP)
    assert checked.notes == ("The map holds NaN in 3 pixels; they are unlabelled.",)
    assert check_labels(labels, labels.shape, "The map", no_data=np.nan).notes == ()


@pytest.mark.parametrize("dtype", [str, object, bytes])
def test_texts_are_classes_in_alphabetical_order(dtype: type) -> None:
    labels = np.array([["soy", "corn ", ""], ["Background", "corn", "wood"]]).astype(dtype)
    if dtype is object:
        labels[0, 2] = None
    checked = check_labels(labels, (2, 3), "The map")
    assert checked.names == {1: "corn", 2: "soy", 3: "wood"}
    assert checked.codes == (1, 2, 3)
    np.testing.assert_array_equal(checked.labels, [[2, 1, 0], [0, 1, 3]])


def test_texts_that_are_numbers_are_codes() -> None:
    checked = check_labels(np.array([["10", "2"], ["0", "2"]]), (2, 2), "The map")
    assert checked.codes == (2, 10)
    assert checked.names == {}
    np.testing.assert_array_equal(checked.labels, [[2, 1], [0, 1]])


def test_one_class_is_enough_for_a_part_of_the_labels() -> None:
    assert check_labels(np.array([[0, 3]]), (1, 2), "The map", fewest=1).codes == (3,)


def test_classes_that_are_not_on_the_cube_are_dropped() -> None:
    checked = check_labels(np.array([[3, 5, 7, 0]]), (1, 4), "The map")
    left = drop_absent(checked, np.array([[3, 1], [0, 0]]), "The map")
    assert left.codes == (3, 7)
    np.testing.assert_array_equal(left.labels, [[2, 1], [0, 0]])
    assert left.notes == ("The map has no pixel of 5 on the cube.",)
    with pytest.raises(SceneError, match="1 of its 3 classes on the cube"):
        drop_absent(checked, np.array([[3, 0]]), "The map")


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
